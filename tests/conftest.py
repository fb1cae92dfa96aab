"""In which order the tests run, and which were passed before on the same code."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools import verified


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that a worker begins last leaves the others idle.

    Files with slow tests, those on the site, notebooks from the last lesson to the first, then
    all others. pytest-xdist hands out files in this order under ``--no-loadscope-reorder``; by
    itself it would go by the number of tests in a file, and the longest have few.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def turn(item: pytest.Item) -> tuple[bool, bool, int]:
        path = item.path
        number = path.name.partition("_")[0]
        lesson = int(number) if path.suffix == ".ipynb" and number.isdigit() else 0
        return path not in slow, path.parent.name != "site", -lesson

    items.sort(key=turn)


def _trial(item: pytest.Item) -> str | None:
    """Digest of a test that is a trial, see tools/verified.py."""
    marker = item.get_closest_marker("trial")
    if marker is None:
        return None
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params if callspec else {}
    about = [
        *marker.args,
        *(parameters[name] for name in ("lesson", "table") if name in parameters),
    ]
    return verified.digest(about[0] if about else None, item.path)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a trial that was passed before, on the same code and data."""
    value = _trial(item)
    full = os.environ.get("BADSAD_FULL") or os.environ.get("BADSAD_RECORD")
    if value is not None and not full and verified.recorded().get(item.name) == value:
        pytest.skip("passed before on this code and these data (BADSAD_FULL=1 runs it)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Record a trial that passed, if that was asked for."""
    report = yield
    if report.when == "call" and report.passed and os.environ.get("BADSAD_RECORD"):
        value = _trial(item)
        if value is not None:
            verified.record(item.name, value)
    return report
