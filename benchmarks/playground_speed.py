"""How fast the playground is in a real browser, here and where line and processor are slow.

Run ``make book`` first, then ``python benchmarks/playground_speed.py``. It prints what is
transferred (as a host with gzip sends it), when the first verdicts stand on the page, when both
detectors can score what a reader draws, and the milliseconds of a score and of an update while
dragging. Times are the browser's own, medians of the repeats; the slow setting is emulated by
Chromium (DevTools protocol). Budgets stand beside them. Only the bytes are a test
(``tests/site/test_playground.py``), since no test here depends on the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import shutil
import statistics
import threading
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

SITE = Path(__file__).parents[1] / "_build" / "html"
PAGE = "book/playground.html"
PACKED = {".woff2", ".png", ".zip"}  # a host compresses none of these again
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

READY = """() => window.BadsadPlayground
    && ['clean', 'backdoored'].every(name => BadsadPlayground.detectors[name].score)"""
# One score of one detector, and everything that happens while the square moves by a pixel.
TIMES = """() => {
    const { detectors, gallery, set } = BadsadPlayground;
    const time = run => {
        const began = performance.now();
        run();
        return performance.now() - began;
    };
    const median = all => all.sort((a, b) => a - b)[all.length >> 1];
    const pixels = gallery[8].pixels;
    const score = () => detectors.clean.score(pixels, 28);
    let column = 0;
    const move = () => {
        set({ kind: 'patch', strength: 100, size: 3, row: 10, column: column++ % 25 });
        document.body.getBoundingClientRect();  // layout belongs to it
    };
    score(); move();
    return [score, move].map(run => median(Array.from({ length: 31 }, () => time(run))));
}"""


@dataclass(frozen=True)
class Setting:
    """A line and a processor, and how long the first verdicts may take there (seconds)."""

    name: str
    bits_a_second: float
    slower: int
    budget: float


SETTINGS = (Setting("this machine", 0, 1, 1.0), Setting("1.6 Mbit/s, 4x slower", 1.6e6, 4, 5.0))
LATENCY_MS = 150  # of the slow line, as Chromium's own "slow 4G"


@cache
def packed(file: Path) -> tuple[bytes, bool]:
    """Return a file as a host sends it, and whether that is compressed."""
    data = file.read_bytes()
    return (data, False) if file.suffix in PACKED else (gzip.compress(data, 6), True)


class Host(BaseHTTPRequestHandler):
    """A host that compresses."""

    def do_GET(self) -> None:
        """Send a file of the site."""
        file = SITE / urlsplit(self.path).path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data, compressed = packed(file)
        self.send_response(200)
        self.send_header("Content-Type", guess_type(file)[0] or "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        if compressed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the page was closed before it had everything
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


def measured(browser: Browser, address: str, setting: Setting) -> dict[str, float]:
    """Open the page once, with nothing in any cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(120_000)
    protocol = context.new_cdp_session(page)
    protocol.send("Network.enable")
    protocol.send("Network.setCacheDisabled", {"cacheDisabled": True})
    if setting.bits_a_second:
        line = {"downloadThroughput": setting.bits_a_second / 8, "uploadThroughput": 1e5}
        protocol.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": LATENCY_MS, **line},
        )
    protocol.send("Emulation.setCPUThrottlingRate", {"rate": setting.slower})
    received: list[float] = []
    protocol.on("Network.loadingFinished", lambda e: received.append(e["encodedDataLength"]))
    page.goto(f"{address}/{PAGE}", wait_until="commit")
    page.wait_for_function(READY)
    live = page.evaluate("performance.now()")
    first = page.evaluate("performance.getEntriesByName('badsad-score')[0].startTime")
    page.wait_for_load_state("load")
    score, update = page.evaluate(TIMES)
    context.close()
    return {
        "bytes": sum(received),
        "first": first / 1000,
        "live": live / 1000,
        "score": score,
        "update": update,
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="visits a setting (default: 3)")
    repeats = parser.parse_args(arguments).repeats
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise SystemExit(f"no browser found (one of {', '.join(NAMES)})")
    for file in SITE.rglob("*"):  # compressed before the clock runs
        if file.suffix in (".js", ".css", ".woff2"):
            packed(file)
    packed(SITE / PAGE)
    with sync_playwright() as playwright, ThreadingHTTPServer(("127.0.0.1", 0), Host) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for setting in SETTINGS:
            address = f"http://127.0.0.1:{host.server_port}"
            runs = [measured(browser, address, setting) for _ in range(repeats)]
            typical = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            print(
                f"{setting.name}: {typical['bytes'] / 1e6:.2f} MB (budget 1.50); "
                f"first verdicts {typical['first']:.2f} s (budget {setting.budget:g}), "
                f"own changes scored from {typical['live']:.2f} s; "
                f"{typical['score']:.1f} ms a score, {typical['update']:.1f} ms an update"
                + (" (budgets 15, 60)" if setting.slower == 1 else "")
            )
        browser.close()
        host.shutdown()


if __name__ == "__main__":
    main()
