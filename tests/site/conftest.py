"""A real browser, and the built site as a server would hand it out."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.site.visits import HTML

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("BADSAD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        message = f"no browser found (one of {', '.join(NAMES)}; Debian: apt-get install chromium)"
        if os.environ.get("BADSAD_REQUIRE_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    manager = sync_playwright()
    try:
        playwright = manager.start()
    except Exception as error:  # it says only that a connection was closed
        pytest.fail(
            f"playwright does not start ({error}). It brings a node of its own, which needs "
            "libatomic; Debian: apt-get install libatomic1"
        )
    try:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
    finally:
        playwright.stop()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keep the log of requests out of the tests' output."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of the built site over http."""
    handler = functools.partial(Quiet, directory=str(HTML))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
