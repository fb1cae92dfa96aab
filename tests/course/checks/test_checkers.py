"""The checkers know the right answers, the untouched stubs and the usual slips of every lesson.

A new lesson adds one module to ``tests/checks/lessons``: its name, its readers' misconceptions,
and right answers that are written in another way than the lesson's own.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badsad_lib.course import checks
from badsad_lib.course.checks._answers import instead
from tools.lessons import lessons

FOLDER = Path(__file__).parent / "lessons"
MODULES = [
    importlib.import_module(f"tests.course.checks.lessons.{file.stem}")
    for file in sorted(FOLDER.glob("*.py"))
]
EXERCISES = sorted(
    {(module.LESSON, name) for module in MODULES for name, *_ in module.MISCONCEPTIONS}
)
exercises = pytest.mark.parametrize(("lesson", "name"), EXERCISES)


def checker_of(name: str) -> Callable[[Any], bool]:
    return getattr(checks, f"check_{name}")


def test_every_lesson_has_its_misconceptions() -> None:
    assert sorted(module.LESSON for module in MODULES) == sorted(path.stem for path in lessons())


def test_every_checker_belongs_to_an_exercise() -> None:
    assert sorted(checks.__all__) == sorted(f"check_{name}" for _, name in EXERCISES)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.LESSON)
@pytest.mark.parametrize("tag", ["exercise", "solution"])
def test_stubs_solutions_and_misconceptions_belong_together(
    module: Any, tag: str, functions_in: Any
) -> None:
    names = {name for name, *_ in module.MISCONCEPTIONS}
    assert set(functions_in(module.LESSON, tag)) == names


@exercises
def test_eight_wrong_answers_and_six_right_ones_are_tried(lesson: str, name: str) -> None:
    module = next(module for module in MODULES if lesson == module.LESSON)
    wrong = [slip for other, slip, *_ in module.MISCONCEPTIONS if other == name]
    assert len(set(wrong)) == len(wrong) >= 8
    right = [answer for other, answer in module.ALSO_RIGHT if other == name]
    assert len(set(right)) == len(right) >= 6


@exercises
def test_the_solution_of_the_lesson_passes(
    lesson: str, name: str, functions_in: Any, run: Any
) -> None:
    verdict, text = run(checker_of(name), functions_in(lesson, "solution")[name])
    assert verdict, text
    assert text.startswith("Correct: ")


@exercises
def test_the_untouched_stub_does_not_pass(
    lesson: str, name: str, functions_in: Any, run: Any
) -> None:
    verdict, text = run(checker_of(name), functions_in(lesson, "exercise")[name])
    assert not verdict
    assert text.startswith(f"not yet: {name} returned nothing.")


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        pytest.param(name, answer, text, id=f"{name}, {slip}")
        for module in MODULES
        for name, slip, answer, text in module.MISCONCEPTIONS
    ],
)
def test_a_misconception_is_named(
    name: str, answer: Callable[..., Any], message: str, run: Any
) -> None:
    verdict, text = run(checker_of(name), answer)
    assert not verdict
    assert text.startswith("not yet: ")
    assert message in text


@pytest.mark.parametrize(
    ("name", "answer"),
    [pytest.param(name, answer, id=name) for m in MODULES for name, answer in m.ALSO_RIGHT],
)
def test_another_way_to_write_a_right_answer_passes_too(
    name: str, answer: Callable[..., Any], run: Any
) -> None:
    verdict, text = run(checker_of(name), answer)
    assert verdict, text


def nudged(value: Any, by: float) -> Any:
    """Return a value, a little larger; of a pair the second number."""
    if isinstance(value, tuple):
        return value[0], nudged(value[1], by)
    return value + by


@exercises
@pytest.mark.parametrize("by", [3e-3, 3e-4, 2e-5])
def test_two_numbers_that_differ_are_not_shown_alike(
    lesson: str, name: str, by: float, functions_in: Any, run: Any
) -> None:
    """Never "should be 0.774, got 0.774"."""
    solution = functions_in(lesson, "solution")[name]

    def answer(*arguments: Any) -> Any:
        value = solution(*arguments)
        return value if isinstance(value, (bool, str)) else nudged(value, by)

    _, text = run(checker_of(name), answer)
    shown = re.search(r"(-?[\d.]+), got (-?[\d.]*\d)", text)
    assert shown is None or float(shown[1]) != float(shown[2])


def test_the_digits_of_a_message_grow_until_they_differ() -> None:
    assert instead(0.5, 0.25) == "0.500, got 0.250"
    assert instead(0.77412, 0.77438) == "0.7741, got 0.7744"
    assert instead(2.0, 2.0 + 1e-9, digits=1) == "2.000000000, got 2.000000001"
    assert instead(1.0, 1.0).startswith("1.000")
