"""The built site in a real browser, opened from the disk: light and dark, wide and narrow."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tools.lessons import ROOT, toc_pages

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN_SCHEMES = ("file:", "data:", "blob:")
# The theme declares this twice; it harms nothing.
KNOWN_ERRORS = ("Identifier 'THEBE_JS_URL' has already been declared",)
# What axe finds in the theme's own frame on every page: search button, navigation, skip link.
KNOWN_VIOLATIONS = Counter({"label-content-name-mismatch": 2, "region": 1})
# docutils gives the entries of a bibliography roles that ARIA has since withdrawn.
NOT_OURS = {"exclude": [[".citation-list"]]}

WHEN_SETTLED = """async () => {
    const pause = () => new Promise(resolve => setTimeout(resolve, 20));
    if (document.querySelector('.math')) {
        while (!window.MathJax?.startup?.promise) await pause();
        await MathJax.startup.promise;
    }
    await document.fonts.ready;
}"""


@dataclass
class Visit:
    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    @property
    def abroad(self) -> list[str]:
        return [address for address in self.requests if not address.startswith(OWN_SCHEMES)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("BADSAD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = f"no browser found (one of {', '.join(NAMES)}; Debian: apt-get install chromium)"
        if os.environ.get("BADSAD_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Browser, file: Path, scheme: str = "light") -> Iterator[Visit]:
    """Open a file and wait until math and fonts have settled."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)  # a busy machine is no error
    visit = Visit(context.new_page())
    visit.page.on("request", lambda sent: visit.requests.append(sent.url))
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("console", visit.hear)
    try:
        visit.page.goto(file.as_uri())
        visit.page.evaluate(WHEN_SETTLED)
        yield visit
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", toc_pages())
def test_a_page_works_from_the_disk(browser: Browser, name: str, scheme: str) -> None:
    """One visit answers all questions, since opening a page is what takes the time."""
    file = ROOT / "_build" / "html" / f"{name}.html"
    assert file.is_file(), "run `make book` first"
    with visit(browser, file, scheme) as seen:
        check_page(seen, scheme)


def check_page(visit: Visit, scheme: str) -> None:
    page = visit.page
    assert visit.abroad == [], "the page asked for something off this machine"
    assert [error for error in visit.errors if not error.endswith(KNOWN_ERRORS)] == []
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container").count() == formulas, "math was not typeset"
    assert page.locator("mjx-merror").count() == 0, "a formula has an error"

    violations = Axe().run(page, context=NOT_OURS).response["violations"]
    found = Counter({violation["id"]: len(violation["nodes"]) for violation in violations})
    unknown = found - KNOWN_VIOLATIONS
    details = [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in violations
        if violation["id"] in unknown
        for node in violation["nodes"]
    ]
    assert not unknown, "accessibility:\n" + "\n".join(details)

    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "too wide for a phone"


@pytest.mark.parametrize(
    ("markup", "complaint"),
    [
        ('<script src="http://127.0.0.1:9/x.js"></script>', "off this machine"),
        ("<script>undefined_function()</script>", "undefined_function"),
        ('<span class="math"></span>', "not typeset"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<div style="width: 500px">wide</div>', "too wide"),
    ],
)
def test_the_checks_bite(browser: Browser, tmp_path: Path, markup: str, complaint: str) -> None:
    file = tmp_path / "page.html"
    head = '<html lang="en" data-theme="light"><meta charset="utf-8"><title>T</title>'
    head += '<meta name="viewport" content="width=device-width">'
    settled = "<script>MathJax = {startup: {promise: Promise.resolve()}}</script>"
    body = "<main><h1>T</h1>{}</main>"
    file.write_text(f"{head}{settled}{body.format('')}", encoding="utf-8")
    with visit(browser, file) as seen:
        check_page(seen, "light")
    file.write_text(f"{head}{settled}{body.format(markup)}", encoding="utf-8")
    with visit(browser, file) as seen, pytest.raises(AssertionError, match=complaint):
        check_page(seen, "light")
