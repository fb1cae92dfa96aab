"""What every lesson must satisfy, as functions that return the problems they find.

Each guard takes a notebook and returns one sentence a problem, naming the cell;
an empty list means that all is well. ``lesson_problems`` runs them all. The
rules are listed for authors in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from nbformat import NotebookNode

from tools.fold import BEHIND, FOLDED, claims, is_open, only_shows, stored_text, tags
from tools.lessons import TIME_SPAN, code_digest, measured_time
from tools.myst import Directive, blocks, directives
from tools.plain_markdown import LabError
from tools.questions import PREDICT, SELF_CHECK, Question, questions

BUDGET_SECONDS = 90
BUDGET_CORES = 2
MAX_CELL_LINES = 25
MAX_HIDDEN_LINES = 40
MIN_ALT_WORDS = 4
MAX_WORDS = 3500
MAX_OPEN_CELLS = 35
MAX_LINE = 72  # characters that a page of 1280 pixels shows without scrolling
MIN_QUESTIONS = 4
SECTIONS = ("Objectives", "Prerequisites", "Recap", "Further reading")

CHECKED = "nbval-check-output"
SKIPPED = {"nbval-skip", "skip-execution"}
RAISES = "raises-exception"
TAGS = {CHECKED, RAISES, *SKIPPED, "exercise", "solution", "reveals"} | {
    f"{action}-{part}" for action in ("hide", "remove") for part in ("input", "output", "cell")
}

MACHINE_PATH = re.compile(
    r"(?<![\w.:/-])/(?:home|root|work|Users|tmp|opt|usr|var|mnt|srv)/\w|\b[A-Z]:\\\w"
)
NUMPY_SCALAR = re.compile(r"\bnp\.(?:float|int|bool)_?\d*\(")
SCRIPT_TYPES = ("application/javascript", "application/vnd.jupyter.widget-view+json")


def guard_executed(notebook: NotebookNode) -> list[str]:
    """Every code cell has run, in order, in one fresh kernel."""
    problems = []
    expected = 0
    for name, cell in _code_cells(notebook):
        skipped = SKIPPED & set(tags(cell))
        if skipped and skipped != SKIPPED:
            problems.append(f"{name}: to skip a cell give it both tags, {sorted(SKIPPED)}")
        if skipped:
            continue
        expected += 1
        if cell.execution_count is None:
            problems.append(f"{name}: was not executed; run `make execute`")
        elif cell.execution_count != expected:
            problems.append(
                f"{name}: has execution count {cell.execution_count}, expected {expected}; "
                "run `make execute`"
            )
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        problems.append("notebook: its kernel must be python3; run `make execute`")
    return problems


def guard_compared(notebook: NotebookNode) -> list[str]:
    """Compared cells have something to compare, and claims are compared."""
    problems = []
    compared = 0
    for name, cell in _code_cells(notebook):
        text = stored_text(cell)
        unknown = set(tags(cell)) - TAGS
        if unknown:
            problems.append(f"{name}: unknown tag {sorted(unknown)}; known: {sorted(TAGS)}")
        if CHECKED in tags(cell):
            compared += 1
            if not text.strip():
                problems.append(f"{name}: is compared but has no text output")
            elif not claims(cell):
                problems.append(f"{name}: is compared but prints no claim; use claims.claim")
            if cell.source.rstrip().endswith(";"):
                problems.append(f"{name}: is compared, so it must not end with a semicolon")
        elif claims(cell):
            problems.append(f"{name}: prints a claim, so it needs the tag {CHECKED}")
    if not compared:
        problems.append(f"notebook: no cell is compared; tag its claims {CHECKED}")
    return problems


def guard_clean_outputs(notebook: NotebookNode) -> list[str]:
    """No errors that were not meant, no warnings, no scripts, nothing of one machine."""
    problems = []
    for name, cell in _code_cells(notebook):
        kinds = {output.output_type for output in cell.outputs}
        if "error" in kinds and RAISES not in tags(cell):
            problems.append(f"{name}: stores an error without the tag {RAISES}")
        if RAISES in tags(cell) and "error" not in kinds:
            problems.append(f"{name}: is tagged {RAISES} but stores no error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            problems.append(f"{name}: wrote to stderr; mend the warning or turn progress off")
        for output in cell.outputs:
            html = "".join(output.get("data", {}).get("text/html", ""))
            if "<script" in html or set(SCRIPT_TYPES) & set(output.get("data", {})):
                problems.append(f"{name}: has a widget or script output; use a static figure")
        if MACHINE_PATH.search(stored_text(cell)):
            found = MACHINE_PATH.search(stored_text(cell))
            problems.append(f"{name}: prints a path of one machine, near {found and found[0]!r}")
        if NUMPY_SCALAR.search(stored_text(cell)):
            problems.append(f"{name}: prints a raw numpy scalar; format the number")
    return problems


def guard_alt_text(notebook: NotebookNode) -> list[str]:
    """Every picture says in words what it shows."""
    problems = []
    for name, cell in _code_cells(notebook):
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if not any(kind.startswith("image/") for kind in kinds):
            continue
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if len(alt.split()) < MIN_ALT_WORDS:
            problems.append(
                f"{name}: its picture needs alt text of {MIN_ALT_WORDS} words or more in the "
                f'cell metadata {{"mystnb": {{"image": {{"alt": ...}}}}}}, got {alt!r}'
            )
    return problems


def guard_cell_length(notebook: NotebookNode) -> list[str]:
    """Cells are short; what is longer belongs in the library."""
    problems = []
    for name, cell in _code_cells(notebook):
        lines = sum(bool(line.strip()) for line in cell.source.splitlines())
        most = MAX_CELL_LINES if is_open(cell) else MAX_HIDDEN_LINES
        if lines > most:
            problems.append(f"{name}: has {lines} lines of code, at most {most}")
    return problems


def guard_sections(notebook: NotebookNode) -> list[str]:
    """A lesson opens with a title, objectives and prerequisites and closes as it should."""
    problems = []
    first = notebook.cells[0]
    title = re.match(r"# (\S.*)", first.source) if first.cell_type == "markdown" else None
    if title is None:
        problems.append("notebook: its first cell must be Markdown that opens with '# Title'")
    elif re.match(r"\d", title[1]):
        problems.append("notebook: its title must not start with a number; the book numbers pages")
    markdown = _markdown(notebook)
    for section in SECTIONS:
        heading = rf"^#+ +{section}\b"
        bold = rf"^\*\*{section}\b"
        admonition = rf"^(?:`{{3,}}|:{{3,}})\{{[\w-]+\}} *{section}\b"
        if not re.search(f"{heading}|{bold}|{admonition}", markdown, re.MULTILINE | re.IGNORECASE):
            problems.append(f"notebook: no section, admonition or bold lead-in '{section}'")
    return problems


def guard_exercises(notebook: NotebookNode) -> list[str]:
    """Every exercise is labeled, rated, solved out of sight and checked."""
    problems = []
    found = list(_directives(notebook))
    exercises = [(cell, d) for cell, d in found if d.name in ("exercise", "exercise-start")]
    solutions = [d for _, d in found if d.name in ("solution", "solution-start")]
    solved = {solution.argument for solution in solutions}
    if not exercises:
        problems.append("notebook: has no {exercise}")
    for number, (cell, exercise) in enumerate(exercises):
        label = exercise.options.get("label", "")
        name = f"exercise {label or number + 1}"
        if not label:
            problems.append(f"{name}: has no :label:")
        elif label not in solved:
            problems.append(f"{name}: has no {{solution}} {label}")
        text = f"{exercise.argument}\n{exercise.body}"
        if not re.search(r"difficulty", text, re.IGNORECASE):
            problems.append(f"{name}: does not say its difficulty ('Difficulty: ...')")
        if not re.search(r"\d+\s*min", text):
            problems.append(f"{name}: does not say how many minutes it takes ('10 minutes')")
        later = [other for other, _ in exercises[number + 1 :]]
        end = later[0] + 1 if later else len(notebook.cells)
        sources = "\n".join(part.source for part in notebook.cells[cell:end])
        if not re.search(r"\bcheck_\w+\(", sources):
            problems.append(f"{name}: no cell calls its checker, checks.check_...(...)")
    labels = {exercise.options.get("label") for _, exercise in exercises}
    for solution in solutions:
        if solution.argument not in labels:
            problems.append(f"solution {solution.argument!r}: there is no such exercise")
        if "dropdown" not in solution.options.get("class", ""):
            problems.append(f"solution {solution.argument!r}: must be closed, ':class: dropdown'")
    return problems


def guard_length(notebook: NotebookNode) -> list[str]:
    """A lesson is as long as its idea. What is folded is not counted."""
    problems = []
    words = sum(_open_words(c.source) for c in notebook.cells if _is_open_text(c))
    if words > MAX_WORDS:
        problems.append(f"notebook: has {words} words, at most {MAX_WORDS}")
    count = sum(is_open(cell) for _, cell in _code_cells(notebook))
    if count > MAX_OPEN_CELLS:
        problems.append(f"notebook: has {count} open code cells, at most {MAX_OPEN_CELLS}")
    return problems


def guard_folds(notebook: NotebookNode) -> list[str]:
    """What only checks or shows is folded, behind a name; what is open fits the page."""
    problems = []
    for name, cell in _code_cells(notebook):
        own = is_open(cell) and "exercise" not in tags(cell)
        if own and (claims(cell) or only_shows(cell)):
            problems.append(f"{name}: only checks or shows; run `python -m tools.fold`")
        if FOLDED in tags(cell):
            prompt = cell.metadata.get("mystnb", {}).get("code_prompt_show", "")
            if prompt not in {f"Show {what}" for what in BEHIND}:
                problems.append(f"{name}: its fold has no name; run `python -m tools.fold`")
        widest = max(map(len, cell.source.splitlines()))
        if is_open(cell) and widest > MAX_LINE:
            problems.append(f"{name}: has a line of {widest} characters, at most {MAX_LINE}")
    return problems


def guard_questions(notebook: NotebookNode) -> list[str]:
    """Predictions and self-checks have answers to choose from, and say which is right."""
    problems = []
    found: list[Question] = []
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        try:
            here = list(questions(cell.source))
        except LabError as error:
            problems.append(f"cell {position}: {error}")
            continue
        found += here
        if sum(question.kind == PREDICT for question in here) > 1:
            problems.append(f"cell {position}: one prediction a cell, since a result follows each")
    if not any(question.kind == PREDICT for question in found):
        problems.append("notebook: nothing is predicted; see {admonition} with :class: predict")
    if sum(question.kind == SELF_CHECK for question in found) < MIN_QUESTIONS:
        problems.append(f"notebook: its self-check has fewer than {MIN_QUESTIONS} questions")
    if not re.search(r"^## Self-check$", _markdown(notebook), re.MULTILINE):
        problems.append("notebook: no section '## Self-check'")
    return problems


def guard_exercises_in_place(notebook: NotebookNode) -> list[str]:
    """Exercises stand where they are needed, and a result comes from the reader's own function."""
    problems = []
    sources = [cell.source for cell in notebook.cells]
    recap = next((i for i, s in enumerate(sources) if re.search(r"^## Recap", s, re.M)), None)
    for position, directive in _directives(notebook):
        waits = recap is not None and position > recap
        if waits and directive.name in ("exercise", "exercise-start"):
            problems.append(
                f"exercise {directive.argument!r}: waits at the end; put it where it is needed"
            )
    code = [cell.source for _, cell in _code_cells(notebook) if "solution" not in tags(cell)]
    if not any(re.search(r"\byours\(", source) for source in code):
        problems.append("notebook: no result comes from the reader's function; use solutions.yours")
    return problems


