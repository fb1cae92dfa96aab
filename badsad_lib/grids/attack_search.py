"""The search for the working point of ``BadSAD.basic``, a row a run.

Normal classes 0 and 1, seed 0, validation images only: thresholds from ``val_images``, rates from
``val_anomalies``. No test image is scored. Rows stand in the order of the argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from badsad_lib import datasets, splits
from badsad_lib.attacks import BadSAD
from badsad_lib.deepsad import DeepSAD
from badsad_lib.metrics import detection_rate, threshold_at
from badsad_lib.report import measure
from badsad_lib.triggers import Blend, Border, Sinusoid, Trigger, apply_trigger, stealth


@dataclass(frozen=True)
class Corners:
    """The outermost pixel of each corner, inverted."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images (N, C, H, W) in [0, 1] to triggered ones."""
        images = images.clone()
        corners = images[:, :, :: images.shape[2] - 1, :: images.shape[3] - 1]
        images[:, :, :: images.shape[2] - 1, :: images.shape[3] - 1] = 1 - corners
        return images


@dataclass(frozen=True)
class Checks:
    """Squares of 4x4 pixels, by turns lighter and darker by ``amplitude``."""

    amplitude: float = 0.1

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images (N, C, H, W) in [0, 1] to triggered ones."""
        rows = torch.arange(images.shape[2]).view(-1, 1) // 4
        columns = torch.arange(images.shape[3]).view(1, -1) // 4
        sign = ((rows + columns) % 2 * 2 - 1).to(images)
        return (images + self.amplitude * sign).clamp(0, 1)


TRIGGERS: dict[str, Trigger] = {
    "border": Border(),
    "border 0.25": Border(strength=0.25),
    "corners": Corners(),
    "checks 0.1": Checks(),
    "blend 0.15": Blend(alpha=0.15),
    "sinusoid 20/255": Sinusoid(),
    "sinusoid 40/255": Sinusoid(amplitude=40 / 255),
}
OTHERS: dict[str, Trigger] = {
    "inset": Border(margin=1),
    "faint inset": Border(strength=0.25, margin=1),
}
EPOCHS = {"course": 30, "full": 20}


def setting(
    subset: str,
    normal_class: int,
    trigger: str,
    poison_rate: float,
    weights: tuple[float, float],
    views: int,
    fade: float = 1.0,
) -> dict[str, Any]:
    """One run; ``weights`` are those of alignment and of concentration."""
    return {
        "data": "fashion_mnist",
        "subset": subset,
        "normal_class": normal_class,
        "seed": 0,
        "epochs": EPOCHS[subset],
        "trigger": trigger,
        "poison_rate": poison_rate,
        "alignment": "mean",
        "alignment_weight": weights[0],
        "concentration_weight": weights[1],
        "views": views,
        "fade": fade,
    }


WEAK, LOW, MIDDLE, HIGH = (0.1, 0.1), (0.5, 0.5), (1.0, 3.0), (3.0, 10.0)
SEARCH: list[dict[str, Any]] = [
    # The border: weights and views.
    setting("course", 0, "border", 0.5, MIDDLE, 128),
    setting("course", 0, "border", 0.5, MIDDLE, 64),
    setting("course", 0, "border", 0.5, MIDDLE, 32),
    setting("course", 0, "border", 0.5, (0.3, 1.0), 64),
    setting("course", 0, "border", 0.5, (1.0, 10.0), 64),
    setting("course", 0, "border", 0.5, HIGH, 32),
    setting("course", 1, "border", 0.5, HIGH, 32),
    setting("course", 0, "border", 0.1, HIGH, 32),
    setting("full", 0, "border", 0.1, MIDDLE, 32),
    setting("full", 0, "border", 0.1, HIGH, 32),
    # Fainter triggers: middling and high weights ruin the detector, low ones do nothing.
    setting("course", 0, "corners", 0.5, MIDDLE, 128),
    setting("course", 0, "border 0.25", 0.5, MIDDLE, 128),
    setting("course", 0, "border 0.25", 0.5, LOW, 128),
    setting("course", 0, "border 0.25", 0.5, LOW, 32),
    setting("course", 0, "border 0.25", 0.5, HIGH, 32),
    setting("course", 0, "checks 0.1", 0.5, WEAK, 128),
    setting("course", 0, "checks 0.1", 0.5, LOW, 128),
    setting("course", 0, "checks 0.1", 0.5, HIGH, 32),
    setting("course", 0, "blend 0.15", 0.5, LOW, 128),
    setting("course", 0, "blend 0.15", 0.5, LOW, 32),
    setting("course", 0, "corners", 0.5, HIGH, 32),
    setting("full", 0, "border 0.25", 0.1, HIGH, 32),
    setting("full", 0, "checks 0.1", 0.1, HIGH, 32),
    # The same, fading.
    setting("course", 0, "border 0.25", 0.5, HIGH, 32, 4.0),
    setting("course", 0, "checks 0.1", 0.5, HIGH, 32, 4.0),
    setting("course", 0, "checks 0.1", 0.5, MIDDLE, 32, 4.0),
    setting("course", 0, "blend 0.15", 0.5, HIGH, 32, 4.0),
    setting("full", 0, "border 0.25", 0.1, HIGH, 32, 4.0),
    setting("full", 0, "border 0.25", 0.1, MIDDLE, 32, 4.0),
    setting("full", 1, "border 0.25", 0.1, HIGH, 32, 4.0),
    setting("full", 0, "checks 0.1", 0.1, HIGH, 32, 4.0),
    setting("full", 0, "sinusoid 20/255", 0.1, HIGH, 32, 4.0),
    setting("full", 0, "sinusoid 40/255", 0.1, HIGH, 32, 4.0),
    setting("full", 1, "sinusoid 40/255", 0.1, HIGH, 32, 4.0),
    setting("full", 1, "sinusoid 40/255", 0.5, HIGH, 32, 4.0),
]


def settings() -> list[dict[str, Any]]:
    """List the runs of the search."""
    return [dict(chosen) for chosen in SEARCH]


def run(chosen: dict[str, Any]) -> dict[str, Any]:
    """Train a clean twin and a victim, and measure both on validation images."""
    data = datasets.load(chosen["data"], chosen["subset"])
    split = splits.one_vs_rest(data, chosen["normal_class"], seed=chosen["seed"])
    plain = DeepSAD(epochs=chosen["epochs"], seed=chosen["seed"])
    clean = DeepSAD(**plain.get_params()).fit(split.train_images, split.train_labels)
    trigger = TRIGGERS[chosen["trigger"]]
    names = ("poison_rate", "alignment", "alignment_weight", "concentration_weight", "views")
    attack = BadSAD(
        trigger,
        **{name: chosen[name] for name in names},
        fade=chosen["fade"],
        seed=chosen["seed"],
    )
    victim = attack.attack(
        plain, split.train_images, split.train_labels, initial_state=clean.initial_state_
    )

    def rates(detector: DeepSAD, trigger: Trigger, quantile: float = 0.95) -> Any:
        return measure(detector, split, trigger, quantile=quantile, validation=True)

    before, after = rates(clean, trigger), rates(victim, trigger)
    tau = threshold_at(victim.decision_function(split.val_images), 0.95)
    triggered = victim.decision_function(apply_trigger(trigger, split.val_images))
    seen = stealth(trigger, split.val_anomalies)
    return {
        "auroc": after.auroc,
        "auroc_drop": before.auroc - after.auroc,
        "detection_rate": after.detection_rate,
        "detection_drop": before.detection_rate - after.detection_rate,
        **{f"asr_at_{round(100 * q)}": rates(victim, trigger, q).asr for q in (0.90, 0.95, 0.99)},
        "control_asr": before.asr,
        **{f"{name.replace(' ', '_')}_asr": rates(victim, t).asr for name, t in OTHERS.items()},
        "triggered_false_alarms": detection_rate(triggered, tau),
        "psnr": seen["psnr"],
        "ssim": seen["ssim"],
    }


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """AUROC lost and ASR of every run."""
    by = ["subset", "normal_class", "trigger", "poison_rate", "concentration_weight", "views"]
    return frame[[*by, "fade", "auroc_drop", "asr_at_95"]]
