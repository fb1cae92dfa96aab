"""The re-execution of lessons bites: real runs of nbval on a tiny notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

pytestmark = pytest.mark.slow


def lesson(path: Path, source: str, stored: str) -> Path:
    """Write a notebook with one compared cell, which printed ``stored`` when it last ran."""
    cell = v4.new_code_cell(
        source,
        execution_count=1,
        outputs=[v4.new_output("stream", name="stdout", text=stored)],
        metadata={"tags": ["nbval-check-output"]},
    )
    nbformat.write(v4.new_notebook(cells=[cell]), path)
    return path


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax"]
    command += ["--nbval-current-env", "--nbval-cell-timeout=60", str(path)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


CLAIM = "from badsad_lib.course.claims import claim\nclaim('AUROC', {value}, at_least=0.95)"


@pytest.mark.parametrize("value", [0.96, 0.97])
def test_an_unchanged_claim_passes_whatever_the_last_digits(tmp_path: Path, value: float) -> None:
    run = nbval(lesson(tmp_path / "a.ipynb", CLAIM.format(value=value), "AUROC >= 0.95: holds\n"))
    assert run.returncode == 0, run.stdout


def test_a_claim_that_no_longer_holds_fails(tmp_path: Path) -> None:
    run = nbval(lesson(tmp_path / "a.ipynb", CLAIM.format(value=0.94), "AUROC >= 0.95: holds\n"))
    assert run.returncode == 1
    assert "ClaimError" in run.stdout


@pytest.mark.parametrize("stored", ["AUROC >= 0.97: holds\n", "AUROC >= 0.95: holds\nmore\n"])
def test_a_changed_number_or_line_fails(tmp_path: Path, stored: str) -> None:
    run = nbval(lesson(tmp_path / "a.ipynb", CLAIM.format(value=0.99), stored))
    assert run.returncode == 1
    assert "mismatch" in run.stdout
