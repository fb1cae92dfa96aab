"""Two builds of the book at once: the second waits, or they would delete each other's pages."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tools import build_book


def test_a_second_build_waits_for_the_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begun, go = threading.Event(), threading.Event()
    events: list[str] = []

    def build(root: Path) -> int:
        events.append("begins")
        begun.set()
        assert go.wait(60)
        events.append("ends")
        return 0

    monkeypatch.setattr(build_book, "build", build)
    builds = [threading.Thread(target=build_book.main, args=(tmp_path,)) for _ in range(2)]
    builds[0].start()
    assert begun.wait(60)
    builds[1].start()
    said = ""
    for _ in range(600):
        said += capfd.readouterr().out
        if "waiting" in said:
            break
        builds[1].join(0.1)
    assert "waiting" in said
    assert events == ["begins"]
    go.set()
    for one in builds:
        one.join(60)
    assert events == ["begins", "ends"] * 2


def test_a_build_that_fails_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_book, "build", lambda root: 1)
    assert [build_book.main(tmp_path) for _ in range(2)] == [1, 1]
