"""Opening pages of the built site, and what is heard meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page

from tools.lessons import ROOT

HTML = ROOT / "_build" / "html"
OWN_SCHEMES = ("data:", "blob:")

WHEN_SETTLED = """async () => {
    const pause = () => new Promise(resolve => setTimeout(resolve, 20));
    if (document.querySelector('.math')) {
        while (!window.MathJax?.startup?.promise) await pause();
        await MathJax.startup.promise;
    }
    await document.fonts.ready;
}"""


def origin_of(address: str) -> str:
    """Where a page may load from: its own server, or the disk that it came from."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}/"


@dataclass
class Visit:
    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    @property
    def abroad(self) -> list[str]:
        own = (self.origin, *OWN_SCHEMES)
        return [address for address in self.requests if not address.startswith(own)]


@contextmanager
def visit(browser: Browser, address: str, scheme: str = "light") -> Iterator[Visit]:
    """Open a page and wait until math and fonts have settled."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)  # a busy machine is no error
    visit = Visit(context.new_page(), origin_of(address))
    visit.page.on("request", lambda sent: visit.requests.append(sent.url))
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.on("console", visit.hear)
    try:
        visit.page.goto(address)
        visit.page.evaluate(WHEN_SETTLED)
        yield visit
    finally:
        context.close()
