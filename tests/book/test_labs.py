"""Student versions: no solution in them, readable in plain Jupyter, and they run.

What is executed each time, so that this file takes a minute and not ten:

- the first lesson's student version as a whole, from another folder than the lesson's;
- of every other lesson its imports, stubs and checkers, nothing else.

All of them as a whole, with stubs untouched and filled in, are trials: test_working.py.
"""

from __future__ import annotations

import ast
import re
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat import NotebookNode, v4

from tools.build_book import offer_labs
from tools.labs import Lab, derive, student_version, write, write_archives
from tools.lessons import ROOT, lessons
from tools.myst import blocks
from tools.plain_markdown import LabError, PlainMarkdown

LESSON = ROOT / "book" / "2_deepsad.ipynb"  # where the small examples pretend to lie
HTML = ROOT / "_build" / "html"
MYST = re.compile(r"\{[\w:-]+\}`|^\s*(?:`{3,}|:{3,})\s*\{|^:::|<!--|^:\w+:", re.MULTILINE)
CHECKER_CALL = re.compile(r"\bcheck_\w+\(")
LONG = 15  # characters; shorter lines, such as "return score", give nothing away

each_lesson = pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def gated(notebook: NotebookNode) -> list[bool]:
    """Say of each cell whether it lies within a solution, by the directives, not by the tags."""
    inside, found = False, []
    for cell in notebook.cells:
        markdown = cell.source if cell.cell_type == "markdown" else ""
        inside = inside or "{solution" in markdown
        found.append(inside)
        inside = inside and "{solution-end}" not in markdown and "{solution}" not in markdown
    return found


def functions(cells: list[NotebookNode]) -> dict[str, str]:
    """Return the arguments of all functions that code cells define, by name."""
    sources = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return {
        node.name: ast.unparse(node.args)
        for node in ast.parse(sources).body
        if isinstance(node, ast.FunctionDef)
    }


# -- the lessons as they are


@each_lesson
def test_nothing_of_a_solution_leaks(path: Path) -> None:
    lesson = read(path)
    lines: dict[bool, set[str]] = {False: set(), True: set()}
    for cell, inside in zip(lesson.cells, gated(lesson)):
        lines[inside] |= {line.strip() for line in cell.source.splitlines()}
    secret = {line for line in lines[True] - lines[False] if len(line) >= LONG}
    assert secret, "a lesson has solutions"
    text = [line.strip() for c in derive(path).notebook.cells for line in c.source.splitlines()]
    assert secret.isdisjoint(text)


@each_lesson
def test_every_stub_has_a_solution_of_the_same_name_and_arguments(path: Path) -> None:
    assert exercise_problems(read(path)) == []


def exercise_problems(notebook: NotebookNode) -> list[str]:
    """Hold the functions of the stubs against those of the solutions, exercise by exercise."""
    starts = [i for i, cell in enumerate(notebook.cells) if "{exercise" in cell.source]
    problems = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], None]), start=1):
        cells = notebook.cells[start:end]
        stubs = functions([cell for cell in cells if "exercise" in tags(cell)])
        solutions = functions([cell for cell in cells if "solution" in tags(cell)])
        if not stubs:
            problems.append(f"exercise {number}: no function in a cell tagged exercise")
        for name in stubs:
            if name not in solutions:
                problems.append(f"exercise {number}: no solution defines {name}")
            elif stubs[name] != solutions[name]:
                problems.append(f"exercise {number}: {name} takes other arguments when solved")
    return problems


@pytest.mark.parametrize(
    ("stub", "solution", "problem"),
    [
        ("def f(x, k=1):\n    return None", "def g(): ...\ndef f(x, k=1):\n    return x", None),
        ("def f(x): ...", "def g(x): ...", "no solution defines f"),
        ("def f(x): ...", "def f(x, k): ...", "f takes other arguments"),
        ("def f(x, k=1): ...", "def f(x, k=2): ...", "f takes other arguments"),
        ("answer = None", "answer = 3", "no function"),
    ],
)
def test_the_comparison_of_stub_and_solution_bites(
    stub: str, solution: str, problem: str | None
) -> None:
    cells = [v4.new_markdown_cell("```{exercise} T\n```")]
    cells.append(v4.new_code_cell(stub, metadata={"tags": ["exercise"]}))
    cells.append(v4.new_code_cell(solution, metadata={"tags": ["solution"]}))
    problems = exercise_problems(v4.new_notebook(cells=cells))
    assert problems == [] if problem is None else problem in problems[0]


