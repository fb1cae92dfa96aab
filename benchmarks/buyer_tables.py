"""Tables of what a buyer can do with a delivered detector, from the committed results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from cells import ASR, PAIR, RESULTS, ranged, size, table

from badsad_lib.grids import buyer, repair

# What is delivered, as the grid names it.
DELIVERED = {
    "clean": ("clean", "border", "none"),
    "basic, border": ("basic", "border", "none"),
    "extended, patch": ("extended", "patch", "none"),
    "border, knows shrink and perturb": ("extended", "border", "shrink and perturb"),
    "border, knows the inspections": ("extended", "border", "inspections"),
    "learned, knows the second opinion": ("extended", "universal 32/255", "second opinion"),
    "border, knows the high rate": ("extended", "border", "high learning rate"),
}
# Without an own detector there is nothing to call natural.
BASELINE = "own"
RICHEST = "150 + 80"


def runs(results: Path = RESULTS) -> pd.DataFrame:
    """Return all rows, with what stands above clean twin and own detector, and what was lost."""
    frame = repair.excess(pd.read_csv(results / "repair.csv"))
    frame[PAIR] = frame[PAIR].astype(int)
    return frame


def groups(frame: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Runs by what is delivered, what the buyer holds and what he does.

    Only what was done in every class and seed that the group's own detector has. What needs
    nothing stands with the most that is held.
    """
    found = {}
    for name, (method, trigger, adaptation) in DELIVERED.items():
        chosen = (frame["method"] == method) & (frame["trigger"] == trigger)
        here = frame[chosen & (frame["adaptation"] == adaptation)]
        for regime in buyer.REGIMES:
            there = here[here["regime"] == regime]
            pairs = there[there["defense"] == BASELINE][PAIR].drop_duplicates()
            if regime == RICHEST:
                there = pd.concat([here[here["regime"] == "nothing"], there])
            for defense in (*repair.NOTHING, *repair.INSTEAD, *repair.WEIGHTS):
                done = there[there["defense"] == defense].merge(pairs)
                if len(done) == len(pairs) > 0:
                    found[name, regime, defense] = done
    return found


def buyer_table(results: Path = RESULTS) -> str:
    """What each thing that a buyer may do costs, and what it leaves."""
    lines = [
        [
            *key,
            size(done),
            ranged(done, "auroc_loss", digits=3),
            ranged(done, "detection_loss", digits=3),
            *(ranged(done, column) for column in ASR.values()),
            ranged(done, "excess_at_99"),
        ]
        for key, done in groups(runs(results)).items()
    ]
    heads = [
        *("delivered", "held", "done", "classes x seeds", "AUROC lost", "detection lost"),
        *(f"ASR at {quantile}" for quantile in ASR),
        "of it above clean twin and own, at 0.99",
    ]
    return table(heads, lines)
