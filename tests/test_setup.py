"""Set-up says what is missing, mends in place, deletes nothing, does nothing twice or at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import mend_venv, pins
from tools.lessons import ROOT

# Stands in for python. Answers -c as the real one would where the facts are other ones; its venv
# holds a copy of it; its pip writes down how it was called, and for whom.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
    "-c import venv, ensurepip") exit {no_venv} ;;
    "-c "*) exec "{real}" -c "{facts}
$2" ;;
    "-m venv") for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
    "-m ensurepip") exit {no_ensurepip} ;;
    "-m pip")
        [ "$3" != --version ] || exit {no_pip}
        echo "$*" >>pip.log
        echo "$HOME" >home.log
        {while_pip_works}
        exit {pip_fails} ;;
    "tools/mend_venv.py "*) echo "$*" >>mend.log ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "clone"
    (clone / "tools").mkdir(parents=True)
    for name in ("setup.sh", "mend_venv.py"):
        shutil.copy(ROOT / "tools" / name, clone / "tools")
    shutil.copy(ROOT / "Makefile", clone)
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (clone / name).write_text(f"# {name}\n", encoding="utf-8")
    fake_python(clone)
    return clone


def fake_python(clone: Path, facts: str = "", **others: object) -> None:
    defaults = {"no_venv": 0, "no_pip": 0, "no_ensurepip": 0, "pip_fails": 0, "while_pip_works": ""}
    python = clone / "python"
    text = FAKE_PYTHON.format(real=sys.executable, facts=facts, **(defaults | others))
    python.unlink(missing_ok=True)
    python.write_text(text, encoding="utf-8")
    python.chmod(0o755)
    if (clone / ".venv" / "bin").exists():
        shutil.copy(python, clone / ".venv" / "bin" / "python")


def set_up(clone: Path, python: str = "./python", **env: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "tools/setup.sh", python]
    return subprocess.run(
        command, cwd=clone, env=os.environ | env, capture_output=True, text=True, check=False
    )


def start_set_up(clone: Path) -> subprocess.Popen[str]:
    command = ["sh", "tools/setup.sh", "./python"]
    return subprocess.Popen(
        command, cwd=clone, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def written(clone: Path, name: str) -> list[str]:
    log = clone / name
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def wait_until(true: Callable[[], object]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("waited a minute in vain")


def test_a_fresh_clone_installs_the_pins_and_the_library(clone: Path) -> None:
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    packages, library = written(clone, "pip.log")
    assert "-r requirements.txt -c constraints.txt" in packages
    assert "--no-deps" in library
    assert library.endswith("--editable .")
    assert "ready" in run.stderr


def test_the_second_time_nothing_happens(clone: Path) -> None:
    set_up(clone)
    run = set_up(clone)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert len(written(clone, "pip.log")) == 2


def test_file_times_do_not_matter(clone: Path) -> None:
    set_up(clone)
    os.utime(clone / "requirements.txt")
    set_up(clone)
    assert len(written(clone, "pip.log")) == 2


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt"])
def test_changed_pins_are_installed_into_the_same_venv(clone: Path, name: str) -> None:
    set_up(clone)
    (clone / ".venv" / "kept").touch()
    (clone / name).write_text("# other\n", encoding="utf-8")
    assert set_up(clone).returncode == 0
    assert len(written(clone, "pip.log")) == 4
    assert (clone / ".venv" / "kept").exists()


# Never deletes an environment


def test_a_venv_made_by_hand_outlives_a_pip_that_fails(clone: Path) -> None:
    subprocess.run(["./python", "-m", "venv", ".venv"], cwd=clone, check=True)
    (clone / ".venv" / "my-cpu-build-of-torch").touch()
    fake_python(clone, pip_fails=1)
    failed = set_up(clone)
    assert failed.returncode == 1
    assert "not installed, see above" in failed.stderr
    assert not written(clone, "mend.log")

    fake_python(clone)
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    assert "going on from there" in run.stderr
    assert written(clone, "mend.log") == ["tools/mend_venv.py forget-half-installed"]
    assert (clone / ".venv" / "my-cpu-build-of-torch").exists()
    assert set_up(clone).stderr == ""


def test_a_venv_whose_python_is_gone_is_mended_in_place(clone: Path) -> None:
    set_up(clone)
    (clone / ".venv" / "mine").touch()
    python = clone / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    run = set_up(clone)
    assert run.returncode == 0, run.stderr
    assert "mending it in place" in run.stderr
    assert (clone / ".venv" / "mine").exists()
    assert not python.is_symlink()
    assert len(written(clone, "pip.log")) == 4


def test_a_moved_clone_keeps_its_venv(clone: Path) -> None:
    set_up(clone)
    moved = clone.rename(clone.with_name("moved"))
    (moved / ".venv" / "mine").touch()
    run = set_up(moved)
    assert run.returncode == 0, run.stderr
    assert "moved" in run.stderr
    places = f"{clone}/.venv {moved}/.venv"
    assert written(moved, "mend.log") == [f"tools/mend_venv.py renew-paths {places}"]
    assert (moved / ".venv" / "mine").exists()
    assert set_up(moved).stderr == ""


def test_nothing_in_set_up_deletes_a_folder() -> None:
    text = (ROOT / "tools" / "setup.sh").read_text(encoding="utf-8")
    assert "rm -f " in text
    assert not [line for line in text.splitlines() if "rm -r" in line or "--clear" in line]


# Two at once


def test_a_second_set_up_waits_for_the_first_and_says_so(clone: Path) -> None:
    fake_python(clone, while_pip_works="until [ -e go ]; do sleep 0.1; done")
    first = start_set_up(clone)
    wait_until(lambda: written(clone, "pip.log"))
    second = start_set_up(clone)
    assert second.stderr is not None
    assert "Another set-up is at work here: waiting" in second.stderr.readline()
    assert second.poll() is None
    (clone / "go").touch()
    assert first.wait(60) == 0
    assert second.wait(60) == 0
    assert len(written(clone, "pip.log")) == 2


@pytest.mark.parametrize("alone", [True, False])
def test_a_killed_set_up_blocks_nobody_for_longer_than_its_pip_lives(
    clone: Path, alone: bool
) -> None:
    fake_python(clone, while_pip_works="until [ -e go ]; do sleep 0.1; done")
    first = start_set_up(clone)
    wait_until(lambda: written(clone, "pip.log"))
    if alone:
        first.kill()
    else:
        os.killpg(first.pid, signal.SIGKILL)
        fake_python(clone)
    first.wait(60)
    second = start_set_up(clone)
    assert second.stderr is not None
    if alone:  # its pip still installs
        assert "waiting" in second.stderr.readline()
        (clone / "go").touch()
    said = second.stderr.read()
    assert second.wait(60) == 0
    assert "waiting" not in said
    assert "going on from there" in said


# Environments without pip, and Pythons that do not do


def test_a_venv_without_pip_is_given_one_or_served_by_uv(clone: Path) -> None:
    subprocess.run(["./python", "-m", "venv", ".venv"], cwd=clone, check=True)
    fake_python(clone, no_pip=1, no_ensurepip=1)
    tools = clone.with_name("tools")
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "dirname", "grep", "mkdir", "mv", "rm", "sed"):
        (tools / name).symlink_to(str(shutil.which(name)))
    lacking = set_up(clone, PATH=str(tools))
    assert lacking.returncode == 1
    assert "no pip" in lacking.stderr
    assert "python3-venv" in lacking.stderr

    (tools / "uv").write_text('#!/bin/sh\necho "$*" >>uv.log\n', encoding="utf-8")
    (tools / "uv").chmod(0o755)
    run = set_up(clone, PATH=str(tools))
    assert run.returncode == 0, run.stderr
    packages, library = written(clone, "uv.log")
    assert packages.startswith("pip install --python .venv/bin/python -r requirements.txt")
    assert library.endswith("--editable .")
    assert set_up(clone, PATH=str(tools)).stderr == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("import platform; platform.python_version = lambda: '3.9.2'", ["this is 3.9.2"]),
        ("import sys; sys.version_info = (3, 15, 0)", ["3.11 to 3.14"]),
        (
            "import sys, platform; sys.platform = 'darwin'; platform.machine = lambda: 'x86_64'",
            ["Intel Macs", "Apple silicon"],
        ),
        ("import sys; sys.platform = 'cygwin'", ["On Windows use WSL"]),
        ("import platform; platform.machine = lambda: 'armv7l'", ["armv7l"]),
    ],
)
@pytest.mark.parametrize("made", [False, True])
def test_a_python_that_does_not_do_is_named_with_the_reason(
    clone: Path, facts: str, words: list[str], made: bool
) -> None:
    if "3.9.2" in facts:
        facts += "; import sys; sys.version_info = (3, 9, 2)"
    if made:
        subprocess.run(["./python", "-m", "venv", ".venv"], cwd=clone, check=True)
    fake_python(clone, facts)
    run = set_up(clone)
    assert run.returncode == 1
    for word in [*words, "mv .venv .venv.old" if made else "make PYTHON="]:
        assert word in run.stderr
    assert (clone / ".venv").exists() == made
    assert not written(clone, "pip.log")


def test_every_promised_python_does(clone: Path) -> None:
    for python in pins.PYTHONS:
        version = tuple(map(int, python.split(".")))
        fake_python(clone, f"import sys; sys.version_info = {version}")
        (clone / "requirements.txt").write_text(f"# for {python}\n", encoding="utf-8")
        run = set_up(clone)
        assert run.returncode == 0, run.stderr


def test_a_python_without_venv_is_told_which_package_has_it(clone: Path) -> None:
    fake_python(clone, no_venv=1)
    run = set_up(clone)
    assert run.returncode == 1
    assert "apt-get install python3-venv" in run.stderr
    assert not (clone / ".venv").exists()


def test_a_missing_python_is_said(clone: Path) -> None:
    run = set_up(clone, "no-such-python")
    assert run.returncode == 1
    assert "cannot run 'no-such-python'" in run.stderr


def test_a_clone_of_somebody_else_is_said(clone: Path) -> None:
    (clone / ".venv.lock").mkdir()  # cannot be written by root either, who writes everywhere else
    run = set_up(clone)
    assert run.returncode == 1
    assert "a place of your own" in run.stderr


# The real thing: real environments, real pip, packages from a folder

BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "course-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        info = "course-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: course\\nVersion: 1.0\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def real(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (clone / "backend.py").write_text(BACKEND, encoding="utf-8")
    (clone / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (clone / "requirements.txt").write_text("tiny==1.0\npackaging==1.0\n", encoding="utf-8")
    folder = clone.with_name("packages")
    folder.mkdir()
    for name in ("tiny", "packaging"):
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            info = f"{name}-1.0.dist-info"
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/tool.py", "def main(): print('the tool works')\n")
            wheel.writestr(f"{info}/METADATA", text)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            script = f"[console_scripts]\n{name}-tool = {name}.tool:main\n"
            wheel.writestr(f"{info}/entry_points.txt", script)
            wheel.writestr(f"{info}/RECORD", f"{name}/tool.py,sha256=unchecked,1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return clone


def tool(clone: Path) -> str:
    return subprocess.run(
        [clone / ".venv" / "bin" / "tiny-tool"], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_an_environment_made_by_uv_is_used(real: Path) -> None:
    uv = [sys.executable, "-m", "uv", "venv", "--offline", "--no-config", "--quiet"]
    subprocess.run([*uv, "--python", sys.executable, ".venv"], cwd=real, check=True)
    (real / ".venv" / "mine").touch()
    run = set_up(real, sys.executable)
    assert run.returncode == 0, run.stderr
    assert tool(real) == "the tool works\n"
    assert (real / ".venv" / "mine").exists()
    assert set_up(real, sys.executable).stderr == ""


@pytest.mark.slow
def test_set_up_from_nothing_then_broken_in_every_way(real: Path) -> None:
    python = sys._base_executable  # type: ignore[attr-defined]
    assert set_up(real, python).returncode == 0
    assert tool(real) == "the tool works\n"
    [site] = (real / ".venv" / "lib").glob("python3*/site-packages")

    # Interrupted: one package without the rest of its files, one without its list of files.
    (site / "tiny" / "tool.py").unlink()
    (site / "packaging-1.0.dist-info" / "RECORD").unlink()
    (real / ".venv" / ".unfinished").touch()
    run = set_up(real, python)
    assert run.returncode == 0, run.stderr
    assert "once more: packaging-1.0" in run.stderr
    assert "once more: tiny-1.0" in run.stderr
    assert tool(real) == "the tool works\n"
    assert mend_venv.half_installed(site) == []

    # Moved, to a place that the old one is a tail of.
    moved = real.parent / real.parent.relative_to("/") / "clone"
    moved.parent.mkdir(parents=True)
    real.rename(moved)
    run = set_up(moved, python)
    assert run.returncode == 0, run.stderr
    assert tool(moved) == "the tool works\n"

    # Its Python gone, as after an upgrade of the system.
    for link in (moved / ".venv" / "bin").glob("python*"):
        link.unlink()
        link.symlink_to("/no/such/python")
    run = set_up(moved, python)
    assert run.returncode == 0, run.stderr
    assert tool(moved) == "the tool works\n"


# What make adds

make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def run_make(clone: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["make", *arguments]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    env = {key: value for key, value in (kept | env).items() if value}
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
    fake_python(clone, "import sys; sys.version_info = (3, 9, 2)")
    run = run_make(clone, "book", "PYTHON=./python")
    assert run.returncode == 2
    assert "3.11 to 3.14" in run.stderr


@make
@pytest.mark.parametrize("home", ["", "/no/such/home"])
def test_who_has_no_home_to_write_into_gets_one(clone: Path, home: str) -> None:
    run = run_make(clone, "setup", "PYTHON=./python", HOME=home)
    assert run.returncode == 0, run.stderr
    assert written(clone, "home.log") == [f"{clone}/_build/home"]
    assert (clone / "_build" / "home").is_dir()


@make
def test_a_home_that_can_be_written_stays(clone: Path) -> None:
    home = clone.with_name("home")
    home.mkdir()
    assert run_make(clone, "setup", "PYTHON=./python", HOME=str(home)).returncode == 0
    assert written(clone, "home.log") == [str(home)]


@make
def test_clean_keeps_the_venv(clone: Path) -> None:
    for folder in ("_build/html", ".venv/lib/__pycache__", "tools/__pycache__"):
        (clone / folder).mkdir(parents=True)
    assert run_make(clone, "clean").returncode == 0
    assert not (clone / "_build").exists()
    assert not (clone / "tools" / "__pycache__").exists()
    assert (clone / ".venv" / "lib" / "__pycache__").exists()


def test_a_clone_made_by_git_for_windows_has_line_ends_of_unix(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    shutil.copytree(ROOT / "tools", origin / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitattributes", "Makefile", "requirements.txt", "data/SHA256SUMS"):
        (origin / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, origin / name)
    picture = b"\x89PNG\r\n\x1a\n\r\n"
    (origin / "picture.png").write_bytes(picture)

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=true"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "origin")
    git("-C", "origin", "add", ".")
    git("-C", "origin", "commit", "-m", "all")
    git("clone", "origin", "clone")
    files = [file for file in clone.rglob("*") if file.is_file() and ".git" not in file.parts]
    assert clone / "tools" / "setup.sh" in files
    returns = [file for file in files if b"\r" in file.read_bytes()]
    assert returns == [clone / "picture.png"]
    assert (clone / "picture.png").read_bytes() == picture
    subprocess.run(["sh", "-n", "tools/setup.sh"], cwd=clone, check=True)
