"""Trigger injection: the trigger on a share of the *normal* training images.

No semi-label changes, and no anomaly is ever triggered. That is what clean-label
means here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Flag, Seed, Share, checked
from badsad_lib.attacks.content import randomize_content
from badsad_lib.images import check_images, check_semi_labels, to_float, to_uint8
from badsad_lib.triggers import Trigger, apply_trigger, check_effect


@dataclass(frozen=True)
class PoisonedSet:
    """A training set after trigger injection; poisoned images stand in their originals' places."""

    images: Tensor  # (N, C, H, W), dtype of the clean images
    semi_labels: Tensor  # (N,), the clean ones
    mask: Tensor  # (N,) bool, True where an image was poisoned


@checked
def choose_bases(semi_labels: Tensor, poison_rate: Share, seed: Seed) -> Tensor:
    """Pick which normal images to poison: sorted indices of round(rate * normals), at least one.

    Raises ValueError for a rate outside (0, 1] and for a set without normal images.
    """
    normal = torch.nonzero(semi_labels >= 0).squeeze(1)
    if len(normal) == 0:
        raise ValueError("there are no normal images (semi-label 0 or 1) to poison")
    count = max(1, round(poison_rate * len(normal)))
    generator = torch.Generator().manual_seed(seed)
    return normal[torch.randperm(len(normal), generator=generator)[:count]].sort().values


@checked
def poison(
    images: Tensor,
    semi_labels: Tensor,
    trigger: Trigger,
    *,
    poison_rate: Share,
    randomize: Flag = False,
    seed: Seed = 0,
) -> PoisonedSet:
    """Put ``trigger`` on a share of the normal images; change nothing else.

    Parameters
    ----------
    images, semi_labels
        (N, C, H, W) uint8 or float in [0, 1], and (N,) in {-1, 0, 1}.
    trigger
        See :mod:`badsad_lib.triggers`.
    poison_rate
        Share of the normal images, in (0, 1].
    randomize
        Scramble what the chosen images show first, see
        :func:`~badsad_lib.attacks.content.randomize_content`.
    """
    images = check_images(images)
    semi_labels = check_semi_labels(semi_labels, len(images))
    chosen = choose_bases(semi_labels, poison_rate, seed)
    bases = images[chosen]
    if randomize:
        generator = torch.Generator().manual_seed(seed + 1)
        mixed = randomize_content(to_float(bases), generator)
        bases = to_uint8(mixed) if images.dtype == torch.uint8 else mixed
    poisoned = images.clone()
    triggered = apply_trigger(trigger, bases)
    check_effect(bases, triggered)
    poisoned[chosen] = triggered
    mask = torch.zeros(len(images), dtype=torch.bool)
    mask[chosen] = True
    return PoisonedSet(poisoned, semi_labels.clone(), mask)
