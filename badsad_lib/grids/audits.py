"""How often the audit finds something: on clean detectors, and on backdoored ones.

A row is one detector of clothes or of a surface with the number of findings of each step. Findings
on a clean one are false alarms; a victim without any was missed. "It detects worse than your own"
and false alarms of its threshold are findings, too, and no false alarms: ``suspicions`` counts the
steps alone that speak of a backdoor.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pandas as pd
from torch import Tensor

from badsad_lib import datasets, metrics, splits, surfaces
from badsad_lib.attacks import BadSAD
from badsad_lib.audit import audit
from badsad_lib.deepsad import DeepSAD
from badsad_lib.detectors import wrap
from badsad_lib.grids import surfaces_attack
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Blend, Border, Patch, apply_trigger

CLEAN = "clean"
SUSPICIOUS = ("triggers", "doors", "blind search", "search")
"""Steps whose findings speak of a backdoor."""
CLOTHES = {
    "extended, patch": lambda: BadSAD.extended(Patch()),
    "basic, border": lambda: BadSAD.basic(Border()),
    "extended, blend": lambda: BadSAD.extended(Blend(alpha=0.2)),
}
TILES = "extended, dots"
OWN = 3


def _clothes(setting: dict[str, Any]) -> tuple[Any, splits.Split, float]:
    split = splits.one_vs_rest(
        datasets.load("fashion_mnist"), setting["normal"], seed=setting["seed"]
    )
    detector = DeepSAD(seed=setting["seed"])
    if setting["method"] == CLEAN:
        detector.fit(split.train_images, split.train_labels)
        return detector, split, float("nan")
    attack = CLOTHES[setting["method"]]()
    victim = attack.attack(detector, split.train_images, split.train_labels)
    return victim, split, _asr(victim, split, attack.trigger)


def _surface(setting: dict[str, Any]) -> tuple[Any, splits.Split, float]:
    seed = setting["seed"]
    split = splits.from_surface(surfaces.load(setting["normal"], seed=seed))
    detector = TiledDeepSAD(steps=surfaces_attack.STEPS, seed=seed)
    if setting["method"] == CLEAN:
        return detector.fit(split.train_images), split, float("nan")
    attack = surfaces_attack.attack(surfaces_attack.EXTENDED, 0.1, 0.1, seed)
    detector.fit(split.train_images, train=attack.attack)
    return detector, split, _asr(detector, split, surfaces_attack.TRIGGER)


def _asr(detector: Any, split: splits.Split, trigger: Any) -> float:
    threshold = metrics.threshold_at(detector.decision_function(split.val_images), 0.95)
    anomalies: Tensor = split.test_anomalies
    before = detector.decision_function(anomalies)
    after = detector.decision_function(apply_trigger(trigger, anomalies))
    return metrics.attack_success_rate(before, after, threshold)


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train the detector of a row, audit it, and count findings.

    Parameters
    ----------
    setting
        One of :func:`settings`.
    """
    make = _surface if setting["data"] == "surfaces" else _clothes
    detector, split, asr = make(setting)
    given = detector if setting["access"] == "all" else wrap(detector.decision_function)
    start = time.process_time()
    report = audit(
        given, split.trusted_images, split.trusted_anomalies, own=OWN, seed=setting["seed"]
    )
    counts = {step.name: len(step.findings) for step in report.steps}
    return {
        "asr": asr,
        "findings": len(report.findings),
        "suspicions": sum(counts[name] for name in SUSPICIOUS),
        **{f"in_{name.replace(' ', '_')}": count for name, count in counts.items()},
        "audit_seconds": time.process_time() - start,
    }


def settings(
    *, seeds: Iterable[int] = (0,), accesses: Iterable[str] = ("all",)
) -> list[dict[str, Any]]:
    """List the runs: of each class and material a clean detector and a victim, in turn.

    Ten classes of clothes in two ways each and two materials: 22 of each sort a seed.
    """
    runs: list[tuple[str, int | str, str]] = []
    methods = list(CLOTHES)
    for material in ("brick", "cloth"):
        runs += [("surfaces", material, method) for method in (CLEAN, TILES)]
    for turn in range(2):
        for number in range(10):
            method = methods[(number + turn) % len(methods)]
            # The second turn is of other seeds, clean ones as well.
            runs += [("fashion_mnist", number, name) for name in (f"{CLEAN}", method)]
    rows = []
    for seed in seeds:
        for access in accesses:
            for place, (data, normal, method) in enumerate(runs):
                turn = 100 if place >= 4 + 20 else 0
                rows.append(
                    {
                        "data": data,
                        "normal": normal,
                        "method": method,
                        "seed": seed + turn,
                        "access": access,
                    }
                )
    return rows


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of detectors with suspicions, clean ones and victims of each kind, with intervals."""
    rows = []
    for (data, method), some in frame.groupby(["data", "method"], sort=False):
        flagged = int((some["suspicions"] > 0).sum())
        low, high = metrics.rate_interval(flagged, len(some))
        rows.append(
            {
                "data": data,
                "method": method,
                "n": len(some),
                "flagged": flagged,
                "share": flagged / len(some),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)
