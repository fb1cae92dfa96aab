"""Repair by fine-tuning on clean data, plain or with disturbed images.

Fine-tuning as a repair: Liu et al., "Fine-Pruning" (RAID 2018, section 4), there for
classifiers. Labeled anomalies are the lever: they are clean, and the backdoor pulls
their triggered versions in. The disturbances are this project's addition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Count, Flag, Positive, Seed
from badsad_lib.deepsad import DeepSAD, anomaly_score, deep_sad_loss
from badsad_lib.defenses._common import standardized, tuned
from badsad_lib.defenses.disturbances import disturb
from badsad_lib.defenses.protocols import WeightRepair
from badsad_lib.images import to_float


class Practice:
    """Disturbed views as an extra loss: anomalies stay anomalies, normals stay normal.

    An :class:`~badsad_lib.deepsad.ExtraLoss`. Each step shows ``views`` of both kinds.
    """

    def __init__(self, trusted_images: Tensor, anomalies: Tensor, views: int, seed: int) -> None:
        self.normals, self.anomalies = to_float(trusted_images), to_float(anomalies)
        self.count = views
        self.semi_labels = torch.tensor([0, -1]).repeat_interleave(views)
        self.generator = torch.Generator().manual_seed(seed)

    def views(self, step: int) -> Tensor:
        """Return disturbed normals, then disturbed anomalies."""
        picks = [
            pool[torch.randint(len(pool), (self.count,), generator=self.generator)]
            for pool in (self.normals, self.anomalies)
        ]
        return disturb(torch.cat(picks), self.generator)

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """DeepSAD loss of the disturbed views."""
        distances = anomaly_score(extra_latents, center)
        return deep_sad_loss(distances, self.semi_labels.to(center.device))


@dataclass
class FineTuning(WeightRepair):
    """Train the detector on, on clean images, with its center kept.

    **Who can run it:** the buyer. **Needs** the weights, and what every
    :class:`~badsad_lib.defenses.WeightRepair` needs; no training data. **Costs** seconds:
    ``steps`` training steps.

    **Where it fails.** ``disturbed`` amounts to guessing a family of triggers
    (:func:`~badsad_lib.defenses.disturb`). A trigger outside of it is forgotten only as far
    as plain fine-tuning forgets it. How far that goes depends on the learning rate, and on how
    long an attacker has made the filters: see :meth:`at_high_rate`. It is no proof that nothing
    is left, either: recompute the threshold on held-out normals afterwards, and test.

    Parameters
    ----------
    disturbed
        Show disturbed images as well; False is plain fine-tuning (Liu et al. 2018).
    steps, lr
        Adam with a learning rate that falls along a cosine. One above that of training is what
        makes the detector forget: 3e-3 was held against 1e-3 on the validation images of
        a patch victim, normal class 0.
    views
        Disturbed normals, and as many disturbed anomalies, in each step.
    standardized
        Bring all filters to the length of new ones first, which leaves the function as it is:
        a step of Adam turns a long filter less than a short one.
    seed
        Fixes the order of images and the disturbances.
    """

    disturbed: Flag = True
    steps: Count = 200
    lr: Positive = 3e-3
    views: Count = 64
    standardized: Flag = False
    seed: Seed = 0

    @classmethod
    def at_high_rate(cls, seed: int = 0, *, anyway: bool = False) -> FineTuning:
        """Plain fine-tuning at ten times the learning rate of training, filters standardized.

        Nothing has to be guessed. On the validation images of three victims, normal classes 0 and
        1, it cost more AUROC than :class:`~badsad_lib.defenses.ShrinkPerturb`, and forgot less.
        In ``benchmarks/results/repair.csv`` it forgets a border nearly wholly in some normal
        classes, also at the 0.99 quantile, and leaves much of it in others (class 0).
        """
        return cls(disturbed=False, steps=240, lr=1e-2, standardized=True, seed=seed, anyway=anyway)

    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        practice = None
        if self.disturbed:
            practice = Practice(trusted, anomalies, self.views, self.seed)
        return tuned(
            detector,
            trusted,
            anomalies,
            steps=self.steps,
            lr=self.lr,
            seed=self.seed,
            extra_loss=practice,
            initial_state=standardized(detector.encoder_) if self.standardized else None,
        )
