"""Repair by shrinking and perturbing the weights, then fine-tuning on clean data.

Ash and Adams, "On Warm-Starting Neural Network Training" (NeurIPS 2020, arXiv 1910.08475,
section 4), there for training on. That it makes a detector forget a backdoor is this project's
use of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Count, Inside, Positive, Seed
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import fresh_encoder, standardized, tuned
from badsad_lib.defenses.protocols import WeightRepair


def shrunk_and_perturbed(detector: DeepSAD, keep: float, seed: int) -> dict[str, Tensor]:
    """Weights between a detector's and new ones, filter by filter, at the lengths of the former.

    Filters before a normalization are standardized first
    (:func:`~badsad_lib.defenses._common.standardized`), else ``keep`` would depend on how long
    an attacker has made them.
    """
    state = standardized(detector.encoder_)
    fresh = standardized(fresh_encoder(detector, seed))
    for name, _ in detector.encoder_.named_parameters():
        old, new = state[name], fresh[name].to(state[name])
        rows = (len(old), *[1] * (old.ndim - 1))
        lengths = [each.flatten(1).norm(dim=1).clamp_min(1e-12).view(rows) for each in (old, new)]
        state[name] = torch.lerp(new * (lengths[0] / lengths[1]), old, keep)
    return state


@dataclass
class ShrinkPerturb(WeightRepair):
    """Mix the weights with new random ones, then fine-tune, with the center kept.

    **Who can run it:** the buyer. **Needs** the weights, and what every
    :class:`~badsad_lib.defenses.WeightRepair` needs. **Costs** ``steps`` training steps.

    A filter's length is nothing to it: it is standardized before the mixing.

    **Where it fails.** Against a border in some normal classes, at a threshold that few normals
    exceed: much of it is left at the 0.99 quantile where little is at 0.95. Part of that is
    natural, and it adds to it: a clean detector comes out of it more open to a border than it
    went in (``benchmarks/results/repair.csv``, classes 0 and 8). With few anomalies, or few kinds
    of them, it refuses.

    Parameters
    ----------
    keep
        Share of the old weights in the mixture, in (0, 1). 0.4 was held against 0.2 on the
        validation images of patch and border victims, normal classes 0 and 1.
    steps, lr
        Adam with a learning rate that falls along a cosine; 3e-3 was held against 1e-2 likewise,
        which cost more AUROC in class 1.
    seed
        Fixes the new weights and the order of images.
    """

    keep: Inside = 0.4
    steps: Count = 240
    lr: Positive = 3e-3
    seed: Seed = 0

    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        return tuned(
            detector,
            trusted,
            anomalies,
            steps=self.steps,
            lr=self.lr,
            seed=self.seed,
            initial_state=shrunk_and_perturbed(detector, self.keep, self.seed),
        )
