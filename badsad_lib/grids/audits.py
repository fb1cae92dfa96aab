"""How often the audit finds something: on clean detectors, and on backdoored ones.

A row is one detector of clothes, digits or a surface with the number of findings of each step.
Clean ones are of all classes, honest but unusual trainings among them; victims are of every
trigger, and of attackers who know a defense. Findings on a clean one are false alarms; a victim
without any was missed. "It detects worse than your own" and false alarms of its threshold are
findings, too, and no false alarms: ``suspicions`` counts the steps alone that speak of a backdoor.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from badsad_lib import metrics, splits, surfaces
from badsad_lib.audit import audit
from badsad_lib.detectors import wrap
from badsad_lib.grids import buyer, surfaces_attack
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Trigger, apply_trigger

SUSPICIOUS = ("triggers", "doors", "blind search", "search")
"""Steps whose findings speak of a backdoor."""
OWN = 3
# Where the tables on defenses have attackers who know one.
_TOLD = (2, 3, 8)


def _delivered(
    setting: dict[str, Any], kept: str | Path | None
) -> tuple[Any, Trigger, splits.Split]:
    """Return a detector of clothes or digits as a buyer gets it."""
    kind = {name: setting[name] for name in ("data", "method", "trigger", "adaptation")}
    # The paper's two ideas have a working point of their own.
    more = buyer.BASIC if kind["method"] == "basic" else {}
    where = {"normal_class": setting["normal"], "seed": setting["seed"]}
    task = buyer.Task({**buyer.base(kind["data"]), **more, **kind, **where}, kept)
    return *task.delivered(), task.split


def _surface(setting: dict[str, Any]) -> tuple[Any, Trigger, splits.Split]:
    """Return a detector of tiles, clean or attacked."""
    seed = setting["seed"]
    split = splits.from_surface(surfaces.load(setting["normal"], seed=seed))
    detector = TiledDeepSAD(steps=surfaces_attack.STEPS, seed=seed)
    if setting["method"] == "clean":
        return detector.fit(split.train_images), surfaces_attack.TRIGGER, split
    attack = surfaces_attack.attack(surfaces_attack.EXTENDED, 0.1, 0.1, seed)
    detector.fit(split.train_images, train=attack.attack)
    return detector, surfaces_attack.TRIGGER, split


def _asr(detector: Any, split: splits.Split, trigger: Any) -> float:
    threshold = metrics.threshold_at(detector.decision_function(split.val_images), 0.95)
    anomalies: Tensor = split.test_anomalies
    before = detector.decision_function(anomalies)
    after = detector.decision_function(apply_trigger(trigger, anomalies))
    return metrics.attack_success_rate(before, after, threshold)


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Train the detector of a row, audit it, and count findings.

    Parameters
    ----------
    setting
        One of :func:`settings`.
    kept
        Folder of trained detectors of clothes and digits, one that all workers see.
    """
    if setting["data"] == "surfaces":
        detector, trigger, split = _surface(setting)
    else:
        detector, trigger, split = _delivered(setting, kept)
    given = detector if setting["access"] == "all" else wrap(detector.decision_function)
    start = time.process_time()
    report = audit(
        given, split.trusted_images, split.trusted_anomalies, own=OWN, seed=setting["seed"]
    )
    seconds = time.process_time() - start
    counts = {step.name: len(step.findings) for step in report.steps}
    return {
        "asr": _asr(detector, split, trigger),
        "findings": len(report.findings),
        "suspicions": sum(counts[name] for name in SUSPICIOUS),
        **{f"in_{name.replace(' ', '_')}": count for name, count in counts.items()},
        "audit_seconds": seconds,
    }


def _kinds() -> list[dict[str, Any]]:
    """What is audited: 22 clean detectors, 16 unaware victims, and 9 of attackers who know."""
    clean = {**buyer.CLEAN, "adaptation": "none"}
    runs: list[dict[str, Any]] = []
    for material in ("brick", "cloth"):
        on = {"data": "surfaces", "normal": material, "adaptation": "none", "trigger": "dots"}
        runs += [{**on, "method": "clean"}, {**on, "method": surfaces_attack.EXTENDED}]
    clothes = {"data": "fashion_mnist"}
    runs += [{**clean, **clothes, "normal": number} for number in range(10)]
    runs += [
        {**clean, **clothes, "method": method, "normal": first + place}
        for first in (1, 6)
        for place, method in enumerate(buyer.UNUSUAL)
    ]
    runs += [{**clean, "data": "mnist", "normal": number} for number in (0, 3, 5, 8)]
    # Each trigger on two classes, and all classes in turn.
    runs += [
        {**clothes, "normal": place % 10, **kind} for place, kind in enumerate(2 * buyer.VICTIMS)
    ]
    runs += [
        {**clothes, "normal": _TOLD[place % len(_TOLD)], **kind}
        for place, kind in enumerate(buyer.ATTACKERS)
    ]
    return runs


def settings(
    *, seeds: Iterable[int] = (0,), accesses: Iterable[str] = ("all",)
) -> list[dict[str, Any]]:
    """List the runs: 22 clean detectors and 25 victims a seed."""
    return [
        {
            "data": kind["data"],
            "normal": kind["normal"],
            "method": kind.get("method", "extended"),
            "trigger": kind["trigger"],
            "adaptation": kind.get("adaptation", "none"),
            "seed": seed,
            "access": access,
        }
        for seed in seeds
        for access in accesses
        for kind in _kinds()
    ]


def sort(row: pd.Series) -> str:
    """Say what a row's detector is: clean, usual or not, or a victim, of whom."""
    if row["method"] == "clean":
        return f"clean, {row['data']}"
    if row["method"] in buyer.UNUSUAL:
        return row["method"]
    if row["data"] == "surfaces":
        return "victim, surfaces"
    return "victim" if row["adaptation"] == "none" else "victim of an attacker who knows a defense"


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of detectors with suspicions of each sort, with its interval."""
    rows = []
    for name, some in frame.groupby(frame.apply(sort, axis=1), sort=False):
        flagged = int((some["suspicions"] > 0).sum())
        low, high = metrics.rate_interval(flagged, len(some))
        rows.append(
            {
                "detectors": name,
                "n": len(some),
                "flagged": flagged,
                "share": flagged / len(some),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
