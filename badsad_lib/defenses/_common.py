"""What the defenses share: checks at the door, copies of detectors, activations in batches."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor

from badsad_lib._rules import OneOf, checked
from badsad_lib.deepsad import SCORING_BATCH, DeepSAD, ExtraLoss, weakness
from badsad_lib.images import check_images, to_float

# --- at the door ----------------------------------------------------------------------------------


def check_inputs(
    detector: DeepSAD, images: Any, *, least: int = 1, name: str = "images", why: str = ""
) -> Tensor:
    """Return ``images`` as a tensor that ``detector`` takes, or say what is wrong.

    Raises
    ------
    RuntimeError
        The detector is not fitted.
    FloatingPointError
        Its weights or its center are not finite.
    TypeError, ValueError
        What :func:`~badsad_lib.images.check_images` refuses, the wrong image size, and
        fewer than ``least`` images (``why`` says what they are needed for).
    """
    if not detector.is_fitted:
        raise RuntimeError("this detector is not fitted: a defense needs a trained one")
    if fault := weakness({**detector.encoder_.state_dict(), "center": detector.center_}):
        raise FloatingPointError(f"this detector is broken: {fault}")
    shape = detector.shape_
    images = check_images(images, name=name, channels=shape[0], size=shape[1:])
    if len(images) < least:
        raise ValueError(f"{name} must be at least {least}{why and ', ' + why}, got {len(images)}")
    return images


# --- looking into a detector ----------------------------------------------------------------------


def map_activations(
    detector: DeepSAD, images: Tensor, function: Callable[[list[Tensor]], Tensor]
) -> Tensor:
    """Apply ``function`` to the outputs of all convolution blocks, batch by batch.

    ``function`` takes one tensor (n, C', H', W') a block and returns (n, ...): only
    what it returns is kept, so that activations never lie in memory all at once.
    """
    seen: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        for block in detector.encoder_.blocks
    ]
    parts = []
    try:
        with torch.no_grad():
            for batch in images.split(SCORING_BATCH):
                seen.clear()
                detector.encoder_.blocks(to_float(batch.to(detector.center_.device)))
                parts.append(function(list(seen)).cpu())
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(parts)


Layer = Annotated[str, OneOf(("latent", "conv"))]
"""What a defense looks at: the latents, or what the last convolution block hands on."""


@checked
def embed(detector: DeepSAD, images: Tensor, layer: Layer) -> Tensor:
    """Vectors (N, D) of images: their ``latent``, or ``conv``, what the last block hands on."""
    if layer == "latent":
        return torch.from_numpy(detector.encode(images))
    return map_activations(detector, images, lambda blocks: blocks[-1].flatten(1))


def robust_scale(values: Tensor) -> tuple[Tensor, Tensor]:
    """Median and median absolute deviation of each column of (N, D), the latter above 0."""
    median = values.median(dim=0).values
    deviation = (values - median).abs().median(dim=0).values
    # A column that hardly varies would otherwise decide alone.
    floor = 1e-2 * deviation.mean() + 1e-12
    return median, deviation.clamp_min(floor)


# --- a new detector from an old one ---------------------------------------------------------------


def copy_of(detector: DeepSAD) -> DeepSAD:
    """Return a fitted copy with its own weights, the same center, and no threshold."""
    new = DeepSAD(**detector.get_params())
    new.network_ = detector.network_
    new.encoder_ = copy.deepcopy(detector.encoder_).eval()
    new.center_ = detector.center_.clone()
    new.initial_state_ = {}
    new.history_ = {"pretrain_loss": [], "loss": []}
    return new


def check_repair(
    detector: DeepSAD, trusted_images: Any, anomalies: Any, *, least: int = 20
) -> tuple[Tensor, Tensor]:
    """Return what a repair is given as tensors, or say what is wrong."""
    return (
        check_inputs(detector, trusted_images, least=least, name="trusted_images"),
        check_inputs(detector, anomalies, least=least, name="anomalies"),
    )


def tuned(
    detector: DeepSAD,
    trusted_images: Tensor,
    anomalies: Tensor,
    *,
    steps: int,
    lr: float,
    seed: int,
    extra_loss: ExtraLoss | None = None,
) -> DeepSAD:
    """Train a copy of ``detector`` on, with its center kept.

    The ordinary training loop of :class:`~badsad_lib.deepsad.DeepSAD`, on trusted normals
    (semi-label 0) and labeled anomalies (-1), for about ``steps`` steps.
    """
    images = torch.cat([to_float(trusted_images), to_float(anomalies)])
    labels = torch.tensor([0] * len(trusted_images) + [-1] * len(anomalies))
    epochs = max(1, round(steps / math.ceil(len(images) / detector.batch_size)))
    return DeepSAD(**{**detector.get_params(), "lr": lr, "epochs": epochs, "seed": seed}).fit(
        images,
        labels,
        extra_loss=extra_loss,
        initial_state=detector.encoder_.state_dict(),
        center=detector.center_,
    )
