"""Repair by unlearning: search for a trigger and train against it, in turn, many times.

After Zeng et al., "Adversarial Unlearning of Backdoors via Implicit Hypergradient" (I-BAU,
ICLR 2022, arXiv 2110.03735): the min-max problem of its section 3, one pattern for all images
within an L2 ball. Instead of their implicit gradient the search rides along with training
("free" adversarial training, Shafahi et al., NeurIPS 2019, arXiv 1904.12843): the backward
pass of a step gives the patterns' gradient, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Count, Positive, Seed
from badsad_lib.deepsad import DeepSAD, anomaly_score, deep_sad_loss
from badsad_lib.defenses._common import tuned
from badsad_lib.defenses.protocols import WeightRepair
from badsad_lib.images import to_float


def _norms(patterns: Tensor) -> Tensor:
    return patterns.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)


class Opponent:
    """Patterns that hide anomalies, as an extra loss: found while they are trained against.

    An :class:`~badsad_lib.deepsad.ExtraLoss`. Each of ``count`` patterns lies on its share of
    the anomalies of a step, moves against their scores, stays within ``radius`` of zero in the
    L2 norm, and is drawn afresh every ``restart`` steps.
    """

    def __init__(
        self, anomalies: Tensor, *, radius: float, count: int, views: int, restart: int, seed: int
    ) -> None:
        self.anomalies = to_float(anomalies)
        self.radius, self.count, self.restart = radius, count, restart
        self.each = max(1, views // count)
        self.generator = torch.Generator().manual_seed(seed)
        self.patterns = self._fresh()

    def _fresh(self) -> Tensor:
        shape = (self.count, *self.anomalies.shape[1:])
        noise = torch.randn(shape, generator=self.generator)
        return (noise / _norms(noise) * self.radius / 3).requires_grad_()

    def _move(self, gradient: Tensor, share: float = 0.2) -> None:
        with torch.no_grad():
            self.patterns += share * self.radius * gradient / _norms(gradient)
            self.patterns *= (self.radius / _norms(self.patterns)).clamp(max=1)
        self.patterns.grad = None

    def views(self, step: int) -> Tensor:
        """Return anomalies with the patterns on them."""
        if step and step % self.restart == 0:
            self.patterns = self._fresh()
        elif self.patterns.grad is not None:
            self._move(self.patterns.grad)
        picks = (self.count * self.each,)
        plain = self.anomalies[
            torch.randint(len(self.anomalies), picks, generator=self.generator)
        ].cpu()
        return (plain + self.patterns.repeat_interleave(self.each, dim=0)).clamp(0, 1)

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """DeepSAD loss of anomalies: what training lowers and the patterns raise."""
        distances = anomaly_score(extra_latents, center)
        return deep_sad_loss(distances, torch.full_like(distances, -1))


@dataclass
class Unlearning(WeightRepair):
    """Train on clean images and against the worst pattern that can be found meanwhile.

    **Who can run it:** the buyer. **Needs** the weights, and what every
    :class:`~badsad_lib.defenses.WeightRepair` needs; no training data.
    **Costs** seconds: ``steps`` training steps of a batch and ``views`` images more.

    No family of triggers is guessed, only how large a change may be.

    **Where it fails.** A trigger that changes images by more than ``radius`` in the L2 norm, or
    that is no sum (a warp), is not searched for. It is forgotten only as far as fine-tuning
    alone forgets it.

    Parameters
    ----------
    radius
        Largest L2 norm of a pattern, pixels in [0, 1]. A 3x3 patch turned from black to white
        has norm 3; noise of 8/255 on 28x28 pixels 0.9. 2 was held against 1 and 3 on the
        validation images of a patch victim, normal class 0.
    patterns, views
        Patterns at a time, and the anomalies that they are put on in each step.
    restart
        Steps after which patterns are drawn afresh, so that others are found.
    steps, lr
        Adam with a learning rate that falls along a cosine; 3e-3 was held against 1e-3 likewise.
    seed
        Fixes the order of images and where patterns start.
    """

    radius: Positive = 2.0
    patterns: Count = 4
    views: Count = 64
    restart: Count = 20
    steps: Count = 120
    lr: Positive = 3e-3
    seed: Seed = 0

    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        opponent = Opponent(
            anomalies,
            radius=self.radius,
            count=self.patterns,
            views=self.views,
            restart=self.restart,
            seed=self.seed,
        )
        return tuned(
            detector,
            trusted,
            anomalies,
            steps=self.steps,
            lr=self.lr,
            seed=self.seed,
            extra_loss=opponent,
        )
