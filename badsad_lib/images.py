"""Image tensors: the one format everything here speaks, and the checks at the door.

Images are tensors of shape (N, C, H, W). They travel as uint8 in 0..255 and
become float32 in [0, 1] only where a network or a trigger needs them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 images (0..255) into float32 in [0, 1]; float images pass unchanged.

    Parameters
    ----------
    images
        (N, C, H, W), uint8 or floating point.
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255)
    return images


def to_uint8(images: Tensor) -> Tensor:
    """Round float images in [0, 1] to the nearest of 256 gray levels, as uint8."""
    if images.dtype == torch.uint8:
        return images
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def check_images(
    images: Any,
    *,
    name: str = "images",
    channels: int | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Return ``images`` as a tensor, or raise a ValueError that says what is wrong.

    Parameters
    ----------
    images
        Tensor or numpy array (N, C, H, W): uint8 in 0..255, or float in [0, 1].
    name
        What the message calls the argument.
    channels, size
        Required number of channels and required (H, W), where one is required.

    Returns
    -------
    Tensor
        The same values; float16/float64 become float32. uint8 stays uint8.

    Raises
    ------
    TypeError
        Not an array, or neither uint8 nor floating point.
    ValueError
        Wrong number of dimensions, no images, wrong channels or size,
        NaN or infinity, values outside [0, 1].
    """
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{name} must be a torch tensor or numpy array, got {type(images).__name__}"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(
            f"{name} must be uint8 in 0..255 or float in [0, 1], got {images.dtype}; "
            "convert with images.to(torch.uint8)"
        )
    if images.ndim != 4:
        raise ValueError(
            f"{name} must have shape (N, C, H, W), got {tuple(images.shape)}; "
            "a gray batch (N, H, W) needs images[:, None]"
        )
    if 0 in images.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(images.shape)}")
    if channels is not None and images.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channel(s), got {images.shape[1]}")
    if size is not None and tuple(images.shape[2:]) != tuple(size):
        got = "x".join(map(str, images.shape[2:]))
        raise ValueError(f"{name} must be {size[0]}x{size[1]} pixels, got {got}")
    if images.is_floating_point():
        if images.dtype != torch.float32:
            images = images.to(torch.float32)
        # aminmax propagates NaN, so one pass answers both questions.
        low, high = (float(v) for v in torch.aminmax(images.detach()))
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} must be float in [0, 1], got values from {low:g} to {high:g}; "
                "pass uint8, or divide by the largest value"
            )
    return images


def check_semi_labels(semi_labels: Any, n_images: int) -> Tensor:
    """Return semi-labels as an int64 tensor (N,), or raise an error that says what is wrong.

    ``0`` is unlabeled (assumed normal), ``+1`` labeled normal, ``-1`` labeled anomaly.
    """
    labels = torch.as_tensor(semi_labels)
    if labels.ndim != 1 or len(labels) != n_images:
        raise ValueError(
            f"semi_labels must have shape ({n_images},), one per image, got {tuple(labels.shape)}"
        )
    bad = sorted(set(labels.unique().tolist()) - {-1, 0, 1})
    if bad:
        raise ValueError(
            f"semi_labels must be -1 (labeled anomaly), 0 (unlabeled) or +1 (labeled normal), "
            f"got also {bad[:5]}; class targets are not semi-labels"
        )
    return labels.to(torch.int64)
