"""In which order the tests run."""

from __future__ import annotations

import pytest


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
