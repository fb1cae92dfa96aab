"""The reader's function makes the result, the book's steps in for a stub, and a line says which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from badsad_lib.course import checks, solutions
from badsad_lib.course.solutions import yours

NAMES = sorted(set(solutions.__all__) - {"yours"})


def double(x: int) -> int:
    return 2 * x


def raises(x: int) -> int:
    raise NotImplementedError


@pytest.mark.parametrize("stub", [lambda x: None, lambda x: ..., raises])
def test_for_a_stub_the_book_steps_in_and_says_so_once(
    stub: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    function = yours(stub, otherwise=double)
    assert [function(3), function(x=4)] == [6, 8]
    assert capsys.readouterr().out.count("is not written yet: the book's own is used.\n") == 1


def test_a_written_function_is_used_whatever_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    def half(x: int) -> float:
        return x / 2

    assert yours(half, otherwise=double)(3) == 1.5
    assert capsys.readouterr().out == "half is yours.\n"
    with pytest.raises(ZeroDivisionError):
        yours(lambda x: x / 0, otherwise=double)(1)


def test_false_values_are_answers() -> None:
    for value in (0, 0.0, False, [], ""):
        assert yours(lambda x, value=value: value, otherwise=double)(3) == value


def test_a_cell_run_twice_wraps_once(capsys: pytest.CaptureFixture[str]) -> None:
    once = yours(lambda x: None, otherwise=double)
    twice = yours(once, otherwise=double)
    assert twice(3) == 6
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_solution_of_the_same_name_is_found() -> None:
    def calibrate(validation_scores: Any, test_scores: Any, false_alarm_rate: float) -> None: ...

    assert yours(calibrate)([0.0, 1.0], None, 0.5) == 0.5


def test_what_is_missing_is_named() -> None:
    def unheard_of() -> None: ...

    with pytest.raises(LookupError, match=r"no solution 'unheard_of'; it has .*calibrate"):
        yours(unheard_of)
    with pytest.raises(TypeError, match="needs a function, got int"):
        yours(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_each_solution_passes_its_checker(name: str) -> None:
    assert getattr(checks, f"check_{name}")(getattr(solutions, name))


@pytest.mark.parametrize("name", NAMES)
def test_the_book_does_not_answer_a_checker_for_the_reader(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def stub(*_: object) -> None:
        return None

    wrapped = yours(stub, otherwise=getattr(solutions, name))
    assert not getattr(checks, f"check_{name}")(wrapped)
    assert "returned nothing" in capsys.readouterr().out
