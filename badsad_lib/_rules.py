"""What the parameters of classes and functions may be: rules in their annotations.

``steps: Count = 200`` says to the reader and to :func:`check_fields` that steps are an integer
of at least 1. What is refused is refused where it is given, with name, value and what is
expected. Numbers of numpy become Python's own, so that whatever is printed, compared or saved
later does not depend on where a number came from.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Annotated, Any, ParamSpec, Protocol, TypeVar, get_args, get_type_hints

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class Rule(Protocol):
    """What one parameter may be."""

    def __call__(self, name: str, value: Any) -> Any:
        """Return the value as Python's own type, or raise an error that says what is expected."""


@dataclass(frozen=True)
class Whole:
    """An integer of at least ``least``, and at most ``most`` where that is given."""

    least: int
    most: int | None = None

    def __call__(self, name: str, value: Any) -> int:
        """Return it as int; 2.0 is refused like 2.5, Booleans and text are no numbers."""
        try:
            number = None if isinstance(value, bool) else operator.index(value)
        except TypeError:
            number = None
        most = math.inf if self.most is None else self.most
        if number is None or not self.least <= number <= most:
            up_to = "" if self.most is None else f" and at most {self.most}"
            raise ValueError(
                f"{name} must be an integer of at least {self.least}{up_to}, got {value!r}"
            )
        return number


@dataclass(frozen=True)
class Between:
    """A finite number between two ends; ``ends`` says which of them belong to it."""

    low: float
    high: float = math.inf
    ends: str = "[]"

    def __call__(self, name: str, value: Any) -> float:
        """Return it as float, an integer as int; Booleans and text are no numbers."""
        number = isinstance(value, (int, float, np.integer, np.floating))
        if not number or isinstance(value, bool) or not self._holds(float(value)):
            raise ValueError(f"{name} must {self._expected()}, got {value!r}")
        return int(value) if isinstance(value, (int, np.integer)) else float(value)

    def _holds(self, value: float) -> bool:
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        return above and below and math.isfinite(value)

    def _expected(self) -> str:
        if math.isfinite(self.high):
            return f"lie in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"
        if math.isinf(self.low):
            return "be a finite number"
        least = "of at least" if self.ends[0] == "[" else "above"
        return f"be a finite number {least} {self.low:g}"


@dataclass(frozen=True)
class OneOf:
    """One of a few names."""

    choices: tuple[str, ...]

    def __call__(self, name: str, value: Any) -> str:
        """Return it."""
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"{name} must be one of {self.choices}, got {value!r}")
        return str(value)


@dataclass(frozen=True)
class YesOrNo:
    """True or False, not what counts as such: the text "no" is no No."""

    def __call__(self, name: str, value: Any) -> bool:
        """Return it as bool."""
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        return bool(value)


@dataclass(frozen=True)
class OnDevice:
    """``auto``, or a device that torch knows by name."""

    def __call__(self, name: str, value: Any) -> str:
        """Return its name; a ``torch.device`` is taken, too."""
        import torch

        try:
            if value != "auto":
                torch.device(value)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must be 'auto' or a device of torch such as 'cpu' or 'cuda:0', "
                f"got {value!r}"
            ) from error
        return value if isinstance(value, str) else str(torch.device(value))


# torch's generator of the CPU keeps 32 bits of a seed: of two that differ by 2**32 both give the
# same numbers. Detectors and attacks derive seeds of their own (2 * seed + 1), so half of them.
SEED = Whole(0, 2**31 - 1)

Seed = Annotated[int, SEED]
Count = Annotated[int, Whole(1)]
CountOr0 = Annotated[int, Whole(0)]
Positive = Annotated[float, Between(0, ends="(]")]
Weight = Annotated[float, Between(0)]
Share = Annotated[float, Between(0, 1, "(]")]
Inside = Annotated[float, Between(0, 1, "()")]
Gray = Annotated[float, Between(0, 1)]
Flag = Annotated[bool, YesOrNo()]
Device = Annotated[str, OnDevice()]

RULES = (Whole, Between, OneOf, YesOrNo, OnDevice)


def _rule_in(hint: Any) -> tuple[Rule | None, bool]:
    """Return the rule of an annotation, and whether None is allowed as well."""
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, RULES):
            return meta, False
    inner = [_rule_in(part)[0] for part in get_args(hint)]
    return next((rule for rule in inner if rule is not None), None), type(None) in get_args(hint)


@cache
def rules_of(described: Callable[..., Any]) -> Mapping[str, tuple[Rule, bool]]:
    """Return the rules in the annotations of a class or function: name to (rule, or None).

    Parameters
    ----------
    described
        A dataclass, with the fields of those it derives from, or a function.
    """
    found = {
        name: _rule_in(hint)
        for name, hint in get_type_hints(described, include_extras=True).items()
    }
    return {name: (rule, none) for name, (rule, none) in found.items() if rule is not None}


def check_fields(instance: Any) -> None:
    """Check the fields of a dataclass against their rules; call it in ``__post_init__``."""
    kind: Callable[..., Any] = type(instance)
    for name, (rule, or_none) in rules_of(kind).items():
        value = getattr(instance, name)
        if not (or_none and value is None):
            object.__setattr__(instance, name, rule(name, value))  # may be frozen


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function against the rules in its annotations, before all else."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, (rule, or_none) in rules_of(function).items():
            if name in bound.arguments and not (or_none and bound.arguments[name] is None):
                bound.arguments[name] = rule(name, bound.arguments[name])
        return function(*bound.args, **bound.kwargs)

    return call
