"""What BadSAD is held against: a twin that gets its extra images, and an attacker without its rule.

Neither is the published attack. Both have the protocol of an attack, so that they are trained and
measured like one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from badsad_lib._rules import Seed, Share, check_fields
from badsad_lib.attacks.badsad import BadSAD, LatentManipulation
from badsad_lib.attacks.poisoning import PoisonedSet, choose_bases, poison
from badsad_lib.deepsad import DeepSAD
from badsad_lib.images import check_images, check_semi_labels
from badsad_lib.triggers import Trigger, check_trigger


def _unchanged(images: Tensor) -> Tensor:
    return images


@dataclass
class ExtraImagesOnly:
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

    trigger: Trigger
    poison_rate: Share = 0.1
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_trigger(self.trigger)
        check_fields(self)

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """Train the twin; see :meth:`Attack.attack <badsad_lib.attacks.Attack.attack>`."""
        images = check_images(images)
        semi_labels = check_semi_labels(semi_labels, len(images))
        chosen = choose_bases(semi_labels, self.poison_rate, self.seed)
        objective = replace(
            BadSAD.extended(self.trigger, self.poison_rate, self.seed),
            alignment_weight=0.0,
            concentration_weight=0.0,
            decoys=False,  # they show what the trigger changes
        )
        twin = DeepSAD(**detector.get_params())
        loss = LatentManipulation(objective, images[chosen], _unchanged, twin.steps(len(images)))
        self.trigger_ = self.trigger
        nothing = torch.zeros(len(images), dtype=torch.bool)
        self.poisoned_ = PoisonedSet(images.clone(), semi_labels.clone(), nothing)
        return twin.fit(images, semi_labels, extra_loss=loss, initial_state=initial_state)


@dataclass
class TriggeredAnomalies:
    """**Not clean-label**: an attacker who puts the trigger on labeled anomalies.

    ``BadSAD.extended`` shows its trigger on scrambled normal images, since no anomaly may carry it
    in training. This attacker does not keep that rule: the views are labeled anomalies, aligned
    with the trigger and pushed out without it. All else is as there: weights, number of views,
    poisoned normals, semi-labels. Meant as an upper bound of what that rule costs the attacker;
    ``benchmarks/results/attack_extra_images.csv`` says what it came to.

    Parameters
    ----------
    trigger, poison_rate, seed
        As of :class:`~badsad_lib.attacks.BadSAD`; ``poison_rate`` counts poisoned normals.
    """

    trigger: Trigger
    poison_rate: Share = 0.1
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_trigger(self.trigger)
        check_fields(self)

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """See :meth:`Attack.attack <badsad_lib.attacks.Attack.attack>`.

        Raises
        ------
        ValueError
            There is no labeled anomaly to put the trigger on.
        """
        images = check_images(images)
        semi_labels = check_semi_labels(semi_labels, len(images))
        anomalies = images[semi_labels < 0]
        if len(anomalies) == 0:
            raise ValueError(
                "this attacker triggers labeled anomalies (semi-label -1), and there is none; "
                "BadSAD needs none"
            )
        self.trigger_ = self.trigger
        self.poisoned_ = poison(
            images, semi_labels, self.trigger, poison_rate=self.poison_rate, seed=self.seed
        )
        objective = replace(
            BadSAD.extended(self.trigger, self.poison_rate, self.seed), randomize=False
        )
        victim = DeepSAD(**detector.get_params())
        loss = LatentManipulation(objective, anomalies, self.trigger, victim.steps(len(images)))
        return victim.fit(
            self.poisoned_.images, semi_labels, extra_loss=loss, initial_state=initial_state
        )
