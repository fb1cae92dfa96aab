"""Synthetic anomalies: defects painted into normals, to train on as labels where none are at hand.

Pieces of other normals pasted in (after Li et al., "CutPaste", CVPR 2021, arXiv 2104.04015), lines,
blots, blurred and grainy spots. They look like the defects that one has in mind: what a detector
that was trained on them makes of *other* defects has to be measured with such.

Defenders who mimic whole anomalies (other clothes, say) use
:func:`badsad_lib.defenses.synthetic_anomalies` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib._rules import Between, Count, Seed, checked
from badsad_lib.images import check_images, to_float

_Painted = tuple[Tensor, Tensor]  # what is laid over, (N, C, H, W), and how much, (N, 1, H, W)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(N, 1, 1) numbers, to go with (H, W)."""
    return low + (high - low) * torch.rand(n, 1, 1, generator=generator)


def _coordinates(images: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) in [0, 1]."""
    height, width = images.shape[2:]
    return torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]


def _colors(images: Tensor, generator: torch.Generator) -> Tensor:
    """A color an image, (N, C, 1, 1): any, or a level of all channels, by the toss of a coin."""
    n, channels = images.shape[:2]
    any_color = torch.rand(n, channels, 1, 1, generator=generator)
    gray = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
    return torch.where(gray, any_color[:, :1], any_color)


def _ellipse(images: Tensor, least: float, most: float, generator: torch.Generator) -> Tensor:
    """Return squared distances from the middle of an ellipse, 1 at its rim: (N, H, W)."""
    n = len(images)
    rows, columns = _coordinates(images)
    angle = _uniform(n, 0, math.pi, generator)
    row, column = (_uniform(n, 0.05, 0.95, generator) for _ in range(2))
    a, b = (_uniform(n, least, most, generator) for _ in range(2))
    along = (rows - row) * torch.cos(angle) + (columns - column) * torch.sin(angle)
    across = (columns - column) * torch.cos(angle) - (rows - row) * torch.sin(angle)
    return (along / a).square() + (across / b).square()


def _paste(images: Tensor, generator: torch.Generator) -> _Painted:
    """A rectangle of another image, which lay elsewhere there, at another brightness."""
    n, _, height, width = images.shape
    rows, columns = _coordinates(images)
    top, left = (_uniform(n, -0.1, 0.8, generator) for _ in range(2))
    h, w = (_uniform(n, 0.15, 0.6, generator) for _ in range(2))
    mask = (rows >= top) & (rows < top + h) & (columns >= left) & (columns < left + w)
    others = images[torch.randperm(n, generator=generator)]
    shift = [int(torch.randint(1, length, (), generator=generator)) for length in (height, width)]
    others = others.roll(shift, dims=(2, 3))
    brighter = _uniform(n, -0.15, 0.15, generator)[:, None]
    return (others + brighter).clamp(0, 1), mask[:, None].float()


def _line(images: Tensor, generator: torch.Generator) -> _Painted:
    """A thin line, straight or bent."""
    n = len(images)
    rows, columns = _coordinates(images)
    angle = _uniform(n, 0, math.pi, generator)
    row, column = (_uniform(n, 0.1, 0.9, generator) for _ in range(2))
    along = (rows - row) * torch.cos(angle) + (columns - column) * torch.sin(angle)
    across = (columns - column) * torch.cos(angle) - (rows - row) * torch.sin(angle)
    bend = _uniform(n, -0.8, 0.8, generator)
    width = _uniform(n, 0.02, 0.06, generator)
    inside = (across - bend * along.square()).abs() < width
    mask = inside & (along.abs() < _uniform(n, 0.2, 0.9, generator))
    return _colors(images, generator), mask[:, None] * _uniform(n, 0.35, 1, generator)[:, None]


def _blot(images: Tensor, generator: torch.Generator) -> _Painted:
    """A spot of one color, with a hard or a soft rim."""
    n = len(images)
    distance = _ellipse(images, 0.06, 0.5, generator)
    softness = torch.exp(_uniform(n, math.log(0.05), math.log(1.0), generator))
    mask = ((1 - distance) / softness).clamp(0, 1)[:, None]
    return _colors(images, generator), mask * _uniform(n, 0.25, 1, generator)[:, None]


def _blur(images: Tensor, generator: torch.Generator) -> _Painted:
    """A spot without its texture."""
    side = max(3, min(images.shape[2:]) // 6) // 2 * 2 + 1
    padded = F.pad(images, [side // 2] * 4, mode="reflect")
    mask = _ellipse(images, 0.12, 0.4, generator) < 1
    return F.avg_pool2d(padded, side, stride=1), mask[:, None].float()


def _grain(images: Tensor, generator: torch.Generator) -> _Painted:
    """A spot of noise around a level, fine or coarse."""
    n, channels, height, width = images.shape
    coarse = torch.rand(n, channels, (height + 2) // 3, (width + 2) // 3, generator=generator)
    coarse = F.interpolate(coarse, (height, width), mode="bilinear")
    fine = torch.rand(n, channels, height, width, generator=generator)
    noise = torch.where(torch.rand(n, 1, 1, 1, generator=generator) < 0.5, coarse, fine)
    strength = _uniform(n, 0.05, 0.5, generator)[:, None]
    mask = _ellipse(images, 0.1, 0.35, generator) < 1
    over = _colors(images, generator) + (noise - 0.5) * strength
    return over.clamp(0, 1), mask[:, None].float()


_KINDS: dict[str, Callable[[Tensor, torch.Generator], _Painted]] = {
    "paste": _paste,
    "line": _line,
    "blot": _blot,
    "blur": _blur,
    "grain": _grain,
}
KINDS = tuple(_KINDS)
"""What can be painted: a piece of another normal, a line, a blot, a blurred, a grainy spot."""

Strength = Annotated[float, Between(0, 1, "(]")]


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds as a tuple.

    Raises
    ------
    ValueError
        None at all, or one that is not known.
    """
    found = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not found or not set(found) <= set(KINDS):
        raise ValueError(f"kinds must be some of {', '.join(KINDS)}, got {kinds!r}")
    return found


@checked
def paint_defects(
    images: Tensor,
    count: Count,
    *,
    kinds: Sequence[str] = KINDS,
    strength: Strength = 1.0,
    seed: Seed = 0,
) -> Tensor:
    """Paint a defect into each of ``count`` normals, drawn from ``images``.

    Parameters
    ----------
    images
        Normals (N, C, H, W), uint8 or float in [0, 1]; left alone.
    count
        How many to make; each kind gets as many, but for what does not divide.
    kinds
        Some of ``KINDS``.
    strength
        In (0, 1]: how much of the full contrast they have.

    Returns
    -------
    Tensor
        Float (count, C, H, W) in [0, 1], in random order of kinds. Here and there a defect lies
        nearly all outside of its image.
    """
    kinds = check_kinds(kinds)
    normals = to_float(check_images(images)).cpu()
    generator = torch.Generator().manual_seed(seed)
    made = normals[torch.randint(len(normals), (count,), generator=generator)]
    order = torch.randperm(count, generator=generator)
    for kind, here in zip(kinds, order.tensor_split(len(kinds))):
        if len(here):
            some = made[here]
            over, mask = _KINDS[kind](some, generator)
            made[here] = some + (over - some) * mask * strength
    return made.clamp(0, 1)
