"""The report quotes how often the audit was right, from the table as it is."""

from __future__ import annotations

import pandas as pd

from badsad_lib import _places
from badsad_lib.audit import audit, rates
from badsad_lib.detectors import wrap
from badsad_lib.grids import audits
from tests.audit.test_audit import brightness, normals, odd


def table(path, clean, victims, told=(0,)):
    """Suspicions of clean detectors, of unaware attackers' victims, and of others'."""
    rows = [{"method": "clean", "adaptation": "none", "suspicions": n} for n in clean]
    rows += [{"method": "extended", "adaptation": "none", "suspicions": n} for n in victims]
    rows += [{"method": "extended", "adaptation": "search", "suspicions": n} for n in told]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_false_alarms_and_misses_are_counted_with_their_intervals(tmp_path):
    said = rates.measured(table(tmp_path / "a.csv", [0] * 19 + [2], [1] * 15 + [0] * 5, [0, 1]))
    assert "in 1 of 20 (5%, 95 % interval 0% to 25%) clean ones" in said
    assert "nothing in 5 of 20 (25%, 95 % interval 9% to 49%) backdoored ones" in said
    assert "nor in 1 of 2 (50%, 95 % interval 1% to 99%) of attackers who knew" in said


def test_every_row_that_the_grid_makes_is_of_a_sort_that_the_report_counts():
    sorts = {(row["method"].startswith("clean"), row["adaptation"]) for row in audits.settings()}
    assert {(True, "none"), (False, "none")} < sorts
    assert all(adaptation == "none" for clean, adaptation in sorts if clean)
    assert any(adaptation != "none" for _, adaptation in sorts)


def test_what_was_not_measured_is_said_to_be_unknown(tmp_path):
    assert rates.measured(tmp_path / "none.csv") == rates.UNKNOWN
    assert rates.measured(table(tmp_path / "b.csv", [0], [])) == rates.UNKNOWN


def test_a_report_says_what_the_shipped_table_says(tmp_path, monkeypatch):
    monkeypatch.setattr(_places, "RESULTS", tmp_path)
    monkeypatch.setattr("badsad_lib.audit.STEPS", [])
    table(tmp_path / "audits.csv", [0, 0], [0, 1])
    report = audit(wrap(brightness), normals(), odd())
    assert rates.measured() in report.not_looked_at
    assert "1 of 2" in rates.measured()
