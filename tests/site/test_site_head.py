"""The head of every built page: described, ready to be shared, closed to other origins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.site.test_pages import HTML, PAGES, Page, name
from tools import example, site_head
from tools.lessons import ROOT, toc_pages

THEME = """<html><head>
    <meta charset="utf-8" />
    <title>Site — Backdoors in Anomaly Detection — Backdoors in Anomaly Detection</title>
    <script src="../_static/documentation_options.js?v=1"></script>
    <script src="../_static/doctools.js"></script>
    <script>const THEBE_JS_URL = "https://host.example/a"; const thebe = 1</script>
    <script async="async" src="../_static/sphinx-thebe.js?v=1"></script>
    <script>const THEBE_JS_URL = "https://host.example/a"; const thebe = 1</script>
    <script data-a="b" src="../_static/design-tabs.js"></script>
    <script src="../searchindex.js"></script>
</head><body><article><p>Short.</p>
<p>A first paragraph, <b>long</b> enough &amp; plain, of this page.</p>
"""


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_is_described_and_closed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("</head>")]
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', head)
    assert policy == [site_head.POLICY]
    assert head.index("Content-Security-Policy") < min(
        (head.find(tag) for tag in ("<script", "<link") if tag in head), default=len(head)
    )
    (description,) = re.findall(r'<meta [^>]*name="description"[^>]*>', head)
    assert len(description) > 60
    (title,) = re.findall(r"<title>(.*?)</title>", head, re.DOTALL)
    assert title.count(site_head.NAME) == 1
    for picture in re.findall(r'property="og:image" content="([^"]*)"', head):
        assert picture.startswith("http") or (path.parent / picture).is_file()


def test_the_head_says_each_thing_once_and_addresses_in_full() -> None:
    done = site_head.finished(THEME, "book/a.html", "https://host.example/course/")
    assert "<title>Site — Backdoors in Anomaly Detection</title>" in done
    assert 'content="A first paragraph, long enough &amp; plain, of this page."' in done
    assert 'property="og:image" content="https://host.example/course/_static/card.png"' in done
    assert 'property="og:url" content="https://host.example/course/book/a.html"' in done
    alone = site_head.finished(THEME, "book/a.html")
    assert 'property="og:image" content="../_static/card.png"' in alone
    assert "og:url" not in alone


def test_scripts_wait_and_what_no_page_needs_is_gone() -> None:
    done = site_head.finished(THEME, "book/a.html")
    assert "thebe" not in done.lower()
    scripts = re.findall(r"<script[^>]*>", done)
    assert scripts == [
        '<script src="../_static/documentation_options.js?v=1">',
        '<script defer src="../_static/doctools.js">',
        '<script defer data-a="b" src="../_static/design-tabs.js">',
    ]
    assert '<script defer src="../searchindex.js">' in site_head.finished(THEME, "search.html")


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_no_script_holds_up_a_page(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "thebe" not in "".join(re.findall(r"<script.*?</script>", text, re.DOTALL)).lower()
    blocking = re.findall(r"<script(?![^>]*(?:defer|async))[^>]*src=\"([^\"]*)", text)
    assert all("documentation_options" in source for source in blocking)


def test_the_address_of_the_site_itself_can_be_shared() -> None:
    line = '<meta http-equiv="Refresh" content="0; url=book/intro.html" />'
    done = site_head.finished(line, "index.html")
    assert done.count(line) == done.count("<title>") == 1
    assert 'property="og:image" content="_static/card.png"' in done


@pytest.mark.parametrize("address", ["", "https://host.example/course"])
def test_a_sitemap_needs_an_address(tmp_path: Path, address: str) -> None:
    (tmp_path / "_toc.yml").write_bytes((ROOT / "_toc.yml").read_bytes())
    config = yaml.safe_dump({"html": {"baseurl": address}})
    (tmp_path / "_config.yml").write_text(config, encoding="utf-8")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(THEME, encoding="utf-8")
    site_head.finish(site, tmp_path)
    assert (site / "sitemap.xml").is_file() == bool(address)
    missing = (site / "404.html").read_text(encoding="utf-8")
    if address:
        places = (site / "sitemap.xml").read_text(encoding="utf-8")
        assert places.count("<loc>https://host.example/course/book/") == len(toc_pages())
        assert 'href="/course/book/intro.html"' in missing
    else:
        assert "://" not in missing


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "_config.yml").write_text("html: {baseurl: course}", encoding="utf-8")
    with pytest.raises(ValueError, match="baseurl must be https://HOST/PATH"):
        site_head.base_url(tmp_path)


def test_the_first_page_shows_the_example_and_leads_on() -> None:
    text = (HTML / "book/intro.html").read_text(encoding="utf-8")
    assert example.as_html(example.example()) in text
    doors = Page(text).source
    for target in ("playground.html", "1_anomaly_detection.html", "teaching.html", "glance.html"):
        assert f'href="{target}"' in doors


@pytest.mark.parametrize("page", ["intro", "teaching", "2_deepsad"])
def test_the_whole_course_is_offered(page: str) -> None:
    text = (HTML / f"book/{page}.html").read_text(encoding="utf-8")
    assert '<a href="../course.zip" download>' in text
    assert (HTML / "course.zip").stat().st_size > 1e6
