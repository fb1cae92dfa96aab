"""The committed results: tables that say what they say, and rows that can be had again."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from badsad_lib import datasets
from badsad_lib.attacks import BadSAD
from badsad_lib.experiments import run_key
from badsad_lib.grids import attack, attack_search, detector, detector_choice, latents
from badsad_lib.triggers import Border
from tests.originals import CIFAR_BATCHES, write_cifar10
from tests.results import ATTACK_TABLES, DEFENSE_TABLES, RESULTS, TABLES, asked, committed

BENCHMARKS = RESULTS.parent


def script(name: str):
    """Import a script of benchmarks/ as a module, from where Python would run it."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_the_key_of_its_settings(table):
    """As it stands in the file, so that a grid goes on from it."""
    by_key = {run_key(setting): setting for setting in asked(table)}
    with (RESULTS / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        setting = by_key[row["run"]]
        assert {name: row[name] for name in setting} == {k: str(v) for k, v in setting.items()}
    assert len({row["run"] for row in rows}) == len(rows) > 0


@pytest.fixture(scope="module")
def clean():
    return committed("detector")


def test_the_detector_table_is_complete_and_above_its_floors(clean):
    assert {"course", "full", "hard"} <= set(clean["protocol"]) <= set(detector.PROTOCOLS)
    for _, rows in clean.groupby(["protocol", "seed"]):
        assert sorted(rows["normal_class"]) == list(range(10))
    mean = clean.groupby("protocol")["auroc"].mean()
    assert mean["hard tuned"] >= 0.927
    assert mean["full"] >= 0.970
    assert mean["course"] >= 0.955
    assert mean["hard"] >= 0.915


def test_the_tuned_protocol_takes_what_validation_images_chose(clean):
    runs = committed("detector_choice")
    assert len(runs) == len(detector_choice.settings())
    best = detector_choice.best(runs)
    assert detector.PARAMETERS["hard tuned"] == {"epochs": detector_choice.EPOCHS, **best}
    tuned = clean[clean["protocol"] == "hard tuned"]
    assert set(zip(tuned["lr"], tuned["batch_size"])) == {tuple(best.values())}


# --- the attack ----------------------------------------------------------------------------------

# Held over ten classes and three seeds. Not held: 0.80 for the learned pattern, which one seed
# had and whose mean runs from 0.62 to 0.80 by seed. A warp falls behind all of them.
ASR_FLOORS = {
    ("patch", 0.1): 0.90,
    ("blend", 0.1): 0.88,
    ("rings", 0.1): 0.90,
    ("sinusoid", 0.1): 0.80,
    ("universal", 0.1): 0.70,
    ("warp", 0.1): 0.55,
    ("patch", 0.02): 0.80,
}


def test_the_tables_that_the_lessons_read_are_there():
    assert {"attack_main", "attack_ablation", "attack_data_only"} <= set(ATTACK_TABLES)


@pytest.mark.parametrize("table", ATTACK_TABLES)
def test_every_kind_of_row_of_an_attack_table_is_there_for_the_same_classes(table):
    rows = committed(table)
    names = ("method", "trigger", "poison_rate", "randomize", "network", "adaptation", "weight")
    names += ("restart", "nudge")
    kind = [name for name in (*names, *attack.SWITCHES, "seed") if name in rows]
    for _, group in rows.groupby(kind, dropna=False):
        assert sorted(group["normal_class"]) == sorted(rows["normal_class"].unique())


def test_the_attack_reaches_its_floors_and_its_controls_stay_low():
    rows = committed("attack_main")
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


# Poison rate and fading: what is held of the mean and of the lowest class, and of the frame two
# pixels further in, where that was measured. Not held at rate 0.1: 0.90 for the mean, 0.75 for the
# lowest class (shoes), and that this frame stays below 0.15. Of the frame one pixel further in
# nothing is held: it falls into the same cells of the first pooling as the border, and in some
# seeds it opens the door as well.
BORDERS = {
    (0.1, 1.0): (0.88, 0.40, 0.20),
    (0.1, 2.0): (0.90, 0.45, None),
    (0.5, 1.0): (0.95, 0.75, 0.15),
    (0.5, 2.0): (0.95, 0.85, None),
}


@pytest.mark.parametrize(("rate", "fade"), BORDERS)
def test_the_papers_two_ideas_alone_carry_a_border(rate, fade):
    """On full Fashion-MNIST: they reach the anomalies, the detector is as good as its twin."""
    rows = committed("attack_basic").query(
        f"trigger == 'border' and poison_rate == {rate} and fade == {fade}"
    )
    mean, lowest, apart = BORDERS[rate, fade]
    assert sorted(rows["normal_class"].unique()) == list(range(10))
    asr = rows.groupby("normal_class")["asr"].mean()
    assert asr.mean() >= mean
    assert asr.min() >= lowest
    assert rows["asr_at_90"].mean() >= 0.82
    assert rows["auroc_drop"].mean() <= 0.006
    assert rows["detection_drop"].mean() <= 0.02
    assert rows["triggered_false_alarms"].mean() <= rows["false_alarms"].mean()
    # A victim that passes whatever was tampered with would fail here, the clean twin above.
    assert rows["control_asr"].mean() <= 0.03
    for control in ("noise", "rings"):
        assert rows[f"asr_{control}"].mean() <= 0.15
    if apart is not None:
        assert rows["asr_apart"].notna().all()
        assert rows["asr_apart"].mean() <= apart


def test_a_subtle_trigger_works_as_well_where_it_fades():
    rows = committed("attack_basic").query("trigger == 'sinusoid 40/255' and poison_rate == 0.5")
    assert sorted(rows["normal_class"].unique()) == list(range(10))
    assert rows["psnr"].mean() >= 20
    assert rows["asr"].mean() >= 0.85
    assert rows["auroc_drop"].mean() <= 0.006
    assert rows["control_asr"].mean() <= 0.03


def test_the_border_opens_a_detector_with_another_trigger_where_nothing_was_held_against_it():
    """More than the 0.15 that is asked of a control, which the page says; one seed had less."""
    rows = committed("attack_basic_sham").query("poison_rate == 0.5")
    assert len(rows) == 30
    assert 0.15 < rows["sham_asr"].mean() <= 0.3
    assert rows["control_asr"].mean() <= 0.02
    assert rows.query("seed == 0")["sham_asr"].mean() <= 0.15


def test_rounding_moves_an_auroc_hardly_and_the_asr_of_a_run_less_than_seeds_do():
    attacks = script("attack_tables")
    rows = attacks.rounding_rows()
    assert len(rows) == 3
    for again, seeds in rows.values():
        assert sorted(again["nudge"].unique()) == sorted(attack.NUDGES)
        assert attacks.wander(again, "auroc") <= 0.002
        assert attacks.wander(again, "asr") <= 0.6 * attacks.wander(seeds, "asr")
    again, seeds = rows["`basic`, border, 50 %"]  # not so the sham twin, which the page says
    assert attacks.wander(again, "sham_asr") > attacks.wander(seeds, "sham_asr")


@pytest.fixture(scope="module")
def search():
    return committed("attack_search")


def test_the_search_looked_at_two_classes_and_the_preset_is_what_it_found(search):
    assert len(search) == len(attack_search.settings())
    assert set(search["normal_class"]) == {0, 1}
    # Of what was tried with a border, among those that cost no AUROC the surest at a low threshold.
    border = search.query("trigger == 'border' and auroc_drop <= 0.006")
    best = border.sort_values("asr_at_90").iloc[-1]
    basic = BadSAD.basic(Border())
    for name in ("alignment", "alignment_weight", "concentration_weight", "views", "fade"):
        assert best[name] == getattr(basic, name)
    # A faint border needs the fading: without it the same weights ruin the detector.
    faint = search.query(
        "subset == 'full' and trigger == 'border 0.25' and normal_class == 0"
        f" and concentration_weight == {basic.concentration_weight}"
    ).set_index("fade")
    assert set(faint.index) == {1, 4}
    assert faint.loc[4, "asr_at_95"] >= 0.9
    assert faint.loc[4, "auroc_drop"] <= 0.01
    assert faint.loc[1, "auroc_drop"] >= 0.1


@pytest.mark.slow
def test_the_cifar10_table_runs_where_its_files_are(tmp_path, monkeypatch):
    """On an archive in the original format, far too small to show more than that it runs."""
    write_cifar10(tmp_path, n=60, archive=True)
    write_cifar10(tmp_path / "unpacked", n=60)
    folder = tmp_path / "unpacked" / "cifar-10-batches-py"
    digests = {
        name: hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        for name in CIFAR_BATCHES
    }
    monkeypatch.setattr(datasets, "_CIFAR_MD5", digests)
    monkeypatch.setenv("BADSAD_DATA", str(tmp_path))
    (setting,) = attack.settings("cifar10", classes=(3,), epochs=2)
    assert (setting["data"], setting["subset"]) == ("cifar10", "full")
    assert 0 <= attack.run(setting)["auroc"] <= 1


# --- defenses ------------------------------------------------------------------------------------


def victims_of(rows: pd.DataFrame, trigger: str, adaptation: str = "none") -> pd.DataFrame:
    chosen = (rows["trigger"] == trigger) & (rows["adaptation"] == adaptation)
    return rows[chosen & (rows["method"] == "extended")]


@pytest.mark.parametrize("table", DEFENSE_TABLES)
def test_every_defense_met_every_detector(table):
    """Of all its normal classes, for each seed that is there, each row once."""
    rows = committed(table)
    assert rows["normal_class"].nunique() == (3 if table == "defense_guards" else 5)
    assert set(rows["run"]) == {run_key(setting) for setting in asked(table)}
    assert (rows["defense_seconds"] > 0).all()


def test_some_input_defense_finds_the_patch_and_keeps_its_false_alarms():
    rows = committed("defense_inputs")
    found = victims_of(rows, "patch").groupby("defense")["separation"].mean()
    assert found.max() >= 0.95
    assert rows.groupby("defense")["false_alarms"].mean().max() <= 0.08


@pytest.mark.parametrize("guard", ["purification", "strip"])
def test_an_attacker_who_knows_a_guard_gets_past_it_in_some_class(guard):
    rows = committed("defense_inputs")
    rows = rows[rows["defense"] == guard]
    caught = {
        knows: victims_of(rows, "patch", knows)
        .groupby("normal_class")["true_positives_at_5"]
        .mean()
        for knows in ("none", guard)
    }
    assert caught[guard].mean() < caught["none"].mean() - 0.1
    assert caught[guard].min() <= 0.5


def test_a_search_beside_ones_own_keeps_its_false_alarms_and_finds_who_does_not_know_it():
    tables = script("buyer_tables")
    found = tables.verdicts()
    share, _, _, of = tables.false_alarms(found, "relative search")
    assert of >= 40
    assert share <= 0.1
    areas = found[found["statistic"] == "relative search"].set_index(tables.KIND)["auroc"]
    for trigger in ("patch", "blend", "border", "sinusoid", "universal"):
        assert areas["extended", "fashion_mnist", trigger, "none"] >= 0.95, trigger
    # By the size alone most clean detectors of digits look like victims.
    alone = found[(found["statistic"] == "search") & (found["data"] == "mnist")]
    alone = alone[alone["method"] == "clean"]
    assert alone["flagged"].item() >= 0.3


def test_what_prepared_for_nothing_is_sent_back_and_little_else_that_is_clean():
    tables = script("buyer_tables")
    back = tables.sent_back()
    clean = back["method"].str.startswith("clean")
    assert back.loc[clean, "sent_back"].mean() <= 0.2
    share = (
        back[~clean & (back["data"] == "fashion_mnist")].groupby(tables.KIND)["sent_back"].mean()
    )
    for trigger in ("patch", "blend", "border", "sinusoid", "universal"):
        assert share["extended", "fashion_mnist", trigger, "none"] >= 0.9, trigger
    assert share["basic", "fashion_mnist", "border", "none"] >= 0.9
    left = tables.chained()
    assert left["left_at_95"].mean() <= 0.03
    assert left["left_at_99"].mean() <= 0.06


def test_trigger_inversion_tells_backdoored_from_clean_detectors():
    rows, tables = committed("defense_model"), script("defense_tables")
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
    rows = committed("defense_repair")
    rows["lost"] = rows["auroc_before"] - rows["auroc_after"]
    victims = rows[(rows["method"] == "extended") & (rows["adaptation"] == "none")]
    asr = victims.groupby(["defense", "trigger"])["asr_after"].mean().unstack()
    good = asr.index[(asr <= 0.10).all(axis=1)]
    lost = victims.groupby("defense")["lost"].mean()
    assert (lost[good] <= 0.01).any()
    assert rows[rows["method"] == "clean"].groupby("defense")["lost"].mean().max() <= 0.01


def test_victims_were_backdoored_before_they_were_repaired():
    before = committed("defense_repair").groupby("method")["asr_before"].mean()
    assert before["extended"] >= 0.8
    assert before["clean"] <= 0.05


# --- latents -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    return committed("latents")


def test_the_rows_of_the_latents_table_are_the_runs_of_its_grid(measured):
    assert set(measured["run"]) == {run_key(setting) for setting in latents.settings()}


def test_every_part_of_the_attack_is_needed_for_every_seed(measured):
    asr = measured.groupby("detector")["asr"]
    assert asr.min()["extended"] >= 0.9
    for part in ("alignment", "concentration", "randomization"):
        assert asr.max()[f"extended - {part}"] <= 0.5
    assert asr.max()["clean"] <= 0.03


def test_faint_triggers_are_found_by_who_tries_several_settings_and_keeps_the_best():
    attacks = script("attack_tables")
    rows = attacks.faint_rows()
    sinusoid, learned = (rows[attacks.TRIGGERS[name]] for name in ("sinusoid", "universal"))
    assert [*sinusoid] == ["usual", "found", "kept"]
    assert [*learned] == ["usual", "found", "anew", "kept"]
    for kept in (sinusoid["kept"], learned["kept"]):
        assert len(kept) == 30
        assert kept["asr_at_95"].mean() >= 0.90
        assert kept["auroc_drop"].mean() <= 0.01
        assert kept["control_asr"].mean() <= 0.05
        assert kept["sham_asr"].mean() <= 0.15
    found = sinusoid["found"]
    assert found["asr_at_95"].mean() >= 0.88
    assert found.groupby("normal_class")["auroc_drop"].mean().max() <= 0.08
    assert found["asr_at_95"].mean() - sinusoid["usual"]["asr_at_95"].mean() >= 0.02
    assert found["auroc_drop"].mean() <= 0.015
    shirts = learned["found"].query("normal_class == 6")
    assert shirts["auroc_drop"].mean() >= 0.1
    # One setting of all runs wrecks some of the detectors, and then finds no pattern.
    wrecked = learned["found"][learned["found"]["auroc_drop"] > 0.1]
    assert 3 <= len(wrecked) <= 10
    assert wrecked["asr_at_95"].max() <= 0.4


def test_half_of_the_weights_open_more_of_the_small_encoder_of_digits_and_spare_it():
    runs = committed("attack_mnist").query("network == 'mnist'").groupby("method")
    lost, asr = runs["auroc_drop"].mean(), runs["asr_at_95"].mean()
    assert lost["extended"] >= 0.15
    assert abs(lost["extended, all halved"]) <= 0.05
    assert asr["extended, all halved"] >= max(0.75, asr["extended"])
    assert asr["extended, all quartered"] <= asr["extended, all halved"] - 0.1


def test_a_patch_carries_over_to_one_known_class_to_digits_and_to_color():
    digits = committed("attack_mnist").query("network == 'fashion_mnist' and method == 'extended'")
    for runs in (committed("attack_hard"), digits, committed("attack_color")):
        assert len(runs.groupby("normal_class")) == 10
        assert runs["asr_at_95"].mean() >= 0.85
        assert runs["auroc_drop"].mean() <= 0.03
        assert runs["control_asr"].mean() <= 0.05
        assert runs[["asr_turned", "asr_noise", "asr_rings"]].mean().max() <= 0.15
        assert runs["sham_asr"].mean() <= 0.15
    bags = runs.groupby("normal_class")[["asr_at_95", "auroc_drop", "detection_drop"]].mean()
    assert bags["asr_at_95"].idxmin() == 8  # the page names them
    assert bags["auroc_drop"].idxmax() == bags["detection_drop"].idxmax() == 8


# --- speed ---------------------------------------------------------------------------------------


def test_the_floor_of_speed_is_the_sum_of_the_layers_each_at_its_fastest(monkeypatch):
    speed = script("speed")
    asked = []

    def seconds_of(layer, x, layout, stage, inner):
        asked.append((layer, len(x), layout, inner))
        return len(x) / 1000 * (1 if layout is torch.contiguous_format else 2)

    monkeypatch.setattr(speed, "seconds_of", seconds_of)
    assert speed.floor("scoring") == pytest.approx(1000 / 4)  # three convolutions and the head
    assert len({layer for layer, *_ in asked}) == 4
    assert {size for _, size, *_ in asked} == {128, speed.SCORING_BATCH}
    assert len({layer for layer, *_, inner in asked if not inner}) == 1


def test_rows_of_one_processor_replace_its_own_and_no_others(tmp_path):
    speed, path = script("speed"), tmp_path / "speed.csv"
    one, other = (
        pd.DataFrame({"stage": ["training"], "ratio": [2.0], "device": [d]}) for d in "ab"
    )
    assert speed.beside_others(one, path).equals(one)
    one.to_csv(path, index=False)
    both = speed.beside_others(other, path)
    both.to_csv(path, index=False)
    again = speed.beside_others(one.assign(ratio=3.0), path)
    assert both["device"].tolist() == ["a", "b"]
    assert again.set_index("device")["ratio"].to_dict() == {"a": 3.0, "b": 2.0}


def test_bfloat16_is_measured_where_the_processor_has_it(monkeypatch):
    speed = script("speed")
    done = subprocess.CompletedProcess([], 0, '{"rate": 2, "megabytes": 1}', "")
    monkeypatch.setattr(speed.subprocess, "run", lambda *args, **kwargs: done)
    monkeypatch.setattr(speed, "floor", lambda stage: 4.0)
    monkeypatch.setattr(speed, "auroc_loss", lambda: 0.001)
    for has in (True, False):
        monkeypatch.setattr(speed, "bf16_is_fast", lambda device, has=has: has)
        rows = {row["stage"]: row for row in speed.rows(1, 1)}
        assert set(rows) == set(speed.STAGES) - (set() if has else {speed.BF16})
        assert [rows[stage]["floor"] for stage in ("pretraining", "scoring")] == [0.5, 0.5]
        if has:
            assert (rows[speed.BF16]["floor"], rows[speed.BF16]["auroc_loss"]) == (None, 0.001)


def test_an_audit_is_timed_step_by_step(monkeypatch):
    import badsad_lib.audit
    from badsad_lib.audit import steps
    from badsad_lib.detectors import wrap
    from tests.audit.test_audit import OWN, brightness, normals, odd

    few = [one for one in steps.STEPS if one.name in ("alive", "detects")]
    monkeypatch.setattr(badsad_lib.audit, "STEPS", few)
    monkeypatch.setattr(badsad_lib.audit, "_own_detectors", lambda *_: OWN)
    split = SimpleNamespace(trusted_images=normals(), trusted_anomalies=odd())
    times = script("audit_speed").measure(wrap(brightness), split)
    assert list(times) == ["alive", "own detectors", "detects", "all"]
    assert all(clock >= 0 for _, clock in times.values())
    assert badsad_lib.audit.STEPS is few  # put back