@each_lesson
def test_a_student_version_is_a_clean_notebook(path: Path) -> None:
    lab = derive(path).notebook
    nbformat.validate(lab)
    assert lab.metadata.kernelspec.name == "python3"
    for cell in lab.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    headings = re.findall(r"^### Exercise ", "\n".join(c.source for c in lab.cells), re.MULTILINE)
    stubs = [cell for cell in lab.cells if "exercise" in tags(cell)]
    assert len(headings) == sum(bool(CHECKER_CALL.search(cell.source)) for cell in stubs) > 0


@each_lesson
def test_plain_jupyter_can_show_all_of_it(path: Path) -> None:
    for cell in derive(path).notebook.cells:
        if cell.cell_type == "markdown":
            prose = "\n".join(block for block in blocks(cell.source) if isinstance(block, str))
            assert not MYST.search(prose), cell.source
            for tag in ("details", "summary", "blockquote"):
                assert cell.source.count(f"<{tag}>") == cell.source.count(f"</{tag}>")


@each_lesson
def test_every_link_leads_to_the_web_or_to_what_comes_along(path: Path) -> None:
    lab = derive(path)
    along = {*lab.pictures, *(lesson.name for lesson in lessons())}
    for cell in lab.notebook.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)\s]+)\)", cell.source):
                assert target.startswith("https://") or target in along, target


@each_lesson
def test_values_are_filled_in(path: Path) -> None:
    """Each sentence with a glued value comes out with what the lesson's outputs say."""
    lesson = read(path)
    outputs = [output for cell in lesson.cells for output in cell.get("outputs", [])]
    values = {
        output.metadata.scrapbook.name: ast.literal_eval(
            output.data["application/papermill.record/text/plain"]
        )
        for output in outputs
        if "scrapbook" in output.get("metadata", {})
    }
    text = "\n".join(cell.source for cell in derive(path).notebook.cells)
    source = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    glued = re.findall(r"(\w* ?)\{glue:text\}`([^`]+)`(.?)", source)
    assert len(glued) == source.count("{glue:text}")
    if not glued:
        pytest.skip("this lesson's text has no values: its tables show them")
    for before, key, after in glued:
        assert f"{before}{values[key]}{after}" in text


# -- they run


