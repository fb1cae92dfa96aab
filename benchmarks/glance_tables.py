"""The tables of the page that shows the main results at a glance: few rows of many others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attack_tables as attacks
import basic_tables as basic
import buyer_tables as buyer
import defense_tables as defenses
import own_tables
import pandas as pd
from cells import ASR, RESULTS, ranged, size, table

SIZE = attacks.SIZE
BORDER = "border"
# A measure of the buyer, what is delivered to him, and what an attacker delivers who knows it.
AGAINST_BORDER = "basic, border"
KNOWN_MEASURES = {
    "own": None,
    "second opinion": "learned, knows the second opinion",
    "shrink and perturb": "border, knows shrink and perturb",
    "fine-tuning at a high rate": "border, knows the high rate",
}
KNOWN_GUARDS = {"purification": "patch, knows purification", "strip": "patch, knows STRIP"}
PAPER = "the paper's two ideas"


def attack_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of the attack as a whole, of the paper's part of it, and of poison alone."""
    rows = {f"extended: {name}": runs for name, runs in attacks.trigger_rows(results).items()}
    for (trigger, rate, fade), runs in basic.basic_rows(results=results).items():
        if trigger == BORDER and fade == 1:
            rows[f"{PAPER}: {attacks.TRIGGERS[trigger]}, poison rate {attacks.percent(rate)}"] = (
                runs
            )
    for (trigger, rate, randomized), runs in attacks.data_only_rows(results).items():
        if (trigger, randomized) == ("patch", False) and rate <= 0.5:
            name = f"poisoned images alone: {attacks.TRIGGERS[trigger]}"
            rows[f"{name}, poison rate {attacks.percent(rate)}"] = runs
    return rows


def attack_table(results: Path = RESULTS) -> str:
    """What the attack reaches at three thresholds, and what it costs."""
    lines = [
        [
            name,
            size(runs),
            *attacks.asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            ranged(runs, "control_asr"),
        ]
        for name, runs in attack_rows(results).items()
    ]
    heads = ["attack", SIZE, *attacks.ASR_HEADS, attacks.LOST, "ASR at 0.95 on the clean twin"]
    return table(heads, lines)


def _guard_lines(results: Path) -> list[list[str]]:
    runs, column = defenses.read("inputs", results), "true_positives_at_5"
    lines = []
    for defense, own in runs.groupby("defense", sort=False):
        known = KNOWN_GUARDS.get(str(defense))
        lines.append(
            [
                f"guard: {defenses.DEFENSES.get(str(defense), defense)}",
                "caught, at 5 % false alarms",
                size(own),
                ranged(defenses.of_victim(own, "patch"), column),
                ranged(defenses.of_victim(own, known), column) if known else "–",
            ]
        )
    return lines


def _search_line(results: Path) -> list[str]:
    runs = defenses.read("model", results)
    found = (
        f"{defenses.separation_of_sizes(runs, victim):.3f}"
        for victim in ("patch", "patch, knows the search")
    )
    return ["search for a trigger", "AUROC against clean detectors", size(runs), *found]


def _repair_lines(results: Path) -> list[list[str]]:
    runs = defenses.repair_runs(results)
    lines = []
    for defense, own in runs.groupby("defense", sort=False):
        left = ranged(defenses.of_victim(own, "patch"), "asr_after")
        lines.append([f"repair: {defense}", "ASR left", size(own), left, "–"])
    return lines


def _measure_lines(results: Path) -> list[list[str]]:
    """What a buyer does who holds most, against a border and against who knows the measure."""
    groups = buyer.groups(buyer.runs(results))
    lines = []
    for measure, known in KNOWN_MEASURES.items():
        plain = groups[AGAINST_BORDER, buyer.RICHEST, measure]
        prepared = groups[known, buyer.RICHEST, measure] if known else None
        sizes = size(plain) + ("" if prepared is None else f"; {size(prepared)}")
        lines.append(
            [
                f"border, {measure}" if measure != "own" else "border, a detector of one's own",
                "ASR left",
                sizes,
                ranged(plain, ASR["0.95"]),
                "–" if prepared is None else ranged(prepared, ASR["0.95"]),
            ]
        )
    return lines


def defense_table(results: Path = RESULTS) -> str:
    """What each defense does against an attacker who does not know it, and against one who does."""
    heads = [
        "defense",
        "measured",
        SIZE,
        "the attacker does not know it",
        "the attacker trained against it",
    ]
    lines = [
        *_guard_lines(results),
        _search_line(results),
        *_repair_lines(results),
        *_measure_lines(results),
    ]
    return table(heads, lines)


TABLES: dict[str, Callable[[Path], str]] = {
    "attack": attack_table,
    "defenses": defense_table,
    "own": own_tables.own_table,
}
