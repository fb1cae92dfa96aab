"""Claims: numbers that a lesson states and that every run checks.

A score may differ in its last digits between two processors; that it is at
least 0.95 may not. So a claim prints a line without the value, identical on any
machine, which a test can compare, and raises when the line would be a lie.
"""

from __future__ import annotations

import math
from typing import Any


class ClaimError(AssertionError):
    """A claim does not hold; the message gives the value and the bound."""


def claim(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> None:
    """Print ``NAME >= 0.95: holds`` if it does; raise a ClaimError with the value if not.

    Parameters
    ----------
    name
        What the number is, on one line, as the reader should see it.
    value
        One real number: float, int, numpy scalar or tensor with one element.
    at_least, at_most
        The bounds, inclusive. Give one, or both for ``0.1 <= NAME <= 0.2: holds``.

    Raises
    ------
    ClaimError
        The value is outside its bounds, or NaN.
    TypeError
        The value is not one number.
    ValueError
        No bound, a bound that is not finite, an empty interval, or a name that
        is empty or has more than one line.

    Examples
    --------
    >>> claim("clean AUROC", 0.9731, at_least=0.95)
    clean AUROC >= 0.95: holds
    """
    if not name.strip() or "\n" in name:
        raise ValueError(f"name must be one line of text, got {name!r}")
    if at_least is None and at_most is None:
        raise ValueError(f"claim {name!r} needs a bound: give at_least, at_most or both")
    for bound in (at_least, at_most):
        if bound is not None and not math.isfinite(bound):
            raise ValueError(f"a bound must be a finite number, got {bound}")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise ValueError(f"at_least must not exceed at_most, got {at_least} > {at_most}")

    number = _as_float(name, value)
    statement = _statement(name, at_least, at_most)
    low = -math.inf if at_least is None else at_least
    high = math.inf if at_most is None else at_most
    # Written so that NaN, which compares false with everything, fails.
    if not low <= number <= high:
        raise ClaimError(f"{name} is {number!r}, claimed was: {statement}")
    print(f"{statement}: holds")


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"claim {name!r} needs one number, got {type(value).__name__}; "
            "reduce it first, for example with .mean()"
        ) from error


def _statement(name: str, at_least: float | None, at_most: float | None) -> str:
    if at_least is None:
        return f"{name} <= {_plain(at_most)}"
    if at_most is None:
        return f"{name} >= {_plain(at_least)}"
    return f"{_plain(at_least)} <= {name} <= {_plain(at_most)}"


def _plain(bound: float | None) -> str:
    """Write a bound without numpy's type names: 0.95, 300, 1e-05."""
    return f"{float(bound):.12g}" if bound is not None else ""
