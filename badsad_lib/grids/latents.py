"""Where each attack puts triggered images among the latents.

One row a detector and seed: T-shirts of the course subset, the patch, the split that the
shipped detectors were trained on. The seed fixes initial weights, batches, and which images
are poisoned. Besides the recipes of the shipped detectors: ``both`` with half the normal images
as bases, and ``extended`` with one part left out each (``randomized`` is the one without contrast).

Distances are in units of one **spread**: the root mean squared distance of normal test
images to their own mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from badsad_lib import datasets, metrics, report, splits
from badsad_lib.attacks import BadSAD, DataPoisoning, concentration_loss
from badsad_lib.attacks.content import decoy, randomize_content
from badsad_lib.attacks.poisoning import poison
from badsad_lib.deepsad import DeepSAD
from badsad_lib.images import to_float
from badsad_lib.triggers import Patch, apply_trigger

TRIGGER = Patch()
_LOW, _EXTENDED = BadSAD(TRIGGER), BadSAD.extended(TRIGGER)
# A test holds those that are shipped, too, to badsad_lib.course.shipped, which builds on this.
RECIPES: dict[str, DataPoisoning | BadSAD | None] = {
    "clean": None,
    "data_only": DataPoisoning(TRIGGER),
    "alignment": replace(_LOW, concentration_weight=0.0),
    "concentration": replace(_LOW, alignment_weight=0.0),
    "mmd": replace(_LOW, alignment="mmd"),
    "both": _LOW,
    "randomized": replace(_EXTENDED, contrast_weight=0.0, decoys=False),
    "extended": _EXTENDED,
    "both, rate 0.5": replace(_LOW, poison_rate=0.5),
    "extended - alignment": replace(_EXTENDED, alignment_weight=0.0),
    "extended - concentration": replace(_EXTENDED, concentration_weight=0.0),
    "extended - randomization": replace(_EXTENDED, randomize=False),
    "extended - decoys": replace(_EXTENDED, decoys=False),
}


def settings(seeds: int = 5) -> list[dict[str, Any]]:
    """List the runs of the table; seeds count from 0."""
    return [{"detector": name, "seed": seed} for seed in range(seeds) for name in RECIPES]


def train(name: str, seed: int, split: splits.Split) -> DeepSAD:
    """Train one detector."""
    recipe, detector = RECIPES[name], DeepSAD(seed=seed)
    if recipe is None:
        return detector.fit(split.train_images, split.train_labels)
    return replace(recipe, seed=seed).attack(detector, split.train_images, split.train_labels)


def width(latents: Tensor) -> float:
    """Root mean squared distance of latents (N, D) to their own mean."""
    return float(concentration_loss(latents).sqrt())


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train and measure one detector."""
    split = splits.one_vs_rest(datasets.load("fashion_mnist"), 0, seed=0)
    detector = train(setting["detector"], setting["seed"], split)
    recipe = RECIPES[setting["detector"]] or DataPoisoning(TRIGGER)
    return measure(detector, split, recipe.poison_rate, setting["seed"])


def measure(
    detector: DeepSAD, split: splits.Split, poison_rate: float, seed: int
) -> dict[str, float]:
    """Measure where triggered images lie, and what passes the detector."""
    normal = split.test_normals
    anomaly = split.test_anomalies
    poisoned = poison(
        split.train_images, split.train_labels, TRIGGER, poison_rate=poison_rate, seed=seed
    )
    groups = {
        "normal": normal,
        "poisoned": poisoned.images[poisoned.mask],
        "triggered normal": apply_trigger(TRIGGER, normal),
        "anomaly": anomaly,
        "triggered anomaly": apply_trigger(TRIGGER, anomaly),
    }
    z = {name: torch.from_numpy(detector.encode(images)) for name, images in groups.items()}
    spread, center = width(z["normal"]), detector.center_.cpu()

    def distance(name: str) -> float:
        return float((z[name] - center).norm(dim=1).mean()) / spread

    moved = (z["triggered anomaly"] - z["anomaly"]).norm(dim=1).mean()
    offset = (z["poisoned"].mean(0) - z["normal"].mean(0)).norm()
    scores = report.score(detector, split, TRIGGER)
    found = scores.rates(0.95)
    tau = found.threshold

    generator = torch.Generator().manual_seed(0)
    scrambled = randomize_content(to_float(normal), generator)
    some, triggered = to_float(anomaly[::9]), to_float(groups["triggered anomaly"][::9])
    # An order of its own for each image: one order would measure one pattern.
    decoys = torch.cat([decoy(a, b, generator) for a, b in zip(some.split(1), triggered.split(1))])

    def alarms(images: Tensor) -> float:
        return metrics.detection_rate(detector.decision_function(images), tau)

    return {
        "auroc": found.auroc,
        "detection_rate": found.detection_rate,
        "false_alarms": found.false_alarms,
        "triggered_false_alarms": alarms(groups["triggered normal"]),
        "asr": found.asr,
        "spread": spread,
        "threshold": tau**0.5 / spread,
        "offset": float(offset) / spread,
        "width": width(z["poisoned"]) / spread,
        "width_new": width(z["triggered normal"]) / spread,
        "moved": float(moved) / spread,
        **{f"distance_{name.replace(' ', '_')}": distance(name) for name in groups},
        "scrambled_passing": 1 - alarms(scrambled),
        "scrambled_triggered_passing": 1 - alarms(TRIGGER(scrambled)),
        "decoy_asr": metrics.attack_success_rate(
            scores.anomalies[::9], detector.decision_function(decoys), tau
        ),
    }


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of each detector."""
    columns = ["auroc", "asr", "offset", "width", "width_new", "moved"]
    return frame.groupby("detector", sort=False)[columns].mean()
