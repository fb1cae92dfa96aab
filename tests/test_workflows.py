"""What runs on a public host: pinned, with no more rights than it uses, published once tested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import pins
from tools.lessons import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def workflow(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_there_is_one_for_every_push_and_one_for_the_night() -> None:
    assert [path.stem for path in FILES] == ["nightly", "test"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned_by_digest_and_say_which_version_that_is(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_the_job_that_publishes_may_write(path: Path) -> None:
    content = workflow(path)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        expected = {"pages": "write", "id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == expected
        assert job["timeout-minutes"]


def test_the_site_is_published_after_the_tests_as_they_built_it() -> None:
    jobs = workflow(ROOT / ".github" / "workflows" / "test.yml")["jobs"]
    assert jobs["publish"]["needs"] == "test"
    assert "pull_request" in jobs["publish"]["if"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert [command.split(" #")[0] for command in commands] == ["bash .ci/run"]
    [kept] = [step for step in jobs["test"]["steps"] if "upload" in step.get("uses", "")]
    assert kept["with"]["path"] == "_build/html"
    [python] = re.findall(r"matrix.python == '(.*?)'", kept["if"])
    assert python in jobs["test"]["strategy"]["matrix"]["python"]


def test_every_promised_python_is_tested() -> None:
    matrix = workflow(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]
    minors = [python.rpartition(".")[0] for python in pins.PYTHONS]
    assert matrix["matrix"]["python"] == minors


def test_the_night_leaves_nothing_out() -> None:
    job = workflow(ROOT / ".github" / "workflows" / "nightly.yml")["jobs"]["full"]
    assert job["env"] == {"BADSAD_FULL": "1", "BADSAD_ALL_ROWS": "1"}
    assert job["steps"][-1]["run"] == "bash .ci/run"


def test_the_container_is_set_up_by_the_same_command() -> None:
    folder = ROOT / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "make setup"
    dockerfile = (folder / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    for package in ("make", "python3", "python3-venv", "git", "chromium"):
        assert re.search(rf"\b{package}\b", dockerfile), package
