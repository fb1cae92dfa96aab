"""What was verified before: long trials of a lesson need not run again on the same code.

A trial runs a whole lesson once more, with another seed, say, or with every detector replaced by
the clean twin. Its outcome can change only with the lesson, the library, the data, the pinned
packages or the trial itself. ``make verify`` runs all trials and records a digest of these in
``book/_verified.json``; a test whose digest stands there is skipped. ``BADSAD_FULL=1 make test``
skips none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import nbformat
from filelock import FileLock

from tools.lessons import ROOT, code_digest, write_atomically

RECORD = ROOT / "book" / "_verified.json"
_DATA = (".npz", ".safetensors")
# What no lesson imports: the command line, and what a grid's worker runs.
_ELSEWHERE = ("_commands", "grids", "__main__.py")


def _sources(root: Path) -> Iterable[Path]:
    library = root / "badsad_lib"
    for file in sorted(library.rglob("*.py")):
        if file.relative_to(library).parts[0] not in _ELSEWHERE:
            yield file
    yield root / "constraints.txt"
    yield from sorted(file for file in (root / "data").rglob("*") if file.suffix in _DATA)
    yield from sorted((root / "benchmarks" / "results").glob("*.csv"))


def digest(lesson: str, trial: Path, root: Path = ROOT) -> str:
    """Short hash of all that the outcome of a trial of a lesson depends on.

    Parameters
    ----------
    lesson
        Name of its notebook, without suffix.
    trial
        The file of the test.
    """
    notebook = nbformat.read(root / "book" / f"{lesson}.ipynb", as_version=4)
    text = "".join(cell.source for cell in notebook.cells)
    whole = hashlib.sha256(code_digest(notebook).encode())
    whole.update(trial.read_bytes())
    for file in _sources(root):
        # A lesson that reads no table does not depend on one.
        if file.suffix == ".csv" and file.stem not in text:
            continue
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
