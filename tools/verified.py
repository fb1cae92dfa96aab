"""What was verified before: a long trial need not run again on the same code.

A trial trains for a long time to see whether something still holds: a lesson's claims with
another seed or on the clean twin, a row of a table that is had again, a repair of every shipped
detector. Its outcome can change only with what it imports, the lesson or table it is about, the
data, the pinned packages, or the trial itself. ``make verify`` runs all trials and records a
digest of these in ``book/_verified.json``; a test whose digest stands there is skipped.
``BADSAD_FULL=1 make test`` skips none.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import nbformat
from filelock import FileLock

from tools.lessons import ROOT, code_digest, write_atomically

RECORD = ROOT / "book" / "_verified.json"
_DATA = (".npz", ".safetensors")


def _files(module: str, root: Path) -> Iterable[Path]:
    """Files of a module of this repository, with those of the packages that it lies in."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file


@functools.cache
def _modules(source: str) -> tuple[str, ...]:
    """Name what a piece of code imports; of ``from package import name``, both joined."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(
                    f"line {node.lineno} imports relative to its own place, which is not known "
                    "here: write the whole name, or a change there would go unseen"
                )
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def imported(sources: Iterable[str], root: Path = ROOT) -> set[Path]:
    """Files of this repository that code imports, at whatever depth, also inside functions.

    Parameters
    ----------
    sources
        Python code.
    root
        The repository.
    """
    found: set[Path] = set()
    waiting = list(sources)
    while waiting:
        for module in _modules(waiting.pop()):
            for file in _files(module, root):
                if file not in found:
                    found.add(file)
                    waiting.append(file.read_text(encoding="utf-8"))
    return found


def digest(subject: str | None, trial: Path, root: Path = ROOT) -> str:
    """Short hash of all that the outcome of a trial depends on.

    Parameters
    ----------
    subject
        Name of the lesson or of the table that the trial is about, without suffix, or of another
        file of the repository; None if it is about neither.
    trial
        The file of the test.
    root
        The repository.
    """
    sources = [trial.read_text(encoding="utf-8")]
    whole = hashlib.sha256(trial.read_bytes())
    results = root / "benchmarks" / "results"
    tables = {results / f"{subject}.csv", root / f"{subject}"}
    lesson = root / "book" / f"{subject}.ipynb"
    if lesson.is_file():
        notebook = nbformat.read(lesson, as_version=4)
        whole.update(code_digest(notebook).encode())
        cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        sources += cells
        # A lesson that reads no table does not depend on one.
        tables = {file for file in results.glob("*.csv") if file.stem in "".join(cells)}
    data = {file for file in (root / "data").rglob("*") if file.suffix in _DATA}
    pins = root / "constraints.txt"
    for file in sorted({pins, *imported(sources, root), *filter(Path.is_file, tables), *data}):
        whole.update(file.relative_to(root).as_posix().encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:16]


def recorded(path: Path = RECORD) -> dict[str, str]:
    """Digest of each trial that was recorded, by the name of its test."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def record(test: str, value: str, path: Path = RECORD) -> None:
    """Note that a trial passed; several processes may do so at once."""
    with FileLock(path.with_name(f".{path.name}.lock")):
        entries = recorded(path) | {test: value}
        write_atomically(path, json.dumps(entries, indent=1, sort_keys=True) + "\n")
