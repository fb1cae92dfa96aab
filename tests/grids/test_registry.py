"""The grids by name: which there are, and which of their runs are asked for."""

from __future__ import annotations

import json

import pytest

from badsad_lib.__main__ import main
from badsad_lib.grids import registry
from tests.results import RESULTS, TABLES


@pytest.mark.parametrize("name", sorted(registry.GRIDS))
def test_a_grid_lists_runs_that_differ(name):
    runs = registry.settings(name)
    assert runs
    assert len({json.dumps(run, sort_keys=True) for run in runs}) == len(runs)


@pytest.mark.parametrize("name", TABLES)
def test_a_committed_table_has_its_grid_and_its_summary(name):
    assert name in registry.GRIDS
    found = registry.summary(name, RESULTS)
    assert len(found) > 0
    assert found.notna().any(axis=None)


def test_only_some_runs_can_be_asked_for():
    runs = registry.settings(
        "attack_basic", seeds=2, only={"trigger": ["border"], "poison_rate": ["0.1", 0.5]}
    )
    assert {run["seed"] for run in runs} == {0, 1}
    assert {(run["trigger"], run["poison_rate"]) for run in runs} == {
        ("border", 0.1),
        ("border", 0.5),
    }


@pytest.mark.parametrize(
    ("name", "only", "message"),
    [
        ("atack", {}, "there is no grid 'atack'; there are attack_ablation,"),
        ("attack_basic", {"trigger": ["patch"]}, "has trigger = patch: trigger is one of border"),
        ("attack_basic", {"colour": ["red"]}, "has no such setting, only data, subset"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(name, only, message):
    with pytest.raises(ValueError, match=message):
        registry.settings(name, only=only)


def test_a_grid_of_one_seed_has_no_others():
    with pytest.raises(ValueError, match="made with one seed and has no others, got 3"):
        registry.settings("attack_search", seeds=3)


def test_the_command_lists_without_running(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", "attack_hard", "--list", "--only", "normal_class=3", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)
    assert [run["normal_class"] for run in runs] == [3]
    assert main(["grid", "attack_hard", "--list", "--seeds", "3"]) == 0
    assert capsys.readouterr().out == "attack_hard: 30 runs\n"
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_a_table_says(capsys, tmp_path):
    about = ["grid", "detector", "--summary", "--json", "--out"]
    assert main([*about, str(RESULTS)]) == 0
    means = {row["protocol"]: row["mean"] for row in json.loads(capsys.readouterr().out)}
    assert 0.95 < means["course"] < means["full"] < 1
    assert main([*about, str(tmp_path)]) == 2
    assert "there is no table" in capsys.readouterr().err


def test_the_command_runs_and_goes_on_where_it_stopped(capsys, tmp_path, monkeypatch):
    calls = []

    def run(setting):
        calls.append(setting["seed"])
        return {"auroc": setting["seed"] / 2}

    grid = registry.Grid(lambda seeds: [{"seed": seed} for seed in range(seeds)], run, keeps=False)
    monkeypatch.setitem(registry.GRIDS, "toy", grid)
    monkeypatch.setattr("badsad_lib._commands.grid.NAMES", ("toy",))
    some = ["grid", "toy", "--backend", "threading", "--out", str(tmp_path / "out"), "--json"]
    assert main([*some, "--seeds", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 2
    assert main([*some, "--seeds", "3"]) == 0
    assert sorted(calls) == [0, 1, 2]


def test_runs_that_failed_are_said_without_a_traceback(capsys, tmp_path, monkeypatch):
    def run(setting):
        raise ValueError("no luck")

    monkeypatch.setitem(
        registry.GRIDS, "toy", registry.Grid(lambda seeds: [{"seed": 0}], run, keeps=False)
    )
    monkeypatch.setattr("badsad_lib._commands.grid.NAMES", ("toy",))
    assert main(["grid", "toy", "--backend", "threading", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "1 of 1 runs failed" in said
    assert "no luck" in said
    assert "this is a bug" not in said
