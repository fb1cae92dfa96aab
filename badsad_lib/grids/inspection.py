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
    victims: Iterable[dict[str, Any]] | None = None,
    data: Iterable[str] = buyer.HOLDS,
    statistics: Iterable[str] = STATISTICS,
) -> list[dict[str, Any]]:
    """List the runs: of each data set clean detectors of all classes, then victims.

    ``victims`` are by default all of a data set.
    """
    classes, clean_classes, statistics = tuple(classes), tuple(clean_classes), tuple(statistics)
    kinds: list[tuple[str, dict[str, Any], tuple[int, ...]]] = []
    for name in data:
        some = CLEAN if name == "fashion_mnist" else (buyer.CLEAN,)
        kinds += [(name, kind, clean_classes) for kind in some]
        backdoored = [kind for kind in buyer.KINDS[name] if kind is not buyer.CLEAN]
        kinds += [(name, kind, classes) for kind in (backdoored if victims is None else victims)]
    return [
        {
            **buyer.base(name),
            **kind,
            "normal_class": normal_class,
            "seed": seed,
            "regime": buyer.HOLDS[name],
            "statistic": statistic,
        }
        for seed in seeds
        for name, kind, some in kinds
        for normal_class in some
        for statistic in statistics
    ]


def flagged(frame: pd.DataFrame, *, false_alarms: float = 0.05) -> pd.DataFrame:
    """Say of each row whether its statistic flags the detector.

    It does where its suspicion is above the 1 - ``false_alarms`` quantile of clean detectors of
    other groups. A group is a normal class of the ordinary clothes, a way of training, or the
    digits. A victim has no group; what is of its class or of its data is left out with it.

    Returns
    -------
    DataFrame
        The rows, with ``clean``, ``suspicion`` (higher is worse) and ``flagged``.
    """
    frame = frame.reset_index(drop=True)
    log = np.log(frame["value"].clip(lower=1e-12))
    digits = frame["data"] == "mnist"
    own_class = "class " + frame["normal_class"].astype(str)
    ordinary = frame["method"].where(frame["method"] != "clean", own_class)
    frame = frame.assign(
        suspicion=log.where(~frame["statistic"].isin(LOWER), -log),
        clean=frame["method"].str.startswith("clean"),
        group=ordinary.mask(digits, "mnist"),
    )
    left_out = frame["group"].where(frame["clean"], own_class.mask(digits, "mnist"))
    found = pd.Series(False, index=frame.index)
    for (statistic, without), some in frame.groupby(["statistic", left_out]):
        null = frame[frame["clean"] & (frame["statistic"] == statistic)]
        limit = np.quantile(null.loc[null["group"] != without, "suspicion"], 1 - false_alarms)
        found[some.index] = some["suspicion"] > limit
    return frame.assign(flagged=found).drop(columns="group")


def judged(frame: pd.DataFrame, *, false_alarms: float = 0.05) -> pd.DataFrame:
    """What each statistic is worth against each kind of victim, and its false alarms.

    Returns
    -------
    DataFrame
        A row a statistic and kind (``clean ...`` or method, trigger, adaptation): ``n``,
        ``auroc`` (NaN for clean kinds), the share :func:`flagged` and its interval ``low`` to
        ``high``.
    """
    rows = []
    kind = ["method", "data", "trigger", "adaptation"]
    frame = flagged(frame, false_alarms=false_alarms)
    for (statistic, *named), some in frame.groupby(["statistic", *kind]):
        clean = frame[frame["clean"] & (frame["statistic"] == statistic)]
        hits = int(some["flagged"].sum())
        low, high = metrics.rate_interval(hits, len(some))
        rows.append(
            {
                "statistic": statistic,
                **dict(zip(kind, named)),
                "n": len(some),
                "auroc": math.nan
                if some["clean"].all()
                else metrics.auroc(clean["suspicion"], some["suspicion"]),
                "flagged": hits / len(some),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
