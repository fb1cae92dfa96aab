"""What README, CONTRIBUTING and the pages tell a reader to type exists and runs."""

from __future__ import annotations

import importlib.util
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from badsad_lib import datasets, surfaces
from badsad_lib.__main__ import _parser

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "data/README.md")
    if (ROOT / name).exists()
] + sorted((ROOT / "book").glob("*.md"))


def blocks(page: Path, languages: str) -> str:
    """Return the code blocks of a page in one text, with continued lines joined."""
    found = re.findall(rf"^```(?:{languages})\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    return "".join(found).replace("\\\n", " ")


def inline(page: Path) -> str:
    """Return what stands between single backticks, a line each."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return "\n".join(re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


TYPED = {page: re.sub(r"(?m)^\$ ", "", blocks(page, "sh|console")) + inline(page) for page in PAGES}


def named(pattern: str) -> list[tuple[str, str]]:
    """Return page and match of all that the pages name."""
    found = [(page.name, match) for page in PAGES for match in re.findall(pattern, TYPED[page])]
    assert len(found) >= 5
    return found


def test_every_target_of_make_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for page, target in named(r"(?m)^make (?:[A-Z]+=\S+ )*([a-z-]+)"):
        assert target in targets, f"{page}: make {target}"


def test_every_module_and_script_exists():
    for page, module in named(r"python\S* -m ([\w.]+)"):
        assert importlib.util.find_spec(module), f"{page}: python -m {module}"
    for page, script in named(r"\b((?:benchmarks|tools|data)/\w+\.py)"):
        assert (ROOT / script).is_file(), f"{page}: {script}"


def test_every_subcommand_takes_what_is_shown():
    shown = named(r"-m badsad_lib ([^\n`]+)")
    for page, arguments in shown:
        argv = shlex.split(arguments)
        if "--help" in argv or any(word.isupper() for word in argv):  # a placeholder
            continue
        try:
            _parser().parse_args(argv)
        except SystemExit:
            pytest.fail(f"{page}: badsad_lib {arguments}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "book/intro.md"])
def test_the_lines_of_python_run(name, capsys, monkeypatch, tmp_path):
    """With fewer images and one epoch: what they print are shares, and their differences."""
    monkeypatch.chdir(tmp_path)
    wall = surfaces.load("brick", size=64, seed=0)
    for kind, name_of_it in ((0, "good"), (1, "scratched")):
        folder = tmp_path / "photographs" / name_of_it
        folder.mkdir(parents=True)
        for number, image in enumerate(wall.images[wall.kind == kind]):
            Image.fromarray(image[0].numpy()).save(folder / f"{number}.png")

    def first(images: datasets.ImageSet, n: int) -> datasets.ImageSet:
        return datasets.ImageSet(images.images[:n], images.targets[:n])

    data = datasets.load("fashion_mnist")
    few = replace(data, train=first(data.train, 6000), test=first(data.test, 400))
    monkeypatch.setattr(datasets, "load", {"fashion_mnist": few}.__getitem__)
    lines = blocks(ROOT / name, "python")
    quick = lines.replace("TiledDeepSAD(seed=0)", "TiledDeepSAD(steps=2)")
    quick = re.sub(r"DeepSAD\(seed=0(, progress=True)?\)", "DeepSAD(seed=0, epochs=1)", quick)
    assert quick != lines
    exec(quick, {})
    printed = [float(word) for word in capsys.readouterr().out.split()]
    assert printed
    assert all(-1 <= value <= 1 for value in printed)