def executed(lab: NotebookNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> NotebookNode:
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    where = {"metadata": {"path": str(folder)}}
    return NotebookClient(lab, timeout=300, kernel_name="python3", resources=where).execute()


def assert_not_yet(lab: NotebookNode) -> None:
    """Every checker has run and says what is to do, first of all that it is not yet done."""
    for cell in lab.cells:
        if "exercise" in tags(cell) and CHECKER_CALL.search(cell.source):
            (output,) = cell.outputs
            assert output.text.startswith("not yet: "), output.text


@pytest.mark.slow
def test_the_first_student_version_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = executed(derive(lessons()[0]).notebook, tmp_path, monkeypatch)
    assert all(cell.execution_count for cell in lab.cells if cell.cell_type == "code")
    assert_not_yet(lab)


@pytest.mark.slow
@pytest.mark.parametrize("path", lessons()[1:], ids=lambda path: path.stem)
def test_stubs_and_checkers_run_untouched(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = derive(path).notebook
    nodes = [n for c in lab.cells if c.cell_type == "code" for n in ast.parse(c.source).body]
    imports = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    stubs = [cell for cell in lab.cells if "exercise" in tags(cell)]
    lab.cells = [v4.new_code_cell("\n".join(imports)), *stubs]
    assert_not_yet(executed(lab, tmp_path, monkeypatch))


# -- from MyST to plain Markdown


def plain(text: str, **glued: str) -> str:
    return PlainMarkdown(LESSON, glued).text(text)


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("the {term}`AUROC` of {term}`scores <anomaly score>`", "the AUROC of scores"),
        ("a {term}`normal\nclass`", "a normal class"),
        ("about {glue:text}`share` of it", "about 5% of it"),
        ("{math}`x^2`", "$x^2$"),
        ("{func}`~badsad_lib.metrics.auroc`", "`auroc`"),
        ("{py:mod}`badsad_lib.metrics`", "`badsad_lib.metrics`"),
        ("{doc}`1_anomaly_detection`", "[Anomaly detection](1_anomaly_detection.ipynb)"),
        ("the {doc}`last <1_anomaly_detection>`", "the [last](1_anomaly_detection.ipynb)"),
        ("see the {doc}`glossary`", "see the *Glossary*"),
        ("{cite}`deepsad`", "([Ruff et al., 2020](https://arxiv.org/abs/1906.02694))"),
        ("{cite}`svdd, roc`", "(Tax and Duin, 2004; Fawcett, 2006)"),
        ("{cite:t}`svdd`", "Tax and Duin (2004)"),
        ("in <!-- time -->about 20 seconds<!-- /time -->.", "in about 20 seconds."),
        ("![A plan](figures/deepsad.svg)", "![A plan](figures/deepsad.svg)"),
        ("say `{term}` or ``{cite}`x` ``", "say `{term}` or ``{cite}`x` ``"),
        (
            "```{note}\nMind {term}`this`.\n```\nAnd on.",
            "<blockquote>\n\n**Note**\n\nMind this.\n\n</blockquote>\n\nAnd on.",
        ),
        (
            ":::{seealso} There\n:::",
            "<blockquote>\n\n**See also**\n\nThere\n\n</blockquote>",
        ),
        (
            "````{admonition} Predict\n:class: predict\nHow many?\n\n"
            "```{dropdown} Answer\n$3$\n```\n````",
            "<blockquote>\n\n**Predict**\n\nHow many?\n\n<details>\n<summary><b>Answer</b>"
            "</summary>\n\n$3$\n\n</details>\n\n</blockquote>",
        ),
        (
            "```{admonition} More\n:class: note dropdown\nText.\n```",
            "<details>\n<summary><b>More</b></summary>\n\nText.\n\n</details>",
        ),
        (
            "```{exercise} Count\n:label: ex-count\n\n*Difficulty: easy. Time: 5 minutes.*\n```",
            "### Exercise 2.1: Count\n\n*Difficulty: easy. Time: 5 minutes.*",
        ),
        ("```{exercise-end}\n```", ""),
        (
            "```{figure} figures/deepsad.svg\n:alt: A plan\n:width: 80%\n\nThe caption.\n```",
            "![A plan](figures/deepsad.svg)\n\nThe caption.",
        ),
        ("```{math}\n:label: eq\nx^2\n```", "$$\nx^2\n$$"),
        ("```{code-block} sh\nmake lab\n```", "```sh\nmake lab\n```"),
    ],
)
def test_myst_becomes_plain_markdown(myst: str, expected: str) -> None:
    assert plain(myst, share="5%") == expected


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="~"))))
def test_fenced_code_stays_as_it_is(lines: list[str]) -> None:
    code = "\n".join(["~~~", "```{grid}", "{term}`x`", *lines, "~~~"])
    assert plain(code) == code


