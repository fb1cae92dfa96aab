"""Tables of the attack: their runs, and detectors that are kept or made anew."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch

from badsad_lib import datasets
from badsad_lib.attacks import ALIGNMENTS, BadSAD
from badsad_lib.experiments import run_key
from badsad_lib.grids import attack
from badsad_lib.triggers import Universal


@pytest.mark.parametrize("table", attack.TABLES)
def test_every_kind_of_row_is_run_for_every_class_and_seed(table):
    runs = attack.settings(table, seeds=2, classes=(3, 5))
    assert len(runs) == 2 * 2 * len(attack.TABLES[table].kinds)
    assert len({run_key(setting) for setting in runs}) == len(runs)
    for setting in runs:
        weighed = (*attack.WEIGHED, *attack.SOFTER)
        others = ("basic", "alignment", "data only", *attack.COMPARISONS, *weighed)
        assert setting["method"] in (*attack.METHODS, *others)
        assert setting["trigger"] in attack.TRIGGERS


@pytest.mark.parametrize("table", attack.TABLES)
def test_a_table_says_which_images_and_classes_its_rows_have(table):
    about = attack.TABLES[table]
    runs = attack.settings(table)
    assert {setting["subset"] for setting in runs} == {about.subset}
    assert {setting["normal_class"] for setting in runs} == set(about.classes)


@pytest.mark.parametrize("table", attack.TABLES)
def test_a_table_takes_the_subset_and_epochs_that_are_asked_for(table):
    few = attack.settings(table, subset="course", epochs=7)
    assert {setting["epochs"] for setting in few} == {7}
    subset = "full" if table == "cifar10" else "course"  # only the former exists
    assert {setting["subset"] for setting in few} == {subset}


def test_epochs_make_up_for_few_images():
    epochs = {
        (table, subset): attack.settings(table, subset=subset)[0]["epochs"]
        for table in ("main", "mnist", "color")
        for subset in ("course", "full")
    }
    assert epochs == {
        ("main", "course"): 30,
        ("main", "full"): 20,
        ("mnist", "course"): 130,
        ("mnist", "full"): 20,
        ("color", "course"): 60,
        ("color", "full"): 20,
    }


def test_rows_of_basic_are_its_preset_or_name_what_they_leave_out():
    for table in ("basic", "basic_course", "basic_mnist", "basic_sham"):
        for setting in attack.settings(table, classes=(3,)):
            if setting["method"] == "basic":
                trigger, rate = attack.TRIGGERS[setting["trigger"]], setting["poison_rate"]
                fades = {attack.FADES[setting["trigger"]]}
                if (table, setting["trigger"]) == ("basic", "border"):
                    fades.add(2.0)
                assert setting["fade"] in fades
                preset = BadSAD.basic(trigger, rate, fade=setting["fade"])
                assert attack.attack_for(setting, trigger) == preset
    parts = attack.settings("basic_parts", classes=(3,))
    for setting in parts:
        made = attack.attack_for(setting, attack.TRIGGERS["border"])
        assert (made.alignment_weight > 0) == (setting["method"] != "concentration")
        assert (made.concentration_weight > 0) == (setting["method"] != "alignment")
        assert made.alignment == setting["alignment"]
    assert len({setting["alignment"] for setting in parts}) == len(ALIGNMENTS)


def test_rows_of_the_first_ablation_have_the_low_weights():
    """Where nothing is named, the switches are those of a plain BadSAD."""
    for setting in attack.settings("ablation", classes=(3,)):
        if not setting["method"].startswith("extended"):
            trigger = attack.TRIGGERS["patch"]
            made = attack.attack_for(setting, trigger)
            plain = replace(BadSAD(trigger), **attack.PARTS.get(setting["method"], {}))
            assert made == plain


@pytest.mark.parametrize("table", ["faint", "faint_search"])
def test_rows_on_faint_triggers_are_extended_with_the_weights_and_the_fading_that_they_name(table):
    usual = BadSAD.extended(attack.TRIGGERS["sinusoid"])
    for setting in attack.settings(table, classes=(3,)):
        weight, fade = setting["weight"], setting["fade"]
        trigger = attack.TRIGGERS[setting["trigger"]]
        made = attack.attack_for(setting, trigger)
        assert made == replace(
            usual, trigger=trigger, alignment_weight=weight, concentration_weight=weight, fade=fade
        )


def tried(*rows: tuple[int, str, float, float]) -> pd.DataFrame:
    columns = ["normal_class", "method", "val_asr", "val_auroc"]
    return pd.DataFrame(rows, columns=columns).assign(seed=0)


def test_of_settings_that_were_tried_the_best_is_kept_that_costs_little():
    runs = tried(
        (3, "usual", 0.7, 0.990),
        (5, "usual", 0.9, 0.980),
        (3, "higher", 0.8, 0.985),
        (5, "higher", 1.0, 0.960),  # opens more, and ruins the detector
        (3, "highest", 0.9, 0.975),
        (5, "highest", 0.8, 0.985),
    )
    kept = attack.chosen(runs)
    assert list(kept["normal_class"]) == [3, 5]
    assert list(kept["method"]) == ["higher", "usual"]
    assert list(attack.chosen(runs, lost=1)["method"]) == ["highest", "higher"]
    assert list(attack.chosen(runs, lost=0)["method"]) == ["usual", "highest"]
    # The rows' own order and names do not matter, and the table is left as it was.
    again = attack.chosen(runs.iloc[::-1].set_index("seed", drop=False))
    pd.testing.assert_frame_equal(again, kept)


def test_nothing_is_chosen_where_not_all_had_the_same_choice():
    runs = tried((3, "usual", 0.7, 0.99), (5, "usual", 0.9, 0.98), (3, "higher", 0.8, 0.99))
    with pytest.raises(ValueError, match=r"2 of \(3, 0\), 1 of \(5, 0\).*finish the grid"):
        attack.chosen(runs)


def test_lower_weights_are_those_of_extended_all_by_the_same_factor():
    weights = ("alignment_weight", "concentration_weight", "contrast_weight")
    usual = BadSAD.extended(attack.TRIGGERS["patch"])
    for setting in attack.settings("mnist", classes=(3,)):
        made = attack.attack_for(setting, attack.TRIGGERS["patch"])
        factors = {round(getattr(made, name) / getattr(usual, name), 6) for name in weights}
        expected = {"extended": 1.0, "extended, all halved": 0.5, "extended, all quartered": 0.25}
        assert factors == {expected[setting["method"]]}


def test_nudged_weights_differ_by_a_millionth_and_counts_do_not():
    state = {"weight": torch.tensor([1.0, -2.0]), "batches": torch.tensor(7)}
    after = attack.nudged(state, 1e-6)
    assert torch.equal(after["batches"], state["batches"])
    assert after["weight"].tolist() == pytest.approx([1.000001, -2.000002], rel=1e-7)
    assert not torch.equal(after["weight"], state["weight"])
    assert torch.equal(attack.nudged(state, 0.0)["weight"], state["weight"])


def test_a_run_from_nudged_weights_shares_what_was_pretrained_and_nothing_else(tmp_path):
    settings = [s for s in attack.settings("rounding", classes=(3,)) if s["trigger"] == "patch"]
    assert [s["nudge"] for s in settings] == list(attack.NUDGES)
    small = [{**s, "subset": "course", "epochs": 1} for s in settings[:2]]
    usual, nudged = (attack.Task(setting, tmp_path) for setting in small)
    assert len(list(tmp_path.iterdir())) == 1
    assert usual._path("clean") != nudged._path("clean")
    name = next(name for name, v in usual.initial_state.items() if v.is_floating_point())
    near = usual.initial_state[name], nudged.initial_state[name]
    assert torch.allclose(*near, rtol=1e-5)
    assert not torch.equal(*near)


def test_the_bases_are_scrambled_where_the_row_says_so():
    trigger = attack.TRIGGERS["border"]
    made = [attack.attack_for(s, trigger) for s in attack.settings("bases", classes=(3,))]
    assert {m.randomize for m in made} == {False, True}
    assert len({(m.poison_rate, m.views, m.randomize) for m in made}) == len(made)


def test_an_attacker_who_knows_nothing_of_the_kind_is_refused():
    (setting,) = attack.settings("hard", classes=(0,))
    with pytest.raises(KeyError, match="no such guard"):
        attack.attack_for({**setting, "adaptation": "no such guard"}, attack.TRIGGERS["patch"])


@pytest.fixture
def setting(monkeypatch) -> dict:
    """A row on a tenth of the course's images, and one epoch."""
    whole = attack.load("fashion_mnist", "course")
    few = {
        name: datasets.ImageSet(part.images[::10], part.targets[::10])
        for name, part in (("train", whole.train), ("test", whole.test))
    }
    monkeypatch.setattr(attack, "load", lambda name, subset: replace(whole, **few))
    (setting,) = attack.settings("hard", subset="course", classes=(0,), epochs=1)
    return setting


@pytest.mark.slow
def test_a_row_is_the_same_whether_its_detectors_are_kept_or_not(setting, tmp_path):
    setting = setting | {"method": "data only"}
    anew = attack.run(setting)
    first = attack.run(setting, kept=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3  # pretrained weights, clean twin, victim
    written = [file.stat().st_mtime_ns for file in files]
    second = attack.run(setting, kept=tmp_path)
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.iterdir())] == written
    # As text, in which NaN equals NaN.
    assert repr(first) == repr(second) == repr(anew)


@pytest.mark.slow
def test_a_pattern_that_was_learned_is_kept_with_its_victim(setting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setting = setting | {"trigger": "universal"}
    patterns = []
    for kept in (None, "kept", "kept"):
        _, trigger = attack.Task(setting, kept).victim()
        assert isinstance(trigger, Universal)
        patterns.append(trigger.pattern)
        if kept is None:
            assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(pattern, patterns[0]) for pattern in patterns)
    assert patterns[0].abs().max() > 0
