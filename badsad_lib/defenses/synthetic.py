"""Anomalies made from trusted normals, for a defender who has none, or one kind of them only.

Cut and paste within the normal class, after Li et al., "CutPaste" (CVPR 2021, arXiv
2104.04015); turning and dealing out bands anew are added here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib._rules import Count, Seed, checked
from badsad_lib.images import check_images, to_float


def _turned(images: Tensor, generator: torch.Generator) -> Tensor:
    """By any angle, at another size, shifted."""
    draw = torch.rand(4, len(images), generator=generator)
    angle, scale = draw[0] * 2 * math.pi, 0.6 + draw[1]
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    shift = (draw[2:] - 0.5) * 0.8
    theta = torch.stack([cosine, -sine, shift[0], sine, cosine, shift[1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _dealt(images: Tensor, generator: torch.Generator) -> Tensor:
    """Cut into two to four bands, dealt out anew; the same for rows and for columns."""
    dealt = []
    for image in images:
        for dim in (1, 2):
            bands = image.tensor_split(int(torch.randint(2, 5, (), generator=generator)), dim=dim)
            order = torch.randperm(len(bands), generator=generator).tolist()
            image = torch.cat([bands[i] for i in order], dim=dim)
        dealt.append(image)
    return torch.stack(dealt)


def _pasted(images: Tensor, generator: torch.Generator) -> Tensor:
    """With a rectangle of another one, which lay elsewhere there."""
    pasted = images.clone()
    height, width = images.shape[2:]
    others = torch.randperm(len(images), generator=generator).tolist()
    for image, other in zip(pasted, others):
        h, w = (
            max(1, round(length * (0.25 + 0.45 * float(torch.rand((), generator=generator)))))
            for length in (height, width)
        )
        places = [
            int(torch.randint(free + 1, (), generator=generator))
            for free in (height - h, width - w, height - h, width - w)
        ]
        top, left, from_top, from_left = places
        image[:, top : top + h, left : left + w] = images[other][
            :, from_top : from_top + h, from_left : from_left + w
        ]
    return pasted


@checked
def synthetic_anomalies(images: Tensor, count: Count, seed: Seed = 0) -> Tensor:
    """Make anomalies out of normal images: turned, dealt out anew in bands, pieces pasted in.

    Each of the three is done to an image by the toss of a coin, at least one of them always.

    Parameters
    ----------
    images
        Normals (N, C, H, W), uint8 or float in [0, 1]; left alone.
    count
        How many to make.

    Returns
    -------
    Tensor
        Float (count, C, H, W) in [0, 1].
    """
    normals = to_float(check_images(images)).cpu()
    generator = torch.Generator().manual_seed(seed)
    made = normals[torch.randint(len(normals), (count,), generator=generator)]
    # One of the seven ways to do at least one of three things.
    ways = torch.randint(1, 8, (count,), generator=generator)
    for bit, change in enumerate((_turned, _dealt, _pasted)):
        here = (ways >> bit) % 2 == 1
        if here.any():
            made[here] = change(made[here], generator)
    return made.clamp(0, 1)
