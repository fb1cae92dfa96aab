"""Numbers at the door: the one place where parameters are converted and checked.

A rule takes a parameter's name and value and returns the value as plain Python holds it: a
NumPy scalar becomes an int or a float, so that it can be compared, printed and saved. What does
not fit is refused with its name, its value and what was expected. :func:`settle` applies rules
to the attributes of an object, in a constructor or in ``__post_init__``. What is plain already
stays the same object, as scikit-learn's ``clone`` demands of a constructor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Rule = Callable[[str, Any], Any]

# DeepSAD draws from the streams 2 * seed and 2 * seed + 1: torch's seeds have 64 bits.
SEEDS = 2**63


def _scalar(value: Any) -> Any:
    """Return what an array or tensor of no dimension holds; all else unchanged."""
    if isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0:
        return value.item()
    return value


def count(least: int = 0, below: int | None = None) -> Rule:
    """Return the rule for an integer of at least ``least`` and, where given, below ``below``."""

    def rule(name: str, value: Any) -> int:
        number = _scalar(value)
        if (
            isinstance(number, bool | np.bool_)
            or not isinstance(number, int | np.integer)
            or number < least
            or (below is not None and number >= below)
        ):
            end = "" if below is None else f" and below {below}"
            raise ValueError(f"{name} must be an integer of at least {least}{end}, got {value!r}")
        return int(number)

    return rule


seed = count(0, SEEDS)
"""The rule for a seed."""


def number(
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Rule:
    """Return the rule for a finite number within bounds: open ones, and ``least``, ``most``."""
    bounds = [
        ("above", above, lambda x: x > above),
        ("at least", least, lambda x: x >= least),
        ("below", below, lambda x: x < below),
        ("at most", most, lambda x: x <= most),
    ]
    given = [(word, bound, holds) for word, bound, holds in bounds if bound is not None]
    words = " and ".join(f"{word} {bound:g}" for word, bound, _ in given)

    def rule(name: str, value: Any) -> float:
        number = _scalar(value)
        if (
            isinstance(number, bool | np.bool_)
            or not isinstance(number, int | float | np.number)
            or not math.isfinite(number)
            or not all(holds(number) for _, _, holds in given)
        ):
            raise ValueError(f"{name} must be a finite number {words}, got {value!r}")
        # A NumPy float32 of .001 is .0010000000475: the shortest number that it rounds from.
        return float(str(number)) if isinstance(number, np.floating) else float(number)

    return rule


def flag(name: str, value: Any) -> bool:
    """Return a Boolean, or refuse what is none."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def one_of(*choices: str) -> Rule:
    """Return the rule for one of several names."""

    def rule(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"unknown {name} {value!r}; choose one of {list(choices)}")
        return str(value)

    return rule


def device(name: str, value: Any) -> str:
    """Return the name of a device: ``auto``, or one of torch's own."""
    try:
        if not (isinstance(value, str) and value == "auto"):
            torch.device(value)
        return value if isinstance(value, str) else str(torch.device(value))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name} must be 'auto' or a device of torch such as 'cpu' or 'cuda:0', got {value!r}"
        ) from error


def settle(owner: Any, **rules: Rule) -> None:
    """Put in the place of each named attribute of ``owner`` what its rule makes of it.

    Raises
    ------
    ValueError
        A value that its rule refuses.
    """
    for name, rule in rules.items():
        object.__setattr__(owner, name, rule(name, getattr(owner, name)))  # frozen ones, too


def check_positive(**values: float) -> None:
    """Raise ValueError for a value that is not a finite number above 0."""
    for name, value in values.items():
        number(above=0)(name, value)


def check_counts(**values: tuple[int, int]) -> None:
    """Raise ValueError for a value that is not an integer of at least so much: (value, least)."""
    for name, (value, least) in values.items():
        count(least)(name, value)
