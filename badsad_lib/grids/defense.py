"""The defenses, measured: one row a defense and a detector.

Tables (:data:`DEFENSES`), each over the clean twin and the victims of data-only poisoning, of
BadSAD with patch, blend, sinusoid and the bounded universal trigger, and of attackers who know a
defense (:mod:`badsad_lib.attacks.adaptive`):

``data``
    AUROC of poisoned against clean training normals (not on the clean twin).
``inputs``
    Between triggered anomalies that slipped through and clean normals that pass, both scoring
    at most tau_0.95: AUROC, true positive rate at 5 % false alarms, and both rates at the
    defense's own threshold. On the clean twin: the false alarms alone.
``model``
    Size of the smallest trigger found.
``repair``
    AUROC, detection rate and ASR at tau_0.95 before and after.
``guards``
    As ``inputs``, against a border and against those who know the inspections, which no guard
    of the other table has met.

A defense is given ``trusted_images``, and the labeled anomalies of the training set where it
asks for them; the data defenses the training normals. Thresholds come from ``val_images``,
also after a repair. ``defense_seconds`` are seconds of processor time, so that a busy machine
does not count: of the whole defense, on inputs of fitting it and asking it about the normals.
Give it one thread (``OMP_NUM_THREADS=1``), else threads add up. Detectors are those of
:mod:`badsad_lib.grids.attack`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from badsad_lib import defenses, metrics, report, splits
from badsad_lib.attacks.poisoning import poison
from badsad_lib.deepsad import DeepSAD
from badsad_lib.grids import attack
from badsad_lib.triggers import Trigger, apply_trigger

DATA: dict[str, defenses.DataDefense] = {
    "activation clustering": defenses.ActivationClustering(),
    "spectral signatures": defenses.SpectralSignatures(),
    "spectral signatures (conv)": defenses.SpectralSignatures(layer="conv"),
    "gram": defenses.GramData(),
}
INPUTS: dict[str, defenses.InputDefense] = {
    "gram": defenses.GramInputs(),
    "strip": defenses.Strip(),
    "purification": defenses.Purification(),
    "frequency": defenses.Frequency(),
    "reconstruction": defenses.Reconstruction(),
}
REPAIRS: dict[str, defenses.Repair] = {
    "fine-tuning": defenses.FineTuning(disturbed=False),
    "fine-tuning, disturbed": defenses.FineTuning(),
    "fine-pruning": defenses.FinePruning(),
    "attention distillation": defenses.AttentionDistillation(),
    "unlearning": defenses.Unlearning(),
}
DEFENSES: dict[str, tuple[str, ...]] = {
    "data": tuple(DATA),
    "inputs": tuple(INPUTS),
    "model": ("inversion",),
    "repair": tuple(REPAIRS),
    "guards": tuple(INPUTS),
}
CLASSES = (0, 1, 2, 4, 9)
TRIGGERS = ("patch", "blend", "sinusoid", "universal")
# Attackers who know what stands in these tables (badsad_lib.attacks.adaptive.ADAPTATIONS).
GUARDS = ("purification", "strip", "search")
# What was done to the detector: nothing, or a method under a trigger.
VICTIMS = (
    {"method": "clean", "trigger": "patch"},
    {"method": "data only", "trigger": "patch"},
    *({"method": "extended", "trigger": trigger} for trigger in TRIGGERS),
    *({"method": "extended", "trigger": "patch", "adaptation": name} for name in GUARDS),
)
# Detectors that the tables on buyers have, on those normal classes.
COMBINED = (
    {**attack.BASIC, "trigger": "border", "poison_rate": 0.5},
    {"method": "extended", "trigger": "border"},
    {"method": "extended", "trigger": "border", "adaptation": "inspections"},
    {"method": "extended", "trigger": "blend 0.3", "adaptation": "inspections"},
)
COMBINED_CLASSES = (2, 3, 8)


def passing(detector: DeepSAD, images: Tensor) -> Tensor:
    """Return the images that a calibrated detector lets pass."""
    return images[np.flatnonzero(detector.predict(images) == 0)]


def on_data(
    name: str, detector: DeepSAD, split: splits.Split, trigger: Trigger, setting: dict[str, Any]
) -> dict[str, Any]:
    """How well a data defense tells poisoned from clean training normals."""
    poisoned = poison(
        split.train_images,
        split.train_labels,
        trigger,
        poison_rate=setting["poison_rate"],
        seed=setting["seed"],
    )
    normal = poisoned.semi_labels >= 0
    start = time.process_time()
    suspicion = DATA[name].suspicion(detector, poisoned.images[normal])
    seconds = time.process_time() - start
    truth = poisoned.mask[normal].numpy()
    return {
        "separation": metrics.auroc(suspicion[~truth], suspicion[truth]),
        "defense_seconds": seconds,
    }


def on_inputs(
    name: str, detector: DeepSAD, split: splits.Split, trigger: Trigger, setting: dict[str, Any]
) -> dict[str, Any]:
    """What an input defense sees of triggered anomalies that slip through, and its false alarms."""
    normal = passing(detector, split.test_normals)
    start = time.process_time()
    defense = INPUTS[name].fit(detector, split.trusted_images, split.labeled_anomalies)
    clean = defense.suspicion(normal)
    row: dict[str, Any] = {
        "defense_seconds": time.process_time() - start,
        "false_alarms": metrics.detection_rate(clean, defense.threshold_),
        "slipped": 0,
        "separation": None,
        "true_positives_at_5": None,
        "true_positives": None,
    }
    triggered = apply_trigger(trigger, split.test_anomalies)
    slipped = np.flatnonzero(detector.predict(triggered) == 0)
    if setting["method"] == "clean" or len(slipped) == 0:
        return row
    caught = defense.suspicion(triggered[slipped])
    return row | {
        "slipped": len(slipped),
        "separation": metrics.auroc(clean, caught),
        "true_positives_at_5": metrics.detection_rate(caught, metrics.threshold_at(clean, 0.95)),
        "true_positives": metrics.detection_rate(caught, defense.threshold_),
    }


def on_model(
    name: str, detector: DeepSAD, split: splits.Split, trigger: Trigger, setting: dict[str, Any]
) -> dict[str, Any]:
    """Size of the smallest trigger that a search finds."""
    search = defenses.TriggerInversion(seed=setting["seed"])
    start = time.process_time()
    found = search.search(detector, split.trusted_images, split.labeled_anomalies)
    seconds = time.process_time() - start
    return {"size": found.size, "hidden": found.hidden, "defense_seconds": seconds}


def worth(detector: DeepSAD, split: splits.Split, trigger: Trigger) -> dict[str, float]:
    """AUROC, detection rate and ASR at the 0.95 quantile of held-out normals."""
    found = report.measure(detector, split, trigger)
    return {
        "auroc": found.auroc,
        "detection_rate": found.detection_rate,
        "asr": found.asr,
    }


def on_repair(
    name: str, detector: DeepSAD, split: splits.Split, trigger: Trigger, setting: dict[str, Any]
) -> dict[str, Any]:
    """What the detector is worth before a repair and after it."""
    before = worth(detector, split, trigger)
    start = time.process_time()
    repaired = REPAIRS[name].repair(detector, split.trusted_images, split.labeled_anomalies)
    seconds = time.process_time() - start
    after = worth(repaired, split, trigger)
    return (
        {f"{k}_before": v for k, v in before.items()}
        | {f"{k}_after": v for k, v in after.items()}
        | {"defense_seconds": seconds}
    )


MEASURES = {
    "data": on_data,
    "inputs": on_inputs,
    "model": on_model,
    "repair": on_repair,
    "guards": on_inputs,
}


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Get the detector that a row names and measure the defense on it."""
    table, name = setting["table"], setting["defense"]
    task = attack.Task(setting, kept)
    if setting["method"] == "clean":
        detector, trigger = task.clean(), attack.TRIGGERS[setting["trigger"]]
    else:
        detector, trigger = task.victim()
    detector.calibrate(task.split.val_images, quantile=0.95)
    return MEASURES[table](name, detector, task.split, trigger, setting)


