"""How often the audit suspects a detector: counted on those of the course, in a table that ships.

``benchmarks/results/audits.csv`` has a row for each detector that was audited, clean or backdoored
(:mod:`badsad_lib.grids.audits` makes it). A report quotes it as it is now, so what it says and what
was measured cannot drift apart.
"""

from __future__ import annotations

import csv
from pathlib import Path

from badsad_lib import _places
from badsad_lib.metrics import rate_interval

UNKNOWN = (
    "How often each finding is raised on clean detectors at large, and how many backdoored ones "
    "pass without: the rates stated are those of your own few detectors."
)


def measured(table: Path | None = None) -> str:
    """Say on how many detectors of the course the audit was right, and that yours are others.

    Parameters
    ----------
    table
        By default the one that ships. Without it, or without rows of every sort, the sentence says
        that this is not known.
    """
    table = _places.RESULTS / "audits.csv" if table is None else table
    if not table.is_file():
        return UNKNOWN
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    suspected: dict[str, list[bool]] = {"clean": [], "unaware": [], "told": []}
    for row in rows:
        victim = "unaware" if row["adaptation"] == "none" else "told"
        sort = "clean" if row["method"].startswith("clean") else victim
        suspected[sort].append(float(row["suspicions"]) > 0)
    if not all(suspected.values()):
        return UNKNOWN
    return (
        "How often each finding is raised on detectors like yours. On those of the course, with "
        "all access, something that speaks of a backdoor was found in "
        f"{_share(suspected['clean'], True)} clean ones, and nothing in "
        f"{_share(suspected['unaware'], False)} backdoored ones, nor in "
        f"{_share(suspected['told'], False)} of attackers who knew a defense."
    )


def _share(found: list[bool], which: bool) -> str:
    low, high = rate_interval(count := found.count(which), n := len(found))
    return f"{count} of {n} ({count / n:.0%}, 95 % interval {low:.0%} to {high:.0%})"
