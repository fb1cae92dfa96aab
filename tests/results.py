"""The committed tables, and the settings of the runs that each may hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from badsad_lib.grids import attack, defense, registry

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
TABLES = sorted({file.stem for file in RESULTS.glob("*.csv")} - {"speed"})  # seconds, no grid
ATTACK_TABLES = [name for name in TABLES if name.removeprefix("attack_") in attack.TABLES]
DEFENSE_TABLES = [f"defense_{table}" for table in defense.DEFENSES]
BUYER_TABLES = ("repair", "inspection", "crossing")


def committed(table: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{table}.csv")


def asked(table: str) -> list[dict]:
    """Settings of the runs that a committed table may hold."""
    return registry.settings(table, committed(table)["seed"].nunique())