def settings(
    table: str, *, seeds: int = 2, classes: Iterable[int] | None = None
) -> list[dict[str, Any]]:
    """List the runs of a table, one of :data:`DEFENSES`; seeds count from 0."""
    usual: tuple[int, ...] = CLASSES
    victims: tuple[dict[str, Any], ...] = VICTIMS
    if table == "guards":
        usual, victims = COMBINED_CLASSES, COMBINED
    classes = tuple(usual if classes is None else classes)
    base: dict[str, Any] = {
        "table": table,
        "data": "fashion_mnist",
        "subset": "course",
        "known": "all",
        "epochs": attack.EPOCHS["course"],
        "poison_rate": 0.1,
        "randomize": False,
        "adaptation": "none",
    }
    return [
        {**base, **victim, "defense": name, "normal_class": normal_class, "seed": seed}
        for seed in range(seeds)
        for normal_class in classes
        for victim in victims
        for name in DEFENSES[table]
        if table != "data" or victim["method"] != "clean"
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over normal classes and seeds."""
    measured = ("separation", "true_positives", "false_alarms", "size", "hidden", "defense_seconds")
    columns = [c for c in frame if c.startswith(measured) or c.endswith(("_before", "_after"))]
    return frame.groupby(["defense", "method", "trigger", "adaptation"])[columns].mean()
