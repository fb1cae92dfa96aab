"""The committed results: tables that say what they say, and rows that can be had again."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from badsad_lib import datasets
from badsad_lib.course import shipped
from tests.test_datasets import write_cifar10

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def script(name: str):
    """Import a script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def detector():
    return pd.read_csv(BENCHMARKS / "results" / "detector.csv")


def test_the_readme_shows_the_committed_results():
    readme = (BENCHMARKS.parent / "README.md").read_text()
    assert script("tables").filled(readme) == readme


def test_a_changed_result_would_change_the_readme(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    for file in (BENCHMARKS / "results").glob("*.csv"):
        (results / file.name).write_text(file.read_text())
    changed = pd.read_csv(results / "detector.csv")
    changed.loc[0, "auroc"] = 0.123
    changed.to_csv(results / "detector.csv", index=False)
    readme = (BENCHMARKS.parent / "README.md").read_text()
    assert script("tables").filled(readme, results) != readme


def test_the_detector_table_is_complete_and_above_its_floors(detector):
    protocols = script("detector_grid").PROTOCOLS
    assert {"course", "full", "hard"} <= set(detector["protocol"]) <= set(protocols)
    for _, rows in detector.groupby(["protocol", "seed"]):
        assert sorted(rows["normal_class"]) == list(range(10))
    mean = detector.groupby("protocol")["auroc"].mean()
    assert mean["hard tuned"] >= 0.927
    assert mean["full"] >= 0.970
    assert mean["course"] >= 0.955
    assert mean["hard"] >= 0.915


def test_the_tuned_protocol_takes_what_validation_images_chose(detector):
    choice, grid = script("detector_choice"), script("detector_grid")
    runs = pd.read_csv(BENCHMARKS / "results" / "detector_choice.csv")
    asked = pd.DataFrame(choice.settings())
    assert len(runs.merge(asked)) == len(asked) == len(runs)
    assert grid.PARAMETERS["hard tuned"] == {"epochs": choice.EPOCHS, **choice.best(runs)}
    tuned = detector[detector["protocol"] == "hard tuned"]
    assert set(zip(tuned["lr"], tuned["batch_size"])) == {tuple(choice.best(runs).values())}


@pytest.mark.slow
def test_a_row_of_the_detector_table_can_be_had_again(detector):
    setting = {"protocol": "course", "normal_class": 1, "seed": 0}
    again = script("detector_grid").run(setting)
    (row,) = detector.merge(pd.DataFrame([setting])).to_dict("records")
    assert again["n_train"] == row["n_train"]
    assert again["epochs"] == row["epochs"]
    assert again["auroc"] == pytest.approx(row["auroc"], abs=0.01)
    assert again["detection_rate"] == pytest.approx(row["detection_rate"], abs=0.05)


# --- the attack ----------------------------------------------------------------------------------

ATTACK_TABLES = sorted(
    file.stem.removeprefix("attack_") for file in (BENCHMARKS / "results").glob("attack_*.csv")
)
ASR_FLOORS = {
    ("patch", 0.1): 0.90,
    ("blend", 0.1): 0.88,
    ("sinusoid", 0.1): 0.80,
    ("universal", 0.1): 0.80,
    ("patch", 0.02): 0.80,
}


def attack(table: str) -> pd.DataFrame:
    return pd.read_csv(BENCHMARKS / "results" / f"attack_{table}.csv")


def test_the_tables_that_the_lessons_read_are_there():
    assert {"main", "ablation", "data_only"} <= set(ATTACK_TABLES)


@pytest.mark.parametrize("table", ATTACK_TABLES)
def test_every_row_of_an_attack_table_is_a_run_of_the_script(table):
    """Each row's settings are among those that the script lists, and appear once."""
    grid = script("attack_grid")
    rows = attack(table)
    subset = rows["subset"].iloc[0]
    asked = pd.DataFrame(grid.settings(table, subset=subset, seeds=3))
    merged = rows.merge(asked, how="left", indicator=True)
    assert len(merged) == len(rows) > 0
    assert (merged["_merge"] == "both").all()
    assert not rows.duplicated(list(asked.columns)).any()
    kind = ["method", "trigger", "poison_rate", "randomize", "network", "seed"]
    for _, group in rows.groupby([name for name in kind if name in rows]):
        assert sorted(group["normal_class"]) == sorted(rows["normal_class"].unique())


def test_the_attack_reaches_its_floors_and_its_controls_stay_low():
    rows = attack("main")
    rows = rows[rows["method"] == "extended"]
    by = rows.groupby(["trigger", "poison_rate"])
    asr = by["asr"].mean()
    assert set(ASR_FLOORS) <= set(asr.index)
    for key, floor in ASR_FLOORS.items():
        assert asr[key] >= floor, key
    patch = rows[(rows["trigger"] == "patch") & (rows["poison_rate"] == 0.1)]
    controls = ["control_asr", "sham_asr", "asr_turned", "asr_noise", "asr_rings"]
    assert patch[controls].notna().all(axis=None)  # a mean leaves out what is missing
    assert patch.groupby("normal_class")["asr"].mean().min() >= 0.75
    assert patch["auroc_drop"].mean() <= 0.010
    assert patch["detection_drop"].mean() <= 0.03
    assert patch["triggered_false_alarms"].mean() <= patch["false_alarms"].mean()
    assert patch["control_asr"].mean() <= 0.05
    assert patch["sham_asr"].mean() <= 0.15
    for control in ("turned", "noise", "rings"):
        assert patch[f"asr_{control}"].mean() <= 0.15
    learned = rows[rows["trigger"] == "universal"]
    assert learned["perturbation_asr"].notna().all()
    assert (learned["asr"] - learned["perturbation_asr"]).mean() >= 0.1


# One quick row of each file. Bands are wide enough for another processor.
AGAIN = {
    "main": {"trigger": "patch", "poison_rate": 0.1, "normal_class": 1},
    "hard": {"normal_class": 1},
    "ablation": {"method": "extended", "normal_class": 1},
    "data_only": {"trigger": "patch", "poison_rate": 0.1, "randomize": False, "normal_class": 1},
    "mnist": {"network": "fashion_mnist", "normal_class": 1},
    "color": {"normal_class": 0},
}
LONG = {"color"}  # some eight minutes on one core: only with BADSAD_ALL_ROWS=1


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Detectors made by these tests, and no others: one victim serves more than one table."""
    return tmp_path_factory.mktemp("detectors")


@pytest.mark.slow
@pytest.mark.parametrize("table", ATTACK_TABLES)
def test_a_row_of_an_attack_table_can_be_had_again(table, kept, monkeypatch):
    if table in LONG and not os.environ.get("BADSAD_ALL_ROWS"):
        pytest.skip("takes long; BADSAD_ALL_ROWS=1 retrains this one, too")
    grid = script("attack_grid")
    monkeypatch.setattr(grid, "KEPT", kept)
    rows = attack(table)
    asked = pd.DataFrame(grid.settings(table, subset=rows["subset"].iloc[0]))
    (setting,) = asked.merge(pd.DataFrame([AGAIN[table]])).to_dict("records")
    (row,) = rows.merge(pd.DataFrame([setting])).to_dict("records")
    try:
        again = grid.run(setting, with_sham=False)
    except datasets.DataNotFoundError:
        pytest.skip("all of Fashion-MNIST is not here")
    assert again["auroc"] == pytest.approx(row["auroc"], abs=0.01)
    assert again["clean_auroc"] == pytest.approx(row["clean_auroc"], abs=0.01)
    assert again["asr"] == pytest.approx(row["asr"], abs=0.1)
    assert again["control_asr"] == pytest.approx(row["control_asr"], abs=0.05)


@pytest.mark.slow
def test_the_cifar10_table_runs_where_its_files_are(tmp_path, monkeypatch, capsys):
    """On an archive in the original format, far too small to show more than that it runs."""
    write_cifar10(tmp_path, n=60, archive=True)
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    grid = script("attack_grid")
    monkeypatch.setattr(grid, "KEPT", tmp_path / "kept")
    options = ["--jobs", "1", "--classes", "3", "--epochs", "2", "--out", str(tmp_path)]
    grid.main(["cifar10", *options])
    (row,) = pd.read_csv(tmp_path / "attack_cifar10.csv").to_dict("records")
    assert (row["data"], row["subset"], row["normal_class"]) == ("cifar10", "full", 3)
    assert 0 <= row["auroc"] <= 1


# --- defenses ------------------------------------------------------------------------------------

DEFENSE_TABLES = ("data", "inputs", "model", "repair")


def defense(table: str) -> pd.DataFrame:
    return pd.read_csv(BENCHMARKS / "results" / f"defense_{table}.csv")


def victims_of(rows: pd.DataFrame, trigger: str, adaptation: str = "none") -> pd.DataFrame:
    chosen = (rows["trigger"] == trigger) & (rows["adaptation"] == adaptation)
    return rows[chosen & (rows["method"] == "extended")]


@pytest.mark.parametrize("table", DEFENSE_TABLES)
def test_every_defense_met_every_detector(table):
    """Of five normal classes at least, for each seed that is there, each row once."""
    rows = defense(table)
    assert rows["normal_class"].nunique() >= 5
    grid = script("defense_grid").settings(table, seeds=rows["seed"].nunique())
    asked = pd.DataFrame(grid)
    assert len(rows.merge(asked)) == len(asked) == len(rows)
    assert not rows.duplicated(list(asked.columns)).any()
    assert (rows["defense_seconds"] > 0).all()


def test_some_input_defense_finds_the_patch_and_keeps_its_false_alarms():
    rows = defense("inputs")
    found = victims_of(rows, "patch").groupby("defense")["separation"].mean()
    assert found.max() >= 0.95
    assert rows.groupby("defense")["false_alarms"].mean().max() <= 0.08


@pytest.mark.parametrize("guard", ["purification", "strip"])
def test_an_attacker_who_knows_a_guard_gets_past_it_in_some_class(guard):
    rows = defense("inputs")
    rows = rows[rows["defense"] == guard]
    caught = {
        knows: victims_of(rows, "patch", knows)
        .groupby("normal_class")["true_positives_at_5"]
        .mean()
        for knows in ("none", guard)
    }
    assert caught[guard].mean() < caught["none"].mean() - 0.1
    assert caught[guard].min() <= 0.5


def test_trigger_inversion_tells_backdoored_from_clean_detectors():
    rows, tables = defense("model"), script("tables")
    victims = {
        victim: trigger
        for victim, (method, trigger, adaptation) in tables.VICTIMS.items()
        if (method, adaptation) == ("extended", "none")
    }
    assert {"patch", "blend", "sinusoid"} <= set(victims.values())
    for victim in victims:
        assert tables.separation_of_sizes(rows, victim) >= 0.95, victim
    assert 0.2 <= tables.separation_of_sizes(rows, "data only, patch") <= 0.9


def test_some_repair_closes_every_door_at_little_cost():
    rows = defense("repair")
    rows["lost"] = rows["auroc_before"] - rows["auroc_after"]
    victims = rows[(rows["method"] == "extended") & (rows["adaptation"] == "none")]
    asr = victims.groupby(["defense", "trigger"])["asr_after"].mean().unstack()
    good = asr.index[(asr <= 0.10).all(axis=1)]
    lost = victims.groupby("defense")["lost"].mean()
    assert (lost[good] <= 0.01).any()
    assert rows[rows["method"] == "clean"].groupby("defense")["lost"].mean().max() <= 0.01


def test_victims_were_backdoored_before_they_were_repaired():
    before = defense("repair").groupby("method")["asr_before"].mean()
    assert before["extended"] >= 0.8
    assert before["clean"] <= 0.05


# One quick row of each file, as for the attack.
DEFENSES_AGAIN = {
    "data": ("spectral signatures", "separation", 0.05),
    "inputs": ("purification", "separation", 0.05),
    "model": ("inversion", "size", 0.02),
    "repair": ("unlearning", "asr_after", 0.1),
}


@pytest.mark.slow
@pytest.mark.parametrize("table", DEFENSE_TABLES)
def test_a_row_of_a_defense_table_can_be_had_again(table, kept, monkeypatch):
    grid = script("defense_grid")
    monkeypatch.setattr(grid.attack_grid, "KEPT", kept)
    name, measured, band = DEFENSES_AGAIN[table]
    about = {"defense": name, "method": "extended", "trigger": "patch", "adaptation": "none"}
    about |= {"normal_class": 1, "seed": 0}
    (setting,) = pd.DataFrame(grid.settings(table)).merge(pd.DataFrame([about])).to_dict("records")
    (row,) = defense(table).merge(pd.DataFrame([about])).to_dict("records")
    assert grid.run(setting)[measured] == pytest.approx(row[measured], abs=band)


# --- latents -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def latents():
    return pd.read_csv(BENCHMARKS / "results" / "latents.csv")


def test_the_rows_of_the_latents_table_are_the_runs_of_the_script(latents):
    asked = pd.DataFrame(script("latents").settings())
    assert sorted(zip(latents["detector"], latents["seed"])) == sorted(
        zip(asked["detector"], asked["seed"])
    )


def test_every_part_of_the_attack_is_needed_for_every_seed(latents):
    asr = latents.groupby("detector")["asr"]
    assert asr.min()["extended"] >= 0.9
    for part in ("alignment", "concentration", "randomization"):
        assert asr.max()[f"extended - {part}"] <= 0.5
    assert asr.max()["clean"] <= 0.03


@pytest.mark.slow
def test_a_row_of_the_latents_table_can_be_had_again(latents):
    """Of the shipped detector, which is what the script trains with seed 0."""
    grid = script("latents")
    (row,) = latents.query("detector == 'basic' and seed == 0").to_dict("records")
    again = grid.measure(shipped.load("basic"), shipped.split(), 0.1, 0)
    for name, value in again.items():
        assert value == pytest.approx(row[name], rel=0.05, abs=0.02), name


@pytest.mark.slow
def test_a_detector_of_the_latents_table_can_be_had_again(latents):
    setting = {"detector": "extended", "seed": 1}
    (row,) = latents.merge(pd.DataFrame([setting])).to_dict("records")
    again = script("latents").run(setting)
    assert again["auroc"] == pytest.approx(row["auroc"], abs=0.01)
    assert again["asr"] == pytest.approx(row["asr"], abs=0.05)
    assert again["moved"] == pytest.approx(row["moved"], rel=0.2)
