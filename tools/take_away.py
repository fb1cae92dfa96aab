"""The whole course in one zip, which the site carries: ``course.zip``.

It holds what a clone holds, without the history, and the student versions of the lessons beside
it. ``make book`` and ``make test`` work on what it unpacks to.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from tools.labs import lab_files
from tools.lessons import ROOT, write_atomically

FOLDER = "course"  # what it unpacks to
STUDENT = "student_versions"
FILES = (
    ".gitattributes",
    ".gitignore",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "_config.yml",
    "_toc.yml",
    "constraints.txt",
    "pyproject.toml",
    "requirements.txt",
)
FOLDERS = (
    ".ci",
    ".devcontainer",
    ".github",
    "badsad_lib",
    "benchmarks",
    "book",
    "data",
    "tests",
    "tools",
)
# What running leaves behind, and originals that somebody has downloaded into data/.
LEFT_OUT = (
    "__pycache__",
    ".*_cache",
    ".ipynb_checkpoints",
    ".download-*",
    "FashionMNIST",
    "MNIST",
    "cifar-10-*",
    "*.pyc",
    "*.partial",
    "*.new",
    "*.lock",
)


def files(root: Path = ROOT) -> Iterator[Path]:
    """Yield what belongs to the course, as paths from ``root``, sorted."""
    yield from (Path(name) for name in FILES if (root / name).is_file())
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            path = file.relative_to(root)
            left_out = any(fnmatch(part, out) for part in path.parts for out in LEFT_OUT)
            if file.is_file() and not left_out:
                yield path


def write(path: Path, root: Path = ROOT) -> None:
    """Write the zip. The same course gives the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:

        def put(name: str, data: bytes, mode: int = 0o644) -> None:
            entry = zipfile.ZipInfo(f"{FOLDER}/{name}")  # its date is fixed
            entry.external_attr = mode << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)

        for file in files(root):
            mode = 0o755 if os.access(root / file, os.X_OK) else 0o644
            put(file.as_posix(), (root / file).read_bytes(), mode)
        for name, data in sorted(lab_files(root).items()):
            put(f"{STUDENT}/{name}", data)
    write_atomically(path, packed.getvalue())
