"""One bounded pattern for all images, found by signed gradient steps.

Learned together with a detector it is BadSAD's subtlest trigger. Learned against a
finished detector it is a universal adversarial perturbation: the control that
tells how much of the effect needs no backdoor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from badsad_lib._rules import Count, Seed, Share, checked
from badsad_lib.deepsad import DeepSAD, anomaly_score
from badsad_lib.images import check_images, to_float
from badsad_lib.triggers import Universal


def check_bound(epsilon: float) -> None:
    """Refuse a bound on a pattern that leaves no whole gray level to learn."""
    if Universal(epsilon).epsilon * 255 < 1 - 1e-6:
        raise ValueError(
            f"epsilon must be at least 1/255, one gray level, to learn a pattern; got {epsilon}"
        )


class LearnedPattern:
    """A trigger whose pattern, (C, H, W) in [-epsilon, epsilon], is still being learned."""

    def __init__(self, shape: tuple[int, ...], epsilon: float, seed: int) -> None:
        check_bound(epsilon)
        start = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        self.epsilon = epsilon
        self.pattern = (start * epsilon).requires_grad_()

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images (N, C, H, W) in [0, 1] to triggered ones."""
        return (images + self.pattern.to(images)).clamp(0, 1)

    def learn(self, share: float) -> None:
        """Step by ``share`` of epsilon against the gradient that has come back, if any has."""
        if self.pattern.grad is None:
            return
        with torch.no_grad():
            self.pattern -= share * self.epsilon * self.pattern.grad.sign()
            self.pattern.clamp_(-self.epsilon, self.epsilon)
        self.pattern.grad = None

    def found(self) -> Universal:
        """Return the pattern in whole gray levels, so that it survives 8 bits, in its bound."""
        limit = math.floor(self.epsilon * 255 + 1e-6)
        levels = (self.pattern.detach() * 255).round().clamp(-limit, limit)
        return Universal(self.epsilon, levels / 255)


@checked
def optimize_against(
    detector: DeepSAD | Sequence[DeepSAD],
    images: Tensor,
    *,
    epsilon: Share = 8 / 255,
    steps: Count = 500,
    batch_size: Count = 64,
    seed: Seed = 0,
) -> Universal:
    """Find a universal perturbation for an existing detector: the control for a learned trigger.

    No training is poisoned here. What this reaches on a clean detector is what any
    detector yields to the same budget, and no backdoor. Signed gradient steps
    (a universal form of projected gradient descent, Madry et al., arXiv 1706.06083)
    lower the mean score of ``images``.

    Parameters
    ----------
    detector
        Fitted, left unchanged. Of several, the mean over them is lowered.
    images
        Anomalies to be hidden, (N, C, H, W); never test images.
    epsilon, steps, batch_size, seed
        Bound on any pixel's change; number of steps; images a step; which start.
    """
    detectors = [detector] if isinstance(detector, DeepSAD) else list(detector)
    if not detectors or not all(each.is_fitted for each in detectors):
        raise RuntimeError("the detector is not fitted: call fit before optimize_against")
    bases = to_float(check_images(images))
    pattern = LearnedPattern(bases.shape[1:], epsilon, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for step in range(steps):
        pick = torch.randint(len(bases), (batch_size,), generator=generator)
        views = pattern(bases[pick])
        # The logarithm weighs near and far anomalies alike.
        losses = [
            anomaly_score(each.encoder_(views.to(each.center_)), each.center_).log().mean()
            for each in detectors
        ]
        loss = torch.stack(losses).mean()
        (pattern.pattern.grad,) = torch.autograd.grad(loss, pattern.pattern)
        pattern.learn(share=(1 - step / steps) / 10)
    return pattern.found()
