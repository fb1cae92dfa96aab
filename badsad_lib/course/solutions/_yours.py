"""Take the reader's function where it is written, and the book's where it is not."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any


def yours(
    function: Callable[..., Any], *, otherwise: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Return a function that calls the reader's, or the book's while that is a stub.

    A stub raises ``NotImplementedError``, or returns ``None`` or ``...``. The first call prints
    one line that says whose function was used. Whatever else the reader's function does, an
    error included, is passed on: a result is never made by another function than the line says.

    Parameters
    ----------
    function
        What stands in the exercise's cell.
    otherwise
        The book's solution; by default the one of the same name in
        :mod:`badsad_lib.course.solutions`.

    Raises
    ------
    TypeError
        ``function`` cannot be called.
    LookupError
        There is no solution of that name.

    Examples
    --------
    >>> def double(x):
    ...     return None  # your code here
    >>> double = yours(double, otherwise=lambda x: 2 * x)
    >>> double(3)
    double is not written yet: the book's own is used.
    6
    """
    if not callable(function):
        raise TypeError(f"yours needs a function, got {type(function).__name__}")
    name = getattr(function, "__name__", type(function).__name__)
    written = getattr(function, "_written", function)  # a cell that is run twice wraps once
    fallback = otherwise or _solution(name)
    said: set[str] = set()

    def say(line: str) -> None:
        if line not in said:
            said.add(line)
            print(line)

    @functools.wraps(written)
    def chosen(*arguments: Any, **named: Any) -> Any:
        try:
            answer = written(*arguments, **named)
        except NotImplementedError:
            answer = None
        if answer is None or answer is ...:
            say(f"{name} is not written yet: the book's own is used.")
            return fallback(*arguments, **named)
        say(f"{name} is yours.")
        return answer

    chosen._written = written  # type: ignore[attr-defined]
    return chosen


def _solution(name: str) -> Callable[..., Any]:
    solutions = importlib.import_module("badsad_lib.course.solutions")
    if name == "yours" or name not in solutions.__all__:
        known = sorted(set(solutions.__all__) - {"yours"})
        raise LookupError(
            f"the book has no solution {name!r}; it has {', '.join(known)}. "
            "Give one: yours(function, otherwise=...)"
        )
    return getattr(solutions, name)
