"""Set-up says what is missing, repairs what was interrupted, and does nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.lessons import ROOT

# Stands in for python: knows its version and modules as told, and its venv holds a pip
# that writes down how it was called.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) exit {too_old} ;;
    *python_version*) echo {version} ;;
    *ensurepip*) exit {no_venv} ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip "*) echo "$*" >>pip.log; exit {pip_fails} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup.sh", tmp_path / "tools")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text(f"# {name}\n", encoding="utf-8")
    fake_python(tmp_path)
    return tmp_path


def fake_python(clone: Path, **facts: object) -> None:
    defaults = {"too_old": 0, "version": "3.12.0", "no_venv": 0, "pip_fails": 0}
    python = clone / "python"
    python.write_text(FAKE_PYTHON.format(**(defaults | facts)), encoding="utf-8")
    python.chmod(0o755)


def set_up(clone: Path, python: str = "./python") -> subprocess.CompletedProcess[str]:
    command = ["sh", "tools/setup.sh", python]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def pip_calls(clone: Path) -> list[str]:
    log = clone / "pip.log"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def test_a_fresh_clone_installs_the_pins_and_the_library(clone: Path) -> None:
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    packages, library = pip_calls(clone)
    assert "-r requirements.txt -c constraints.txt" in packages
    assert "--no-deps" in library
    assert library.endswith("--editable .")
    assert "ready" in run.stderr


def test_the_second_time_nothing_happens(clone: Path) -> None:
    set_up(clone)
    run = set_up(clone)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert len(pip_calls(clone)) == 2


def test_file_times_do_not_matter(clone: Path) -> None:
    set_up(clone)
    os.utime(clone / "requirements.txt")
    set_up(clone)
    assert len(pip_calls(clone)) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt"])
def test_changed_pins_are_installed_into_the_same_venv(clone: Path, name: str) -> None:
    set_up(clone)
    (clone / ".venv" / "kept").touch()
    (clone / name).write_text("# other\n", encoding="utf-8")
    assert set_up(clone).returncode == 0
    assert len(pip_calls(clone)) == 4
    assert (clone / ".venv" / "kept").exists()


def test_an_interrupted_installation_starts_over(clone: Path) -> None:
    fake_python(clone, pip_fails=1)
    failed = set_up(clone)
    assert failed.returncode == 1
    assert "pip failed" in failed.stderr
    (clone / ".venv" / "half-installed").touch()

    fake_python(clone)
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    assert "interrupted" in run.stderr
    assert not (clone / ".venv" / "half-installed").exists()


def test_a_venv_whose_python_is_gone_is_made_again(clone: Path) -> None:
    set_up(clone)
    (clone / ".venv" / "bin" / "python").unlink()
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    assert "does not work" in run.stderr
    assert (clone / ".venv" / "bin" / "python").exists()


def test_a_moved_clone_gets_a_new_venv(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    set_up(clone)
    moved = shutil.copytree(clone, tmp_path_factory.mktemp("elsewhere") / "clone")
    (moved / ".venv" / "old").touch()
    run = set_up(moved)
    assert run.returncode == 0, run.stderr
    assert "moved" in run.stderr
    assert not (moved / ".venv" / "old").exists()


def test_a_venv_made_by_hand_is_kept(clone: Path) -> None:
    subprocess.run(["./python", "-m", "venv", ".venv"], cwd=clone, check=True)
    (clone / ".venv" / "by-hand").touch()
    assert set_up(clone).returncode == 0
    assert (clone / ".venv" / "by-hand").exists()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"too_old": 1, "version": "3.9.2"}, ["3.11 or newer", "3.9.2", "make PYTHON="]),
        ({"no_venv": 1}, ["virtual environments", "apt-get install python3-venv"]),
    ],
)
def test_what_python_lacks_is_said(clone: Path, facts: dict[str, object], words: list[str]) -> None:
    fake_python(clone, **facts)
    run = set_up(clone)
    assert run.returncode == 1
    for word in words:
        assert word in run.stderr
    assert not (clone / ".venv").exists()


def test_a_missing_python_is_said(clone: Path) -> None:
    run = set_up(clone, "no-such-python")
    assert run.returncode == 1
    assert "cannot run 'no-such-python'" in run.stderr


make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, check=False)


@make
def test_make_lists_its_targets(clone: Path) -> None:
    listed = run_make(clone).stdout
    for target in ("book", "test", "test-fast", "execute", "serve", "bench", "clean"):
        assert f"  {target} " in listed


@make
def test_an_old_make_is_refused(clone: Path) -> None:
    run = run_make(clone, "MAKE_VERSION=3.79", "help")
    assert run.returncode == 2
    assert "3.81 or newer is needed, this is 3.79" in run.stderr
    assert run_make(clone, "MAKE_VERSION=3.81", "help").returncode == 0


@make
def test_make_stops_when_set_up_fails(clone: Path) -> None:
    fake_python(clone, too_old=1)
    run = run_make(clone, "book", "PYTHON=./python")
    assert run.returncode == 2
    assert "3.11 or newer" in run.stderr


@make
def test_clean_keeps_the_venv(clone: Path) -> None:
    for folder in ("_build/html", ".venv/lib/__pycache__", "tools/__pycache__"):
        (clone / folder).mkdir(parents=True)
    assert run_make(clone, "clean").returncode == 0
    assert not (clone / "_build").exists()
    assert not (clone / "tools" / "__pycache__").exists()
    assert (clone / ".venv" / "lib" / "__pycache__").exists()
