"""The built site in a real browser: from the disk and over http, light and dark, any width."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.site.visits import HTML, Visit, visit
from tools.lessons import toc_pages

# What axe finds in the theme's own frame on every page: search button, navigation, skip link.
KNOWN_VIOLATIONS = Counter({"label-content-name-mismatch": 2, "region": 1})
# docutils gives the entries of a bibliography roles that ARIA has since withdrawn.
NOT_OURS = {"exclude": [[".citation-list"]]}
# The contrast of text takes axe most of its time, and a page has thousands of words of code in
# a dozen colors. So it is shown the first of each kind, with all that shines through it or lies
# beneath. A hidden word or a single letter is no first: axe itself passes over those.
MARK_TWINS = """() => {
    document.querySelectorAll('[data-twin]').forEach(leaf => leaf.removeAttribute('data-twin'));
    const grounds = new Map();
    const ground = element => {
        if (!element) return '';
        if (!grounds.has(element)) {
            const style = getComputedStyle(element);
            const own = [style.backgroundColor, style.backgroundImage, style.opacity].join();
            const plain = own === 'rgba(0, 0, 0, 0),none,1';
            grounds.set(element, (plain ? '' : own) + ground(element.parentElement));
        }
        return grounds.get(element);
    };
    const seen = new Set();
    for (const leaf of document.querySelectorAll('main *:not(:has(*))')) {
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(leaf);
        const kind = [color, fontSize, fontWeight, textShadow, ground(leaf)].join();
        if (seen.has(kind)) leaf.dataset.twin = '';
        else if (leaf.checkVisibility() && leaf.textContent.trim().length > 1) seen.add(kind);
    }
}"""
SKIP_TWINS = """
    axe.configure({rules: [{id: 'color-contrast', selector: '*:not([data-twin])'}]});"""
AXE = Axe(AXE_SCRIPT + SKIP_TWINS)
# In the dark only the colors are others.
VIOLATIONS = {"resultTypes": ["violations"]}
ASKED = {"light": VIOLATIONS, "dark": VIOLATIONS | {"runOnly": ["color-contrast"]}}


@pytest.mark.parametrize("name", toc_pages())
def test_a_page_works_from_the_disk_in_light_and_in_the_dark(browser: Browser, name: str) -> None:
    """One visit answers all questions, since opening a page is what takes the time."""
    file = HTML / f"{name}.html"
    assert file.is_file(), "run `make book` first"
    with visit(browser, file.as_uri(), "light") as seen:
        check_page(seen)
        seen.page.emulate_media(color_scheme="dark")  # the theme follows
        seen.page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
        seen.page.set_viewport_size({"width": 1280, "height": 900})
        check_accessibility(seen, "dark")


@pytest.mark.parametrize("name", ["intro", "2_deepsad", "playground"])
def test_a_page_works_over_http(browser: Browser, server: str, name: str) -> None:
    """Of each kind one: the pages are those of the disk, and load what those load."""
    with visit(browser, f"{server}/book/{name}.html", "dark") as seen:
        assert seen.abroad == []
        assert seen.errors == []
        assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert seen.page.locator(".math").count() == seen.page.locator("mjx-container").count()


def test_search_finds_a_term(browser: Browser, server: str) -> None:
    with visit(browser, f"{server}/search.html?q=backdoor") as seen:
        # Results appear one after the other.
        seen.page.locator("#search-results a[href*='6_evaluation']").first.wait_for()
        seen.page.goto(f"{server}/search.html?q=zyzzyva")
        seen.page.get_by_text("did not match any documents").wait_for()


def test_a_page_may_load_nothing_from_elsewhere(browser: Browser) -> None:
    """Of the pages outside the contents, the index was once too wide for a phone."""
    with visit(browser, (HTML / "genindex.html").as_uri()) as seen:
        seen.page.set_viewport_size({"width": 360, "height": 740})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert seen.errors == []
        blocked = seen.page.evaluate(
            """() => new Promise(resolve => {
                addEventListener('securitypolicyviolation', event => resolve(event.blockedURI));
                new Image().src = 'http://127.0.0.1:9/x.png';
            })"""
        )
        assert blocked == "http://127.0.0.1:9/x.png"


def test_printing_opens_hints_and_solutions_and_folds_them_again(browser: Browser) -> None:
    with visit(browser, (HTML / "book/2_deepsad.html").as_uri()) as seen:
        names = seen.page.locator("button.copybtn").evaluate_all("all => all.map(b => b.ariaLabel)")
        assert names
        assert all(names)
        folded = seen.page.locator("main details")
        closed = [not one for one in folded.evaluate_all("all => all.map(one => one.open)")]
        assert sum(closed) >= 5
        seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert all(folded.evaluate_all("all => all.map(one => one.open)"))
        seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert [not one for one in folded.evaluate_all("all => all.map(one => one.open)")] == closed


def check_page(visit: Visit) -> None:
    page = visit.page
    assert visit.abroad == [], "the page asked for something off this machine"
    assert visit.errors == []
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() == formulas, "math was not typeset"
    assert page.locator("mjx-merror").count() == 0, "a formula has an error"
    check_accessibility(visit, "light")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "too wide for a phone"


def check_accessibility(visit: Visit, scheme: str) -> None:
    visit.page.evaluate(MARK_TWINS)
    violations = AXE.run(visit.page, context=NOT_OURS, options=ASKED[scheme]).response["violations"]
    found = Counter({violation["id"]: len(violation["nodes"]) for violation in violations})
    unknown = found - KNOWN_VIOLATIONS
    details = [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in violations
        if violation["id"] in unknown
        for node in violation["nodes"]
    ]
    assert not unknown, "accessibility:\n" + "\n".join(details)


@pytest.mark.parametrize(
    ("markup", "complaint"),
    [
        ("", None),
        ('<script src="http://127.0.0.1:9/x.js"></script>', "off this machine"),
        ("<script>undefined_function()</script>", "undefined_function"),
        ('<span class="math"></span>', "not typeset"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<p><i>one</i> <i>two</i> <i style="color: #ccc">three</i>', "color-contrast"),
        ('<p style="color: #ccc"><i>=</i> <i hidden>two</i> <i>three</i>', "color-contrast"),
        ('<p><i>one</i> <b style="opacity: 0.3"><i>three</i></b>', "color-contrast"),
        ('<div style="width: 500px">wide</div>', "too wide"),
    ],
)
def test_the_checks_bite(
    browser: Browser, tmp_path: Path, markup: str, complaint: str | None
) -> None:
    file = tmp_path / "page.html"
    head = '<html lang="en" data-theme="light"><meta charset="utf-8"><title>T</title>'
    head += '<meta name="viewport" content="width=device-width">'
    settled = "<script>MathJax = {startup: {promise: Promise.resolve()}}</script>"
    file.write_text(f"{head}{settled}<main><h1>T</h1>{markup}</main>", encoding="utf-8")
    bites = pytest.raises(AssertionError, match=complaint) if complaint else nullcontext()
    with visit(browser, file.as_uri()) as seen, bites:
        check_page(seen)
