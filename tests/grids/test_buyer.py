"""What a buyer holds, and what the tables on repairs and inspections make of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from badsad_lib.defenses import SecondOpinion, TrainYourOwn
from badsad_lib.experiments import run_key
from badsad_lib.grids import attack, buyer, crossing, inspection, repair
from badsad_lib.metrics import threshold_at
from badsad_lib.report import SplitScores
from tests.defenses.samples import anomalies, tiny, trusted

GRIDS = {"repair": repair, "inspection": inspection, "crossing": crossing}


def a_task(regime: str = "150 + 80", **changes) -> buyer.Task:
    setting = {**buyer.base(), **buyer.CLEAN, "normal_class": 3, "seed": 0, "regime": regime}
    return buyer.Task({**setting, **changes})


@pytest.fixture(scope="module")
def task() -> buyer.Task:
    return a_task()


@pytest.mark.parametrize("name", GRIDS)
def test_every_row_is_another_one(name):
    runs = GRIDS[name].settings(seeds=(0, 1), classes=(3, 5))
    assert len({run_key(setting) for setting in runs}) == len(runs) > 0
    assert {s["seed"] for s in runs} == {0, 1}
    assert {3, 5} <= {s["normal_class"] for s in runs}


def test_a_victim_is_the_one_of_the_attack_tables():
    """Same settings, same file of kept detectors."""
    ours = {
        repr(attack.attack_for({**buyer.base(), **v, "seed": 0}, attack.TRIGGERS[v["trigger"]]))
        for v in buyer.VICTIMS
    }
    (basic,) = (
        s
        for s in attack.settings("basic_course", classes=(3,))
        if (s["trigger"], s["poison_rate"], s["method"]) == ("border", 0.5, "basic")
    )
    assert repr(attack.attack_for(basic, attack.TRIGGERS["border"])) in ours


@pytest.mark.parametrize("regime", buyer.REGIMES)
def test_a_regime_gives_what_it_names_and_nothing_that_was_trained_or_tested_on(task, regime):
    here = buyer.REGIMES[regime]
    normals, others = task.held(regime)
    assert (len(normals), len(others)) == (here.trusted, here.anomalies)
    split = task.split
    used = torch.cat([split.train_images, split.val_images, split.val_anomalies])
    if here.kinds != "synthetic":
        for image in others:
            assert not (used == image).flatten(1).all(1).any()
    if here.kinds == "one":
        (where,) = np.nonzero(task.data.train.targets.numpy() == 4)
        of_kind = task.data.train.images[where]
        assert all((of_kind == image).flatten(1).all(1).any() for image in others)


@pytest.mark.parametrize("grid", [repair, inspection])
def test_digits_are_delivered_with_and_without_a_backdoor_to_who_holds_less(grid):
    digits = [s for s in grid.settings(classes=(3,)) if s["data"] == "mnist"]
    assert {s["method"] for s in digits} == {"clean", "basic", "extended"}
    assert {s["regime"] for s in digits} - {"nothing"} == {"50 + 20"}
    only = grid.settings(classes=(3,), data=("mnist",), victims=(buyer.BASIC,))
    assert {s["data"] for s in only} == {"mnist"}
    assert {s["method"] for s in only} - {"clean"} == {"basic"}


def test_a_regime_that_the_split_cannot_give_is_refused():
    digits = a_task(data="mnist", epochs=1)
    assert len(digits.held("50 + 20")[1]) == 20
    with pytest.raises(ValueError, match="150 \\+ 80"):
        digits.held("150 + 80")


def test_augmented_images_are_the_images_and_each_once_more():
    images = (torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 255).byte()
    more = buyer.augmented(images, 0)
    assert torch.equal(more[:6], images)
    assert more.shape == (12, 1, 28, 28)
    for one, other in zip(images, more[6:]):
        moved = [
            torch.nn.functional.pad(one.flip(-1) if flip else one, (2, 2, 2, 2))[
                :, top : top + 28, left : left + 28
            ]
            for flip in (False, True)
            for top in range(5)
            for left in range(5)
        ]
        assert any(torch.equal(other, m) for m in moved)


def test_scores_of_two_detectors_are_those_of_the_second_opinion():
    one, held_out = tiny(), trusted()
    quick = TrainYourOwn(steps=4, synthetic=10)
    opinion = SecondOpinion(quick).fit(one, trusted(count=20), anomalies())
    parts = [held_out, held_out[:30], anomalies(), anomalies()]
    scores = [
        SplitScores(*(each.decision_function(part) for part in parts))
        for each in (one, opinion.own_)
    ]
    opinion.calibrate(held_out, quantile=0.9)
    together = repair.larger(*scores, 0.9)
    assert together.anomalies == pytest.approx(opinion.decision_function(parts[2]))
    assert threshold_at(together.held_out, 0.9) == pytest.approx(opinion.threshold_)


def rows_of_repairs() -> pd.DataFrame:
    """One victim: twin .1, own .3, delivered 1, repaired .5 and .2."""
    outcomes = [
        ("nothing", "none", 0.96, 1.0),
        ("nothing", "clean twin", 0.97, 0.1),
        ("150 + 80", "own", 0.95, 0.3),
        ("150 + 80", "shrink and perturb", 0.94, 0.5),
        ("150 + 80", "unlearning", 0.96, 0.2),
        ("50 + 20", "shrink and perturb", 0.93, 0.5),
    ]
    rows = [
        {
            **buyer.base(),
            **buyer.BASIC,
            "normal_class": 3,
            "seed": 0,
            "regime": regime,
            "defense": defense,
            "auroc": auroc,
            "detection_rate": auroc,
            **{f"asr_at_{q}": asr for q in (90, 95, 99)},
        }
        for regime, defense, auroc, asr in outcomes
    ]
    return pd.DataFrame(rows)


def test_excess_is_above_clean_twin_and_own_detector_of_the_same_victim_and_regime():
    frame = rows_of_repairs()
    other = frame.assign(normal_class=5, asr_at_95=0.0)
    found = repair.excess(pd.concat([frame, other], ignore_index=True))
    first = found[found["normal_class"] == "3"].set_index(["regime", "defense"])
    assert first["excess_at_95"].to_dict() == pytest.approx(
        {
            ("nothing", "none"): 0.9,
            ("nothing", "clean twin"): 0.0,
            ("150 + 80", "own"): 0.0,
            ("150 + 80", "shrink and perturb"): 0.2,
            ("150 + 80", "unlearning"): 0.0,
            ("50 + 20", "shrink and perturb"): 0.4,  # no own detector there: above the twin
        }
    )
    assert first["auroc_loss"]["150 + 80", "shrink and perturb"] == pytest.approx(0.02)


def test_a_clean_detector_as_it_is_is_its_own_twin():
    frame = rows_of_repairs().query("defense != 'clean twin'").assign(method="clean")
    frame.loc[frame["defense"] == "none", "asr_at_95"] = 0.4
    found = repair.excess(frame).set_index(["regime", "defense"])["excess_at_95"]
    assert found["nothing", "none"] == 0
    assert found["150 + 80", "shrink and perturb"] == pytest.approx(0.1)


def test_a_clean_detector_is_judged_by_others_than_its_own_group():
    def row(method, value, normal_class=0, data="fashion_mnist", trigger="border"):
        return {
            "statistic": "relative search",
            "method": method,
            "value": value,
            "normal_class": normal_class,
            "data": data,
            "trigger": trigger,
            "adaptation": "none",
        }

    clean = [row("clean", 1 + c / 100, c) for c in range(10)]
    odd = [row("clean, augmented", 0.5 + c / 1000, c) for c in range(10)]
    victims = [row("extended", 0.1, c) for c in range(5)]
    digits = [row("clean", 1.2, c, data="mnist") for c in range(10)]
    table = inspection.judged(pd.DataFrame([*clean, *odd, *digits, *victims]))
    flagged = table.set_index(["method", "data"])["flagged"]
    # A null without augmented detectors flags them all, one with them does not flag the others.
    assert flagged["clean, augmented", "fashion_mnist"] == 1
    assert flagged["clean", "fashion_mnist"] == 0
    assert flagged["extended", "fashion_mnist"] == 1
    assert table.set_index("method")["auroc"]["extended"] == 1
    # Victims of digits as well: they are flagged, though clean digits would hide them.
    small = [{**each, "value": 0.4} for each in digits]
    theirs = [row("extended", 0.45, c, data="mnist") for c in range(5)]
    table = inspection.judged(pd.DataFrame([*clean, *odd, *small, *theirs]))
    assert table.set_index(["method", "data"])["flagged"]["extended", "mnist"] == 1
    assert table["low"].le(table["flagged"]).all()
    assert table["high"].ge(table["flagged"]).all()
