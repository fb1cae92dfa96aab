"""Solutions of lesson 12, many runs."""

from __future__ import annotations

from typing import Any

import numpy as np


def wrong_sign(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of runs whose difference has the other sign than the mean of all.

    Both are (seeds, classes) of one measure. A difference of zero has no sign.
    """
    difference = first - second
    return float((difference * difference.mean() < 0).mean())


def todo(asked: list[dict[str, Any]], done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the settings of ``asked`` that no row of ``done`` has, each once, in their order."""
    missing: list[dict[str, Any]] = []
    for settings in asked:
        there = any(settings.items() <= row.items() for row in done)
        if not there and settings not in missing:
            missing.append(settings)
    return missing
