"""Predictions and self-checks of a lesson: one source for the page and the student version.

An admonition of the class ``predict`` or ``self-check`` holds the question, a numbered list of
two to four answers, and a dropdown whose text opens with the bold number of the right one::

    ````{admonition} Predict
    :class: predict
    Will it rain?

    1. Yes.
    2. No.

    ```{dropdown} Answer
    **2.** It never does.
    ```
    ````

A prediction of the class ``concept``, too, is one that thought answers and no result of a cell.

On the page a script turns the list into choices; without it the dropdown stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tools.myst import Directive, blocks, directives
from tools.plain_markdown import LabError

PREDICT, SELF_CHECK, CONCEPT = "predict", "self-check", "concept"
FEWEST, MOST = 2, 4
ANSWER = re.compile(r"^(\d)\. +\S", re.MULTILINE)
RIGHT = re.compile(r"\A\s*\*\*(\d)\.\*\*\s")


@dataclass(frozen=True)
class Question:
    """A question, its answers as Markdown, the number of the right one, and what explains it."""

    kind: str
    title: str
    text: str
    answers: int
    right: int
    explanation: str


def kind_of(directive: Directive) -> str | None:
    """Return which kind of question a directive is, or None if it is none."""
    classes = directive.options.get("class", "").split()
    return next((kind for kind in (PREDICT, SELF_CHECK) if kind in classes), None)


def question(directive: Directive) -> Question:
    """Take a question apart.

    Raises
    ------
    LabError
        Its answers, its dropdown or the number of the right answer are missing or disagree.
    """
    kind = kind_of(directive) or ""
    parts = list(blocks(directive.body))
    folded = [p for p in parts if isinstance(p, Directive) and p.name == "dropdown"]
    text = "\n\n".join(part for part in parts if isinstance(part, str)).strip()
    start = " ".join(text.split())[:40]
    numbers = [int(number) for number in ANSWER.findall(text)]
    if numbers != list(range(1, len(numbers) + 1)) or not FEWEST <= len(numbers) <= MOST:
        raise LabError(
            f"the question {start!r} needs {FEWEST} to {MOST} answers, numbered from 1, "
            f"got {numbers}"
        )
    if len(folded) != 1 or len(parts) != sum(isinstance(part, str) for part in parts) + 1:
        raise LabError(f"the question {start!r} needs text, answers and one {{dropdown}}")
    right = RIGHT.match(folded[0].body)
    if right is None or not 1 <= int(right[1]) <= len(numbers):
        raise LabError(
            f"the dropdown of {start!r} must open with the number of the right answer, "
            "as in **2.** Because"
        )
    explanation = folded[0].body.strip()
    return Question(kind, directive.argument, text, len(numbers), int(right[1]), explanation)


def questions(text: str) -> Iterator[Question]:
    """Yield the questions of a text in order; raises as :func:`question` does."""
    for directive in directives(text):
        if directive.name == "admonition" and kind_of(directive):
            yield question(directive)
