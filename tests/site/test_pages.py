"""The built site, read as files: complete, self-contained, described, linked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools.build_book import missing_pages
from tools.lessons import ROOT

HTML = ROOT / "_build" / "html"
# Where nothing was built, the tests fail on the first page.
PAGES = sorted(file for file in HTML.rglob("*.html") if "_static" not in file.parts) or [
    HTML / "index.html"
]
ELSEWHERE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
LOADING_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}


@dataclass
class Page(HTMLParser):
    """What a browser would load from a page, its pictures, and the text outside code."""

    source: str
    loads: list[str] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.inside_code = 0
        self.inside_style = False
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        self.inside_code += tag in ("pre", "code", "script", "style")
        self.inside_style = tag == "style"
        if tag == "link" and LOADING_RELATIONS & set(have.get("rel", "").split()):
            self.loads.append(have.get("href", ""))
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.loads += [have.get("src", ""), have.get("srcset", "")]
        if tag == "object":
            self.loads.append(have.get("data", ""))
        if tag == "img":
            self.pictures.append(have)
        self.loads += css_loads(have.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside_code -= tag in ("pre", "code", "script", "style")
        self.inside_style = self.inside_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self.inside_style:
            self.loads += css_loads(data)
        elif not self.inside_code:
            self.text.append(data)

    @property
    def foreign(self) -> list[str]:
        return [address for address in self.loads if ELSEWHERE.match(address)]


def css_loads(css: str) -> list[str]:
    """Return the addresses that a style sheet loads."""
    urls = re.findall(r"url\(\s*['\"]?([^'\")]+)", css)
    return urls + re.findall(r"@import\s+['\"]([^'\"]+)", css)


def name(path: Path) -> str:
    return path.relative_to(HTML).as_posix()


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_every_page_of_the_contents_was_built() -> None:
    assert missing_pages(ROOT) == [], "run `make book` first"


def test_the_host_of_the_site_keeps_folders_with_underscores() -> None:
    assert (HTML / ".nojekyll").is_file()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_loads_nothing_from_elsewhere(path: Path) -> None:
    assert read(path).foreign == []


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    sheets = list(HTML.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        loads = css_loads(sheet.read_text(encoding="utf-8"))
        assert [address for address in loads if ELSEWHERE.match(address)] == [], name(sheet)


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_every_picture_is_described(path: Path) -> None:
    for picture in read(path).pictures:
        if "logo__image" in picture.get("class", ""):
            continue  # decoration: the name of the book stands right beside it
        alt = picture.get("alt", "")
        assert alt.strip(), f"no alt text: {picture.get('src')}"
        assert "_images/" not in alt, f"the alt text is a file name: {alt}"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_no_markup_is_left_unrendered(path: Path) -> None:
    text = "".join(read(path).text)
    assert re.findall(r"\{[a-z][a-z:-]*\}`[^`]*`|:::\{.*|<!-- /?time -->", text) == []


def lychee(root: Path, pages: list[Path]) -> subprocess.CompletedProcess[str]:
    """Follow every link of the pages that stays within the site."""
    program = shutil.which("lychee", path=Path(sys.executable).parent)
    assert program, "lychee is missing; it comes with requirements.txt"
    command = [program, "--offline", "--include-fragments", "--no-progress"]
    command += ["--root-dir", str(root), *map(str, pages)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_signatures_name_types_and_not_the_rules_that_check_them() -> None:
    page = (HTML / "book" / "api.html").read_text(encoding="utf-8")
    signatures = re.findall(r'<dt class="sig .*?</dt>', page, re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", "", "".join(signatures)))
    assert "labeled_anomaly_ratio: float = 0.05" in text
    assert "tolerance: float = 0.01" in text  # FinePruning's, which Sphinx shows as written
    for rule in ("Annotated", "_rules", ": Seed", ": Count", ": Positive"):
        assert rule not in text


def test_every_link_leads_somewhere() -> None:
    assert PAGES, "run `make book` first"
    run = lychee(HTML, PAGES)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("target", ["nowhere.html", "page.html#nowhere", "/nowhere.html"])
def test_a_broken_link_is_found(tmp_path: Path, target: str) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p id="here"><a href="page.html#here">fine</a></p>', encoding="utf-8")
    assert lychee(tmp_path, [page]).returncode == 0
    page.write_text(f'<p id="here"><a href="{target}">broken</a></p>', encoding="utf-8")
    assert lychee(tmp_path, [page]).returncode == 2


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="http://cdn.example/x.css">',
        '<img src="HTTPS://cdn.example/x.png" alt="x">',
        "<style>body { background: url('https://cdn.example/x.png') }</style>",
        '<p style="background: url(https://cdn.example/x.png)">',
    ],
)
def test_the_scan_for_foreign_loads_bites(markup: str) -> None:
    assert Page(f"<html><body>{markup}</body></html>").foreign


def test_a_link_that_is_only_followed_is_no_load() -> None:
    assert not Page('<a href="https://arxiv.org/abs/2412.13324">paper</a>').foreign
