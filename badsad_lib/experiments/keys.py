"""The name of a run: a digest of its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

Scalar = str | int | float | bool | None


def run_key(settings: Mapping[str, Any]) -> str:
    """Short name of ``settings``, whatever their order: ``r`` and 12 hexadecimal digits.

    Values are JSON scalars; 1, 1.0, True and "1" are four different ones. The letter
    keeps other programs from reading a key as a number.

    Raises
    ------
    TypeError, ValueError
        A value that is no scalar, not finite, or not one line of printable text.
    """
    text = json.dumps(scalars(settings), sort_keys=True, allow_nan=False)
    return "r" + hashlib.sha256(text.encode()).hexdigest()[:12]


def scalars(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Copy ``values`` with numpy and torch scalars as Python's own, or say which one is none."""
    plain: dict[str, Scalar] = {}
    for name, value in values.items():
        if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"{name!r} must be a string, number, bool or None, got {type(value).__name__}; "
                "name complex things by a string, and reduce arrays to numbers"
            )
        # A line break within a cell could pass for the end of a row.
        if not (name.isprintable() and (not isinstance(value, str) or value.isprintable())):
            raise ValueError(f"{name!r} must be one line of printable text, got {value!r}")
        plain[name] = value
    return plain
