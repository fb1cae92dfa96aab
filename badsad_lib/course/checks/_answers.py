"""What all checkers share: calling an answer safely, and saying what came of it."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Answer = Callable[..., Any]
WIDTH = 76


class NotYet(Exception):
    """An answer that is not right yet; the message says why and where to look."""


def checker(praise: str) -> Callable[[Callable[[Answer], None]], Callable[[Answer], bool]]:
    """Turn a function that raises :class:`NotYet` into a checker that prints and returns.

    Parameters
    ----------
    praise
        What to print after "Correct: " when the function returns without raising.
    """

    def decorate(check: Callable[[Answer], None]) -> Callable[[Answer], bool]:
        @functools.wraps(check)
        def safe(answer: Answer) -> bool:
            try:
                check(answer)
            except NotYet as problem:
                _say(f"not yet: {problem}")
                return False
            except (Exception, SystemExit) as error:
                # An answer may return things that no check foresaw.
                _say(f"not yet: the answer could not be checked ({_brief(error)}).")
                return False
            _say(f"Correct: {praise}")
            return True

        # Documentation tools should show what a caller gets.
        safe.__annotations__ = {"answer": Answer, "return": bool}
        return safe

    return decorate


def call(answer: Answer, *arguments: Any) -> Any:
    """Return ``answer(*arguments)``; an error or None becomes a :class:`NotYet`."""
    if not callable(answer):
        raise NotYet(
            f"expected the function itself, got {_kind(answer)}. Pass it without calling it."
        )
    name = getattr(answer, "__name__", "your function")
    try:
        value = answer(*arguments)
    except (Exception, SystemExit) as error:
        raise NotYet(f"{name} raised {_brief(error)}. Call it yourself to see where.") from error
    if value is None or value is Ellipsis:
        raise NotYet(f"{name} returned nothing. Write its body.")
    return value


def number(value: Any, what: str) -> float:
    """Return ``value`` as a float, or raise :class:`NotYet` that says what it is instead."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.size != 1:
        raise NotYet(f"{what} must be one number, got {_kind(value)}.")
    result = float(array.reshape(()))
    if np.isnan(result):
        raise NotYet(f"{what} came out as NaN (not a number).")
    return result


def vector(value: Any, length: int, what: str) -> Tensor:
    """Return ``value`` as a float tensor (length,), or raise :class:`NotYet`."""
    if not isinstance(value, (Tensor, np.ndarray, list, tuple)):
        raise NotYet(f"{what} must be a tensor of shape ({length},), got {_kind(value)}.")
    tensor = torch.as_tensor(value).detach()
    if tuple(tensor.shape) != (length,):
        raise NotYet(
            f"{what} must have shape ({length},), got {tuple(tensor.shape)}. "
            "Look at which dimension you reduce over."
        )
    return tensor.to(torch.float64)


def near(value: float, target: float, tolerance: float = 1e-4) -> bool:
    """Whether two numbers agree, relative to the larger of the target and one."""
    return abs(value - target) <= tolerance * max(1.0, abs(target))


def expect(
    value: float,
    truth: float,
    slips: Iterable[tuple[float, str]],
    otherwise: str,
    *,
    tolerance: float = 1e-4,
) -> None:
    """Raise :class:`NotYet` if ``value`` is not the truth.

    With the message of the first of ``slips`` that gives this value, or else ``otherwise``.
    """
    if near(value, truth, tolerance):
        return
    for wrong, message in slips:
        if near(value, wrong, tolerance):
            raise NotYet(message)
    raise NotYet(otherwise)


def _say(text: str) -> None:
    """Print in lines that fit a page."""
    print(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def _brief(error: BaseException) -> str:
    first_line = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _kind(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return f"an array of shape {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"