def guard_time(notebook: NotebookNode, record: dict[str, Any] | None) -> list[str]:
    """The lesson was run by `make execute` as it stands, within the budget, and says so."""
    if record is None:
        return ["notebook: no measured time on record; run `make execute`"]
    problems = []
    if record["code"] != code_digest(notebook):
        problems.append("notebook: its code changed since it was run; run `make execute`")
    if record["seconds"] > BUDGET_SECONDS:
        problems.append(
            f"notebook: took {record['seconds']} s, more than the budget of {BUDGET_SECONDS} s; "
            "load a shipped detector instead of training one"
        )
    if record["cores"] > BUDGET_CORES:
        problems.append(
            f"notebook: was timed on {record['cores']} cores, the budget is for {BUDGET_CORES}"
        )
    span = TIME_SPAN.search(notebook.cells[0].source)
    if span is None:
        problems.append("notebook: its first cell lacks '<!-- time --><!-- /time -->'")
    elif span[2] != measured_time(record):
        problems.append(
            f"notebook: says {span[2]!r}, the record says {measured_time(record)!r}; "
            "run `make execute`"
        )
    return problems


GUARDS: tuple[Callable[[NotebookNode], list[str]], ...] = (
    guard_executed,
    guard_compared,
    guard_clean_outputs,
    guard_alt_text,
    guard_cell_length,
    guard_sections,
    guard_exercises,
    guard_length,
    guard_folds,
    guard_questions,
    guard_exercises_in_place,
)


def lesson_problems(notebook: NotebookNode, record: dict[str, Any] | None) -> list[str]:
    """Return everything that is wrong with a lesson, given the record of its last execution."""
    problems = [problem for guard in GUARDS for problem in guard(notebook)]
    return problems + guard_time(notebook, record)


def _is_open_text(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and "solution" not in tags(cell)


def _open_words(text: str) -> int:
    """Count the words outside code, dropdowns and self-checks, fences and options left out."""
    count = 0
    for block in blocks(text):
        if isinstance(block, str):
            seen = re.sub(r"!\[[^\]]*\]|<!--.*?-->", "", block)  # what the page does not show
            count += len(re.findall(r"\S*\w\S*", seen))
        elif isinstance(block, Directive):
            classes = block.options.get("class", "")
            aside = block.name == "dropdown" or "dropdown" in classes or SELF_CHECK in classes
            count += 0 if aside else len(block.argument.split()) + _open_words(block.body)
    return count


def _directives(notebook: NotebookNode) -> Iterator[tuple[int, Directive]]:
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for directive in directives(cell.source):
                yield position, directive


def _code_cells(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield f"cell {position} ({cell.source.strip().splitlines()[0][:40]!r})", cell


def _markdown(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
