"""Trials of a lesson are skipped only where nothing that they depend on has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tools import verified
from tools.lessons import ROOT

LESSON = "6_evaluation"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a digest looks at, without the bulk of it."""
    for name in ("badsad_lib", "book", "benchmarks/results", "data/detectors"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "figures")
        )
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    (tmp_path / "trial.py").write_text("def test():\n    from tests import helper\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "helper.py").write_text("import badsad_lib.attacks.losses\n")
    return tmp_path


def digest_of(clone: Path) -> str:
    return verified.digest(LESSON, clone / "trial.py", clone)


def append(file: Path, text: str = "\n") -> None:
    file.write_bytes(file.read_bytes() + text.encode())


@pytest.mark.parametrize(
    "name",
    [
        "badsad_lib/deepsad.py",
        "badsad_lib/attacks/losses.py",
        "tests/helper.py",
        "data/detectors/basic.safetensors",
        "benchmarks/results/attack_main.csv",
        "constraints.txt",
        "trial.py",
    ],
)
def test_a_change_that_matters_changes_the_digest(clone: Path, name: str) -> None:
    before = digest_of(clone)
    assert digest_of(clone) == before
    append(clone / name)
    assert digest_of(clone) != before


def test_a_changed_cell_changes_the_digest(clone: Path) -> None:
    before = digest_of(clone)
    file = clone / "book" / f"{LESSON}.ipynb"
    notebook = json.loads(file.read_text())
    cell = next(c for c in notebook["cells"] if c["cell_type"] == "code")
    cell["source"] = [*cell["source"], "\n1 + 1"]
    file.write_text(json.dumps(notebook))
    assert digest_of(clone) != before


@pytest.mark.parametrize(
    "name",
    [
        "badsad_lib/_commands/attack.py",
        "badsad_lib/grids/latents.py",
        "benchmarks/results/speed.csv",
    ],
)
def test_a_change_that_no_lesson_sees_does_not(clone: Path, name: str) -> None:
    before = digest_of(clone)
    append(clone / name)
    assert digest_of(clone) == before


def test_a_row_depends_on_its_own_table_only(clone: Path) -> None:
    def value() -> str:
        return verified.digest("attack_main", clone / "trial.py", clone)

    before = value()
    append(clone / "benchmarks/results/attack_hard.csv")
    append(clone / f"book/{LESSON}.ipynb")
    assert value() == before
    append(clone / "benchmarks/results/attack_main.csv")
    assert value() != before


def test_a_page_may_be_what_a_trial_is_about(clone: Path) -> None:
    (clone / "README.md").write_text("$ python\n")

    def value() -> str:
        return verified.digest("README.md", clone / "trial.py", clone)

    before = value()
    append(clone / "README.md")
    assert value() != before


def test_an_import_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1 imports relative"):
        verified.imported(["from .deepsad import DeepSAD"])


def test_what_is_recorded_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "verified.json"
    assert verified.recorded(path) == {}
    verified.record("test_one", "abc", path)
    verified.record("test_two", "def", path)
    assert verified.recorded(path) == {"test_one": "abc", "test_two": "def"}


def test_no_record_outlives_its_test() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    for name in verified.recorded():
        assert f"def {name.partition('[')[0]}(" in text
