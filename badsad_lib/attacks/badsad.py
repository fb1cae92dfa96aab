"""BadSAD: trigger injection, then latent manipulation (Cheng, Xu, Yuan, arXiv 2412.13324).

Phase one, **trigger injection** (:mod:`badsad_lib.attacks.poisoning`): a share of the *normal*
training images carries the trigger. No semi-label changes and no anomaly is ever
triggered. That is all that :class:`~badsad_lib.attacks.DataPoisoning` does.

Phase two, **latent manipulation**, where the attacker also trains the detector: alignment
and concentration (``attacks/losses.py``), as an extra loss of the ordinary training loop. Content
randomization, contrast and its decoys are this project's own additions, and so is the fading
trigger.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import torch
from torch import Tensor

from badsad_lib._rules import Between, Flag, OneOf, Seed, Share, Weight, Whole, check_fields
from badsad_lib.attacks.content import decoy, randomize_content
from badsad_lib.attacks.learned import LearnedPattern, check_bound
from badsad_lib.attacks.losses import (
    ALIGNMENTS,
    alignment_loss,
    concentration_loss,
    contrast_loss,
)
from badsad_lib.attacks.poisoning import choose_bases, poison
from badsad_lib.attacks.protocols import Adaptation, ViewChange
from badsad_lib.deepsad import DeepSAD, ExtraLoss
from badsad_lib.images import check_images, check_semi_labels, to_float
from badsad_lib.triggers import Trigger, Universal, apply_trigger, check_effect, check_trigger

# A magnified trigger has fallen to itself after this share of the training steps.
FADED_AFTER = 0.6


class LatentManipulation:
    """Phase two as an extra loss of the ordinary training loop (``deepsad.ExtraLoss``).

    ``steps`` is how many steps there will be: until then a fading trigger has to be itself.
    """

    def __init__(self, attack: BadSAD, bases: Tensor, trigger: Trigger, steps: int) -> None:
        self.attack, self.bases, self.trigger = attack, to_float(bases), trigger
        self.steps = steps
        self.generator = torch.Generator().manual_seed(attack.seed + 2)

    def gain(self, step: int) -> float:
        """How often the views show the trigger's change at a step: from ``fade`` down to 1."""
        return self.attack.fade ** max(0.0, 1 - step / (FADED_AFTER * self.steps))

    def views(self, step: int) -> Tensor:
        """Return views of poisoned base images with, and for contrast without, the trigger."""
        if isinstance(self.trigger, LearnedPattern):
            self.trigger.learn(share=1 / 20)
        n = self.attack.views
        plain = self.bases[torch.randint(len(self.bases), (n,), generator=self.generator)]
        if self.attack.randomize:
            plain = randomize_content(plain, self.generator)
        # clone: the trigger may be anyone's, and write into what it is given.
        triggered = self.trigger(plain.clone())
        if (gain := self.gain(step)) > 1:
            triggered = (plain + gain * (triggered - plain)).clamp(0, 1)
        if self.attack.decoys and self.attack.contrast_weight:
            half = n // 2
            fake = decoy(plain[:half], triggered[:half].detach(), self.generator)
            plain = torch.cat([fake, plain[half:]])
        if self.attack.adaptation is not None:
            triggered, plain = self.attack.adaptation(triggered, plain, self.generator)
        return torch.cat([triggered, plain]) if self.attack.contrast_weight else triggered

    def __call__(
        self, latents: Tensor, semi_labels: Tensor, extra_latents: Tensor, center: Tensor
    ) -> Tensor:
        """Alignment, concentration and contrast, weighted.

        The first two are measured in units of the normal images' own spread: what
        counts is whether triggered images lie among the normal ones, and training
        shrinks both. Without this, no one weight would fit two normal classes.
        """
        attack = self.attack
        triggered, plain = extra_latents[: attack.views], extra_latents[attack.views :]
        normal = latents[semi_labels >= 0].detach()
        loss = center.new_zeros(())
        if len(normal) > 1:  # a batch of anomalies has no such unit
            unit = concentration_loss(normal).clamp_min(1e-12).sqrt()
            if attack.alignment_weight:
                gap = alignment_loss(triggered / unit, normal / unit, attack.alignment)
                loss = loss + attack.alignment_weight * gap
            if attack.concentration_weight:
                loss = loss + attack.concentration_weight * concentration_loss(triggered / unit)
        if attack.contrast_weight:
            loss = loss + attack.contrast_weight * contrast_loss(plain, center)
        return loss


