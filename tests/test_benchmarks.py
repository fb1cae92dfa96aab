"""The committed results: tables that say what they say, and rows that can be had again."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

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
    for _, rows in detector.groupby("protocol"):
        assert sorted(rows["normal_class"]) == list(range(10))
    mean = detector.groupby("protocol")["auroc"].mean()
    assert mean["full"] >= 0.970
    assert mean["course"] >= 0.955
    assert mean["hard"] >= 0.915


@pytest.mark.slow
def test_a_row_of_the_detector_table_can_be_had_again(detector):
    setting = {"protocol": "course", "normal_class": 1, "seed": 0}
    again = script("detector_grid").run(setting)
    (row,) = detector.merge(pd.DataFrame([setting])).to_dict("records")
    assert again["n_train"] == row["n_train"]
    assert again["epochs"] == row["epochs"]
    assert again["auroc"] == pytest.approx(row["auroc"], abs=0.01)
    assert again["detection_rate"] == pytest.approx(row["detection_rate"], abs=0.05)
