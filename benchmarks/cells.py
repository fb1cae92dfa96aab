"""What stands in a table's cells: means, ranges and paired differences of runs, one row a run.

A run is told by its normal class and its seed. Rows of a table are compared only on the pairs of
class and seed that all of them have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from badsad_lib import metrics

RESULTS = Path(__file__).resolve().parent / "results"
PAIR = ["normal_class", "seed"]
# The ASR at each quantile of held-out normals that a threshold is taken from.
ASR = {"0.90": "asr_at_90", "0.95": "asr_at_95", "0.99": "asr_at_99"}
DRAWS = {"resamples": 10_000, "seed": 0}


def table(heads: list[str], rows: list[list[str]], *notes: str) -> str:
    """Lay out a table of Markdown, with notes under it."""
    lines = [heads, ["---"] * len(heads), *rows]
    text = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([*text, *(line for note in notes for line in ("", note))])


def number(value: float, digits: int = 3) -> str:
    """Write a number without a minus before zero."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def size(runs: pd.DataFrame) -> str:
    """Say how many classes and seeds: ``10 x 3``. Every class must have every seed."""
    pairs = len(runs[PAIR].drop_duplicates())
    classes, seeds = runs["normal_class"].nunique(), runs["seed"].nunique()
    if pairs != classes * seeds:
        raise ValueError(
            f"{pairs} runs of {classes} classes and {seeds} seeds: finish the grid, since a mean "
            "over classes needs each class with each seed"
        )
    return f"{classes} x {seeds}"


def by_class(runs: pd.DataFrame, column: str) -> pd.Series:
    """Mean of each normal class over its seeds."""
    if runs[column].isna().any():
        raise ValueError(f"{column} was not measured in every run; a mean would hide that")
    return runs.groupby("normal_class")[column].mean()


def average(runs: pd.DataFrame, column: str) -> float:
    """Mean over the classes."""
    return float(by_class(runs, column).mean())


def mean(runs: pd.DataFrame, column: str) -> str:
    """Mean over the classes, or a dash where it was not measured."""
    return "–" if runs[column].isna().all() else number(average(runs, column))


def ranged(runs: pd.DataFrame, column: str, digits: int = 2) -> str:
    """Mean over the classes, and their range with so many digits where there are several."""
    if runs[column].isna().all():
        return "–"
    classes = by_class(runs, column)
    if len(classes) == 1:
        return number(classes.iloc[0])
    low, high = number(classes.min(), digits), number(classes.max(), digits)
    return f"{number(classes.mean())} ({low} to {high})"


def over_seeds(runs: pd.DataFrame, column: str) -> str:
    """Mean over the classes, ``±`` the standard deviation of that mean over seeds."""
    of_seed = runs.groupby("seed")[column].mean()
    spread = f" ± {number(of_seed.std())}" if len(of_seed) > 1 else ""
    return f"{number(average(runs, column))}{spread}"


def same_pairs(rows: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Keep of each row's runs those whose class and seed all rows have."""
    pairs = None
    for runs in rows.values():
        own = runs[PAIR].drop_duplicates()
        pairs = own if pairs is None else pairs.merge(own)
    if pairs is None or pairs.empty:
        raise ValueError(f"{', '.join(rows)}: no class and seed in common, nothing to compare")
    return {name: runs.merge(pairs) for name, runs in rows.items()}


def difference(first: pd.DataFrame, second: pd.DataFrame, column: str) -> metrics.Interval:
    """Mean of ``first`` less ``second`` on their common pairs of class and seed.

    Seeds of one class belong together: a class goes in with the mean over its seeds.
    """
    paired = same_pairs({"first": first, "second": second})
    one, other = (by_class(runs, column) for runs in paired.values())
    return metrics.paired_interval(one, other, **DRAWS)


def judged(first: pd.DataFrame, second: pd.DataFrame, column: str) -> str:
    """Say whether ``first`` has more than ``second``: only where the paired interval says so."""
    found = difference(first, second, column)
    if found.low > 0:
        words = "a gain"
    elif found.high < 0:
        words = "a loss"
    else:
        words = "no difference was shown"
    return f"{words}: {compared(first, second, column)}"


def compared(first: pd.DataFrame, second: pd.DataFrame, column: str) -> str:
    """Write a paired difference with its 95 % interval."""
    found = difference(first, second, column)
    sign = "+" if found.mean >= 0.0005 else ""
    return f"{sign}{number(found.mean)} ({number(found.low)} to {number(found.high)})"


def between(runs: pd.DataFrame, first: str, second: str) -> str:
    """Write how much one column has beyond another of the same runs, with its 95 % interval."""
    one, other = (runs.rename(columns={name: "measured"}) for name in (first, second))
    return compared(one, other, "measured")
