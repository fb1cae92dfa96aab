"""What the committed tables cost: from the seconds that each of their rows says it took."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from cells import RESULTS, table


def costs(results: Path = RESULTS) -> pd.DataFrame:
    """Runs, seconds and hours of every table whose rows say how long they took."""
    rows = []
    for path in sorted(results.glob("*.csv")):
        frame = pd.read_csv(path)
        if {"run", "seconds"} <= set(frame):
            seconds = frame["seconds"]
            rows.append((path.stem, len(frame), seconds.median(), seconds.sum() / 3600))
    return pd.DataFrame(rows, columns=["table", "runs", "seconds", "hours"])


def costs_table(results: Path = RESULTS) -> str:
    """What each table cost, and all of them."""
    frame = costs(results)
    lines = [
        [f"`{row.table}`", str(row.runs), f"{row.seconds:.0f}", f"{row.hours:.1f}"]
        for row in frame.itertuples()
    ]
    lines.append(["all", str(frame["runs"].sum()), "", f"{frame['hours'].sum():.1f}"])
    return table(["grid", "runs", "seconds a run (median)", "hours on one core"], lines)