@given(st.lists(st.from_regex(r"\w[\w .,;*-]{0,20}", fullmatch=True), min_size=1, max_size=5))
def test_text_without_markup_stays_as_it_is(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    assert plain(text) == text


@pytest.mark.parametrize(
    ("myst", "complaint"),
    [
        ("```{grid} 2\n```", "no directive {grid}"),
        (":::{tab-set}\n:::", "no directive {tab-set}"),
        ("````{note}\n```{grid} 2\n```\n````", "no directive {grid}"),
        ("see {numref}`fig`", "no role {numref}"),
        ("```{note}\nsee {ref}`x`\n```", "no role {ref}"),
        ("- item\n\n  ```{note}\n  text\n  ```", "an indented or unfinished directive"),
        ("::::\ntext\n::::", "a colon fence"),
        ("an unclosed {term}`x", "a role"),
        ("(here)=\n# T", "a target"),
        ("$$\nx\n$$ (eq-x)", "a labeled equation"),
        ("{{ name }}", "a substitution"),
        ("% a remark", "a comment"),
        ("+++", "a block break"),
        ("word\n: meaning", "a definition list"),
        ("text[^1]", "a footnote"),
        ("[](glossary)", "a link without text"),
        ("{glue:text}`absent`", "'absent'"),
        ("{cite}`nobody`", "'nobody'"),
        ("{doc}`nowhere`", "no page 'nowhere'"),
        ("[there](nowhere.ipynb)", "does not exist"),
        ("![A picture](figures/nowhere.svg)", "does not exist"),
        ("[there](glossary.md)", "come without"),
        ("```{solution} ex-count\nThree.\n```", "must be in a cell with the tag 'solution'"),
    ],
)
def test_what_plain_jupyter_could_not_show_is_refused(myst: str, complaint: str) -> None:
    with pytest.raises(LabError, match=re.escape(complaint)):
        plain(myst)


# -- from lesson to student version


def small_lesson(*extra: NotebookNode) -> NotebookNode:
    solution = {"tags": ["solution"]}
    record = {"scrapbook": {"name": "n", "mime_prefix": ""}}
    glued = v4.new_output("display_data", data={"text/plain": "'42'"}, metadata=record)
    return v4.new_notebook(
        cells=[
            v4.new_code_cell("glue('n', 42)", metadata={"tags": ["remove-cell"]}, outputs=[glued]),
            v4.new_markdown_cell("# Small\n\nIt has {glue:text}`n` images {cite}`svdd`."),
            v4.new_code_cell("n = 42", metadata={"tags": ["nbval-check-output"]}),
            v4.new_markdown_cell("```{exercise} Count\n:label: ex\n```"),
            v4.new_code_cell("def count(): ...", metadata={"tags": ["exercise"]}),
            v4.new_markdown_cell(
                "```{solution-start} ex\n:class: dropdown\n```", metadata=solution
            ),
            v4.new_code_cell("def count():\n    return n", metadata=solution),
            v4.new_markdown_cell("```{solution-end}\n```", metadata=solution),
            *extra,
        ]
    )


def small_lab(*extra: NotebookNode) -> Lab:
    return student_version(small_lesson(*extra), LESSON)


def test_a_small_student_version() -> None:
    lab = small_lab(v4.new_markdown_cell("![A plan](figures/deepsad.svg)"))
    title, code, exercise, stub, picture, references = lab.notebook.cells
    assert title.source.startswith("# Small\n\n> **Student version.**")
    assert title.source.endswith("\n\nIt has 42 images (Tax and Duin, 2004).")
    assert (code.source, tags(code)) == ("n = 42", [])
    assert exercise.source == "### Exercise 2.1: Count"
    assert (stub.source, tags(stub)) == ("def count(): ...", ["exercise"])
    assert picture.source == "![A plan](figures/deepsad.svg)"
    assert lab.pictures == ("figures/deepsad.svg",)
    assert references.source.startswith("## References\n\n- David M. J. Tax and ")


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        (
            v4.new_markdown_cell("Look:\n\n```{grid} 2\n```"),
            "cell 8 ('Look:'): plain Jupyter knows",
        ),
        (v4.new_code_cell("glue('x', 1)"), "cell 8 (\"glue('x', 1)\"): uses glue"),
    ],
)
def test_the_complaint_names_notebook_and_cell(cell: NotebookNode, complaint: str) -> None:
    with pytest.raises(LabError, match=re.escape(f"2_deepsad.ipynb, {complaint}")):
        small_lab(cell)


PREDICTION = """Now look.

````{admonition} Predict
:class: predict
How many?

1. Two.
2. More.

```{dropdown} Answer
**2.** There are {glue:text}`later`.
```
````
"""


def result(source: str, **metadata: Any) -> NotebookNode:
    shown = [v4.new_output("stream", name="stdout", text="43")]
    return v4.new_code_cell(source, outputs=shown, metadata=metadata)


def glues(name: str, value: str) -> NotebookNode:
    record = {"scrapbook": {"name": name, "mime_prefix": ""}}
    glued = v4.new_output("display_data", data={"text/plain": f"'{value}'"}, metadata=record)
    return v4.new_code_cell("glue(...)", metadata={"tags": ["remove-cell"]}, outputs=[glued])


def told(*cells: NotebookNode) -> list[str]:
    return [cell.source for cell in small_lab(*cells).notebook.cells[4:-1]]


def test_a_prediction_is_written_down_and_told_after_its_result() -> None:
    question, cell, code, answer, end = told(
        v4.new_markdown_cell(PREDICTION),
        result("print(n)"),
        glues("later", "43"),
        v4.new_markdown_cell("The end."),
    )
    assert question.startswith("Now look.\n\n<blockquote>\n\n**Predict**\n\nHow many?\n\n1. Two.")
    assert "There are" not in question
    assert cell == "my_prediction = ...  # write 1 or 2 here, run this, and go on"
    assert code == "print(n)"
    assert answer.startswith("<blockquote>\n\n**What happened**\n\n**2.** There are 43.")
    assert end == "The end."


