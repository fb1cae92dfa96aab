"""Solutions of lesson 9, inspecting detectors."""

from __future__ import annotations

import numpy as np


def chance_if_clean(size: float, clean_sizes: np.ndarray) -> float:
    """Return the share of all detectors, the judged one included, with a size as small as this."""
    as_small = (clean_sizes <= size).sum()
    return float((1 + as_small) / (1 + len(clean_sizes)))


def false_alarms(sizes: np.ndarray, groups: np.ndarray, limit: float) -> float:
    """Return the share of clean detectors that the clean ones of other groups would flag."""
    p_values = [chance_if_clean(size, sizes[groups != group]) for size, group in zip(sizes, groups)]
    return float(np.mean(np.array(p_values) <= limit))
