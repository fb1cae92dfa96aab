"""Lessons on services that run notebooks, from one configured repository address.

The address stands in ``_config.yml`` under ``repository``: ``url`` (of GitHub, or empty) and
``branch``. While it is empty there are no links and no cell. Once it is set,
``python -m tools.colab`` gives each lesson a first cell, which on Colab installs the course if
``badsad_lib`` cannot be imported; a test says so when that was forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode, v4

from tools.lessons import ROOT, lessons, write_atomically

GITHUB = re.compile(r"https://github\.com/(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?")
ID = "install-the-course"
INSTALL = """\
try:
    import badsad_lib
except ModuleNotFoundError:
    !git clone -q --depth 1 --branch {branch} {address} course
    %pip install -q safetensors filelock mlxtend umap-learn myst-nb
    %cd -q course/book
    import sys

    sys.path.insert(0, "..")
"""
TAGS = ["nbval-skip", "remove-cell", "skip-execution"]


def repository(root: Path = ROOT) -> tuple[str, str] | None:
    """Return owner and name of the configured repository, and the branch; None without one.

    Raises
    ------
    ValueError
        The address is not of the form https://github.com/OWNER/NAME.
    """
    config: dict[str, Any] = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    about = config.get("repository") or {}
    if not about.get("url"):
        return None
    match = GITHUB.fullmatch(about["url"])
    if match is None:
        raise ValueError(
            f"_config.yml: repository url must be https://github.com/OWNER/NAME, or empty, "
            f"got {about['url']!r}"
        )
    return match["name"], about.get("branch") or "main"


def launch_links(page: str, root: Path = ROOT) -> dict[str, str]:
    """Return where ``page`` (``book/NAME.ipynb``) can be run or edited, by name of the service."""
    found = repository(root)
    if found is None:
        return {}
    name, branch = found
    return {
        "Colab": f"https://colab.research.google.com/github/{name}/blob/{branch}/{page}",
        "Binder": f"https://mybinder.org/v2/gh/{name}/{branch}?labpath={page}",
        "edit on GitHub": f"https://github.com/{name}/edit/{branch}/{page}",
    }


def with_install_cell(notebook: NotebookNode, root: Path = ROOT) -> NotebookNode:
    """Return the notebook with the first cell that the configuration asks for, or with none."""
    cells = [cell for cell in notebook.cells if cell.get("id") != ID]
    found = repository(root)
    if found is not None:
        name, branch = found
        source = INSTALL.format(address=f"https://github.com/{name}", branch=branch).rstrip()
        cell = v4.new_code_cell(source, id=ID, metadata={"tags": TAGS})
        # The title stays first: it is the page's.
        cells.insert(1, cell)
    return NotebookNode({**notebook, "cells": cells})


def main(root: Path = ROOT) -> None:
    """Give every lesson the cell that the configuration asks for, or take it away."""
    for lesson in lessons(root):
        notebook = nbformat.read(lesson, as_version=4)
        changed = with_install_cell(notebook, root)
        if changed.cells != notebook.cells:
            write_atomically(lesson, nbformat.writes(changed) + "\n")
            print(lesson.name)


if __name__ == "__main__":
    main()
