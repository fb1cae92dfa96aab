"""Small detectors, quickly made, and those that come with the course."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from badsad_lib import DeepSAD, metrics
from badsad_lib.course import shipped
from badsad_lib.triggers import Patch, apply_trigger
from tests.samples import a_training_set, noise

SHAPES = {
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "auto": (3, 42, 50),  # neither square nor a power of two
}
# The smallest is always tested, the others where time allows.
NETWORKS = [
    name if name == "mnist" else pytest.param(name, marks=pytest.mark.slow) for name in SHAPES
]


@cache
def tiny(network: str = "mnist") -> DeepSAD:
    images, labels = a_training_set(SHAPES[network], normals=40, anomalies=8)
    return DeepSAD(network=network, epochs=1, device="cpu").fit(images, labels)


def trusted(network: str = "mnist", count: int = 100) -> torch.Tensor:
    return noise((count, *SHAPES[network]), seed=1)


def anomalies(network: str = "mnist", count: int = 50) -> torch.Tensor:
    return noise((count, *SHAPES[network]), seed=2) ** 4


def outcome(detector: DeepSAD, trigger=None) -> tuple[float, float]:
    """AUROC and ASR of a detector on every fourth test image, its threshold recomputed."""
    split = shipped.split()
    trigger = trigger or Patch()
    normal = detector.decision_function(split.test_normals)
    images = split.test_anomalies[::4]
    scores = detector.decision_function(images)
    triggered = detector.decision_function(apply_trigger(trigger, images))
    tau = metrics.threshold_at(detector.decision_function(split.val_images), 0.95)
    return metrics.auroc(normal, scores), metrics.attack_success_rate(scores, triggered, tau)


@cache
def passing(name: str) -> tuple[DeepSAD, torch.Tensor, torch.Tensor]:
    """A shipped victim, clean test normals that pass, and triggered anomalies that slip through."""
    split, detector = shipped.split(), shipped.load(name)
    normal = split.test_normals
    trigger = shipped.trigger(name) if name != "clean" else Patch()
    triggered = apply_trigger(trigger, split.test_anomalies[::8])
    return (
        detector,
        normal[np.flatnonzero(detector.predict(normal) == 0)],
        triggered[np.flatnonzero(detector.predict(triggered) == 0)],
    )


def labeled_anomalies() -> torch.Tensor:
    split = shipped.split()
    return split.labeled_anomalies
