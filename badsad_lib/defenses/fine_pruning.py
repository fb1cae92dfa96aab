"""Repair by fine-pruning: cut channels that clean normal images leave idle, then fine-tune.

Liu et al., "Fine-Pruning" (RAID 2018, arXiv 1805.12185, section 4): a backdoor may live in
channels that clean images do not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from badsad_lib._rules import Between, Count, Positive, Seed
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import copy_of, map_activations, tuned
from badsad_lib.defenses.protocols import WeightRepair
from badsad_lib.networks import ConvBlock


def silence(detector: DeepSAD, channel: int) -> None:
    """Cut a channel of the last convolution block out of a detector, in place, for good.

    Both its filter and the weights that read it become zero. Then neither gets a gradient, and
    training cannot bring the channel back.
    """
    block, reader = detector.encoder_.blocks[-1], detector.encoder_.head[0]
    assert isinstance(block, ConvBlock)
    assert isinstance(reader, nn.Linear)
    assert block.norm.running_mean is not None
    channels = block.conv.out_channels
    with torch.no_grad():
        block.conv.weight[channel] = 0
        block.norm.running_mean[channel] = 0
        reader.weight.view(len(reader.weight), channels, -1)[:, channel] = 0


@dataclass
class FinePruning(WeightRepair):
    """Cut the idlest channels of the last convolution as long as it costs little, then fine-tune.

    **Who can run it:** the buyer. **Needs** the weights, and what every
    :class:`~badsad_lib.defenses.WeightRepair` needs; no training data.
    **Costs** one scoring of these a channel, and
    ``steps`` training steps.

    **Where it fails.** A backdoor that shares its channels with normal images survives the
    pruning. What then remains is plain fine-tuning.

    Parameters
    ----------
    tolerance
        AUROC of trusted normals against labeled anomalies that pruning may cost, 0 or more.
        On the validation images of a patch victim, 0.01 and 0.03 made no difference.
    steps, lr, seed
        As in :class:`~badsad_lib.defenses.FineTuning`.

    Attributes
    ----------
    pruned_ : int
        Channels cut in the last repair.
    """

    tolerance: Annotated[float, Between(0, 1, "[)")] = 0.01
    steps: Count = 200
    lr: Positive = 3e-3
    seed: Seed = 0

    def prune(self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor) -> DeepSAD:
        """Return a copy without its idlest channels, not fine-tuned."""
        return self._pruned(detector, *self._checked(detector, trusted_images, anomalies))

    def _pruned(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:

        def area(candidate: DeepSAD) -> float:
            scores = [candidate.decision_function(part) for part in (trusted, anomalies)]
            truth = np.repeat([0, 1], [len(part) for part in scores])
            return float(roc_auc_score(truth, np.concatenate(scores)))

        activity = map_activations(
            detector, trusted, lambda blocks: blocks[-1].abs().mean(dim=(2, 3))
        ).mean(dim=0)
        least = area(detector) - self.tolerance
        kept, self.pruned_ = copy_of(detector), 0
        for channel in activity.argsort().tolist()[:-1]:
            candidate = copy_of(kept)
            silence(candidate, channel)
            if area(candidate) < least:
                break
            kept, self.pruned_ = candidate, self.pruned_ + 1
        return kept

    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        return tuned(
            self._pruned(detector, trusted, anomalies),
            trusted,
            anomalies,
            steps=self.steps,
            lr=self.lr,
            seed=self.seed,
        )
