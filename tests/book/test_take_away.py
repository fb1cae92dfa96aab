"""The zip of the course: all of it, and nothing that only this machine has."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from tools import take_away
from tools.lessons import ROOT, lessons, page_file, toc_pages


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("packed") / "course.zip"
    take_away.write(file)
    return file


def test_it_holds_what_a_clone_holds():
    try:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone: the zip itself has no history")
    clone = {name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()}
    assert {path.as_posix() for path in take_away.files()} == clone


def test_it_unpacks_to_the_course_and_the_student_versions(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    root = tmp_path / take_away.FOLDER
    for path in take_away.files():
        assert (root / path).read_bytes() == (ROOT / path).read_bytes(), path
    for page in toc_pages(root / "_toc.yml"):
        assert page_file(page, root), page
    students = {path.name for path in (root / take_away.STUDENT).glob("*.ipynb")}
    assert students == {lesson.name for lesson in lessons(root)} != set()
    # What it makes of itself is the same again: the student versions are no part of the course.
    assert list(take_away.files(root)) == list(take_away.files())


def test_the_same_course_gives_the_same_bytes(packed, tmp_path):
    take_away.write(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_what_lies_about_is_left_out(tmp_path):
    for name in ("data/a.npz", "data/MNIST/raw", "book/.ipynb_checkpoints/a", "tools/a.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.as_posix() for path in take_away.files(tmp_path)] == ["data/a.npz"]
