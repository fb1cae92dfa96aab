"""Random changes of an image that a trigger might make: what fine-tuning is strengthened with.

A defender does not know the trigger, but knows what triggers look like: a patch, a
pattern mixed in, a wave, faint noise. ``disturb`` draws one of these for each
image, never the same twice. What lies outside of this family (a warp, a patch larger
than a quarter of the image's side) is not practiced.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def disturb(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change each image in one of four ways, drawn at random.

    A rectangle of one color, sides up to a quarter of the image's; a random pattern,
    fine or coarse, mixed in by 0.05 to 0.3; a wave of any direction and length,
    amplitude 0.03 to 0.2; noise of one size and random sign, 0.02 to 0.15.

    Parameters
    ----------
    images
        Float (N, C, H, W) in [0, 1].
    generator
        Makes the same draw twice, if it starts from the same seed.

    Returns
    -------
    Tensor
        Same shape and range; ``images`` are left alone.
    """
    kind = torch.randint(4, (len(images), 1, 1, 1), generator=generator).to(images.device)
    changed = _rectangles(images, generator)
    for number, change in enumerate((_patterns, _waves, _noise), start=1):
        changed = torch.where(kind == number, change(images, generator), changed)
    return changed.clamp(0, 1)


def _uniform(low: float, high: float, generator: torch.Generator, like: Tensor) -> Tensor:
    draw = torch.rand(len(like), 1, 1, 1, generator=generator)
    return (draw * (high - low) + low).to(like)


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) of pixels, from 0 to 1."""
    height, width = images.shape[2:]
    rows = torch.arange(height).view(-1, 1).to(images) / height
    return rows, torch.arange(width).view(1, -1).to(images) / width


def _rectangles(images: Tensor, generator: torch.Generator) -> Tensor:
    inside = torch.ones_like(images[:, :1], dtype=torch.bool)
    for places in _places(images):
        size = _uniform(0.07, 0.25, generator, images)
        start = _uniform(0, 1, generator, images) * (1 - size)
        inside = inside & (places >= start) & (places < start + size)
    color = torch.rand(*images.shape[:2], 1, 1, generator=generator).to(images)
    extreme = _uniform(0, 1, generator, images) < 0.5
    return torch.where(inside, torch.where(extreme, color.round(), color), images)


def _patterns(images: Tensor, generator: torch.Generator) -> Tensor:
    fine = torch.rand(images.shape, generator=generator).to(images)
    coarse = F.interpolate(fine[:, :, ::4, ::4], images.shape[2:], mode="bilinear")
    pattern = torch.where(_uniform(0, 1, generator, images) < 0.6, fine, coarse)
    return torch.lerp(images, pattern, _uniform(0.05, 0.3, generator, images))


def _waves(images: Tensor, generator: torch.Generator) -> Tensor:
    rows, columns = _places(images)
    angle = _uniform(0, math.pi, generator, images)
    across = rows * torch.sin(angle) + columns * torch.cos(angle)
    frequency, phase = _uniform(1, 12, generator, images), _uniform(0, 1, generator, images)
    amplitude = _uniform(0.03, 0.2, generator, images)
    return images + amplitude * torch.sin(2 * math.pi * (frequency * across + phase))


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    sign = torch.randint(2, images.shape, generator=generator).to(images) * 2 - 1
    return images + _uniform(0.02, 0.15, generator, images) * sign
