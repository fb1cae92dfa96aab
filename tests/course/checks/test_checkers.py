"""The checkers know the right answers, the untouched stubs and the usual slips of every lesson.

A new lesson adds one module to ``tests/checks/lessons``: its name, its readers' misconceptions,
and right answers that are written in another way than the lesson's own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from badsad_lib.course import checks
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
def test_at_least_two_misconceptions_are_named(lesson: str, name: str) -> None:
    module = next(module for module in MODULES if lesson == module.LESSON)
    assert sum(name == other for other, *_ in module.MISCONCEPTIONS) >= 2


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
