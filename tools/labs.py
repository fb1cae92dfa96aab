"""Derive student versions of the lessons: no solutions, no outputs, readable in plain Jupyter.

``python -m tools.labs`` writes them into ``_build/labs``. A notebook that somebody has worked
in since is never overwritten.

A lesson whose student version could not be read or run stops the whole, naming the cell.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import io
import json
import symtable
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from tools.fold import FOLDED
from tools.lessons import ROOT, lessons, write_atomically
from tools.myst import Directive, blocks
from tools.plain_markdown import HEADING, LabError, PlainMarkdown
from tools.questions import CONCEPT, PREDICT, Question, kind_of, question

SOLUTION = "solution"
REVEALS = "reveals"
DROPPED = {SOLUTION, "remove-cell"}
KEPT_TAGS = {"exercise", "raises-exception", "skip-execution"}  # the rest is for book and tests
GIVEN = {*dir(builtins), "display", "get_ipython"}  # names that every kernel has

NOTE = """> **Student version.** This is the lesson without its solutions. Run the cells from top to
> bottom (Shift+Enter). In each exercise replace the stub, run it, then run its checker: it says
> what is still wrong. The numbers in the text come from the book's own run, and your last digits
> may differ. Where you are asked to predict, write your choice down before you run on: the next
> result tells. Cells import `badsad_lib`, so the notebook needs the course's environment:
> `make lab` in a clone of the course opens JupyterLab in it."""


@dataclass(frozen=True)
class Lab:
    """A student version and the pictures that its text shows, as paths from its folder."""

    name: str
    notebook: NotebookNode
    pictures: tuple[str, ...]


def derive(lesson: Path) -> Lab:
    """Return the student version of a lesson as it is stored, with its outputs.

    Raises
    ------
    LabError
        It uses syntax without a translation, or a name that only a dropped cell defines.
    """
    return student_version(nbformat.read(lesson, as_version=4), lesson)


def student_version(notebook: NotebookNode, lesson: Path) -> Lab:
    """Return the student version of a notebook; ``lesson`` is where it lies or would lie.

    The notebook is left alone. References to other pages, pictures and papers are looked up
    in the folder of ``lesson``. Raises :class:`LabError` as :func:`derive` does.
    """
    plain = PlainMarkdown(lesson, {})
    cells: list[NotebookNode] = []
    bound: set[str] = set()
    waiting: dict[int, list[Question]] = {}  # what a result will reveal, by the result's cell
    due: list[Question] = []
    for position, cell in enumerate(notebook.cells):
        try:
            _check_gates(notebook, position)
            if not DROPPED & set(_tags(cell)):
                if FOLDED not in _tags(cell):  # checks of the result still belong to it
                    cells += [_revealed(plain, question, cells) for question in due]
                    due = []
                if cell.cell_type == "code":
                    bound |= _check_names(cell.source, bound)
                    cells += [_lab_cell(cell, cell.source)] if cell.source.strip() else []
                else:
                    shown, asked = _asking(plain, cell)
                    cells += shown
                    for question in asked:
                        waiting.setdefault(_result(notebook, position), []).append(question)
        except LabError as error:
            start = (cell.source.strip().splitlines() or [""])[0][:40]
            raise LabError(f"{lesson.name}, cell {position} ({start!r}): {error}") from None
        # What a cell has glued may be told from there on, and not before.
        plain.glued |= _glued_values(cell)
        due += waiting.pop(position, [])
    cells += [_revealed(plain, question, cells) for question in due]
    if cells:
        first = cells[0]
        first.source = HEADING.sub(lambda title: f"{title[0]}\n\n{NOTE}", first.source, count=1)
    if plain.cited:
        cells.append(v4.new_markdown_cell(plain.references(), id="references"))
    metadata = {key: notebook.metadata[key] for key in sorted(notebook.metadata)}
    lab = v4.new_notebook(cells=cells, metadata=metadata)
    lab.metadata["student_version"] = {"digest": _digest(lab)}
    return Lab(lesson.stem, lab, tuple(sorted(plain.pictures)))


def write(folder: Path, root: Path = ROOT) -> list[Path]:
    """Write all student versions and their pictures; return the notebooks left alone.

    A notebook in which somebody has changed a cell stays. So does one that was only run, as
    long as its lesson is the same.
    """
    labs = [(lesson, derive(lesson)) for lesson in lessons(root)]
    kept = []
    for lesson, lab in labs:
        for picture in lab.pictures:
            write_atomically(folder / picture, (lesson.parent / picture).read_bytes())
        path = folder / f"{lab.name}.ipynb"
        before = _read(path) if path.exists() else None
        if before is not None and _digest(before) != _written_digest(before):
            kept.append(path)
        elif before is None or _written_digest(before) != _written_digest(lab.notebook):
            write_atomically(path, _as_text(lab))
    return kept


def write_archives(folder: Path, root: Path = ROOT) -> None:
    """Write one zip a lesson, ``NAME.zip``, with its student version and its pictures.

    A browser that opened a page from the disk shows a notebook as text, but saves a zip. And
    its pictures travel along. The same lesson gives the same bytes.
    """
    for lesson in lessons(root):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in _files(lesson).items():
                entry = zipfile.ZipInfo(name)  # its date is fixed
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
        write_atomically(folder / f"{lesson.stem}.zip", packed.getvalue())


def lab_files(root: Path = ROOT) -> dict[str, bytes]:
    """Return all student versions and their pictures, by their path from one folder."""
    found: dict[str, bytes] = {}
    for lesson in lessons(root):
        found |= _files(lesson)
    return found


def _files(lesson: Path) -> dict[str, bytes]:
    """Return one student version and its pictures, by their path from its folder."""
    lab = derive(lesson)
    contents = {f"{lab.name}.ipynb": _as_text(lab).encode()}
    return contents | {picture: (lesson.parent / picture).read_bytes() for picture in lab.pictures}


def _glued_values(cell: NotebookNode) -> dict[str, str]:
    """Return what a cell has glued, by key, as the page shows it."""
    values = {}
    for output in cell.get("outputs", []):
        record = output.get("metadata", {}).get("scrapbook", {})
        if "name" in record:
            text = output.data.get(f"{record.get('mime_prefix', '')}text/plain", "")
            values[record["name"]] = _unquoted(text)
    return values


def _asking(plain: PlainMarkdown, cell: NotebookNode) -> tuple[list[NotebookNode], list[Question]]:
    """Return the cells of a text, and the predictions in it.

    A prediction becomes its question and answers, and a cell to write the choice in. What
    explains it is left out.
    """
    cells: list[NotebookNode] = []
    asked: list[Question] = []
    text: list[str] = []

    def close() -> None:
        source = plain.text("\n\n".join(text))
        text.clear()
        if source.strip():
            cells.append(_lab_cell(cell, source))
            cells[-1].id = _numbered(cell.id, len(cells) - 1)

    for block in blocks(cell.source):
        if isinstance(block, Directive) and kind_of(block) == PREDICT:
            asked.append(question(block))
            text.append(f"````{{admonition}} {block.argument}\n{asked[-1].text}\n````")
            close()
            choices = [str(number + 1) for number in range(asked[-1].answers)]
            listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
            code = f"my_prediction = ...  # write {listed} here, run this, and go on"
            cells.append(v4.new_code_cell(code, id=_numbered(cell.id, len(cells))))
            if CONCEPT in block.options.get("class", ""):  # no result will tell
                told = asked.pop().explanation
                text.append(f"````{{dropdown}} Open when you have chosen\n{told}\n````")
        elif isinstance(block, Directive):
            text.append(block.source)
        else:
            text.append(block if isinstance(block, str) else block.text)
    close()
    return cells, asked


def _result(notebook: NotebookNode, position: int) -> int:
    """Return the position of the cell that answers the prediction in another."""
    results = []
    for later, cell in enumerate(notebook.cells[position + 1 :], start=position + 1):
        if cell.cell_type == "markdown":
            if any(kind_of(d) == PREDICT for d in blocks(cell.source) if isinstance(d, Directive)):
                break
        elif not DROPPED & set(_tags(cell)):
            if REVEALS in _tags(cell):
                return later
            if cell.get("outputs") and "exercise" not in _tags(cell):
                results.append(later)
    if not results:
        raise LabError("no cell with a result follows this prediction; tag it 'reveals'")
    return results[0]


def _revealed(plain: PlainMarkdown, asked: Question, cells: list[NotebookNode]) -> NotebookNode:
    """Return the cell that tells what a prediction is held against."""
    source = plain.text(f"````{{admonition}} What happened\n{asked.explanation}\n````")
    return v4.new_markdown_cell(source, id=_numbered(cells[-1].id, 1))


def _numbered(name: str, number: int) -> str:
    return f"{name[:60]}-{number}" if number else name


def _unquoted(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text


def _check_gates(notebook: NotebookNode, position: int) -> None:
    """Raise if a cell lies between {solution-start} and {solution-end} without the tag."""
    before = "\n".join(c.source for c in notebook.cells[:position] if c.cell_type == "markdown")
    is_open = before.count("{solution-start}") > before.count("{solution-end}")
    if is_open and SOLUTION not in _tags(notebook.cells[position]):
        raise LabError(f"is part of a solution and so needs the tag {SOLUTION!r}")


def _check_names(code: str, bound: set[str]) -> set[str]:
    """Return the names that a cell binds; raise if it uses one that nothing has bound yet."""
    used, own = set(), set()
    for table in _tables(symtable.symtable(code, "<cell>", "exec")):
        for symbol in table.get_symbols():
            at_top = table.get_type() == "module"
            if (at_top or symbol.is_declared_global()) and (
                symbol.is_assigned() or symbol.is_imported()
            ):
                own.add(symbol.get_name())
            if (at_top or symbol.is_global()) and symbol.is_referenced():
                used.add(symbol.get_name())
    if unknown := used - own - bound - GIVEN:
        raise LabError(
            f"uses {', '.join(sorted(unknown))}, which no earlier cell of the student version "
            f"defines. Define it in a cell without the tags {', '.join(sorted(DROPPED))}"
        )
    return own


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _lab_cell(cell: NotebookNode, source: str) -> NotebookNode:
    tags = [tag for tag in _tags(cell) if tag in KEPT_TAGS]
    metadata: dict[str, object] = {"tags": tags} if tags else {}
    if FOLDED in _tags(cell):
        metadata["jupyter"] = {"source_hidden": True}
    if cell.cell_type == "code":
        return v4.new_code_cell(source, id=cell.id, metadata=metadata)
    copy = v4.new_markdown_cell(source, id=cell.id, metadata=metadata)
    if "attachments" in cell:
        copy.attachments = cell.attachments
    return copy


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _digest(notebook: NotebookNode) -> str:
    cells = json.dumps([[cell.cell_type, cell.source] for cell in notebook.cells])
    return hashlib.sha256(cells.encode()).hexdigest()[:16]


def _written_digest(notebook: NotebookNode) -> str:
    return notebook.metadata.get("student_version", {}).get("digest", "")


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except ValueError as error:
        raise LabError(f"{path} is no notebook any more: rename or delete it") from error


def _as_text(lab: Lab) -> str:
    return nbformat.writes(lab.notebook) + "\n"


def main() -> int:
    """Write the student versions into ``_build/labs``; return the exit status."""
    folder = ROOT / "_build" / "labs"
    try:
        kept = write(folder)
    except LabError as error:
        print(f"make labs: {error}", file=sys.stderr)
        return 1
    print(f"Student versions are in {folder.relative_to(ROOT)}. `make clean` removes them.")
    for path in kept:
        print(f"Kept {path.name}, since you worked in it. Delete or rename it to get a fresh one.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
