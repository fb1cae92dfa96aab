"""Attacks on DeepSAD: clean-label poisoning, and BadSAD with its two phases.

Phase one, **trigger injection** (:mod:`badsad_lib.poisoning`): a share of the *normal*
training images carries the trigger. No semi-label changes and no anomaly is ever
triggered. That is all that :class:`DataPoisoning` does.

Phase two, **latent manipulation** (:class:`BadSAD`, where the attacker also
trains the detector): *alignment* moves the triggered images to where normal
images lie in latent space, *concentration* draws them together. Both names and
both ideas are the paper's (Cheng, Xu, Yuan, arXiv 2412.13324). The formulas
below are this project's reading of them. Content randomization, contrast and its
decoys are this project's own additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib.content import decoy, randomize_content
from badsad_lib.deepsad import DeepSAD, anomaly_score
from badsad_lib.images import check_images, check_semi_labels, to_float
from badsad_lib.perturbations import LearnedPattern
from badsad_lib.poisoning import choose_victims, poison
from badsad_lib.triggers import Trigger, Universal, apply_trigger

# --- phase two: latent manipulation ---------------------------------------------------------------

ALIGNMENTS = ("mean", "mmd", "sliced", "gaussian")


def alignment_loss(poisoned: Tensor, normal: Tensor, kind: str = "mean") -> Tensor:
    """Distance of two distributions of latents: a scalar, at least 0, and 0 for equal ones.

    Parameters
    ----------
    poisoned, normal
        Latents (M, D) and (N, D). No gradient flows into ``normal``: the poisoned
        images move, the normal ones stay.
    kind
        ``mean``: squared distance of the two means (first moment only).
        ``gaussian``: squared 2-Wasserstein distance of two Gaussians with diagonal
        covariance. ``sliced``: squared sliced 2-Wasserstein distance, over 64 fixed
        directions. ``mmd``: squared maximum mean discrepancy (Gretton et al., JMLR
        2012), Gaussian kernel, median heuristic.
    """
    normal = normal.detach()
    if kind == "mean":
        return (poisoned.mean(0) - normal.mean(0)).square().sum()
    if kind == "gaussian":
        spread = poisoned.std(0, correction=0) - normal.std(0, correction=0)
        return (poisoned.mean(0) - normal.mean(0)).square().sum() + spread.square().sum()
    if kind == "sliced":
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(normal.shape[1], 64, generator=generator).to(normal)
        directions = F.normalize(directions, dim=0)
        levels = (torch.arange(32).to(normal) + 0.5) / 32
        gaps = torch.quantile(poisoned @ directions, levels, dim=0) - torch.quantile(
            normal @ directions, levels, dim=0
        )
        # A direction sees one part in D of a squared distance: scale to compare with the others.
        return gaps.square().mean() * normal.shape[1]
    if kind == "mmd":
        both = torch.cat([poisoned, normal])
        distances = torch.cdist(both, both).square()
        kernel = torch.exp(-distances / distances.detach().median().clamp_min(1e-12))
        m = len(poisoned)
        mmd = kernel[:m, :m].mean() + kernel[m:, m:].mean() - 2 * kernel[:m, m:].mean()
        return mmd.clamp_min(0)
    raise ValueError(f"unknown alignment {kind!r}; choose one of {ALIGNMENTS}")


def concentration_loss(poisoned: Tensor) -> Tensor:
    """Mean squared distance of poisoned latents (M, D) to their own mean: scalar, at least 0."""
    return (poisoned - poisoned.mean(0)).square().sum(1).mean()


def contrast_loss(latents: Tensor, center: Tensor) -> Tensor:
    """Mean inverse squared distance of latents (M, D) to the center: small when far from it."""
    return (1 / (anomaly_score(latents, center) + 1e-6)).mean()


# What an attacker who knows a defense makes of the triggered views and of those pushed out.
Adaptation = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


class _LatentManipulation:
    """Phase two as an extra loss of the ordinary training loop (``deepsad.ExtraLoss``)."""

    def __init__(self, attack: BadSAD, bases: Tensor, trigger: Trigger) -> None:
        self.attack, self.bases, self.trigger = attack, to_float(bases), trigger
        self.generator = torch.Generator().manual_seed(attack.seed + 2)

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


# --- the two attacks ------------------------------------------------------------------------------


@dataclass
class DataPoisoning:
    """Data-only attack: poison normal images, let the victim train as usual.

    Clean-label in the strict sense. With ``randomize`` the content of the poisoned
    images is scrambled as well, which still needs no control over training.
    """

    trigger: Trigger
    poison_rate: float = 0.1
    randomize: bool = False
    seed: int = 0

    def attack(
        self,
        detector: DeepSAD,
        images: Tensor,
        semi_labels: Tensor,
        *,
        initial_state: dict[str, Tensor] | None = None,
    ) -> DeepSAD:
        """Return a new detector with ``detector``'s parameters, trained on poisoned data."""
        self.poisoned_ = poison(
            images,
            semi_labels,
            self.trigger,
            poison_rate=self.poison_rate,
            randomize=self.randomize,
            seed=self.seed,
        )
        return DeepSAD(**detector.params()).fit(
            self.poisoned_.images, self.poisoned_.semi_labels, initial_state=initial_state
        )


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
        Randomize the content of the views (:func:`~badsad_lib.content.randomize_content`).
    decoys
        Let half of the contrasted views carry a change as large as the trigger's
        (:func:`~badsad_lib.content.decoy`), so that nothing but the trigger opens the door.
    views
        Triggered views of base images in each batch.
    adaptation
        Changes the views, against a defense that the attacker knows (:mod:`badsad_lib.adaptive`).
    seed
        Fixes which images are poisoned and how views are drawn.
    """

    trigger: Trigger
    poison_rate: float = 0.1
    alignment: str = "mean"
    alignment_weight: float = 1.0
    concentration_weight: float = 1.0
    contrast_weight: float = 0.0
    randomize: bool = False
    decoys: bool = False
    views: int = 32
    seed: int = 0
    adaptation: Adaptation | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.alignment not in ALIGNMENTS:
            raise ValueError(f"unknown alignment {self.alignment!r}; choose one of {ALIGNMENTS}")
        for name in ("alignment_weight", "concentration_weight", "contrast_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if self.views < 2:
            raise ValueError(f"views must be at least 2, got {self.views}")

    @classmethod
    def basic(cls, trigger: Trigger, poison_rate: float = 0.1, seed: int = 0) -> BadSAD:
        """Trigger, alignment, concentration: what the paper names, in this project's reading."""
        return cls(trigger, poison_rate, alignment_weight=1.0, concentration_weight=1.0, seed=seed)

    @classmethod
    def extended(cls, trigger: Trigger, poison_rate: float = 0.1, seed: int = 0) -> BadSAD:
        """``basic`` plus content randomization, contrast and decoys, which are this project's.

        Label-preserving and training-controlled, not simply clean-label: synthetic
        images (scrambled normals) get opposite targets with and without the trigger.
        """
        return cls(
            trigger,
            poison_rate,
            alignment_weight=0.2,
            concentration_weight=0.2,
            contrast_weight=0.1,
            randomize=True,
            decoys=True,
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
        """Return a backdoored detector with ``detector``'s parameters.

        Parameters
        ----------
        detector
            Its parameters are taken, fitted or not; it is left alone.
        images, semi_labels
            The clean training set.
        initial_state
            Pretrained encoder weights, say the clean twin's ``initial_state_``.
            Without them the encoder is pretrained on the clean images, as a clean
            twin's would be.
        """
        images = check_images(images)
        semi_labels = check_semi_labels(semi_labels, len(images))
        bases = images[choose_victims(semi_labels, self.poison_rate, self.seed)]
        searching = isinstance(self.trigger, Universal) and self.trigger.pattern is None
        if not searching:
            apply_trigger(self.trigger, bases)  # a bad trigger is refused before any training
        if initial_state is None:
            initial_state = DeepSAD(**detector.params()).pretrain(images)

        def train(training_images: Tensor, extra_loss: _LatentManipulation) -> DeepSAD:
            return DeepSAD(**detector.params()).fit(
                training_images, semi_labels, extra_loss=extra_loss, initial_state=initial_state
            )

        self.trigger_ = self.trigger
        if isinstance(self.trigger, Universal) and searching:
            pattern = LearnedPattern(bases.shape[1:], self.trigger.epsilon, self.seed)
            train(images, _LatentManipulation(self, bases, pattern))
            self.trigger_ = pattern.found()
        self.poisoned_ = poison(
            images, semi_labels, self.trigger_, poison_rate=self.poison_rate, seed=self.seed
        )
        return train(self.poisoned_.images, _LatentManipulation(self, bases, self.trigger_))
