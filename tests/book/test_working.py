"""Student versions worked from top to bottom: untouched, one stub after the other, all filled in.

Each lesson is run as a whole twice, once untouched and once with every stub filled in. In the
kernel of the first run its stubs are then filled in one by one, as a reader does: alone, and on
top of those before it. Each time only what depends on a changed stub is run again. Trainings
among it then take one epoch, so the claims about them, which the two whole runs hold to, are
left out.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode, v4

from tests.book.test_labs import CHECKER_CALL, assert_not_yet, executed, functions, tags
from tools.execute import use_this_environment
from tools.labs import derive
from tools.lessons import ROOT, lessons

# What trains among the cells that use a reader's function, and the same in a moment.
SHORTER = {
    "2_deepsad": ("epochs=30", "epochs=1"),
    "5_latent_manipulation": ("DeepSAD(seed=0).fit(", "DeepSAD(seed=0, epochs=1).fit("),
}
CLAIMS = re.compile(r"\bclaim\(")

each_lesson = pytest.mark.parametrize("lesson", [path.stem for path in lessons()])


def place(lesson: str) -> Path:
    return ROOT / "book" / f"{lesson}.ipynb"


def written(lesson: str) -> dict[str, str]:
    """Return the solutions of a lesson, by the name of the function."""
    cells = nbformat.read(place(lesson), as_version=4).cells
    solved = [c.source for c in cells if c.cell_type == "code" and "solution" in tags(c)]
    return {
        node.name: ast.unparse(node)
        for node in ast.parse("\n".join(solved)).body
        if isinstance(node, ast.FunctionDef)
    }


def stubs(lab: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells with the stubs, by the name of the function, from the top down."""
    cells = [cell for cell in lab.cells if "exercise" in tags(cell)]
    return {name: cell for cell in cells for name in functions([cell])}


def said_by(cells: list[NotebookNode]) -> str:
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


# -- what a changed stub changes


def names_of(code: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell reads, in functions too, and those that it binds or changes."""

    def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
        yield table
        for child in table.get_children():
            yield from tables(child)

    read = {
        symbol.get_name()
        for table in tables(symtable.symtable(code, "<cell>", "exec"))
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global())
    }
    top = symtable.symtable(code, "<cell>", "exec").get_symbols()
    bound = {symbol.get_name() for symbol in top if symbol.is_assigned() or symbol.is_imported()}
    for node in ast.walk(ast.parse(code)):  # results["mine"] = ... changes results
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            while isinstance(node, ast.Subscript | ast.Attribute):
                node = node.value
            if isinstance(node, ast.Name):
                bound.add(node.id)
    return read, bound


def affected(cells: list[NotebookNode], changed: set[str]) -> list[NotebookNode]:
    """Return the code cells that use changed functions, or what was made with them."""
    found, reach = [], set(changed)
    for cell in cells:
        if cell.cell_type == "code" and "exercise" not in tags(cell):
            read, bound = names_of(cell.source)
            if read & reach:
                found.append(cell)
                reach |= bound
    return found


def test_what_uses_a_stub_is_found_through_functions_tables_and_names() -> None:
    sources = [
        "a = f(2)",
        "b = g(2)",
        "results['mine'] = a",
        "results.get('mine')",
        "def h(x):\n    return f(x)",
        "c = h(3)",
        "def k(f):\n    return f(3)",
        "b + 1",
    ]
    cells = [v4.new_code_cell(source) for source in sources]
    cells.insert(0, v4.new_code_cell("check_f(f)", metadata={"tags": ["exercise"]}))
    assert affected(cells, {"f"}) == [cells[i] for i in (1, 3, 4, 5, 6)]
    assert affected(cells, {"nothing"}) == []


def one_by_one(names: list[str]) -> list[set[str]]:
    """Return which stubs are filled in, step by step: 1, 1-2, ..., all, then each alone.

    Few change between two steps.

    >>> one_by_one(["a", "b"]) == [{"a"}, {"a", "b"}, {"b"}]
    True
    """
    rising = [set(names[: k + 1]) for k in range(len(names))]
    return [*rising, *({name} for name in reversed(names[1:]))]


# -- they run


@pytest.mark.slow
@pytest.mark.trial
@each_lesson
def test_stubs_are_filled_in_one_by_one(lesson: str, tmp_path: Path) -> None:
    use_this_environment()
    lab = derive(place(lesson)).notebook
    solved, found = written(lesson), stubs(lab)
    empty = {name: cell.source for name, cell in found.items()}
    checked = {name: next_checker(lab, cell) for name, cell in found.items()}
    wrapped = set(re.findall(r"\byours\((\w+)\)", "\n".join(c.source for c in lab.cells)))
    where = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(lab, timeout=300, kernel_name="python3", resources=where)

    def run(cells: list[NotebookNode]) -> str:
        for cell in cells:
            cell.outputs = []
            client.execute_cell(cell, lab.cells.index(cell))  # raises if the cell does
        return said_by(cells)

    with client.setup_kernel():
        said = run([cell for cell in lab.cells if cell.cell_type == "code"])
        assert_not_yet(lab)
        assert " is yours.\n" not in said
        assert all(stepped_in(name) in said for name in wrapped)

        shorten(lab, lesson)
        filled: set[str] = set()
        for wanted in one_by_one(list(found)):
            changed = wanted ^ filled
            for name in changed:
                found[name].source = solved[name] if name in wanted else empty[name]
            run([found[name] for name in found if name in changed])
            for name, checker in checked.items():
                assert run([checker]).startswith("Correct: " if name in wanted else "not yet: ")
            again = affected(lab.cells, changed)
            said = run([cell for cell in again if not CLAIMS.search(cell.source)])
            for name in wrapped & changed:
                assert (mine(name) in said) == (name in wanted), (wanted, said)
                assert (stepped_in(name) in said) == (name not in wanted), (wanted, said)
            filled = wanted


def next_checker(lab: NotebookNode, stub: NotebookNode) -> NotebookNode:
    after = lab.cells[lab.cells.index(stub) :]
    return next(c for c in after if "exercise" in tags(c) and CHECKER_CALL.search(c.source))


def mine(name: str) -> str:
    return f"{name} is yours.\n"


def stepped_in(name: str) -> str:
    return f"{name} is not written yet: the book's own is used.\n"


def shorten(lab: NotebookNode, lesson: str) -> None:
    """Let the one training that uses a reader's function take one epoch from now on."""
    if lesson in SHORTER:
        long, short = SHORTER[lesson]
        (cell,) = [cell for cell in lab.cells if long in cell.source and cell.cell_type == "code"]
        cell.source = cell.source.replace(long, short)


@pytest.mark.slow
@pytest.mark.trial
@each_lesson
def test_a_student_version_runs_filled_in(
    lesson: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = derive(place(lesson)).notebook
    solved = written(lesson)
    for name, cell in stubs(lab).items():
        cell.source = solved[name]
    lab = executed(lab, tmp_path, monkeypatch)
    checked = [cell for cell in lab.cells if CHECKER_CALL.search(cell.source)]
    said = said_by(lab.cells)
    assert said.count("Correct: ") >= len(checked) > 0
    assert " is yours.\n" in said
    assert " is not written yet: the book's own is used.\n" not in said
