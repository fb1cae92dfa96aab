"""Fold the cells that a reader need not read: checks, and code that only draws or prints.

``python -m tools.fold NOTEBOOK ...`` tags every cell that prints a claim, and every cell that
only draws a figure or a table, and names what is behind the fold. A cell that the author has
tagged ``hide-input`` gets its name, too. Outputs are left alone.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.lessons import write_atomically

CLAIM_LINE = re.compile(r"^.*\S (>=|<=) .*\S: holds$", re.MULTILINE)
FOLDED = "hide-input"
OUT_OF_SIGHT = {FOLDED, "hide-cell", "remove-input", "remove-cell", "solution"}
BEHIND = ("the check", "the code of this figure", "the code of this table")


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def is_open(cell: NotebookNode) -> bool:
    """Say whether a cell is code that the page shows at once."""
    return cell.cell_type == "code" and not OUT_OF_SIGHT & set(tags(cell))


def stored_text(cell: NotebookNode) -> str:
    """Return all that a code cell printed or displayed as plain text."""
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", ""))
        parts.append(output.get("data", {}).get("text/plain", ""))
        parts.append("\n".join(output.get("traceback", [])))
    return "\n".join("".join(part) for part in parts)


def claims(cell: NotebookNode) -> bool:
    """Say whether a code cell prints a claim."""
    return CLAIM_LINE.search(stored_text(cell)) is not None


def only_shows(cell: NotebookNode) -> bool:
    """Say whether all that a code cell does is to import, and to draw a figure or a table."""
    try:
        body = ast.parse(cell.source).body
    except SyntaxError:  # a line for the shell
        return False
    rest = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return bool(rest) and all(isinstance(node, ast.Expr) and _shows(node.value) for node in rest)


def _shows(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    return name == "table" or name.startswith("plots.")


def what_is_behind(cell: NotebookNode) -> str:
    """Say what the prompt of a folded cell promises."""
    if claims(cell):
        return BEHIND[0]
    kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
    drawn = any(kind.startswith("image/") for kind in kinds) or "plots." in cell.source
    return BEHIND[1] if drawn else BEHIND[2]


def fold(notebook: NotebookNode) -> int:
    """Fold what can be told from the cell, name what is folded; return how many cells are."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if is_open(cell) and "exercise" not in tags(cell) and (claims(cell) or only_shows(cell)):
            cell.metadata["tags"] = [*tags(cell), FOLDED]
        if FOLDED in tags(cell):
            count += 1
            what = what_is_behind(cell)
            shown = cell.metadata.setdefault("mystnb", {})
            shown["code_prompt_show"] = f"Show {what}"
            shown["code_prompt_hide"] = f"Hide {what}"
    return count


def main(names: list[str]) -> int:
    """Fold the cells of the notebooks named; return the exit status."""
    for name in names:
        path = Path(name)
        notebook = nbformat.read(path, as_version=4)
        count = fold(notebook)
        write_atomically(path, nbformat.writes(notebook) + "\n")
        print(f"{path.stem}: {count} cells are folded")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
