"""Stubs and solutions as they stand in the lessons, so that they cannot drift from the tests."""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

WIDTH = 80
BOOK = Path(__file__).resolve().parents[3] / "book"
Checker = Callable[[Any], bool]


def functions_of(source: str) -> dict[str, Callable[..., Any]]:
    """Define the functions of a cell, without running anything else in it."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    defined: dict[str, Any] = {"np": np, "torch": torch}
    exec(compile(tree, "<cell>", "exec"), defined)  # a cell of our own book
    return {node.name: defined[node.name] for node in tree.body}  # type: ignore[attr-defined]


@pytest.fixture
def functions_in() -> Callable[[str, str], dict[str, Callable[..., Any]]]:
    """Return the functions of all code cells of a lesson that carry a tag."""

    def functions_in(lesson: str, tag: str) -> dict[str, Callable[..., Any]]:
        notebook = nbformat.read(BOOK / f"{lesson}.ipynb", as_version=4)
        return {
            name: function
            for cell in notebook.cells
            if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
            for name, function in functions_of(cell.source).items()
        }

    return functions_in


@pytest.fixture
def run() -> Callable[[Checker, Any], tuple[bool, str]]:
    """Run a checker; return its verdict and what it printed, as one line."""

    def run(check: Checker, answer: Any) -> tuple[bool, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            verdict = check(answer)
        assert isinstance(verdict, bool)
        printed = out.getvalue()
        assert max(map(len, printed.splitlines())) <= WIDTH, "too long a line for a page"
        return verdict, " ".join(printed.split())

    return run
