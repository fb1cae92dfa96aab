"""The page on many runs: what it shows is what the commands and Dask do."""

from __future__ import annotations

import ast
import re
import shlex

import pytest

from badsad_lib.__main__ import main
from badsad_lib.experiments import BACKENDS
from badsad_lib.grids import registry
from tools.lessons import ROOT

PAGE = (ROOT / "book" / "many_runs.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    text = "".join(blocks("console")).replace("\\\n", " ")
    lines = re.findall(r"^\$ (?:\.venv/bin/)?python -m badsad_lib (.*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_the_page_shows_commands_that_the_library_takes(capsys):
    shown = commands()
    assert len(shown) == 3
    for command in shown:
        listed = [] if "--list" in command else ["--list"]
        assert main([*command, *listed]) == 0
    assert "attack_ablation: 110 runs" in PAGE
    assert "attack_ablation: 110 runs" in capsys.readouterr().out


def test_the_page_names_every_backend():
    section = PAGE.partition("## Which backend")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*BACKENDS]


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_names_grids_and_parameters_that_are_there(code):
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    (call,) = [c for c in calls if ast.unparse(c.func) == "registry.execute"]
    assert ast.literal_eval(call.args[0]) in registry.GRIDS
    given = {keyword.arg for keyword in call.keywords}
    assert given <= set(registry.execute.__annotations__)


def test_the_recipe_for_slurm_asks_for_what_it_says(monkeypatch):
    """The cluster of the page is made as written; what it would submit is read."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (code,) = [block for block in blocks("python") if "SLURMCluster" in block]
    scripts = []

    class Shown(jobqueue.SLURMCluster):
        def __init__(self, **given):
            super().__init__(**given, scheduler_options={"dashboard_address": None})

        def scale(self, jobs=None, **_):
            if jobs:  # closing scales to nothing
                scripts.append((jobs, self.job_script()))

    asked = []
    monkeypatch.setattr(jobqueue, "SLURMCluster", Shown)
    monkeypatch.setattr(registry, "execute", lambda *given, **named: asked.append(named))
    exec(compile(code, "many_runs.md", "exec"), {})
    ((jobs, script),) = scripts
    assert jobs == 16
    for line in ("-A my-account", "--cpus-per-task=1", "--mem=4G", "-t 02:00:00"):
        assert f"#SBATCH {line}" in script
    assert asked[0]["scheduler"] in script
    assert "--nthreads 1 " in script
