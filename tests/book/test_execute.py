"""`make execute` stores outputs and seconds, or leaves a lesson as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import v4

from tools.execute import execute
from tools.lessons import ROOT, code_digest, measured_time, read_timings

pytestmark = pytest.mark.slow


def notebook_at(path: Path, *sources: str, **tags: list[str]) -> Path:
    cells = [v4.new_markdown_cell("# T\n\nTime: <!-- time --><!-- /time -->, all told.")]
    cells += [v4.new_code_cell(source) for source in sources]
    for index, names in tags.items():
        cells[int(index.removeprefix("cell"))].metadata.tags = names
    nbformat.write(v4.new_notebook(cells=cells), path)
    return path


def test_outputs_time_and_record_are_stored(tmp_path: Path) -> None:
    path = notebook_at(tmp_path / "a.ipynb", "print(6 * 7)", "import sys; print(sys.prefix)")
    record = execute(path, tmp_path / "t.json", cores=2)

    stored = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2]
    assert stored.cells[1].outputs[0].text == "42\n"
    assert stored.cells[2].outputs[0].text.strip() == sys.prefix
    marked = f"<!-- time -->{measured_time(record)}<!-- /time -->"
    assert stored.cells[0].source == f"# T\n\nTime: {marked}, all told."
    assert stored.metadata.kernelspec.name == "python3"
    assert read_timings(tmp_path / "t.json") == {"a": record}
    assert record["code"] == code_digest(stored)
    assert record["seconds"] > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ipynb", "t.json"]


def test_records_of_other_lessons_stay(tmp_path: Path) -> None:
    timings = tmp_path / "t.json"
    timings.write_text(json.dumps({"b": {"seconds": 3.0}}), encoding="utf-8")
    execute(notebook_at(tmp_path / "a.ipynb", "1"), timings)
    assert read_timings(timings)["b"] == {"seconds": 3.0}
    assert set(read_timings(timings)) == {"a", "b"}


def test_a_failing_lesson_stays_as_it_was(tmp_path: Path) -> None:
    path = notebook_at(tmp_path / "a.ipynb", "print('fine')", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError):
        execute(path, tmp_path / "t.json")
    assert path.read_bytes() == before
    assert not (tmp_path / "t.json").exists()


def test_an_expected_error_is_stored_without_its_traceback(tmp_path: Path) -> None:
    path = notebook_at(
        tmp_path / "a.ipynb",
        "from badsad_lib.course.claims import claim\nclaim('x', 0.5, at_least=1)",
        cell1=["raises-exception"],
    )
    execute(path, tmp_path / "t.json")
    (output,) = nbformat.read(path, as_version=4).cells[1].outputs
    assert output.traceback == ["ClaimError: x is 0.5, claimed was: x >= 1"]


def test_the_kernel_is_this_environments_whatever_is_installed(tmp_path: Path) -> None:
    """A python3 kernel in the user's home or on JUPYTER_PATH must not be taken."""
    spec = {"argv": ["false"], "display_name": "Python 3", "language": "python"}
    for base in (tmp_path / "home/.local/share/jupyter", tmp_path / "other"):
        (base / "kernels/python3").mkdir(parents=True)
        (base / "kernels/python3/kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    path = notebook_at(tmp_path / "a.ipynb", "import sys\nprint(sys.prefix)", "import badsad_lib")
    env = os.environ | {"HOME": str(tmp_path / "home"), "JUPYTER_PATH": str(tmp_path / "other")}

    nbval = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax"]
    nbval += ["--nbval-current-env", str(path)]
    run = subprocess.run(nbval, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout

    program = (
        "import sys; from pathlib import Path; from tools.execute import *; "
        "use_this_environment(); execute(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "t.json")]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert nbformat.read(path, as_version=4).cells[1].outputs[0].text.strip() == sys.prefix