def test_the_result_is_the_cell_that_shows_something_or_the_tagged_one() -> None:
    asked = v4.new_markdown_cell(PREDICTION)
    silent, loud = v4.new_code_cell("few = 1"), result("print(few)")
    cells = told(asked, glues("later", "43"), silent, loud, result("print(n)", tags=["reveals"]))
    assert cells[-1].startswith("<blockquote>")
    cells = told(asked, glues("later", "43"), silent, loud, result("print(n)"))
    assert [cell.startswith("<blockquote>") for cell in cells] == [0, 0, 0, 0, 1, 0]


def test_what_thought_answers_waits_folded_for_no_result() -> None:
    asked = PREDICTION.replace(":class: predict", ":class: predict concept")
    asked = asked.replace("{glue:text}`later`", "three")
    _, cell, answer = told(v4.new_markdown_cell(asked))
    assert cell.startswith("my_prediction = ...")
    assert answer.startswith("<details>\n<summary><b>Open when you have chosen</b></summary>")
    assert "There are three." in answer


def test_ids_stay_unique_with_several_predictions() -> None:
    asked = [v4.new_markdown_cell(PREDICTION), result("print(n)"), glues("later", "43")]
    asked += [v4.new_markdown_cell(PREDICTION), result("print(n)")]
    ids = [cell.id for cell in small_lab(*asked).notebook.cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([v4.new_markdown_cell(PREDICTION)], "no cell with a result follows"),
        ([v4.new_markdown_cell(PREDICTION), v4.new_code_cell("n")], "no cell with a result"),
        (
            [v4.new_markdown_cell("{glue:text}`later`"), result("print(n)"), glues("later", "43")],
            "may be told only after the cell that makes it has run",
        ),
    ],
)
def test_nothing_is_told_before_its_cell_ran(cells: list[NotebookNode], complaint: str) -> None:
    with pytest.raises(LabError, match=complaint):
        small_lab(*cells)


def test_folded_cells_are_folded_in_jupyter_too() -> None:
    lab = small_lab(v4.new_code_cell("print(n)", metadata={"tags": ["hide-input"]})).notebook
    assert lab.cells[-2].metadata == {"jupyter": {"source_hidden": True}}


def test_a_cell_of_a_solution_without_its_tag_is_refused() -> None:
    lesson = small_lesson()
    del lesson.cells[6].metadata["tags"]
    with pytest.raises(LabError, match=r"cell 6 .* is part of a solution"):
        student_version(lesson, LESSON)


@pytest.mark.parametrize(
    "code",
    [
        "print(hidden)",
        "def f():\n    return hidden",
        "[hidden for _ in range(3)]",
        "class A:\n    x = hidden",
    ],
)
def test_a_name_that_only_a_dropped_cell_defines_is_refused(code: str) -> None:
    dropped = v4.new_code_cell("hidden = 1", metadata={"tags": ["remove-cell"]})
    with pytest.raises(LabError, match="uses hidden, which no earlier cell"):
        small_lab(dropped, v4.new_code_cell(code))


@pytest.mark.parametrize(
    "code",
    [
        "print(n)",
        "hidden = n\nprint(hidden)",
        "import numpy as hidden\nhidden.pi",
        "for hidden in range(n): print(hidden)",
        "def f(hidden):\n    return [hidden + x for x in range(n)]",
        "def f(k):\n    return f(k - 1) if k else n",
        "with open(str(n)) as hidden: display(hidden)",
        "try:\n    pass\nexcept ValueError as hidden:\n    print(hidden)",
    ],
)
def test_other_names_are_fine(code: str) -> None:
    assert small_lab(v4.new_code_cell(code)).notebook.cells[-2].source == code


def test_the_lesson_itself_is_left_alone() -> None:
    lesson = small_lesson()
    before = nbformat.writes(lesson)
    student_version(lesson, LESSON)
    assert nbformat.writes(lesson) == before


