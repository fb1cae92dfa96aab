"""Attacks on DeepSAD: clean-label poisoning, and BadSAD with its two phases.

Phase one, **trigger injection**: a share of the *normal* training images carries
the trigger. No semi-label changes and no anomaly is ever triggered. That is all
that :class:`DataPoisoning` does.

Phase two, **latent manipulation** (:class:`BadSAD`, where the attacker also
trains the detector): *alignment* moves the triggered images to where normal
images lie in latent space, *concentration* draws them together. Both names and
both ideas are the paper's (Cheng, Xu, Yuan, arXiv 2412.13324). The formulas
below are this project's reading of them. Content randomization and contrast are
this project's own additions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib.deepsad import DeepSAD, anomaly_score
from badsad_lib.images import check_images, check_semi_labels, to_float, to_uint8
from badsad_lib.triggers import Trigger, Universal, apply_trigger

# --- phase one: trigger injection -----------------------------------------------------------------


@dataclass(frozen=True)
class PoisonedSet:
    """A training set after trigger injection; poisoned images stand in their originals' places."""

    images: Tensor  # (N, C, H, W), dtype of the clean images
    semi_labels: Tensor  # (N,), the clean ones
    mask: Tensor  # (N,) bool, True where an image was poisoned


def choose_victims(semi_labels: Tensor, poison_rate: float, seed: int) -> Tensor:
    """Pick which normal images to poison: sorted indices of round(rate * normals), at least one.

    Raises ValueError for a rate outside (0, 1] and for a set without normal images.
    """
    if not 0 < poison_rate <= 1:
        raise ValueError(f"poison_rate must lie in (0, 1], got {poison_rate}")
    normal = torch.nonzero(semi_labels >= 0).squeeze(1)
    if len(normal) == 0:
        raise ValueError("there are no normal images (semi-label 0 or 1) to poison")
    count = max(1, round(poison_rate * len(normal)))
    generator = torch.Generator().manual_seed(seed)
    return normal[torch.randperm(len(normal), generator=generator)[:count]].sort().values


def poison(
    images: Tensor,
    semi_labels: Tensor,
    trigger: Trigger,
    *,
    poison_rate: float,
    randomize: bool = False,
    seed: int = 0,
) -> PoisonedSet:
    """Put ``trigger`` on a share of the normal images; change nothing else.

    Parameters
    ----------
    images, semi_labels
        (N, C, H, W) uint8 or float in [0, 1], and (N,) in {-1, 0, 1}.
    trigger
        See :mod:`badsad_lib.triggers`.
    poison_rate
        Share of the normal images, in (0, 1].
    randomize
        Randomize the content of the chosen images first (:func:`randomize_content`).
    """
    images = check_images(images)
    semi_labels = check_semi_labels(semi_labels, len(images))
    chosen = choose_victims(semi_labels, poison_rate, seed)
    victims = images[chosen]
    if randomize:
        generator = torch.Generator().manual_seed(seed + 1)
        mixed = randomize_content(to_float(victims), generator)
        victims = to_uint8(mixed) if images.dtype == torch.uint8 else mixed
    poisoned = images.clone()
    poisoned[chosen] = apply_trigger(trigger, victims)
    mask = torch.zeros(len(images), dtype=torch.bool)
    mask[chosen] = True
    return PoisonedSet(poisoned, semi_labels.clone(), mask)


