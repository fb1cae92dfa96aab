"""A wheel works without the repository: its metadata is true, and all that ships is in it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from badsad_lib.course import shipped
from badsad_lib.datasets import COURSE_FILES
from badsad_lib.surfaces import FILE

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What a distribution brings under another name than its own.
IMPORTED_AS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "numba": "umap-learn",
}


def run(*command: str | Path, cwd: Path = ROOT, **settings: str) -> str:
    left_out = {"PYTHONPATH", "BADSAD_DATA", "XDG_DATA_HOME"}
    env = {key: value for key, value in os.environ.items() if key not in left_out} | settings
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    run(sys.executable, "-c", build, folder)
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """Python of an environment with the wheel, and with the packages of this one beneath it."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    install = ["pip", "install", "--offline", "--no-cache", "--no-deps", "--python", python]
    run(sys.executable, "-m", "uv", *install, wheel)
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")[:-1]
    )
    # Nothing that such a line names is asked for .pth files of its own: the clone stays unknown.
    beneath = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "beneath.pth").write_text("\n".join(beneath), encoding="utf-8")
    return python


@pytest.mark.slow
def test_all_that_ships_is_in_it_and_nothing_that_was_fetched(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    there = {name.partition("_shipped/")[2] for name in names if "_shipped/" in name}
    tables = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/results/*.csv")}
    expected = {
        f"data/{name}" for name in (*COURSE_FILES.values(), FILE, "README.md", "SHA256SUMS")
    }
    detectors = (*shipped.RECIPES, shipped.TILES)
    expected |= {f"data/detectors/{name}.safetensors" for name in detectors}
    assert tables
    assert expected | tables <= there
    assert not [name for name in there if re.match(r"data/(build|FashionM|MNIST|cifar|\.)", name)]
    assert not [name for name in names if re.match(r"(tests|tools|book|benchmarks)/", name)]


@pytest.mark.slow
def test_it_works_from_any_folder(python, tmp_path):
    script = """
        import badsad_lib
        from badsad_lib import _places, datasets
        from badsad_lib.course import shipped

        print(badsad_lib.__file__)
        for name in datasets.COURSE_FILES:
            print(len(datasets.load(name).train))
        for name in shipped.RECIPES:
            assert shipped.load(name).threshold_ > 0
        print(len(shipped.results("detector")) > 0)
        print(_places.fetched())
        try:
            datasets.load("mnist", "full", download=False)
        except datasets.DataNotFoundError as error:
            print(str(error).count("site-packages"))
    """
    code = "\n".join(line[8:] for line in script.splitlines())
    place, *rest = run(python, "-c", code, cwd=tmp_path, HOME=str(tmp_path)).splitlines()
    assert Path(place).is_relative_to(python.parents[1])
    assert rest == ["20000", "4000", "True", f"{tmp_path}/.local/share/badsad", "0"]


@pytest.mark.slow
def test_its_command_line_works_from_any_folder(python, tmp_path):
    def command(*arguments: str) -> str:
        return run(python, "-m", "badsad_lib", *arguments, cwd=tmp_path, HOME=str(tmp_path))

    listed = command("data")
    assert re.search(r"^mnist +course +4,000 +1,000 .*embedded, SHA-256 verified$", listed, re.M)
    assert re.search(r"^mnist +full .*not here; --fetch downloads it$", listed, re.M)
    options = [
        "--data",
        "mnist",
        "--epochs",
        "1",
        "--pretrain-epochs",
        "0",
        "--out",
        "x.safetensors",
    ]
    assert "AUROC" in command("train", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


# --- metadata -----------------------------------------------------------------------------


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def test_it_requires_what_the_library_imports():
    used = set().union(*(imports(path) for path in (ROOT / "badsad_lib").rglob("*.py")))
    used -= {*sys.stdlib_module_names, "badsad_lib"}
    used = {canonicalize_name(IMPORTED_AS.get(name, name)) for name in used}
    core, extras = names(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    # torchvision is imported by its name, where its operators have been mended.
    assert core - used <= {"torchvision"}
    assert used <= core | names(extras["audit"]) | names(extras["cluster"])


def test_its_ranges_hold_what_the_course_pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
    extras = PROJECT["optional-dependencies"]
    ranges = [*PROJECT["dependencies"], *extras["book"], *extras["test"]]
    allowed = {canonicalize_name(range_.name): range_ for range_ in map(Requirement, ranges)}
    assert {canonicalize_name(pin.name) for pin in pins} == set(allowed)
    for pin in pins:
        [version] = [clause.version for clause in pin.specifier]
        assert allowed[canonicalize_name(pin.name)].specifier.contains(version), pin


def test_the_extras_are_there(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        metadata = archive.read(name).decode()
    extras = set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.M))
    assert extras == {"book", "test", "audit", "cluster"}
    assert re.search(r"^Requires-Dist: torch>=", metadata, re.M)
