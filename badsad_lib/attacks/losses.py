"""The losses of latent manipulation, BadSAD's phase two, as pure functions of latents.

*Alignment* moves triggered images to where normal images lie, *concentration* draws them
together. Both names and both ideas are the paper's (Cheng, Xu, Yuan, arXiv 2412.13324); the
formulas are this project's reading of them. Contrast is this project's own addition.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib.deepsad import anomaly_score

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
