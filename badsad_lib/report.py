"""What a detector is worth, and what a backdoor in it does, beside its controls.

An attack's numbers mean little alone. A detector that has gone blind lets every
triggered anomaly pass; a trigger that covers half the image hides anything from
anyone. So :func:`backdoor_report` measures the attack beside its controls.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib.attacks.learned import optimize_against
from badsad_lib.deepsad import DeepSAD
from badsad_lib.detectors import ScoreDetector
from badsad_lib.images import to_float
from badsad_lib.metrics import (
    QUANTILES,
    Rates,
    attack_success_rate,
    detection_rate,
    rates,
    threshold_at,
)
from badsad_lib.splits import Split, conflicts
from badsad_lib.triggers import Blend, Border, Trigger, apply_trigger, check_effect, stealth

# --- one detector --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SplitScores:
    """A detector's scores of one part of a split, computed once: arrays (N,), float."""

    held_out: np.ndarray  # normals that thresholds come from
    normals: np.ndarray
    anomalies: np.ndarray
    triggered: np.ndarray | None  # the anomalies with the trigger

    def rates(self, quantile: float) -> Rates:
        """What the detector does at a quantile, in (0, 1), of its own held-out scores."""
        return rates(
            self.normals,
            self.anomalies,
            self.triggered,
            threshold=threshold_at(self.held_out, quantile),
        )


def score(
    detector: ScoreDetector,
    split: Split,
    trigger: Trigger | None = None,
    *,
    validation: bool = False,
) -> SplitScores:
    """Score the test images of a split, or with ``validation`` the images for choosing settings.

    On validation images the normals are those that the thresholds come from.

    Raises
    ------
    ValueError
        The detector notes in ``about_`` that it was trained on other data or another class, a
        part of the split is empty, or the trigger changes none of its anomalies.

    Warns
    -----
    UserWarning
        At the detector's own ``threshold_`` the larger part of the validation normals are
        anomalies to it. It may have been trained on another class, and note nothing of that.
    """
    if found := conflicts(getattr(detector, "about_", {}), split):
        raise ValueError(f"this detector does not belong to this split: {'; '.join(found)}")
    part = "validation" if validation else "test"
    anomalies = split.val_anomalies if validation else split.test_anomalies
    normals = split.val_images if validation else split.test_normals
    for images, what in (
        (split.val_images, "validation normals, which thresholds come from (val_size=0?)"),
        (normals, f"{part} normals: no image of {split.class_name} is left to measure on"),
        (anomalies, f"{part} anomalies: every image there is of {split.class_name}"),
    ):
        if len(images) == 0:
            raise ValueError(f"the split has no {what}")
    triggered = None
    if trigger is not None:
        triggered = apply_trigger(trigger, anomalies)
        check_effect(anomalies, triggered)
    held_out = detector.decision_function(split.val_images)
    own, quantile = (getattr(detector, name, None) for name in ("threshold_", "quantile_"))
    if own is not None and quantile is not None:
        flagged = float((held_out > own).mean())
        # Thresholds are taken from this split, so no rate would tell.
        if flagged > 1.5 - quantile:
            warnings.warn(
                f"at its own threshold, which {1 - quantile:.0%} of its held-out normals exceeded, "
                f"the detector flags {flagged:.0%} of the validation normals ({split.class_name}): "
                "was it trained on another class or on other data?",
                stacklevel=2,
            )
    return SplitScores(
        held_out,
        held_out if validation else detector.decision_function(normals),
        detector.decision_function(anomalies),
        None if triggered is None else detector.decision_function(triggered),
    )


def measure(
    detector: ScoreDetector,
    split: Split,
    trigger: Trigger | None = None,
    *,
    quantile: float = 0.95,
    validation: bool = False,
) -> Rates:
    """AUROC, detection rate, false alarms and ASR of one detector on a split.

    Parameters
    ----------
    detector
        Fitted.
    split
        Its ``val_images`` give the threshold, its test images the rates.
    trigger
        Without one what concerns it is NaN.
    quantile
        Of the held-out normal scores, in (0, 1).
    validation
        Measure on the images for choosing settings instead, see :func:`score`.
    """
    return score(detector, split, trigger, validation=validation).rates(quantile)


# --- controls ------------------------------------------------------------------------------------


