"""The guards accept a lesson as it should be, and each bites when one thing is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from nbformat import NotebookNode, v4

from tools.guards import (
    MAX_CELL_LINES,
    MAX_LINE,
    MAX_OPEN_CELLS,
    MAX_WORDS,
    lesson_problems,
)
from tools.lessons import code_digest, measured_time

OPENING = """# A lesson

**Objectives.** See what a lesson looks like.

**Prerequisites.** None.

**Measured time:** <!-- time -->about 45 seconds on 2 CPU cores<!-- /time -->
"""
PREDICTION = """````{admonition} Predict
:class: predict
How many?

1. Two.
2. Three.

```{dropdown} Answer
**2.** There are three.
```
````
"""
EXERCISE = """## Count

```{exercise} Count
:label: ex-count

Difficulty: easy, 5 minutes. How many?
```
"""
QUESTION = PREDICTION.replace("predict", "self-check").replace("Predict", "Question")
CLOSING = f"""## Recap

## Self-check

{QUESTION * 4}

## Further reading
"""
SOLUTION = """```{solution} ex-count
:class: dropdown

Three.
```
"""


def code(source: str, count: int, *outputs: NotebookNode, **metadata: Any) -> NotebookNode:
    return v4.new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def stdout(text: str) -> NotebookNode:
    return v4.new_output("stream", name="stdout", text=text)


def picture() -> NotebookNode:
    return v4.new_output("display_data", data={"image/png": "aGk=", "text/plain": "<Figure>"})


def good_lesson() -> NotebookNode:
    alt = {"image": {"alt": "Two histograms of scores that overlap a little"}}
    return v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            v4.new_markdown_cell(OPENING),
            code("1 + 1", 1),
            code("plot()", 2, picture(), mystnb=alt),
            code(
                'claim("clean AUROC", auroc, at_least=0.95)',
                3,
                stdout("clean AUROC >= 0.95: holds\n"),
                tags=["nbval-check-output", "hide-input"],
                mystnb={"code_prompt_show": "Show the check"},
            ),
            v4.new_markdown_cell(EXERCISE),
            code("check_count(...)", 4, stdout("Not a number yet.\n")),
            v4.new_markdown_cell(SOLUTION),
            v4.new_markdown_cell(PREDICTION),
            code("count = yours(count)\ncount()", 5, stdout("3\n")),
            v4.new_markdown_cell(CLOSING),
        ],
    )


def good_record(lesson: NotebookNode) -> dict[str, Any]:
    return {"seconds": 41.3, "cores": 2, "code": code_digest(lesson)}


def test_a_lesson_as_it_should_be() -> None:
    lesson = good_lesson()
    assert lesson_problems(lesson, good_record(lesson)) == []


def strip(lesson: NotebookNode) -> None:
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def strip_outputs_only(lesson: NotebookNode) -> None:
    lesson.cells[3].outputs = []


def run_out_of_order(lesson: NotebookNode) -> None:
    lesson.cells[1].execution_count = 7


def skip_half(lesson: NotebookNode) -> None:
    lesson.cells[1].metadata.tags = ["nbval-skip"]


def other_kernel(lesson: NotebookNode) -> None:
    lesson.metadata.kernelspec.name = "conda-env"


def end_in_semicolon(lesson: NotebookNode) -> None:
    lesson.cells[3].source += ";"


def compare_without_claim(lesson: NotebookNode) -> None:
    lesson.cells[3].outputs = [stdout("0.9713\n")]


def untag_claim(lesson: NotebookNode) -> None:
    lesson.cells[3].metadata.tags = []


def misspell_tag(lesson: NotebookNode) -> None:
    lesson.cells[3].metadata.tags = ["nbval-check-ouput"]


def store_error(lesson: NotebookNode) -> None:
    error = v4.new_output("error", ename="ValueError", evalue="bad", traceback=["ValueError: bad"])
    lesson.cells[1].outputs = [error]


def expect_error_in_vain(lesson: NotebookNode) -> None:
    lesson.cells[1].metadata.tags = ["raises-exception"]


def warn(lesson: NotebookNode) -> None:
    lesson.cells[1].outputs = [v4.new_output("stream", name="stderr", text="UserWarning: ...\n")]


def add_widget(lesson: NotebookNode) -> None:
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    lesson.cells[1].outputs = [v4.new_output("display_data", data=data)]


def add_script(lesson: NotebookNode) -> None:
    data = {"text/html": "<div></div><script>plot()</script>"}
    lesson.cells[1].outputs = [v4.new_output("display_data", data=data)]


def print_home(lesson: NotebookNode) -> None:
    lesson.cells[1].outputs = [stdout("saved to /home/ada/course/detector.safetensors\n")]


def print_numpy_scalar(lesson: NotebookNode) -> None:
    data = {"text/plain": "np.float64(0.9713)"}
    result = v4.new_output("execute_result", data=data, execution_count=1)
    lesson.cells[1].outputs = [result]


def drop_alt_text(lesson: NotebookNode) -> None:
    del lesson.cells[2].metadata["mystnb"]


def shorten_alt_text(lesson: NotebookNode) -> None:
    lesson.cells[2].metadata.mystnb.image.alt = "a figure"


def lengthen_cell(lesson: NotebookNode) -> None:
    lesson.cells[1].source = "\n".join(f"x{i} = {i}" for i in range(MAX_CELL_LINES + 1))


def drop_title(lesson: NotebookNode) -> None:
    lesson.cells[0].source = lesson.cells[0].source.replace("# A lesson", "A lesson")


def number_title(lesson: NotebookNode) -> None:
    lesson.cells[0].source = lesson.cells[0].source.replace("# A lesson", "# 1. A lesson")


def drop_recap(lesson: NotebookNode) -> None:
    lesson.cells[9].source = lesson.cells[9].source.replace("## Recap", "")


def drop_solution(lesson: NotebookNode) -> None:
    del lesson.cells[6]


def open_solution(lesson: NotebookNode) -> None:
    lesson.cells[6].source = lesson.cells[6].source.replace(":class: dropdown", "")


def solve_nothing(lesson: NotebookNode) -> None:
    lesson.cells[6].source = lesson.cells[6].source.replace("ex-count", "ex-cuont")


def drop_checker(lesson: NotebookNode) -> None:
    lesson.cells[5].source = "..."


def drop_difficulty(lesson: NotebookNode) -> None:
    lesson.cells[4].source = lesson.cells[4].source.replace("Difficulty: easy, 5 minutes. ", "")


def drop_exercises(lesson: NotebookNode) -> None:
    lesson.cells[4].source = "## Count"
    del lesson.cells[6]


def let_exercises_wait(lesson: NotebookNode) -> None:
    lesson.cells.append(lesson.cells.pop(4))


def use_no_answer(lesson: NotebookNode) -> None:
    lesson.cells[8].source = "count()"


def unfold_claim(lesson: NotebookNode) -> None:
    lesson.cells[3].metadata.tags = ["nbval-check-output"]


def unfold_figure(lesson: NotebookNode) -> None:
    lesson.cells[2].source = "import plots\nplots.bars(x)\nplots.bars(y);"


def unfold_table(lesson: NotebookNode) -> None:
    lesson.cells[1].source = "table(rows)"


def forget_the_prompt(lesson: NotebookNode) -> None:
    del lesson.cells[3].metadata["mystnb"]


def widen_code(lesson: NotebookNode) -> None:
    lesson.cells[1].source = f"x = {'1' * MAX_LINE}"


def write_too_much(lesson: NotebookNode) -> None:
    lesson.cells[0].source += "word " * (MAX_WORDS + 1)


def show_too_much_code(lesson: NotebookNode) -> None:
    lesson.cells[2:2] = [code("1", 2) for _ in range(MAX_OPEN_CELLS)]


def predict_nothing(lesson: NotebookNode) -> None:
    lesson.cells[7].source = "Look:"


def predict_without_answers(lesson: NotebookNode) -> None:
    lesson.cells[7].source = lesson.cells[7].source.replace("1. Two.\n2. Three.", "")


def predict_without_the_right_one(lesson: NotebookNode) -> None:
    lesson.cells[7].source = lesson.cells[7].source.replace("**2.** ", "")


def predict_twice_at_once(lesson: NotebookNode) -> None:
    lesson.cells[7].source *= 2


def ask_too_little(lesson: NotebookNode) -> None:
    lesson.cells[9].source = CLOSING.replace(QUESTION * 4, QUESTION * 3)


def drop_self_check(lesson: NotebookNode) -> None:
    lesson.cells[9].source = CLOSING.replace("## Self-check", "")


def drop_time(lesson: NotebookNode) -> None:
    lesson.cells[0].source = lesson.cells[0].source.replace("<!-- /time -->", "")


def type_time_by_hand(lesson: NotebookNode) -> None:
    lesson.cells[0].source = lesson.cells[0].source.replace("about 45", "about 20")


BREAKAGES: list[tuple[Callable[[NotebookNode], None], str]] = [
    (strip, "was not executed"),
    (strip_outputs_only, "has no text output"),
    (run_out_of_order, "has execution count 7, expected 1"),
    (skip_half, "both tags"),
    (other_kernel, "kernel must be python3"),
    (end_in_semicolon, "semicolon"),
    (compare_without_claim, "prints no claim"),
    (untag_claim, "needs the tag"),
    (misspell_tag, "unknown tag"),
    (store_error, "stores an error"),
    (expect_error_in_vain, "stores no error"),
    (warn, "stderr"),
    (add_widget, "widget or script"),
    (add_script, "widget or script"),
    (print_home, "path of one machine"),
    (print_numpy_scalar, "numpy scalar"),
    (drop_alt_text, "needs alt text"),
    (shorten_alt_text, "needs alt text"),
    (lengthen_cell, "lines of code"),
    (drop_title, "'# Title'"),
    (number_title, "must not start with a number"),
    (drop_recap, "'Recap'"),
    (drop_solution, "has no {solution}"),
    (open_solution, "must be closed"),
    (solve_nothing, "there is no such exercise"),
    (drop_checker, "calls its checker"),
    (drop_difficulty, "does not say its difficulty"),
    (drop_exercises, "has no {exercise}"),
    (let_exercises_wait, "waits at the end"),
    (use_no_answer, "no result comes from the reader's function"),
    (unfold_claim, "only checks or shows"),
    (unfold_figure, "only checks or shows"),
    (unfold_table, "only checks or shows"),
    (forget_the_prompt, "its fold has no name"),
    (widen_code, "has a line of 76 characters"),
    (write_too_much, "words, at most 3500"),
    (show_too_much_code, "open code cells, at most 35"),
    (predict_nothing, "nothing is predicted"),
    (predict_without_answers, "needs 2 to 4 answers"),
    (predict_without_the_right_one, "must open with the number of the right answer"),
    (predict_twice_at_once, "one prediction a cell"),
    (ask_too_little, "fewer than 4 questions"),
    (drop_self_check, "no section '## Self-check'"),
    (drop_time, "first cell lacks"),
    (type_time_by_hand, "the record says 'about 45 seconds"),
]


@pytest.mark.parametrize(("damage", "message"), BREAKAGES, ids=[d.__name__ for d, _ in BREAKAGES])
def test_each_guard_bites(damage: Callable[[NotebookNode], None], message: str) -> None:
    lesson = good_lesson()
    damage(lesson)
    problems = lesson_problems(lesson, good_record(lesson))
    assert re.search(re.escape(message), "\n".join(problems)), problems


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 90.1}, "more than the budget"),
        ({"cores": 16}, "timed on 16 cores"),
        ({"code": "of another day"}, "code changed since"),
    ],
)
def test_the_record_of_the_run_is_held_against_the_lesson(
    change: dict[str, Any], message: str
) -> None:
    lesson = good_lesson()
    problems = lesson_problems(lesson, good_record(lesson) | change)
    assert message in "\n".join(problems)


def test_what_is_folded_is_not_counted() -> None:
    lesson = good_lesson()
    much = "word " * MAX_WORDS
    lesson.cells[7].source = lesson.cells[7].source.replace("There are", f"There are {much}")
    lesson.cells[6].source += much
    lesson.cells[6].metadata.tags = ["solution"]
    assert lesson_problems(lesson, good_record(lesson)) == []


def test_a_lesson_without_a_record() -> None:
    assert "no measured time" in "\n".join(lesson_problems(good_lesson(), None))


def test_a_skipped_cell_needs_no_output() -> None:
    lesson = good_lesson()
    tags = {"tags": ["nbval-skip", "skip-execution"]}
    lesson.cells.insert(2, v4.new_code_cell("train_for_hours()", metadata=tags))
    assert lesson_problems(lesson, good_record(lesson)) == []


def test_gated_exercises_count_too() -> None:
    lesson = good_lesson()
    lesson.cells[4].source = lesson.cells[4].source.replace("{exercise}", "{exercise-start}")
    lesson.cells[6].source = lesson.cells[6].source.replace("{solution}", "{solution-start}")
    assert lesson_problems(lesson, good_record(lesson)) == []


@pytest.mark.parametrize(
    ("seconds", "cores", "phrase"),
    [
        (0.2, 2, "about 5 seconds on 2 CPU cores"),
        (40.0, 2, "about 40 seconds on 2 CPU cores"),
        (40.1, 1, "about 45 seconds on 1 CPU core"),
    ],
)
def test_measured_time_is_rounded_up(seconds: float, cores: int, phrase: str) -> None:
    assert measured_time({"seconds": seconds, "cores": cores}) == phrase
