"""What all checkers share: calling an answer safely, and saying what came of it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
            # Of what `yours` has wrapped, the reader's own part: the book's is always right.
            answer = getattr(answer, "_written", answer)
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
    """Return ``answer(*arguments)``; whatever no answer may do becomes a :class:`NotYet`.

    No answer may raise, return None, change its arguments, or return something else when it is
    called again with the same ones. It is handed copies, all but networks and tensors that
    collect gradients, so that no checker has to make them.
    """
    if not callable(answer):
        raise NotYet(
            f"expected the function itself, got {_kind(answer)}. Pass it without calling it."
        )
    name = getattr(answer, "__name__", "your function")
    given = [_copied(argument) for argument in arguments]
    value = _call(answer, name, given)
    for index, (now, before) in enumerate(zip(given, arguments)):
        if not _same(now, before):
            raise NotYet(
                f"{name} changes what it is given ({_parameter(answer, index)}), and whoever "
                "called it has lost the original. Make a copy first, or use what returns "
                "something new: np.sort(x) for x.sort(), x + y for x += y."
            )
    # A network may not be copied, nor told by its numbers: its checker looks at it.
    if not any(isinstance(argument, nn.Module) for argument in arguments):
        again = _call(answer, name, [_copied(argument) for argument in arguments])
        if not _same(value, again, tolerance=1e-4):
            raise NotYet(
                f"{name} returns something else when it is called again with the same arguments. "
                "Does it draw random numbers, or keep something from one call to the next?"
            )
    return value


def _call(answer: Answer, name: str, arguments: list[Any]) -> Any:
    try:
        value = answer(*arguments)
    except (Exception, SystemExit) as error:
        raise NotYet(f"{name} raised {_brief(error)}. Call it yourself to see where.") from error
    if value is None or value is Ellipsis:
        raise NotYet(
            f"{name} returned nothing. Write its body, and end it with return: print only shows "
            "a value."
        )
    return value


def _copied(value: Any) -> Any:
    """Return a copy to hand out; networks, functions and tensors with gradients as they are."""
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.clone()
    if isinstance(value, (np.ndarray, set)):
        return value.copy()
    if isinstance(value, Mapping):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(part) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return dataclasses.replace(value, **{name: _copied(part) for name, part in parts})
    return value


def _same(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two values hold the same; NaN is like NaN, and what is no value like anything."""
    numeric = (Tensor, np.ndarray, np.generic, Real)
    if isinstance(one, numeric) and isinstance(other, numeric):
        first, second = array_of(one), array_of(other)
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        if first.dtype.kind not in "fiub":
            return True
        return np.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[k], other[k], tolerance) for k in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_same(a, b, tolerance) for a, b in zip(one, other))
    if isinstance(one, (str, set)):
        return bool(one == other)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        return _same(vars(one), vars(other), tolerance)
    return True


def array_of(value: Any) -> NDArray[Any]:
    """Return numbers or verdicts in any container as an array; a list may hold tensors."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    if isinstance(value, (list, tuple)):
        value = [array_of(part) if isinstance(part, Tensor) else part for part in value]
    return np.asarray(value)


def is_bool(value: Any) -> bool:
    """Whether a value is True or False, of Python, numpy or PyTorch."""
    return isinstance(value, bool) or getattr(value, "dtype", None) in (np.bool_, torch.bool)


def _parameter(answer: Answer, index: int) -> str:
    try:
        return list(inspect.signature(answer).parameters)[index]
    except (ValueError, TypeError, IndexError):  # written in C, or it takes *arguments
        return f"argument {index + 1}"


def number(value: Any, what: str) -> float:
    """Return ``value`` as a float, or raise :class:`NotYet` that says what it is instead."""
    array = np.asarray(float(value)) if isinstance(value, Real) else array_of(value)
    if array.dtype.kind not in "fiub" or array.size != 1:
        raise NotYet(f"{what} must be one number, got {_kind(value)}.")
    result = float(array.reshape(()))
    if np.isnan(result):
        raise NotYet(f"{what} came out as NaN (not a number).")
    return result


def verdict(value: Any, what: str = "the answer") -> bool:
    """Return ``value`` as a bool, or raise :class:`NotYet`: True and False, or what equals them."""
    array = array_of(value)
    if array.size != 1 or array.dtype.kind not in "fiub" or float(array.reshape(())) not in (0, 1):
        raise NotYet(f"{what} must be True or False, got {_kind(value)}.")
    return bool(array.reshape(()))


def pair(value: Any, names: str, what: str = "two numbers") -> tuple[Any, Any]:
    """Return the two parts of ``value``, a tuple, a list or an array; ``names`` as in a return."""
    listed = isinstance(value, (tuple, list)) and len(value) == 2
    if not listed and not (isinstance(value, (np.ndarray, Tensor)) and tuple(value.shape) == (2,)):
        raise NotYet(f"expected {what}, got {_kind(value)}: end with return {names}.")
    return value[0], value[1]


def vector(value: Any, length: int, what: str) -> Tensor:
    """Return ``value`` as a float tensor (length,), or raise :class:`NotYet`."""
    if not isinstance(value, (Tensor, np.ndarray, list, tuple)):
        raise NotYet(f"{what} must be a tensor of shape ({length},), got {_kind(value)}.")
    array = array_of(value)
    if array.dtype.kind not in "fiub":
        raise NotYet(f"{what} must be numbers, a tensor of shape ({length},).")
    if array.shape != (length,):
        raise NotYet(
            f"{what} must have shape ({length},), got {array.shape}. "
            "Look at which dimension you reduce over."
        )
    if np.isnan(array).any():
        raise NotYet(f"{what} came out as NaN (not a number) for {int(np.isnan(array).sum())}.")
    return torch.as_tensor(array).to(torch.float64)


def instead(truth: float, got: float, digits: int = 3) -> str:
    """Say what was expected and what came, in as many digits as it takes to tell them apart.

    >>> "the rate should be " + instead(0.77412, 0.77438)
    'the rate should be 0.7741, got 0.7744'
    """
    while f"{truth:.{digits}f}" == f"{got:.{digits}f}" and digits < 17:
        digits += 1
    return f"{truth:.{digits}f}, got {got:.{digits}f}"


def near(value: float, target: float, tolerance: float = 1e-5) -> bool:
    """Whether two numbers agree, relative to the larger of the target and one."""
    return abs(value - target) <= tolerance * max(1.0, abs(target))


def expect(
    value: float,
    truth: float,
    slips: Iterable[tuple[float, str]],
    otherwise: str,
    *,
    tolerance: float = 1e-5,
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