def _turned(trigger: Trigger) -> Trigger:
    def turned(images: Tensor) -> Tensor:
        # A quarter turn keeps the shape of square images only.
        quarter = 1 if images.shape[2] == images.shape[3] else 2
        return trigger(images.rot90(quarter, (2, 3))).rot90(-quarter, (2, 3))

    return turned


def _same_energy(trigger: Trigger, seed: int | None) -> Trigger:
    def disturb(images: Tensor) -> Tensor:
        _, channels, height, width = images.shape
        if seed is None:
            pattern = Blend(pattern="rings").draw(channels, height, width) * 2 - 1
        else:
            generator = torch.Generator().manual_seed(seed)
            pattern = torch.randn(channels, height, width, generator=generator)
        pattern = pattern.to(images)
        energy = (trigger(images.clone()) - images).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        return (images + pattern / pattern.norm() * energy).clamp(0, 1)

    return disturb


def control_triggers(trigger: Trigger) -> dict[str, Trigger]:
    """Triggers that ``trigger`` must not be confused with, each derived from it.

    ``turned``: the same, turned by a quarter (a patch lands in another corner, waves
    run along rows). ``noise`` and ``rings``: another pattern that changes each
    image by as much in the L2 norm. For a border also ``inset``, the same frame just
    inside of it, and ``apart``, the first one further in of which no pixel falls into a
    2x2 cell of pooling together with the trigger's: to a network that pools by two, what
    lies closer may be half the trigger itself. (A reading of the tables, not shown by them.)
    """
    others: dict[str, Trigger] = {
        "turned": _turned(trigger),
        "noise": _same_energy(trigger, seed=12345),
        "rings": _same_energy(trigger, seed=None),
    }
    if isinstance(trigger, Border):
        inside = trigger.margin + trigger.width
        others["inset"] = replace(trigger, margin=inside)
        others["apart"] = replace(trigger, margin=inside + inside % 2)
    return others


def _same_change(trigger: Trigger, other: Trigger, images: Tensor) -> bool:
    """Whether two triggers share more than half the energy of what they change."""
    images = to_float(images[:64])
    one, two = ((to_float(apply_trigger(t, images)) - images).flatten() for t in (trigger, other))
    return bool(torch.cosine_similarity(one, two, dim=0).square() > 0.5)


def perturbation_asr(
    clean: DeepSAD, split: Split, epsilon: float, *, quantile: float = 0.95
) -> float:
    """ASR on the clean twin of the best pattern within ``epsilon``: what needs no backdoor.

    The control for a learned trigger. The pattern is optimized on the labeled anomalies
    (:func:`~badsad_lib.attacks.learned.optimize_against`) and measured on the test images.

    Returns
    -------
    float
        In [0, 1]; NaN where the split has no labeled anomalies to learn from.
    """
    known = split.labeled_anomalies
    if len(known) == 0:
        return math.nan
    pattern = optimize_against(clean, known, epsilon=epsilon, seed=split.seed)
    return measure(clean, split, pattern, quantile=quantile).asr


