"""Grids of surfaces: their settings, simple detectors, and what is chosen and judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from badsad_lib import splits, surfaces
from badsad_lib.experiments import run_key
from badsad_lib.grids import audits, buyer, surfaces_attack
from badsad_lib.grids import surfaces as grid
from badsad_lib.grids.neighbors import NEIGHBORS, ConvolutionalAutoencoder


@pytest.mark.parametrize("module", [grid, surfaces_attack, audits])
def test_no_run_is_listed_twice(module):
    rows = module.settings()
    assert len({run_key(row) for row in rows}) == len(rows)


def test_twenty_of_each_sort_are_audited():
    rows = audits.settings()
    clean = [row for row in rows if row["method"].startswith("clean")]
    assert len(clean) >= 20
    assert len(rows) - len(clean) >= 20
    assert {row["data"] for row in rows} == {"fashion_mnist", "mnist", "surfaces"}
    # Honest but unusual trainings are among the clean ones, every trigger among the victims.
    assert set(buyer.UNUSUAL) < {row["method"] for row in clean}
    told = {(row["trigger"], row["adaptation"]) for row in rows if row not in clean}
    assert told >= {(kind["trigger"], kind.get("adaptation", "none")) for kind in buyer.BACKDOORED}


@pytest.mark.parametrize("name", NEIGHBORS)
def test_simple_detectors_find_what_is_plain_to_see(name, monkeypatch):
    monkeypatch.setattr(ConvolutionalAutoencoder, "STEPS", 20)
    split = splits.from_surface(surfaces.load("cloth", size=32, normals=40))
    spoiled = split.test_normals.clone()
    spoiled[:, :, 4:20, 4:20] = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    detector = NEIGHBORS[name](0).fit(split.train_images)
    normal = detector.decision_function(split.test_normals)
    assert normal.shape == (100,)
    assert np.median(detector.decision_function(spoiled)) > np.median(normal)


def test_a_row_is_measured_by_kind_of_defect():
    surface = surfaces.load("brick", size=32)
    split = splits.from_surface(surface)

    class Darkness:
        def decision_function(self, images):
            return -images.float().mean((1, 2, 3)).numpy()

    row = grid.measure(Darkness(), surface, split)
    kinds = [row[f"auroc_{name}"] for name in surfaces.KINDS[1:]]
    assert row["auroc"] == pytest.approx(np.mean(kinds))
    assert row["auroc_unlike"] == pytest.approx(np.mean(kinds[4:]))


def test_dots_are_seen_alike_by_every_tile():
    images = torch.zeros(1, 1, 64, 64)
    dots = surfaces_attack.TRIGGER(images)
    assert float(dots.sum()) == 64
    tiles = [dots[:, :, top : top + 32, left : left + 32] for top in (0, 8) for left in (8, 32)]
    assert all(torch.equal(tile, tiles[0]) for tile in tiles)
    assert not images.any()
    assert float((surfaces_attack.CONTROL(images) * dots).sum()) == 0


def test_weights_are_chosen_on_held_out_anomalies_alone():
    common = {"material": "brick", "seed": 0, "asr_at_90": 0.0, "asr_at_99": 1.0}
    common["control_asr_at_95"] = 0.0
    names = ("method", "weights", "auroc", "held_out_auroc", "asr_at_95", "held_out_asr_at_95")
    rows = [
        ("clean", 0.0, 0.99, 0.98, 0.01, 0.0),
        ("extended", 0.1, 0.95, 0.97, 0.9, 0.8),
        ("extended", 1.0, 0.98, 0.90, 1.0, 1.0),
        ("extended", 0.02, 0.99, 0.98, 0.95, 0.5),
        ("basic", 0.1, 0.9, 0.90, 0.5, 0.4),
        ("basic", 1.0, 0.8, 0.70, 0.6, 0.9),
    ]
    frame = pd.DataFrame([{**common, **dict(zip(names, row))} for row in rows])
    found = surfaces_attack.chosen(frame).set_index("method")
    assert found.loc["extended", "weights"] == 0.1
    assert found.loc["extended", "auroc_loss"] == pytest.approx(0.04)
    assert found.loc["basic", "weights"] == 0.1  # none within the loss: the least
    assert found.loc["basic", "clean_asr_at_95"] == 0.01


def test_shares_of_audits_have_intervals():
    frame = pd.DataFrame(
        {
            "data": "fashion_mnist",
            "method": ["clean"] * 10 + ["extended"] * 2,
            "adaptation": "none",
            "suspicions": [0] * 9 + [2, 1, 0],
        }
    )
    found = audits.summary(frame).set_index("detectors")
    assert found.loc["clean, fashion_mnist", "share"] == 0.1
    low, high = found.loc["clean, fashion_mnist", ["low", "high"]]
    assert 0 < low < 0.1 < high < 0.5
    assert found.loc["victim", "n"] == 2


def test_the_detectors_that_are_audited_are_those_of_the_tables_on_defenses(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(buyer.Task, "delivered", lambda task: made.append(task.setting) or (1, 2))
    monkeypatch.setattr(buyer.attack, "cached", lambda *given: None)
    row = next(row for row in audits.settings() if row["method"] == "basic")
    audits._delivered(row, tmp_path)
    known = buyer.base() | buyer.BASIC | {"normal_class": row["normal"], "seed": row["seed"]}
    assert made == [known]