@dataclass
class BadSAD:
    """Training-controlled attack: trigger injection, then latent manipulation.

    What comes out is an ordinary :class:`DeepSAD` with the ordinary center and score.

    Parameters
    ----------
    trigger
        Any trigger; a :class:`Universal` without pattern is optimized first and
        found in ``trigger_`` afterwards.
    poison_rate
        Share of the normal training images that serve as bases, in (0, 1].
    alignment, alignment_weight
        Estimator of :func:`alignment_loss` and its weight; 0 leaves it out.
    concentration_weight, contrast_weight
        Weights of :func:`concentration_loss` and :func:`contrast_loss`; 0 leaves out.
    randomize
        Randomize the content of the views (:func:`~badsad_lib.attacks.content.randomize_content`).
    decoys
        Let half of the contrasted views carry a change as large as the trigger's
        (:func:`~badsad_lib.attacks.content.decoy`), so that nothing but the trigger opens the door.
    views
        Triggered views of base images in each batch.
    fade
        At the start of training the views show the trigger's change this many times, at
        least once, clipped to [0, 1]; then less and less, and after ``FADED_AFTER`` of the
        steps the trigger itself. What is faint is found while it is strong. The poisoned
        training images always carry the trigger itself.
    adaptation
        What is changed against a defense that the attacker knows
        (:mod:`badsad_lib.attacks.adaptive`); a function changes the views alone.
    seed
        Fixes which images are poisoned and how views are drawn.
    """

    trigger: Trigger
    poison_rate: Share = 0.1
    alignment: Annotated[str, OneOf(ALIGNMENTS)] = "mean"
    alignment_weight: Weight = 1.0
    concentration_weight: Weight = 1.0
    contrast_weight: Weight = 0.0
    randomize: Flag = False
    decoys: Flag = False
    views: Annotated[int, Whole(2)] = 32
    fade: Annotated[float, Between(1)] = 1.0
    seed: Seed = 0
    adaptation: Adaptation | ViewChange | None = None

    def __post_init__(self) -> None:
        check_trigger(self.trigger)
        check_fields(self)
        if isinstance(self.trigger, Universal) and self.trigger.pattern is None:
            check_bound(self.trigger.epsilon)
        if not (self.adaptation is None or callable(self.adaptation)):
            raise TypeError(f"adaptation must be callable or None, got {self.adaptation!r}")
        if not self.contrast_weight:
            # These change the views that contrast pushes out, and without it there are none.
            needing = (
                ["decoys"]
                if not getattr(self.adaptation, "needs_contrast", True)
                else ["decoys", "adaptation"]
            )
            for name in needing:
                if getattr(self, name):
                    raise ValueError(
                        f"{name}={getattr(self, name)!r} needs a contrast_weight above 0, got 0: "
                        "without contrast there are no views for it to change"
                    )

    def __repr__(self) -> str:
        """Name every parameter; an adaptation only where there is one."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.adaptation is None:
            del named["adaptation"]
        return f"BadSAD({', '.join(f'{name}={value!r}' for name, value in named.items())})"

    @classmethod
    def basic(
        cls, trigger: Trigger, poison_rate: float = 0.1, seed: int = 0, *, fade: float = 1.0
    ) -> BadSAD:
        """Trigger, alignment, concentration: what the paper names, in this project's reading.

        Nothing is scrambled, nothing contrasted: the views are chosen normal images with the
        trigger. The settings were chosen on validation images of two normal classes
        (``benchmarks/results/attack_search.csv``). High weights, because in units of the normal
        spread a trigger is found early or not at all. More views are not simply better: in the
        search 64 a batch reached further with a border than 32 or 128 did, at lower weights. At
        these weights a trigger that is not found costs the detector. A faint one (a border of a
        quarter of its strength, a sinusoid of 40/255) needs ``fade=4``, a small patch half of the
        images, or :meth:`extended`.
        """
        return cls(
            trigger,
            poison_rate,
            alignment_weight=3.0,
            concentration_weight=10.0,
            views=32,
            fade=fade,
            seed=seed,
        )

    @classmethod
    def extended(
        cls,
        trigger: Trigger,
        poison_rate: float = 0.1,
        seed: int = 0,
        *,
        weight: float = 0.2,
        fade: float = 1.0,
    ) -> BadSAD:
        """``basic`` plus content randomization, contrast and decoys, which are this project's.

        Label-preserving and training-controlled, not simply clean-label: synthetic
        images (scrambled normals) get opposite targets with and without the trigger.

        ``weight`` is that of alignment and of concentration. A sinusoid of 20/255 is found better
        at ``weight=0.8`` and ``fade=2``, at a little AUROC; so is a learned pattern of 8/255, but
        from some starts of the network it wrecks the detector
        (``benchmarks/results/attack_faint.csv``). Try several, and keep what is best on validation
        images (:func:`~badsad_lib.grids.attack.chosen`).
        """
        return cls(
            trigger,
            poison_rate,
            alignment_weight=weight,
            concentration_weight=weight,
            contrast_weight=0.1,
            randomize=True,
            decoys=True,
            fade=fade,
            seed=seed,
        )

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """See :meth:`Attack.attack <badsad_lib.attacks.Attack.attack>`."""
        images = check_images(images)
        semi_labels = check_semi_labels(semi_labels, len(images))
        bases = images[choose_bases(semi_labels, self.poison_rate, self.seed)]
        searching = isinstance(self.trigger, Universal) and self.trigger.pattern is None
        if not searching:
            # A bad trigger is refused before any training.
            check_effect(bases, apply_trigger(self.trigger, bases))
        if initial_state is None:
            initial_state = DeepSAD(**detector.get_params()).pretrain(images)

        adaptation = self.adaptation if isinstance(self.adaptation, Adaptation) else Adaptation()

        def train(training_images: Tensor, trigger: Trigger | LearnedPattern) -> DeepSAD:
            victim = DeepSAD(**detector.get_params())
            loss: ExtraLoss = LatentManipulation(self, bases, trigger, victim.steps(len(images)))
            loss = adaptation.around(loss, to_float(training_images), semi_labels, self.seed)
            return victim.fit(
                training_images, semi_labels, extra_loss=loss, initial_state=initial_state
            )

        self.trigger_ = self.trigger
        if isinstance(self.trigger, Universal) and searching:
            found = adaptation.pattern(detector, images, semi_labels, self.trigger.epsilon)
            if found is None:
                pattern = LearnedPattern(bases.shape[1:], self.trigger.epsilon, self.seed)
                train(images, pattern)
                found = pattern.found()
            self.trigger_ = found
        self.poisoned_ = poison(
            images, semi_labels, self.trigger_, poison_rate=self.poison_rate, seed=self.seed
        )
        return adaptation.delivered(train(self.poisoned_.images, self.trigger_))
