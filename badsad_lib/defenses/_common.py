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
from badsad_lib.detectors import Access, ScoreDetector, require
from badsad_lib.images import check_images, to_float
from badsad_lib.networks import Encoder, make_encoder

# Mean length of a filter as torch draws it: weights uniform in +-1 / sqrt(number of inputs).
NEW_LENGTH = 3**-0.5
# Added to a seed for weights that no detector started from. Torch looks at the lower 32 bits of a
# seed only: 2**62 would change nothing.
OWN_STREAM = 2_654_435_769

# --- at the door ----------------------------------------------------------------------------------


def check_inputs(
    detector: ScoreDetector,
    images: Any,
    *,
    least: int = 1,
    name: str = "images",
    why: str = "",
    access: Access = Access.WEIGHTS,
    who: str = "this defense",
) -> Tensor:
    """Return ``images`` as a tensor that ``detector`` takes, or say what is wrong.

    Raises
    ------
    TypeError
        The detector gives less than ``access``, which ``who`` needs.
    RuntimeError
        The detector is not fitted.
    FloatingPointError
        Its weights or its center are not finite.
    TypeError, ValueError
        What :func:`~badsad_lib.images.check_images` refuses, the wrong image size, and
        fewer than ``least`` images (``why`` says what they are needed for).
    """
    require(detector, access, who)
    if not detector.is_fitted:
        raise RuntimeError("this detector is not fitted: a defense needs a trained one")
    if isinstance(detector, DeepSAD) and (
        fault := weakness({**detector.encoder_.state_dict(), "center": detector.center_})
    ):
        raise FloatingPointError(f"this detector is broken: {fault}")
    shape = detector.shape_
    if shape is None:
        images = check_images(images, name=name)
    else:
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


def check_given(
    detector: ScoreDetector,
    trusted_images: Any,
    anomalies: Any,
    *,
    least: tuple[int, int] = (20, 20),
    access: Access = Access.WEIGHTS,
    who: str = "this defense",
) -> tuple[Tensor, Tensor]:
    """Return trusted normals and anomalies as tensors, at least so many of each, or say why not."""
    pairs = ((trusted_images, "trusted_images"), (anomalies, "anomalies"))
    trusted, given = (
        check_inputs(detector, images, least=count, name=name, access=access, who=who)
        for count, (images, name) in zip(least, pairs)
    )
    return trusted, given


def fresh_encoder(detector: DeepSAD, seed: int) -> Encoder:
    """Return an encoder of the same architecture with new weights.

    Not those that ``seed`` gives a detector: a delivered one may have started from them.
    """
    return make_encoder(detector.network_, torch.Generator().manual_seed(seed + OWN_STREAM))


def standardized(encoder: Encoder, length: float = NEW_LENGTH) -> dict[str, Tensor]:
    """Return an encoder's state, each filter before a normalization at the length of a new one.

    The function stays the same: the normalizations, which are scaled as well, divide by whatever
    length a filter has. Without this an attacker multiplies the filters by a hundred, at no cost,
    and steps or noise of a given size no longer move them.
    """
    state = {name: values.detach().clone() for name, values in encoder.state_dict().items()}
    means, variances = (
        [name for name in state if name.endswith(kind)] for kind in ("running_mean", "running_var")
    )
    # A normalization follows all weights but the last.
    *inner, _ = (name for name, _ in encoder.named_parameters())
    for name, mean, variance in zip(inner, means, variances, strict=True):
        scale = length / state[name].flatten(1).norm(dim=1).clamp_min(1e-12)
        state[name] *= scale.view(-1, *[1] * (state[name].ndim - 1))
        state[mean] *= scale
        state[variance] *= scale**2
    return state


def tuned(
    detector: DeepSAD,
    trusted_images: Tensor,
    anomalies: Tensor,
    *,
    steps: int,
    lr: float,
    seed: int,
    extra_loss: ExtraLoss | None = None,
    initial_state: dict[str, Tensor] | None = None,
) -> DeepSAD:
    """Train a copy of ``detector`` on, with its center kept.

    The ordinary training loop of :class:`~badsad_lib.deepsad.DeepSAD`, on trusted normals
    (semi-label 0) and labeled anomalies (-1), for about ``steps`` steps. It starts from the
    detector's weights, or from ``initial_state``.
    """
    images = torch.cat([to_float(trusted_images), to_float(anomalies)])
    labels = torch.tensor([0] * len(trusted_images) + [-1] * len(anomalies))
    epochs = max(1, round(steps / math.ceil(len(images) / detector.batch_size)))
    return DeepSAD(**{**detector.get_params(), "lr": lr, "epochs": epochs, "seed": seed}).fit(
        images,
        labels,
        extra_loss=extra_loss,
        initial_state=detector.encoder_.state_dict() if initial_state is None else initial_state,
        center=detector.center_,
    )
