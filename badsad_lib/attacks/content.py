"""What an attacker shows the trigger on: normal images whose content is scrambled.

Both are this project's additions to the attack. They see normal images only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


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


def decoy(images: Tensor, triggered: Tensor, generator: torch.Generator) -> Tensor:
    """Make the same change as a trigger, with its pixels in another order.

    Whatever passes for the trigger because it changes an image by as much is told
    apart from it by such images.

    Parameters
    ----------
    images, triggered
        Float (N, C, H, W) in [0, 1], without and with the trigger.

    Returns
    -------
    Tensor
        Same shape and range.
    """
    order = torch.randperm(images.shape[2] * images.shape[3], generator=generator)
    change = (triggered - images).flatten(2)[:, :, order.to(images.device)]
    return (images + change.view_as(images)).clamp(0, 1)
