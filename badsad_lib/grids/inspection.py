"""Inspections of a delivered detector: one row a detector and a statistic.

Clean detectors are rows as well: the ordinary ones of all classes, those of unusual but honest
trainings (``buyer.UNUSUAL``) and those of digits. What a statistic is worth
is told by :func:`judged`: each clean detector is held against a null that has not seen its kind.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from badsad_lib import defenses, metrics
from badsad_lib.experiments import cached
from badsad_lib.grids import buyer

SEARCH = defenses.TriggerInversion()
RELATIVE = defenses.RelativeInversion()
STATISTICS = ("relative search", "search", "batch statistics")
# Where less of it is more suspicious.
LOWER = ("relative search", "search")
# The buyer's images of each data set.
HOLDS = {"fashion_mnist": "150 + 80", "mnist": "50 + 20"}
CLEAN = (buyer.CLEAN, *({**buyer.CLEAN, "method": method} for method in buyer.UNUSUAL))


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Get the detector that a row names and take the statistic.

    Parameters
    ----------
    setting
        One of :func:`settings`.
    kept
        Folder of trained detectors, as in :func:`badsad_lib.grids.attack.run`. The sizes found on
        the buyer's own detectors stand in it as well: they are the same for all that is delivered.
    """
    task = buyer.Task(setting, kept)
    detector, _ = task.delivered()
    given, statistic = task.held(setting["regime"]), setting["statistic"]
    row: dict[str, Any] = {"size": None, "own_size": None}
    start = time.process_time()
    if statistic == "batch statistics":
        row["value"] = defenses.BatchStatistics().statistic(detector, *given)
    elif statistic == "search":
        row["value"] = row["size"] = SEARCH.statistic(detector, *given)
    else:
        row["size"] = RELATIVE.size(detector, *given)
        key = {**task.where, "what": f"sizes on halves, {setting['regime']}, {RELATIVE!r}"}
        sizes = cached(
            task.kept,
            key,
            lambda: {"sizes": torch.tensor(RELATIVE.reference_sizes(task.clean(), *given))},
        )["sizes"].tolist()
        row["value"] = defenses.relative_size(row["size"], sizes)
        row["own_size"] = row["size"] / row["value"]
    return row | {"defense_seconds": time.process_time() - start}


def settings(
    *,
    seeds: Iterable[int] = (0,),
    classes: Iterable[int] = buyer.CLASSES,
    clean_classes: Iterable[int] = range(10),
    victims: Iterable[dict[str, Any]] = buyer.BACKDOORED,
    data: Iterable[str] = HOLDS,
    statistics: Iterable[str] = STATISTICS,
) -> list[dict[str, Any]]:
    """List the runs: clean detectors of all classes, then victims; digits are clean."""
    classes, clean_classes, statistics = tuple(classes), tuple(clean_classes), tuple(statistics)
    kinds: list[tuple[str, dict[str, Any], tuple[int, ...]]] = []
    for name in data:
        some = CLEAN if name == "fashion_mnist" else (buyer.CLEAN,)
        kinds += [(name, kind, clean_classes) for kind in some]
        if name == "fashion_mnist":
            kinds += [(name, kind, classes) for kind in victims]
    return [
        {
            **buyer.base(name),
            **kind,
            "normal_class": normal_class,
            "seed": seed,
            "regime": HOLDS[name],
            "statistic": statistic,
        }
        for seed in seeds
        for name, kind, some in kinds
        for normal_class in some
        for statistic in statistics
    ]


def judged(frame: pd.DataFrame, *, false_alarms: float = 0.05) -> pd.DataFrame:
    """What each statistic is worth against each kind of victim, and its false alarms.

    A detector is flagged where its suspicion is above the 1 - ``false_alarms`` quantile of clean
    detectors of other groups. A group is a normal class of the ordinary clothes, a way of training,
    or the digits.

    Returns
    -------
    DataFrame
        A row a statistic and kind (``clean ...`` or method, trigger, adaptation): ``n``,
        ``auroc`` (NaN for clean kinds), ``flagged`` and its interval ``low`` to ``high``.
    """
    rows = []
    for statistic, here in frame.groupby("statistic"):
        log = np.log(here["value"].clip(lower=1e-12))
        here = here.assign(
            suspicion=-log if statistic in LOWER else log,
            clean=here["method"].str.startswith("clean"),
            group=np.where(
                here["data"] == "mnist",
                "mnist",
                np.where(
                    here["method"] == "clean",
                    "class " + here["normal_class"].astype(str),
                    here["method"],
                ),
            ),
        )
        clean = here[here["clean"]]
        for kind, some in here.groupby(["method", "data", "trigger", "adaptation"]):
            flagged = 0
            for one in some.itertuples():
                # A victim has no group; its own class is left out with it.
                left_out = one.group if one.clean else f"class {one.normal_class}"
                null = clean.loc[clean["group"] != left_out, "suspicion"]
                flagged += one.suspicion > np.quantile(null, 1 - false_alarms)
            low, high = metrics.rate_interval(flagged, len(some))
            is_clean = bool(some["clean"].iloc[0])
            rows.append(
                {
                    "statistic": statistic,
                    **dict(zip(("method", "data", "trigger", "adaptation"), kind)),
                    "n": len(some),
                    "auroc": math.nan
                    if is_clean
                    else metrics.auroc(clean["suspicion"], some["suspicion"]),
                    "flagged": flagged / len(some),
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)
