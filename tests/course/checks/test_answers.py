"""Whatever an answer does, a checker prints, returns False, and does not raise."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from badsad_lib.course import checks

CHECKERS = [getattr(checks, name) for name in checks.__all__]


def gives(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def raises(error: BaseException) -> Callable[..., Any]:
    def answer(*_: Any) -> None:
        raise error

    return answer


def spoils(*arguments: Any) -> float:
    """Overwrite whatever arrives, and answer with a number."""
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            argument.zero_()
        elif isinstance(argument, np.ndarray):
            argument[...] = 0
    return 0.5


ODD_ANSWERS = {
    "raises": raises(ValueError("bad news\nand more of it")),
    "raises without a word": raises(KeyError()),
    "exits": raises(SystemExit(3)),
    "returns None": gives(None),
    "returns Ellipsis": gives(...),
    "returns text": gives("0.95"),
    "returns NaN": gives(float("nan")),
    "returns infinity": gives(float("inf")),
    "returns an empty tensor": gives(torch.zeros(0)),
    "returns a wrong shape": gives(torch.zeros(2, 3, 4)),
    "returns a list of odd things": gives([1, "two", None]),
    "returns a pair of odd things": gives(("one", None)),
    "returns a dict": gives({}),
    "returns a complex number": gives(1j),
    "returns itself": gives(gives),
    "takes too few arguments": lambda: 1.0,
    "overwrites its arguments": spoils,
    "is not a function": 0.95,
    "is nothing": None,
}


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
def test_an_odd_answer_is_not_yet_right(
    check: Callable[[Any], bool], answer: Any, run: Any
) -> None:
    verdict, text = run(check, answer)
    assert verdict is False
    assert text.startswith("not yet: ")


def test_an_error_is_reported_with_its_message(run: Any) -> None:
    _, text = run(checks.check_calibrate, ODD_ANSWERS["raises"])
    assert "answer raised ValueError: bad news" in text


def test_a_call_in_place_of_the_function_is_pointed_out(run: Any) -> None:
    _, text = run(checks.check_calibrate, 0.95)
    assert "expected the function itself" in text


@pytest.mark.parametrize("check", CHECKERS, ids=lambda check: check.__name__)
def test_a_checker_leaves_the_readers_random_numbers_alone(
    check: Callable[[Any], bool], run: Any
) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    def seed() -> None:
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002

    seed()
    expected = draw()
    seed()
    run(check, gives(0.5))
    assert draw() == expected
