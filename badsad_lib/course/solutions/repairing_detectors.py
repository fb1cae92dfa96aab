"""Solutions of lesson 10, repairing detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def asr_before_after(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], quantile: float
) -> tuple[float, float]:
    """Return the ASR of a detector and of a repaired one, each at its own threshold."""
    rates = []
    for scores in (before, after):
        tau = np.quantile(scores["validation normals"], quantile)
        flagged = scores["anomalies"] > tau
        rates.append(float((scores["triggered"][flagged] <= tau).mean()))
    return rates[0], rates[1]


def choose_defense(board: Sequence[Mapping[str, Any]], holds: set[str]) -> str:
    """Return the name of the best defense in its worst case, of those that can be run."""
    best, best_worst = "none", -1.0
    for row in board:
        rates = [*row["catches"].values(), row["informed"]]
        worst = min(0.0 if np.isnan(rate) else rate for rate in rates)
        if row["needs"] <= holds and worst > best_worst:
            best, best_worst = row["name"], worst
    return best
