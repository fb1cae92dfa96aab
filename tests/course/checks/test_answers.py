"""Whatever an answer does, a checker prints, returns False, and does not raise."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from badsad_lib.course import checks
from badsad_lib.course.checks._answers import NotYet, call, number, pair, vector, verdict

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


# --- what no answer may do -----------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    asr: float
    others: dict[str, float]


def changing(change: Callable[[Any], Any]) -> Callable[[Any], float]:
    def answer(given: Any) -> float:
        change(given)
        return 1.0

    return answer


ARGUMENTS = {
    "array": np.arange(4.0)[::-1],
    "tensor": torch.arange(4.0),
    "labels": torch.tensor([0, 1, -1]),
    "list": [torch.arange(3), torch.arange(2)],
    "dict": {"a": np.array([2.0, np.nan])},
    "board": [{"name": "x", "needs": {"scores"}, "catches": {"patch": float("nan")}}],
    "report": Report(0.5, {"noise": float("nan")}),
}
CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sorts an array": ("array", lambda x: x.sort()),
    "writes into a tensor": ("tensor", lambda x: x.__setitem__(0, 9.0)),
    "adds to a tensor": ("tensor", lambda x: x.add_(1e-9)),
    "gives a tensor another shape": ("tensor", lambda x: x.unsqueeze_(0)),
    "writes NaN": ("array", lambda x: x.__setitem__(0, np.nan)),
    "flips a label": ("labels", lambda x: x.__setitem__(2, 0)),
    "empties a list": ("list", lambda x: x.clear()),
    "writes into a tensor in a list": ("list", lambda x: x[1].zero_()),
    "adds a key": ("dict", lambda x: x.update(b=1)),
    "replaces a value": ("dict", lambda x: x.update(a=np.array([2.0, 0.0]))),
    "replaces NaN deep inside": ("board", lambda x: x[0]["catches"].update(patch=0.0)),
    "takes from a set": ("board", lambda x: x[0]["needs"].clear()),
    "takes from a dataclass": ("report", lambda x: x.others.clear()),
}


@pytest.mark.parametrize(("kind", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_an_answer_may_not_change_what_it_is_given(kind: str, change: Callable[[Any], Any]) -> None:
    given = ARGUMENTS[kind]
    before = repr(given)
    with pytest.raises(NotYet, match=r"answer changes what it is given \(given\)"):
        call(changing(change), given)
    assert repr(given) == before, "the checker's own examples are safe"


@pytest.mark.parametrize("given", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_answer_that_leaves_its_arguments_alone_is_not_accused(given: Any) -> None:
    assert call(lambda given: 1.0, given) == 1.0


def test_the_argument_that_changed_is_named_even_where_it_has_no_name() -> None:
    def answer(*arguments: Any) -> float:
        arguments[1].sort()
        return 1.0

    with pytest.raises(NotYet, match=r"\(argument 2\)"):
        call(answer, 1, np.array([2.0, 1.0]))


def test_an_answer_may_not_depend_on_how_often_it_was_called() -> None:
    calls: list[int] = []

    def counting(x: float) -> float:
        calls.append(1)
        return x + len(calls)

    for answer in (counting, lambda x: np.random.default_rng().normal() + x):
        with pytest.raises(NotYet, match="something else when it is called again"):
            call(answer, 1.0)


def test_an_answer_that_prints_and_does_not_return_is_told_so(capsys: Any) -> None:
    with pytest.raises(NotYet, match="print only shows"):
        call(lambda x: print(x), 1.0)


# --- what a value may be packed in ---------------------------------------------------------------

ONE = [0.5, np.float32(0.5), np.array(0.5), np.array([0.5]), torch.tensor(0.5)]
ONE += [torch.tensor([0.5], requires_grad=True), torch.tensor(0.5, dtype=torch.bfloat16)]
ONE += [Fraction(1, 2)]


@pytest.mark.parametrize("value", ONE, ids=repr)
def test_one_number_may_come_in_any_form(value: Any) -> None:
    assert number(value, "it") == 0.5


@pytest.mark.parametrize("value", [[0.5, 0.5], "0.5", 1j, np.zeros((2, 2)), {}, len], ids=repr)
def test_what_is_not_one_number_is_refused(value: Any) -> None:
    with pytest.raises(NotYet, match="it must be one number"):
        number(value, "it")


TRUE = [True, 1, 1.0, np.bool_(True), np.array(True), torch.tensor(True), torch.tensor([1])]


@pytest.mark.parametrize("value", TRUE, ids=repr)
def test_a_verdict_may_come_in_any_form(value: Any) -> None:
    assert verdict(value) is True
    assert verdict(value == 0) is False


@pytest.mark.parametrize("value", [0.97, 2, "True", [True, False], float("nan")], ids=repr)
def test_what_is_no_verdict_is_refused(value: Any) -> None:
    with pytest.raises(NotYet, match="must be True or False"):
        verdict(value)


@pytest.mark.parametrize(
    "value", [(1, 2), [1, 2], np.array([1, 2]), torch.tensor([1.0, 2.0])], ids=repr
)
def test_two_numbers_may_come_in_any_form(value: Any) -> None:
    assert [float(part) for part in pair(value, "a, b")] == [1, 2]


@pytest.mark.parametrize("value", [1, {1, 2}, (1, 2, 3), np.zeros((2, 1)), "ab"], ids=repr)
def test_what_is_not_two_numbers_is_refused(value: Any) -> None:
    with pytest.raises(NotYet, match=r"expected two numbers, got .*: end with return a, b"):
        pair(value, "a, b")


@pytest.mark.parametrize(
    "value",
    [[1, 2], (1.0, 2), np.array([1, 2]), torch.tensor([1, 2]), [torch.tensor(1.0), np.float32(2)]],
    ids=repr,
)
def test_a_vector_may_come_in_any_form(value: Any) -> None:
    assert torch.equal(vector(value, 2, "it"), torch.tensor([1.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2, 3], "shape"),
        (np.zeros((2, 1)), "shape"),
        (["a", "b"], "must be numbers"),
        ([1.0, float("nan")], "NaN"),
        (3.0, "a value of type float"),
    ],
)
def test_what_is_no_such_vector_is_refused(value: Any, message: str) -> None:
    with pytest.raises(NotYet, match=message):
        vector(value, 2, "it")
