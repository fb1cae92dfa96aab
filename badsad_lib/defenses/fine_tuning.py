"""Repair by fine-tuning on clean data, plain or with disturbed images.

Fine-tuning as a repair: Liu et al., "Fine-Pruning" (RAID 2018, section 4), there for
classifiers. Labeled anomalies are the lever: they are clean, and the backdoor pulls
their triggered versions in. The disturbances are this project's addition.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Count, Flag, Positive, Seed, check_fields
from badsad_lib.deepsad import DeepSAD, anomaly_score, deep_sad_loss
from badsad_lib.defenses._common import check_repair, tuned
from badsad_lib.defenses.disturbances import disturb
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
class FineTuning:
    """Train the detector on, on clean images, with its center kept.

    **Who can run it:** the buyer. **Needs** the weights, 20 trusted normals and 20 labeled
    anomalies at least (a hundred of each are better); no training data. **Costs** seconds:
    ``steps`` training steps.

    **Where it fails.** ``disturbed`` amounts to guessing a family of triggers
    (:func:`~badsad_lib.defenses.disturb`). A trigger outside of it is forgotten only as far
    as plain fine-tuning forgets it. It is no proof that nothing is left, either: recompute the
    threshold on held-out normals afterwards, and test.

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
    seed
        Fixes the order of images and the disturbances.
    """

    disturbed: Flag = True
    steps: Count = 200
    lr: Positive = 3e-3
    views: Count = 64
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def repair(self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor) -> DeepSAD:
        """Return a repaired detector without threshold; ``detector`` is left alone.

        Arguments and errors are those of :meth:`~badsad_lib.defenses.Repair.repair`.
        """
        trusted_images, anomalies = check_repair(detector, trusted_images, anomalies)
        practice = None
        if self.disturbed:
            practice = Practice(trusted_images, anomalies, self.views, self.seed)
        return tuned(
            detector,
            trusted_images,
            anomalies,
            steps=self.steps,
            lr=self.lr,
            seed=self.seed,
            extra_loss=practice,
        )
