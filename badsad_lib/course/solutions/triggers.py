"""Solutions of lesson 3, triggers."""

from __future__ import annotations

import torch


def wave(images: torch.Tensor, amplitude: float, frequency: float) -> torch.Tensor:
    """Return float images (N, C, H, W) with a wave along their columns, within [0, 1]."""
    width = images.shape[3]
    turns = frequency * torch.arange(width, device=images.device) / width
    ripple = amplitude * torch.sin(2 * torch.pi * turns)
    return (images + ripple).clamp(0, 1)


def audit(
    before: torch.Tensor,
    before_labels: torch.Tensor,
    after: torch.Tensor,
    after_labels: torch.Tensor,
) -> tuple[float, bool]:
    """Return the poison rate, and whether semi-labels and labeled anomalies are untouched."""
    changed = (after != before).flatten(1).any(dim=1)
    normal = before_labels >= 0
    poison_rate = changed[normal].float().mean().item()
    same_labels = torch.equal(before_labels, after_labels)
    return poison_rate, same_labels and not bool(changed[~normal].any())
