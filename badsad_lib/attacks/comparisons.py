"""What BadSAD is held against: a twin that gets its extra images, and an attacker without its rule.

Neither is the published attack. Both have the protocol of an attack, so that they are trained and
measured like one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from badsad_lib._rules import Seed
from badsad_lib.attacks._base import GivenTrigger
from badsad_lib.attacks.badsad import BadSAD, LatentManipulation
from badsad_lib.attacks.poisoning import PoisonedSet, choose_bases, poison


def _unchanged(images: Tensor) -> Tensor:
    return images


@dataclass
class ExtraImagesOnly(GivenTrigger):
    """No attack: a clean training with the extra images of ``BadSAD.extended``, without a trigger.

    As many scrambled normals join each batch, and the same half of them is pushed out, as in the
    attack. Nothing carries the trigger and nothing is aligned. What this twin gains or loses
    against the clean twin is what the extra images do by themselves.

    Parameters
    ----------
    trigger
        Never shown in training; what ``trigger_`` says afterwards.
    poison_rate
        Share of the normal training images that the extra images are made of, in (0, 1].
    seed
        Fixes which they are and how they are scrambled, as in the attack.
    """

    seed: Seed = 0

    def _prepared(
        self, images: Tensor, semi_labels: Tensor, steps: int
    ) -> tuple[PoisonedSet, LatentManipulation]:
        objective = replace(
            BadSAD.extended(self.trigger, self.poison_rate, self.seed),
            alignment_weight=0.0,
            concentration_weight=0.0,
            decoys=False,  # they show what the trigger changes
        )
        chosen = choose_bases(semi_labels, self.poison_rate, self.seed)
        nothing = torch.zeros(len(images), dtype=torch.bool)
        return (
            PoisonedSet(images.clone(), semi_labels.clone(), nothing),
            LatentManipulation(objective, images[chosen], _unchanged, steps),
        )


@dataclass
class TriggeredAnomalies(GivenTrigger):
    """**Not clean-label**: an attacker who puts the trigger on labeled anomalies.

    ``BadSAD.extended`` shows its trigger on scrambled normal images, since no anomaly may carry it
    in training. This attacker does not keep that rule: the views are labeled anomalies, aligned
    with the trigger and pushed out without it. All else is as there: weights, number of views,
    poisoned normals, semi-labels. Meant as an upper bound of what that rule costs the attacker;
    ``benchmarks/results/attack_extra_images.csv`` says what it came to.

    Parameters
    ----------
    trigger, poison_rate, seed
        As of :class:`~badsad_lib.attacks.BadSAD`; ``poison_rate`` counts poisoned normals. Without
        a labeled anomaly among the images ``attack`` raises a ValueError.
    """

    seed: Seed = 0

    def _prepared(
        self, images: Tensor, semi_labels: Tensor, steps: int
    ) -> tuple[PoisonedSet, LatentManipulation]:
        anomalies = images[semi_labels < 0]
        if len(anomalies) == 0:
            raise ValueError(
                "this attacker triggers labeled anomalies (semi-label -1), and there is none; "
                "BadSAD needs none"
            )
        objective = replace(
            BadSAD.extended(self.trigger, self.poison_rate, self.seed), randomize=False
        )
        return (
            poison(images, semi_labels, self.trigger, poison_rate=self.poison_rate, seed=self.seed),
            LatentManipulation(objective, anomalies, self.trigger, steps),
        )