# --- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BackdoorReport:
    """Everything measured about one backdoored detector, at one threshold quantile.

    Rates are shares in [0, 1]. The threshold tau is the ``quantile`` of the
    detector's own scores on held-out normal images.
    """

    quantile: float
    threshold: float
    auroc: float  # the victim, clean test images
    clean_auroc: float  # the clean twin
    auroc_drop: float  # clean twin minus victim
    detection_rate: float
    detection_drop: float  # clean twin minus victim
    false_alarms: float  # clean test normals above tau
    triggered_false_alarms: float  # the same normals with the trigger
    asr: float  # flagged anomalies that pass with the trigger
    asr_unconditional: float  # all anomalies that pass with the trigger
    triggered_auroc: float  # clean normals against triggered anomalies
    control_asr: float  # the same trigger on the clean twin
    sham_asr: float  # the trigger on a twin backdoored with another one; NaN without one
    other_asr: Mapping[str, float]  # other triggers on the victim; NaN: too like this one
    asr_at: Mapping[float, float]  # ASR at each quantile of QUANTILES
    psnr: float
    ssim: float
    linf: float

    @property
    def worst_other_asr(self) -> float:
        """Highest ASR that a trigger reaches which the victim was not trained on."""
        return max((v for v in self.other_asr.values() if not math.isnan(v)), default=math.nan)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain, nested Python values."""
        return {**asdict(self), "other_asr": dict(self.other_asr), "asr_at": dict(self.asr_at)}

    def to_row(self) -> dict[str, float]:
        """Return all of it as one flat row of a table."""
        row = {k: v for k, v in self.to_dict().items() if not isinstance(v, dict)}
        row |= {f"asr_{name}": value for name, value in self.other_asr.items()}
        row |= {f"asr_at_{round(q * 100)}": value for q, value in self.asr_at.items()}
        return row

    def __str__(self) -> str:
        sham = "not measured" if math.isnan(self.sham_asr) else f"ASR {self.sham_asr:.3f}"
        others = ", ".join(f"{name} {value:.3f}" for name, value in self.other_asr.items())
        quantiles = ", ".join(f"{value:.3f} at {q:.2f}" for q, value in self.asr_at.items())
        lines = {
            "threshold": f"{self.threshold:.4f} ({self.quantile:.2f} quantile of held-out normals)",
            "AUROC": f"{self.auroc:.4f} (clean twin {self.clean_auroc:.4f})",
            "detection rate": f"{self.detection_rate:.3f} "
            f"(clean twin {self.detection_rate + self.detection_drop:.3f})",
            "false alarms": f"{self.false_alarms:.3f} "
            f"(on triggered normals {self.triggered_false_alarms:.3f})",
            "ASR": f"{self.asr:.3f} (of all anomalies {self.asr_unconditional:.3f})",
            "ASR by quantile": quantiles,
            "triggered AUROC": f"{self.triggered_auroc:.3f} (0.5: looks normal)",
            "same trigger, clean twin": f"ASR {self.control_asr:.3f}",
            "other triggers, victim": f"ASR {others}",
            "trigger on sham twin": sham,
            "visibility": f"PSNR {self.psnr:.1f} dB, SSIM {self.ssim:.3f}, L-inf {self.linf:.3f}",
        }
        return "\n".join(f"{name:<26}{text}" for name, text in lines.items())


def backdoor_report(
    victim: ScoreDetector,
    clean: ScoreDetector,
    split: Split,
    trigger: Trigger,
    *,
    quantile: float = 0.95,
    sham: ScoreDetector | None = None,
    other_triggers: Mapping[str, Trigger] | None = None,
) -> BackdoorReport:
    """Measure a backdoored detector beside its controls.

    Parameters
    ----------
    victim, clean
        The detector under test, and its clean twin: same data, semi-labels,
        pretraining, number of steps, ordinary objective.
    split
        Thresholds come from ``val_images``, everything else from the test images.
    trigger
        What the victim was trained on (an optimized trigger: with its pattern).
    quantile
        Of the held-out normal scores, in (0, 1).
    sham
        A twin attacked in the same way with another trigger, if there is one.
    other_triggers
        By name; :func:`control_triggers` by default. One that changes images in much the
        same way as ``trigger`` (a quarter turn of a patch in the center) is no control: NaN.
    """
    own = score(victim, split, trigger)
    twin = score(clean, split, trigger)
    before, clean_before = own.rates(quantile), twin.rates(quantile)
    tau = before.threshold
    anomalies, triggered = split.test_anomalies, own.triggered
    assert triggered is not None  # scored with a trigger
    others = control_triggers(trigger) if other_triggers is None else other_triggers
    return BackdoorReport(
        quantile=quantile,
        threshold=tau,
        auroc=before.auroc,
        clean_auroc=clean_before.auroc,
        auroc_drop=clean_before.auroc - before.auroc,
        detection_rate=before.detection_rate,
        detection_drop=clean_before.detection_rate - before.detection_rate,
        false_alarms=before.false_alarms,
        triggered_false_alarms=detection_rate(
            victim.decision_function(apply_trigger(trigger, split.test_normals)), tau
        ),
        asr=before.asr,
        asr_unconditional=before.asr_unconditional,
        triggered_auroc=before.triggered_auroc,
        control_asr=clean_before.asr,
        sham_asr=math.nan if sham is None else measure(sham, split, trigger, quantile=quantile).asr,
        other_asr={
            name: math.nan
            if _same_change(trigger, other, anomalies)
            else attack_success_rate(
                own.anomalies, victim.decision_function(apply_trigger(other, anomalies)), tau
            )
            for name, other in others.items()
        },
        asr_at={
            q: attack_success_rate(own.anomalies, triggered, threshold_at(own.held_out, q))
            for q in QUANTILES
        },
        **stealth(trigger, split.test_images),
    )
