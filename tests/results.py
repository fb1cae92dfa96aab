"""The committed tables, and the settings of the runs that each may hold."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from badsad_lib.grids import (
    attack,
    attack_search,
    audits,
    crossing,
    defense,
    detector,
    detector_choice,
    inspection,
    latents,
    repair,
    surfaces,
    surfaces_attack,
)

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def committed(table: str) -> pd.DataFrame:
    return pd.read_csv(RESULTS / f"{table}.csv")


ATTACK_TABLES = sorted(
    file.stem for file in RESULTS.glob("attack_*.csv") if file.stem != "attack_search"
)
DEFENSE_TABLES = [f"defense_{table}" for table in defense.DEFENSES]


BUYER_GRIDS = {"repair": repair, "inspection": inspection, "crossing": crossing}
OTHERS = BUYER_GRIDS | {
    "surfaces": surfaces,
    "surfaces_attack": surfaces_attack,
    "audits": audits,
}


def asked(table: str) -> list[dict]:
    """Settings of the runs that a committed table may hold."""
    if table in ATTACK_TABLES:
        subset = committed(table)["subset"].iloc[0]
        return attack.settings(table.removeprefix("attack_"), subset=subset, seeds=3)
    if table in DEFENSE_TABLES:
        seeds = committed(table)["seed"].nunique()
        return defense.settings(table.removeprefix("defense_"), seeds=seeds)
    if table in OTHERS:
        return OTHERS[table].settings(seeds=(0, 1))
    return {
        "detector": detector.settings(seeds=3),
        "detector_choice": detector_choice.settings(),
        "attack_search": attack_search.settings(),
        "latents": latents.settings(),
    }[table]
