"""Solutions of lesson 5, latent manipulation."""

from __future__ import annotations

from torch import Tensor


def concentration(latents: Tensor, center: Tensor) -> Tensor:
    """Return the mean squared distance of latents (N, D) to their own mean."""
    deviations = latents - latents.mean(dim=0)
    return (deviations**2).sum(dim=1).mean()


def alignment(poisoned: Tensor, normal: Tensor) -> Tensor:
    """Return the squared distance of the means, in squared spreads of the normal latents."""
    normal = normal.detach()
    gap = poisoned.mean(dim=0) - normal.mean(dim=0)
    squared_spread = normal.var(dim=0, correction=0).sum()
    return (gap**2).sum() / squared_spread


def contrast(triggered: Tensor, plain: Tensor, center: Tensor) -> Tensor:
    """Return the mean inverse squared distance to the center of what lacks the trigger."""
    distances = ((plain - center) ** 2).sum(dim=1)
    return (1 / (distances + 1e-6)).mean()
