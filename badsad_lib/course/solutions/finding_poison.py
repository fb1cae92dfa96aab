"""Solutions of lesson 7, finding poison."""

from __future__ import annotations

import numpy as np


def poison_caught(suspicion: np.ndarray, is_poison: np.ndarray, budget: float) -> float:
    """Return the share of the poison among the most suspicious share ``budget`` of the images."""
    order = np.argsort(-suspicion)
    count = round(budget * len(order))
    return float(is_poison[order][:count].sum() / is_poison.sum())


def take_out(suspicion: np.ndarray, trusted: np.ndarray, rate: float) -> np.ndarray:
    """Return a mask of the images whose p-value among trusted ones is at most ``rate``."""
    as_odd = (trusted[None, :] >= suspicion[:, None]).sum(axis=1)
    taken: np.ndarray = (1 + as_odd) / (len(trusted) + 1) <= rate
    return taken
