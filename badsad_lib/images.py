"""Image tensors: the one format everything here speaks, and the checks at the door.

Images are tensors of shape (N, C, H, W). They travel as uint8 in 0..255 and
become float32 in [0, 1] only where a network or a trigger needs them.
"""

from __future__ import annotations

import warnings
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
            + _type_advice(images.dtype)
        )
    if images.ndim != 4:
        raise ValueError(
            f"{name} must have shape (N, C, H, W), got {tuple(images.shape)}; "
            + layout_advice(tuple(images.shape))
        )
    if 0 in images.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(images.shape)}")
    if channels is not None and images.shape[1] != channels:
        raise ValueError(
            f"{name} must have {channels} channel(s), got {images.shape[1]}"
            + layout_advice(tuple(images.shape), before="; ")
        )
    if size is not None and tuple(images.shape[2:]) != tuple(size):
        got = "x".join(map(str, images.shape[2:]))
        raise ValueError(
            f"{name} must be {size[0]}x{size[1]} pixels, got {got}"
            + layout_advice(tuple(images.shape), before="; ")
        )
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
                "pass uint8, or divide by the format's maximum (255 for 8 bits), the same "
                "number for all sets"
            )
    return images


def _type_advice(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "Boolean images are black and white: images.float() makes them 0 and 1"
    if dtype in (torch.int16, torch.uint16, torch.int32, torch.uint32):
        return (
            "16-bit images: make them float and divide by the format's maximum (65535; 4095 for "
            "12 bits), the same number for all sets: images.astype('float32') / 65535 in NumPy"
        )
    return "convert with images.to(torch.uint8) if the values are 0..255"


def layout_advice(shape: tuple[int, ...], *, before: str = "") -> str:
    """Say what a shape that is refused looks like, and which call mends it; else nothing."""
    advice = ""
    if len(shape) == 2:
        advice = "one gray picture (H, W) needs images[None, None]"
    elif len(shape) == 3 and shape[2] in (3, 4):
        advice = (
            "this looks like one picture with its colors last (H, W, C): "
            "images.permute(2, 0, 1)[None] for a tensor, images.transpose(2, 0, 1)[None] in NumPy"
        )
    elif len(shape) == 3:
        advice = "a gray batch (N, H, W) needs images[:, None]"
        if shape[0] in (1, 3, 4):
            advice = f"one picture (C, H, W) needs images[None], {advice}"
    elif len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        advice = (
            "this looks like (N, H, W, C), colors last: images.permute(0, 3, 1, 2) for a tensor, "
            "images.transpose(0, 3, 1, 2) in NumPy"
        )
    elif len(shape) == 4 and shape[1] == 4:
        advice = "this looks like RGBA: images[:, :3] leaves transparency out"
    return before + advice if advice else ""


CONVENTION = "-1 (labeled anomaly), 0 (unlabeled) or +1 (labeled normal)"
CONVERT = "semi_labels_from(is_anomaly) converts Booleans and the y of PyOD (1 = outlier)"


def _labels(values: Any, name: str) -> np.ndarray:
    """Return labels as a NumPy array; numbers or Booleans, nothing else."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    elif isinstance(values, list | tuple) and any(isinstance(v, bool | np.bool_) for v in values):
        values = [bool(v) for v in values]  # NumPy would make numbers of a mixture
    labels = np.asarray(values)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numbers, got {labels.dtype}")
    return labels


def check_semi_labels(semi_labels: Any, n_images: int) -> Tensor:
    """Return semi-labels as an int64 tensor (N,), or raise an error that says what is wrong.

    ``0`` is unlabeled (assumed normal), ``+1`` labeled normal, ``-1`` labeled anomaly. In PyOD's
    ``y`` 1 is an outlier: see :func:`semi_labels_from`.

    Raises
    ------
    TypeError
        Booleans: which of the two is the anomaly, they do not say. Anything but numbers.
    ValueError
        Another shape than (``n_images``,), other values, fractions.

    Warns
    -----
    UserWarning
        Labeled normals without a labeled anomaly: most likely 1 was to mean an anomaly.
    """
    labels = _labels(semi_labels, "semi_labels")
    if labels.dtype == bool:
        raise TypeError(f"semi_labels must be {CONVENTION}, got Booleans; {CONVERT}")
    if labels.ndim != 1 or len(labels) != n_images:
        raise ValueError(
            f"semi_labels must have shape ({n_images},), one per image, got {labels.shape}"
        )
    found = set(np.unique(labels).tolist())
    if bad := sorted(found - {-1, 0, 1}):
        raise ValueError(
            f"semi_labels must be {CONVENTION}, got also {bad[:5]}; "
            f"class targets are not semi-labels, and {CONVERT}"
        )
    if 1 in found and -1 not in found:
        warnings.warn(
            "semi_labels hold +1, a labeled normal, and no -1, a labeled anomaly. In PyOD's y "
            f"1 is an outlier: if that is what was meant, {CONVERT}",
            UserWarning,
            stacklevel=3,
        )
    return torch.from_numpy(labels.astype(np.int64))


def semi_labels_from(is_anomaly: Any) -> Tensor:
    """Semi-labels (N,) from the truth: -1 where an image is a known anomaly, else 0 (unlabeled).

    Parameters
    ----------
    is_anomaly
        (N,) Booleans, or PyOD's ``y``: 1 for an outlier, else 0.

    Raises
    ------
    TypeError, ValueError
        Anything but Booleans or 0 and 1 in one dimension. scikit-learn's outlier detectors say
        -1 for an outlier: ``semi_labels_from(predicted == -1)``.
    """
    truth = _labels(is_anomaly, "is_anomaly")
    if truth.ndim != 1:
        raise ValueError(f"is_anomaly must have shape (N,), one per image, got {truth.shape}")
    if bad := sorted(set(np.unique(truth).tolist()) - {0, 1}):
        raise ValueError(
            f"is_anomaly must be Booleans, or 0 and 1 (1 = outlier), got also {bad[:5]}; for "
            "scikit-learn's predictions, semi_labels_from(predicted == -1)"
        )
    return -torch.from_numpy(truth.astype(np.int64))
