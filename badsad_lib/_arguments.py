"""Checks of numbers at the door."""

from __future__ import annotations

import math

import numpy as np


def check_positive(**values: float) -> None:
    """Raise ValueError for a value that is not a finite number above 0."""
    for name, value in values.items():
        if not (isinstance(value, (int, float, np.number)) and math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def check_counts(**values: tuple[int, int]) -> None:
    """Raise ValueError for a value that is not an integer of at least so much: (value, least)."""
    for name, (value, least) in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
