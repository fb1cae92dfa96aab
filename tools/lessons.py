"""Where the pages are, which of them are lessons, and how long each took."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
TIMINGS = ROOT / "book" / "_timings.json"
TIME_SPAN = re.compile(r"(<!-- time -->)(.*?)(<!-- /time -->)", re.DOTALL)


def toc_pages(toc: Path = ROOT / "_toc.yml") -> list[str]:
    """Return the pages of the table of contents in reading order, without suffix."""

    def walk(node: Any) -> list[str]:
        if isinstance(node, list):
            return [page for item in node for page in walk(item)]
        if not isinstance(node, dict):
            return []
        own = [node[key] for key in ("root", "file") if key in node]
        children = [node.get(key) for key in ("parts", "chapters", "sections")]
        return own + [page for child in children for page in walk(child)]

    return walk(yaml.safe_load(toc.read_text(encoding="utf-8")))


def page_file(page: str, root: Path = ROOT) -> Path | None:
    """Return the source of a page, or None where there is none."""
    for suffix in (".ipynb", ".md"):
        if (root / (page + suffix)).is_file():
            return root / (page + suffix)
    return None


def lessons(root: Path = ROOT) -> list[Path]:
    """Return the lessons: the notebooks of the table of contents, in reading order."""
    files = [page_file(page, root) for page in toc_pages(root / "_toc.yml")]
    return [file for file in files if file is not None and file.suffix == ".ipynb"]


def code_digest(notebook: NotebookNode) -> str:
    """Return a short hash of all code that is run, which tells whether outputs belong to it."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    run = [c.source for c in cells if "skip-execution" not in c.metadata.get("tags", [])]
    code = json.dumps(run)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def read_timings(path: Path = TIMINGS) -> dict[str, dict[str, Any]]:
    """Return the record of the last executions, by lesson name; empty where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measured_time(record: dict[str, Any]) -> str:
    """Say how long a lesson took, rounded up to five seconds.

    >>> measured_time({"seconds": 41.3, "cores": 2})
    'about 45 seconds on 2 CPU cores'
    """
    seconds = max(5, 5 * math.ceil(record["seconds"] / 5))
    cores = record["cores"]
    return f"about {seconds} seconds on {cores} CPU core{'s' if cores > 1 else ''}"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all, and its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    temporary.replace(path)
