"""Gray images in color: a three-channel data set that needs no download.

What is normal stays a matter of shape. Each image gets an ink and a paper of its
own, so a color says nothing about the class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib.datasets import Dataset, ImageSet
from badsad_lib.images import check_images, to_float, to_uint8


def colorize(images: Tensor, *, size: int = 32, seed: int = 0) -> Tensor:
    """Paint gray images in two random colors each.

    Parameters
    ----------
    images
        (N, 1, H, W), uint8 or float in [0, 1]; 0 becomes the paper, 1 the ink.
    size
        Side of the square that comes out, at least H and W; the margin is paper.
    seed
        Fixes the colors. Ink is light and paper dark, so shapes stay visible.

    Returns
    -------
    Tensor
        uint8 (N, 3, size, size).

    Raises
    ------
    ValueError
        For images with another number of channels, or larger than ``size``.
    """
    gray = to_float(check_images(images))
    n, channels, height, width = gray.shape
    if channels != 1:
        raise ValueError(f"colorize needs gray images (N, 1, H, W), got {tuple(images.shape)}")
    if max(height, width) > size:
        raise ValueError(f"images of {height}x{width} pixels do not fit into {size}x{size}")
    top, left = (size - height) // 2, (size - width) // 2
    gray = F.pad(gray, (left, size - width - left, top, size - height - top))
    generator = torch.Generator().manual_seed(seed)
    paper, ink = torch.rand(2, n, 3, 1, 1, generator=generator)
    paper, ink = paper * 0.4, 0.6 + ink * 0.4
    return to_uint8(paper + (ink - paper) * gray)


def colorized(data: Dataset, *, seed: int = 0) -> Dataset:
    """Return a data set of gray images in color, 3x32x32, with the same classes."""
    train = ImageSet(colorize(data.train.images, seed=seed), data.train.targets)
    test = ImageSet(colorize(data.test.images, seed=seed + 1), data.test.targets)
    return Dataset(f"{data.name} in color", data.subset, train, test, data.class_names)
