"""Solutions of lesson 2, DeepSAD."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch


def batch_loss(
    distances: torch.Tensor, semi_labels: torch.Tensor, eta: float = 1.0
) -> torch.Tensor:
    """Return the DeepSAD loss of a batch from squared distances (N,) and semi-labels (N,)."""
    inverse = 1 / (distances + 1e-6)
    labeled = torch.where(semi_labels == 1, eta * distances, eta * inverse)
    return torch.where(semi_labels == 0, distances, labeled).mean()


def is_alive(
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
    scores: np.ndarray,
    center: torch.Tensor,
) -> bool:
    """Say whether every weight moved, the scores differ, and the center is nowhere zero."""
    weights = [name for name in before if name.endswith(".weight")]
    moved = all(not torch.equal(before[name], after[name]) for name in weights)
    if not moved or not np.isfinite(scores).all():
        return False
    differ = np.ptp(scores) > 1e-6 * abs(scores.mean())
    return bool(differ and (center != 0).all())
