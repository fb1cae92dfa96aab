"""The page on many runs: what it shows is what the commands and Dask do."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import threading
import time

import pandas as pd
import pytest

from badsad_lib.__main__ import main
from badsad_lib.experiments import BACKENDS, run_key
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
    assert "attack_ablation: 55 runs" in PAGE
    assert "attack_ablation: 55 runs" in capsys.readouterr().out


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


def slurm_recipe() -> str:
    (code,) = [block for block in blocks("python") if "SLURMCluster" in block]
    return code


def test_the_recipe_for_slurm_asks_for_what_it_says(monkeypatch):
    """The cluster of the page is made as written; what it would submit is read."""
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    scripts, limits, waited, asked = [], [], [], []

    class Shown(jobqueue.SLURMCluster):
        def __init__(self, **given):
            super().__init__(**given, scheduler_options={"dashboard_address": None})

        def adapt(self, **given):
            limits.append(given)
            scripts.append(self.job_script())

        def wait_for_workers(self, *given, **named):
            waited.append((given, named))

    monkeypatch.setattr(jobqueue, "SLURMCluster", Shown)
    monkeypatch.setattr(registry, "execute", lambda *given, **named: asked.append(named))
    exec(compile(slurm_recipe(), "many_runs.md", "exec"), {"__name__": "__main__"})
    assert limits == [{"minimum_jobs": 1, "maximum_jobs": 16}]
    # A queue may be long, and the library gives a first worker a minute.
    assert waited == [((1,), {})]
    (script,) = scripts
    for line in ("-A my-account", "--cpus-per-task=1", "--mem=4G", "-t 02:00:00"):
        assert f"#SBATCH {line}" in script
    assert asked[0]["scheduler"] in script
    assert "--nthreads 1 " in script


@pytest.mark.slow
def test_the_recipe_runs_on_slurm(monkeypatch, tmp_path):
    """Where there is a cluster: its jobs are cancelled once, and the table is still whole."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    if shutil.which("sinfo") is None or not slurm("sinfo", "--noheader", "--states=idle,mix"):
        pytest.skip("no SLURM cluster answers here")
    monkeypatch.chdir(tmp_path)
    real, path = registry.execute, tmp_path / "results" / "attack_rates.csv"
    few = {"normal_class": [0], "poison_rate": [0.1], "method": ["basic"]}

    def cancel() -> None:
        while not (path.is_file() and len(pd.read_csv(path)) > 0):
            time.sleep(1)
        jobs = slurm("squeue", "--noheader", "--format=%i", "--name=dask-worker").split()
        slurm("scancel", *jobs)
        cancelled.extend(jobs)

    def execute(name: str, out: str, **given):
        threading.Thread(target=cancel, daemon=True).start()
        frames.append(real(name, out, **{**given, "seeds": 2}, only=few, progress=False))

    cancelled, frames = [], []
    monkeypatch.setattr(registry, "execute", execute)
    exec(compile(slurm_recipe(), "many_runs.md", "exec"), {"__name__": "__main__"})
    (frame,) = frames
    assert cancelled
    wanted = registry.settings("attack_rates", 2, few)
    assert sorted(frame["run"]) == sorted(map(run_key, wanted))


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()
