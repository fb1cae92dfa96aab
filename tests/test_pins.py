"""Every pin installs on every Python and platform that the README promises."""

from __future__ import annotations

import importlib.metadata
import subprocess
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools import pins
from tools.lessons import ROOT


def test_requirements_agree_with_the_constraints() -> None:
    required, tested = pins.pins("requirements.txt"), pins.pins("constraints.txt")
    assert required.items() <= tested.items()


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt"])
def test_every_line_pins_one_version_for_any_hardware(name: str) -> None:
    for package, version in pins.pins(name).items():
        assert version, package
        assert not set(version) & set("<>=!~*,+"), (package, version)


def test_what_is_installed_admits_every_promised_python() -> None:
    """Offline, from the metadata; that all of it resolves elsewhere is for `make pins`."""
    pinned = pins.pins("constraints.txt")
    admitted = {}
    for one in importlib.metadata.distributions():
        if canonicalize_name(one.name) in pinned:
            admitted[one.name] = SpecifierSet(one.metadata.get("Requires-Python") or "")
    assert len(admitted) > 0.9 * len(pinned)
    for python in pins.PYTHONS:
        refusing = [name for name, those in admitted.items() if not those.contains(python)]
        assert not refusing, f"{refusing} cannot be installed on Python {python}"


def test_one_resolution_for_each_minor_version_from_the_oldest_that_the_library_takes() -> None:
    minors = [tuple(map(int, python.split(".")[:2])) for python in pins.PYTHONS]
    assert minors == [(3, minor) for minor in range(11, 11 + len(minors))]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course that needs one package, which needs another, which needs Python 3.11.5."""
    simple = tmp_path / "simple"
    add_wheel(simple, "needed", metadata="Requires-Dist: picky\n")
    add_wheel(simple, "picky", attribute='data-requires-python="&gt;=3.11.5"')
    (tmp_path / "requirements.txt").write_text("needed==1.0  # a remark\n", encoding="utf-8")
    (tmp_path / "constraints.txt").write_text("needed==1.0\n", encoding="utf-8")
    monkeypatch.setattr(pins, "ROOT", tmp_path)
    monkeypatch.setenv("UV_DEFAULT_INDEX", simple.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def add_wheel(simple: Path, name: str, metadata: str = "", attribute: str = "") -> None:
    info = f"{name}-1.0.dist-info"
    file = f"{name}-1.0-py3-none-any.whl"
    (simple / name).mkdir(parents=True)
    page = f'<!DOCTYPE html><a href="{file}" {attribute}>{file}</a>'
    (simple / name / "index.html").write_text(page, encoding="utf-8")
    with zipfile.ZipFile(simple / name / file, "w") as archive:
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        archive.writestr(f"{info}/METADATA", head + metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_a_pin_that_refuses_a_patch_release_is_found(
    index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pins, "PYTHONS", ("3.11.2", "3.11.5"))
    monkeypatch.setattr(pins, "PLATFORMS", {"Linux": "linux"})
    assert pins.main() == 1
    printed = capsys.readouterr().out
    assert "Python 3.11.2 on Linux: FAILS" in printed
    assert "picky" in printed
    assert "Python 3.11.5 on Linux: 2 packages resolve" in printed
    assert printed.splitlines()[-1].endswith(": picky")


def test_an_index_that_does_not_answer_is_not_a_pin_that_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = subprocess.CompletedProcess([], 2, "", "error: Connection refused")
    monkeypatch.setattr(pins, "resolve", lambda python, platform: silent)
    assert pins.main() == 2
    assert "could not ask the index" in capsys.readouterr().out