# -- writing them


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Make a course of one small lesson."""
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/2_small\n", encoding="utf-8")
    (tmp_path / "book" / "figures").mkdir(parents=True)
    (tmp_path / "book" / "figures" / "a.svg").write_text("<svg/>", encoding="utf-8")
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    (tmp_path / "book" / "references.bib").write_text(bibliography, encoding="utf-8")
    picture = v4.new_markdown_cell("![A picture](figures/a.svg)")
    nbformat.write(small_lesson(picture), tmp_path / "book" / "2_small.ipynb")
    return tmp_path


def change(path: Path, position: int, **changes: Any) -> None:
    notebook = read(path)
    notebook.cells[position].update(changes)
    nbformat.write(notebook, path)


def test_notebooks_and_their_pictures_are_written(course: Path) -> None:
    assert write(course / "labs", course) == []
    files = sorted(file.name for file in (course / "labs").rglob("*") if file.is_file())
    assert files == ["2_small.ipynb", "a.svg"]
    assert read(course / "labs" / "2_small.ipynb") == derive(course / "book/2_small.ipynb").notebook


def test_a_changed_lesson_reaches_an_untouched_notebook(course: Path) -> None:
    write(course / "labs", course)
    change(course / "book/2_small.ipynb", 2, source="n = 43")
    assert write(course / "labs", course) == []
    assert read(course / "labs" / "2_small.ipynb").cells[1].source == "n = 43"


def test_work_of_a_student_is_never_overwritten(course: Path) -> None:
    lab = course / "labs" / "2_small.ipynb"
    write(lab.parent, course)
    change(lab, 3, source="def count(): return 42")
    mine = lab.read_bytes()
    change(course / "book/2_small.ipynb", 2, source="n = 43")
    assert write(lab.parent, course) == [lab]
    assert lab.read_bytes() == mine


def test_outputs_stay_while_the_lesson_is_the_same(course: Path) -> None:
    lab = course / "labs" / "2_small.ipynb"
    write(lab.parent, course)
    change(lab, 1, execution_count=1)
    ran = lab.read_bytes()
    assert write(lab.parent, course) == []
    assert lab.read_bytes() == ran


def test_a_notebook_that_is_none_any_more_is_left_alone(course: Path) -> None:
    lab = course / "labs" / "2_small.ipynb"
    write(lab.parent, course)
    lab.write_text("half a not", encoding="utf-8")
    with pytest.raises(LabError, match=r"2_small\.ipynb is no notebook any more"):
        write(lab.parent, course)
    assert lab.read_text(encoding="utf-8") == "half a not"


def test_an_archive_holds_notebook_and_pictures_and_is_reproducible(course: Path) -> None:
    write_archives(course / "a", course)
    write_archives(course / "b", course)
    assert (course / "a/2_small.zip").read_bytes() == (course / "b/2_small.zip").read_bytes()
    with zipfile.ZipFile(course / "a/2_small.zip") as archive:
        assert archive.namelist() == ["2_small.ipynb", "figures/a.svg"]
        lab = nbformat.reads(archive.read("2_small.ipynb").decode(), as_version=4)
    assert lab == derive(course / "book/2_small.ipynb").notebook


# -- on the site


def test_a_page_without_a_title_to_put_the_link_under_is_refused(course: Path) -> None:
    page = course / "_build/html/book/2_small.html"
    page.parent.mkdir(parents=True)
    (course / "_config.yml").write_text("title: T", encoding="utf-8")
    page.write_text('<h1>T<a class="headerlink" href="#t">#</a></h1><p>', encoding="utf-8")
    offer_labs(course)
    assert '<a href="../labs/2_small.zip" download>' in page.read_text(encoding="utf-8")
    page.write_text("<h1>T</h1>", encoding="utf-8")
    with pytest.raises(LabError, match=r"2_small\.html: found 0 titles"):
        offer_labs(course)


OFFERS = ("student version", "notebook")


def built_page(lesson: Path) -> Path:
    page = (HTML / lesson.relative_to(ROOT)).with_suffix(".html")
    assert page.is_file(), "run `make book` first"
    return page


@each_lesson
def test_the_site_offers_each_lesson_to_take_away(path: Path) -> None:
    page = built_page(path)
    text = page.read_text(encoding="utf-8")
    offered = {name: re.findall(rf'<a href="([^"]+)" download>{name}</a>', text) for name in OFFERS}
    assert [len(targets) for targets in offered.values()] == [1, 1], "run `make book` first"
    with zipfile.ZipFile(page.parent / offered["student version"][0]) as archive:
        assert f"{path.stem}.ipynb" in archive.namelist()
    whole = nbformat.read(page.parent / offered["notebook"][0], as_version=4)
    assert whole.cells == nbformat.read(path, as_version=4).cells


@each_lesson
def test_exercises_have_the_numbers_of_the_site(path: Path) -> None:
    text = built_page(path).read_text(encoding="utf-8")
    on_site = re.findall(r'caption-number">Exercise ([\d.]+) ?<', text)
    sources = "\n".join(cell.source for cell in derive(path).notebook.cells)
    assert re.findall(r"^### Exercise ([\d.]+)", sources, re.MULTILINE) == on_site
