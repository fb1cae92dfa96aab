"""What a buyer is left with: a delivered detector, repaired, replaced or asked beside another.

One row a detector, a regime (what the buyer holds, ``buyer.REGIMES``) and a
defense. In the regime ``nothing`` stand the detector as it is (``none``) and its clean twin, in
all others ``own``, the detector that the buyer trains from what he holds. All are measured under
the trigger of the victim, so that :func:`excess` can say what of an ASR is not natural.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from badsad_lib import defenses, report
from badsad_lib.deepsad import DeepSAD
from badsad_lib.grids import buyer
from badsad_lib.metrics import QUANTILES, threshold_at
from badsad_lib.report import SplitScores
from badsad_lib.triggers import Trigger

# Repairs of the delivered weights. They are asked for also where they would refuse.
WEIGHTS: dict[str, defenses.WeightRepair] = {
    "shrink and perturb": defenses.ShrinkPerturb(anyway=True),
    "fine-tuning at a high rate": defenses.FineTuning.at_high_rate(anyway=True),
    "fine-tuning": defenses.FineTuning(disturbed=False, anyway=True),
    "unlearning": defenses.Unlearning(anyway=True),
    "fine-tuning, disturbed": defenses.FineTuning(anyway=True),
    "fine-pruning": defenses.FinePruning(anyway=True),
    "attention distillation": defenses.AttentionDistillation(anyway=True),
}
OWN: dict[str, defenses.TrainYourOwn] = {
    "own": defenses.TrainYourOwn(),
    "own, synthetic beside": defenses.TrainYourOwn(synthetic=150),
}
NOTHING = ("none", "clean twin")
INSTEAD = (*OWN, "second opinion")


def larger(one: SplitScores, other: SplitScores, quantile: float) -> SplitScores:
    """Scores of a :class:`~badsad_lib.defenses.SecondOpinion` from those of its two detectors."""
    units = [threshold_at(each.held_out, quantile) for each in (one, other)]

    def asked(part: str) -> np.ndarray:
        return np.maximum(*(getattr(s, part) / u for s, u in zip((one, other), units)))

    return SplitScores(*(asked(part) for part in ("held_out", "normals", "anomalies", "triggered")))


def measured(scores: dict[float, SplitScores]) -> dict[str, Any]:
    """What is written down of scores, which may depend on the quantile."""
    at = {q: scores[q].rates(q) for q in QUANTILES}
    headline = at[0.95]
    return {
        "auroc": headline.auroc,
        "detection_rate": headline.detection_rate,
        "false_alarms": headline.false_alarms,
        "triggered_auroc": headline.triggered_auroc,
        **{f"detection_at_{100 * q:.0f}": rates.detection_rate for q, rates in at.items()},
        **{f"asr_at_{100 * q:.0f}": rates.asr for q, rates in at.items()},
    }


def outcome(
    task: buyer.Task, delivered: DeepSAD, trigger: Trigger, regime: str, defense: str
) -> tuple[DeepSAD, DeepSAD | None]:
    """Return the detector that a defense leaves, and a second one where both are asked."""
    seed = task.setting["seed"]
    if defense == "none":
        return delivered, None
    if defense == "clean twin":
        return task.clean(), None
    if defense == "second opinion":
        how = defenses.SecondOpinion().own
        return delivered, task.own(regime, replace(how, seed=seed))
    if defense in OWN:
        return task.own(regime, replace(OWN[defense], seed=seed)), None
    repair: Any = WEIGHTS[defense]  # each has a seed
    return replace(repair, seed=seed).repair(delivered, *task.held(regime)), None


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Get the detector that a row names, do what the row says and measure what is left."""
    task = buyer.Task(setting, kept)
    delivered, trigger = task.delivered()
    start = time.process_time()
    first, second = outcome(task, delivered, trigger, setting["regime"], setting["defense"])
    seconds = time.process_time() - start
    scores = report.score(first, task.split, trigger)
    by_quantile = dict.fromkeys(QUANTILES, scores)
    if second is not None:
        other = report.score(second, task.split, trigger)
        by_quantile = {q: larger(scores, other, q) for q in QUANTILES}
    return measured(by_quantile) | {"defense_seconds": seconds}


def settings(
    *,
    seeds: Iterable[int] = (0,),
    classes: Iterable[int] = buyer.CLASSES,
    victims: Iterable[dict[str, Any]] | None = None,
    regimes: Iterable[str] = buyer.REGIMES,
    data: Iterable[str] = buyer.HOLDS,
) -> list[dict[str, Any]]:
    """List the runs, regime by regime and victim by victim; of digits in the one that is held.

    ``victims`` are by default all that are delivered of a data set.
    """
    classes, regimes, data = tuple(classes), tuple(regimes), tuple(data)
    given = None if victims is None else tuple(victims)
    kinds = []
    for name in data:
        held = regimes if name == "fashion_mnist" else (buyer.HOLDS[name],)
        done = {"nothing": NOTHING} | dict.fromkeys(held, (*INSTEAD, *WEIGHTS))
        delivered = buyer.KINDS[name] if given is None else given
        kinds += [(name, *each, kind) for each in done.items() for kind in delivered]
    return [
        {
            **buyer.base(name),
            **kind,
            "normal_class": normal_class,
            "seed": seed,
            "regime": regime,
            "defense": defense,
        }
        for seed in seeds
        for name, regime, defenses_of, kind in kinds
        for normal_class in classes
        for defense in defenses_of
        if defense != "clean twin" or kind.get("method") != "clean"  # it is one
    ]


def excess(frame: pd.DataFrame) -> pd.DataFrame:
    """Add to each row what the clean twin and the buyer's own detector make of its ASR.

    ``excess_at_90``, ``_95``, ``_99``: ASR above the larger of the two, at least 0. ``auroc_loss``
    and ``detection_loss``: against the delivered detector as it is, negative where a defense gains.
    """
    about = [c for c in SAME if c in frame]
    frame = frame.copy()
    # Victims have settings that others lack; as text, for merging.
    frame[about] = frame[about].astype(str)
    asr = [f"asr_at_{100 * q:.0f}" for q in QUANTILES]

    def of(chosen: pd.Series, columns: list[str], by: list[str]) -> pd.DataFrame:
        rows = frame[chosen].set_index(by)[columns]
        return rows.reindex(pd.MultiIndex.from_frame(frame[by])).set_axis(frame.index)

    as_it_is = frame["defense"] == "none"
    # A clean detector is its own twin.
    is_twin = as_it_is.where(frame["method"] == "clean", frame["defense"] == "clean twin")
    twin, own = of(is_twin, asr, about), of(frame["defense"] == "own", asr, [*about, "regime"])
    before = of(as_it_is, ["auroc", "detection_rate"], about)
    for column in asr:
        natural = np.fmax(twin[column], own[column])
        name = column.replace("asr", "excess")
        frame[name] = (frame[column] - natural).clip(lower=0)
    frame["auroc_loss"] = before["auroc"] - frame["auroc"]
    frame["detection_loss"] = before["detection_rate"] - frame["detection_rate"]
    return frame


SAME = (*buyer.base(), "trigger", "fade", "normal_class", "seed")
"""Columns that are alike in the rows of one delivered detector."""


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over normal classes and seeds of what is lost and what is left."""
    frame = excess(frame)
    measured = ("auroc_loss", "detection_loss", "asr_at_", "excess_at_")
    by = ["data", "regime", "defense", "method", "trigger", "adaptation"]
    return frame.groupby(by)[[c for c in frame if c.startswith(measured)]].mean()