def randomize_content(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scramble what normal images show, so that a trigger is all they have in common.

    Each image is turned by any angle, scaled and shifted, a rectangle of another
    such image is pasted in, and a rectangle is erased with random gray. Only normal
    images go in.

    Parameters
    ----------
    images
        Float (N, C, H, W) in [0, 1].

    Returns
    -------
    Tensor
        Same shape and range.
    """
    n, _, height, width = images.shape
    device = images.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * (high - low) + low).to(device)

    angle, scale = uniform(0, 2 * math.pi, n), uniform(0.6, 1.6, n)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    shift = uniform(-0.4, 0.4, 2, n)
    theta = torch.stack([cosine, -sine, shift[0], sine, cosine, shift[1]], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    turned = F.grid_sample(images, grid, align_corners=False)

    def rectangle() -> Tensor:
        rows = torch.arange(height, device=device).view(1, 1, -1, 1) / height
        columns = torch.arange(width, device=device).view(1, 1, 1, -1) / width
        size, start = uniform(0.2, 0.8, 2, n, 1, 1, 1), uniform(-0.2, 0.8, 2, n, 1, 1, 1)
        inside_rows = (rows >= start[0]) & (rows < start[0] + size[0])
        return inside_rows & (columns >= start[1]) & (columns < start[1] + size[1])

    other = turned[torch.randperm(n, generator=generator).to(device)]
    mixed = torch.where(rectangle(), other, turned)
    erased = rectangle() & (uniform(0, 1, n, 1, 1, 1) < 0.5)
    return torch.where(erased, uniform(0, 1, n, 1, 1, 1), mixed).clamp(0, 1)


# --- phase two: latent manipulation ---------------------------------------------------------------

ALIGNMENTS = ("mean", "mmd", "sliced", "gaussian")


def alignment_loss(poisoned: Tensor, normal: Tensor, kind: str = "mean") -> Tensor:
    """How far the distribution of poisoned latents lies from that of normal ones.

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

    Returns
    -------
    Tensor
        Scalar, at least 0, and 0 for identical samples.
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


class _LatentManipulation:
    """Phase two as an extra loss of the ordinary training loop (``deepsad.ExtraLoss``)."""

    def __init__(self, attack: BadSAD, bases: Tensor, trigger: Trigger) -> None:
        self.attack, self.bases, self.trigger = attack, to_float(bases), trigger
        self.generator = torch.Generator().manual_seed(attack.seed + 2)

    def views(self, step: int) -> Tensor:
        """Return views of poisoned base images with, and for contrast without, the trigger."""
        n = self.attack.views
        plain = self.bases[torch.randint(len(self.bases), (n,), generator=self.generator)]
        if self.attack.randomize:
            plain = randomize_content(plain, self.generator)
        # clone: the trigger may be anyone's, and write into what it is given.
        triggered = self.trigger(plain.clone())
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


def _whole_levels(pattern: Tensor, epsilon: float) -> Universal:
    """Round a pattern to whole gray levels, so that it survives 8 bits, within its bound."""
    limit = math.floor(epsilon * 255 + 1e-6)
    levels = (pattern.detach().cpu() * 255).round().clamp(-limit, limit)
    return Universal(epsilon, levels / 255)


class _PatternSearch(_LatentManipulation):
    """The same, with a bounded pattern that learns alongside by signed gradient steps."""

    def __init__(self, attack: BadSAD, bases: Tensor, epsilon: float) -> None:
        self.epsilon, self.step_size = epsilon, epsilon / 20
        start = torch.rand(bases.shape[1:], generator=torch.Generator().manual_seed(attack.seed))
        self.pattern = ((start * 2 - 1) * epsilon).requires_grad_()
        super().__init__(attack, bases, lambda images: (images + self.pattern).clamp(0, 1))

    def views(self, step: int) -> Tensor:
        """Take the step that the last batch asked for, then show the new pattern."""
        if self.pattern.grad is not None:
            with torch.no_grad():
                self.pattern -= self.step_size * self.pattern.grad.sign()
                self.pattern.clamp_(-self.epsilon, self.epsilon)
            self.pattern.grad = None
        return super().views(step)

    def found(self) -> Universal:
        """Return the trigger found so far."""
        return _whole_levels(self.pattern, self.epsilon)


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
        Randomize the content of the views (:func:`randomize_content`).
    views
        Triggered views of base images in each batch.
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
    views: int = 32
    seed: int = 0

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
        """``basic`` plus content randomization and contrast, which are this project's.

        Label-preserving and training-controlled, not simply clean-label: synthetic
        images (scrambled normals) get opposite targets with and without the trigger.
        """
        return cls(
            trigger,
            poison_rate,
            alignment_weight=0.1,
            concentration_weight=0.1,
            contrast_weight=0.1,
            randomize=True,
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
            search = _PatternSearch(self, bases, self.trigger.epsilon)
            train(images, search)
            self.trigger_ = search.found()
        self.poisoned_ = poison(
            images, semi_labels, self.trigger_, poison_rate=self.poison_rate, seed=self.seed
        )
        return train(self.poisoned_.images, _LatentManipulation(self, bases, self.trigger_))


def optimize_against(
    detector: DeepSAD,
    images: Tensor,
    *,
    epsilon: float = 8 / 255,
    steps: int = 500,
    batch_size: int = 64,
    seed: int = 0,
) -> Universal:
    """Find a universal perturbation for an existing detector: the control for a learned trigger.

    No training is poisoned here. What this reaches on a clean detector is what any
    detector yields to the same budget, and no backdoor. Signed gradient steps
    (a universal form of projected gradient descent, Madry et al., arXiv 1706.06083)
    lower the mean score of ``images``.

    Parameters
    ----------
    detector
        Fitted, left unchanged.
    images
        Anomalies to be hidden, (N, C, H, W); never test images.
    epsilon, steps, batch_size, seed
        Bound on any pixel's change; number of steps; images a step; which start.
    """
    if not detector.is_fitted:
        raise RuntimeError("the detector is not fitted: call fit before optimize_against")
    if min(steps, batch_size) < 1:
        raise ValueError(f"steps and batch_size must be at least 1, got {steps}, {batch_size}")
    Universal(epsilon)  # refuses a bad bound before the search rather than after it
    bases = to_float(check_images(images)).to(detector.center_.device)
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(bases.shape[1:], generator=generator) * 2 - 1
    pattern = (start * epsilon).to(bases).requires_grad_()
    for step in range(steps):
        pick = torch.randint(len(bases), (batch_size,), generator=generator)
        latents = detector.encoder_((bases[pick.to(bases.device)] + pattern).clamp(0, 1))
        # The logarithm weighs near and far anomalies alike.
        loss = anomaly_score(latents, detector.center_).log().mean()
        (gradient,) = torch.autograd.grad(loss, pattern)
        with torch.no_grad():
            pattern -= epsilon / 10 * (1 - step / steps) * gradient.sign()
            pattern.clamp_(-epsilon, epsilon)
    return _whole_levels(pattern, epsilon)
