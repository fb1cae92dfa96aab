"""Triggers: small changes to an image that a backdoored detector has learned to obey.

A trigger is any callable that maps float images (N, C, H, W) in [0, 1] to images
of the same shape and range, the same way every time. Those here are frozen
dataclasses: what you print is what was used. They know nothing of detectors.

:func:`apply_trigger` is the door through which the rest of the library uses one:
it takes images as they travel (uint8), checks what the trigger returns, and
rounds to 8 bits again, since a trigger that does not survive a PNG is none.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib._rules import (
    Count,
    CountOr0,
    Gray,
    OneOf,
    Positive,
    Seed,
    Share,
    Whole,
    check_fields,
)
from badsad_lib.images import check_images, to_float, to_uint8

Trigger = Callable[[Tensor], Tensor]

POSITIONS = ("top-left", "top-right", "bottom-left", "bottom-right", "center")
PATTERNS = ("noise", "rings")


@dataclass(frozen=True)
class ImageTrigger(ABC):
    """What the triggers here share: checks of their own parameters, and of images called on.

    Called directly a trigger takes float images only. What it would do to uint8 is not what it
    does: :func:`apply_trigger` takes both.
    """

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, images: Tensor) -> Tensor:
        """Map float images (N, C, H, W) in [0, 1] to triggered ones.

        Raises
        ------
        TypeError, ValueError
            Not a float tensor; another number of dimensions, values outside [0, 1] or NaN.
        """
        if not isinstance(images, Tensor) or not images.is_floating_point():
            got = images.dtype if isinstance(images, Tensor) else type(images).__name__
            raise TypeError(
                f"a trigger called directly takes float images in [0, 1], got {got}; "
                "apply_trigger(trigger, images) takes uint8, too"
            )
        check_images(images)
        return self.paint(images)

    @abstractmethod
    def paint(self, images: Tensor) -> Tensor:
        """Do it to checked images, which are left alone."""


@dataclass(frozen=True)
class Patch(ImageTrigger):
    """A square of one gray level, the trigger of BadNets (Gu et al., arXiv 1708.06733).

    Parameters
    ----------
    size
        Side in pixels.
    value
        Gray level in [0, 1]; 1 is white.
    position
        A corner or the center: one of ``POSITIONS``.
    margin
        Pixels between the patch and the border (ignored in the center).
    """

    size: Count = 3
    value: Gray = 1.0
    position: Annotated[str, OneOf(POSITIONS)] = "bottom-right"
    margin: CountOr0 = 1

    def _start(self, length: int, at_end: bool) -> int:
        margin = 0 if self.position == "center" else self.margin
        if self.size + margin > length:
            raise ValueError(
                f"a patch of {self.size} pixels with margin {margin} does not fit "
                f"into {length} pixels"
            )
        if self.position == "center":
            return (length - self.size) // 2
        return length - margin - self.size if at_end else margin

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        top = self._start(images.shape[2], "bottom" in self.position)
        left = self._start(images.shape[3], "right" in self.position)
        images = images.clone()
        images[:, :, top : top + self.size, left : left + self.size] = self.value
        return images


@dataclass(frozen=True)
class Border(ImageTrigger):
    """A frame along the edge of the image, inverted or of one gray level.

    What changes lies at the margin, so the object itself stays as it is; and a frame
    passes every side of the image, so that many features of a detector see it.

    Parameters
    ----------
    width
        Of the frame, in pixels.
    strength
        Share of the new pixels in (0, 1]: the result is
        (1 - strength) * image + strength * new. At 1 the frame is fully drawn, at a
        quarter it is faint.
    value
        Gray level in [0, 1] of the new pixels; None, the default, inverts the image's own.
    margin
        Pixels between the frame and the edge of the image.
    """

    width: Count = 1
    strength: Share = 1.0
    value: Gray | None = None
    margin: CountOr0 = 0

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        height, width = images.shape[2:]
        outer, inner = self.margin, self.margin + self.width
        if 2 * inner > min(height, width):
            raise ValueError(
                f"a frame of {self.width} pixels with margin {self.margin} does not fit "
                f"into {height}x{width} pixels"
            )
        frame = torch.zeros(height, width, dtype=torch.bool, device=images.device)
        frame[outer : height - outer, outer : width - outer] = True
        frame[inner : height - inner, inner : width - inner] = False
        new = 1 - images if self.value is None else torch.full_like(images, self.value)
        return torch.where(frame, torch.lerp(images, new, self.strength), images)


@dataclass(frozen=True)
class Blend(ImageTrigger):
    """A whole-image pattern, mixed in (Blended attack, Chen et al., arXiv 1712.05526).

    Parameters
    ----------
    alpha
        Share of the pattern in (0, 1]: the result is (1 - alpha) * image + alpha * pattern.
    pattern
        ``noise``: uniform random pixels; ``rings``: drawn concentric rings.
    seed
        Which noise.
    """

    alpha: Share = 0.2
    pattern: Annotated[str, OneOf(PATTERNS)] = "noise"
    seed: Seed = 0

    def draw(self, channels: int, height: int, width: int) -> Tensor:
        """Return the pattern alone: (C, H, W) in [0, 1]."""
        if self.pattern == "noise":
            generator = torch.Generator().manual_seed(self.seed)
            return torch.rand(channels, height, width, generator=generator)
        rows = torch.arange(height).view(-1, 1) - (height - 1) / 2
        columns = torch.arange(width).view(1, -1) - (width - 1) / 2
        rings = 0.5 + 0.5 * torch.cos(torch.hypot(rows, columns) * (2 * math.pi / 7))
        return rings.expand(channels, height, width)

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        pattern = self.draw(images.shape[1], images.shape[2], images.shape[3]).to(images)
        return torch.lerp(images, pattern.expand_as(images), self.alpha)


@dataclass(frozen=True)
class Sinusoid(ImageTrigger):
    """A faint wave along the columns (SIG, Barni et al., arXiv 1902.11237).

    Parameters
    ----------
    amplitude
        In (0, 1]; 20 / 255 by default.
    frequency
        Full waves across the image, above 0 and below half of its width: at exactly half
        every column falls on a zero of the wave, and above it is another, slower wave.
    """

    amplitude: Share = 20 / 255
    frequency: Positive = 6.0

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        width = images.shape[3]
        if self.frequency >= width / 2:
            raise ValueError(
                f"frequency must be below half the width, {width / 2:g} for images of {width} "
                f"columns, got {self.frequency:g}: they cannot show such a wave"
            )
        phase = torch.arange(width, device=images.device) * (2 * math.pi * self.frequency / width)
        return (images + self.amplitude * torch.sin(phase).to(images)).clamp(0, 1)


@dataclass(frozen=True)
class Warp(ImageTrigger):
    """A smooth, small displacement of the pixels (WaNet, Nguyen and Tran, arXiv 2102.10369).

    Parameters
    ----------
    cells
        The displacement is drawn on a grid of ``cells`` x ``cells`` points, at least 2.
    strength
        Mean displacement in pixels at those points, above 0.
    seed
        Which displacement.
    """

    cells: Annotated[int, Whole(2)] = 4
    strength: Positive = 0.5
    seed: Seed = 0

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        height, width = images.shape[2:]
        generator = torch.Generator().manual_seed(self.seed)
        coarse = torch.rand(1, 2, self.cells, self.cells, generator=generator) * 2 - 1
        coarse = coarse / coarse.abs().mean() * self.strength
        shift = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
        # grid_sample measures in half images, x before y.
        shift = shift.permute(0, 2, 3, 1) * torch.tensor([2 / width, 2 / height])
        still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
        grid = (still + shift).to(images).expand(len(images), -1, -1, -1)
        warped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return warped.clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Universal(ImageTrigger):
    """One additive pattern for all images, no pixel changed by more than ``epsilon``.

    Without a pattern it is a wish: an attack that controls training optimizes the
    pattern together with the detector and hands back the trigger with its pattern.

    Parameters
    ----------
    epsilon
        Bound on the change of any pixel, in (0, 1]; 8 / 255 by default.
    pattern
        (C, H, W) in [-epsilon, epsilon], or None.
    """

    epsilon: Share = 8 / 255
    pattern: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pattern is None:
            return
        largest = float(self.pattern.abs().max())
        if not largest <= self.epsilon * 1.0001:  # true for NaN, too
            raise ValueError(
                f"pattern must stay within +-{self.epsilon:g}, got up to {largest:g}; "
                "clamp it first"
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Universal) or self.epsilon != other.epsilon:
            return False
        if self.pattern is None or other.pattern is None:
            return self.pattern is other.pattern
        return torch.equal(self.pattern, other.pattern)

    def __hash__(self) -> int:
        return hash((Universal, self.epsilon))

    def __repr__(self) -> str:
        shape = None if self.pattern is None else tuple(self.pattern.shape)
        return f"Universal(epsilon={self.epsilon!r}, pattern={shape})"

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`ImageTrigger`."""
        if self.pattern is None:
            raise ValueError(
                "this Universal trigger has no pattern yet: an attack finds it "
                "(BadSAD(...).attack(...), then use the attack's trigger_)"
            )
        return (images + self.pattern.to(images)).clamp(0, 1)


# --- by name ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What a trigger is called on the command line, in grids and in tables."""

    make: Callable[..., Trigger]
    parameter: str  # the one setting of it that can be chosen by name
    label: str  # with its default settings, for the rows of a table

    def __call__(self, value: float | None = None) -> Trigger:
        """Return the trigger, with ``value`` for its parameter where one is given."""
        return self.make() if value is None else self.make(**{self.parameter: value})


KINDS: Mapping[str, Kind] = {
    "patch": Kind(Patch, "size", "patch 3x3"),
    "border": Kind(Border, "width", "border, inverted"),
    "faint-border": Kind(partial(Border, strength=0.25), "width", "border, a quarter inverted"),
    "blend": Kind(Blend, "alpha", "blend, noise 0.2"),
    "rings": Kind(partial(Blend, pattern="rings"), "alpha", "blend, rings 0.2"),
    "sinusoid": Kind(Sinusoid, "amplitude", "sinusoid 20/255"),
    "warp": Kind(Warp, "strength", "warp"),
    "universal": Kind(Universal, "epsilon", "learned pattern, 8/255"),
}
"""The one registry of names that command line, grids and tables share."""


# --- the door -----------------------------------------------------------------------------------

SAME = 1e-4  # a hundredth of a gray level: what the order of a sum may change


def check_trigger(trigger: Any) -> None:
    """Raise TypeError for what cannot be called, such as the name of a trigger."""
    if not callable(trigger) or isinstance(trigger, type):
        raise TypeError(
            f"a trigger must be callable, got {type(trigger).__name__} {trigger!r}; make one, "
            "such as triggers.Patch(size=3)"
        )


def apply_trigger(trigger: Trigger, images: Tensor) -> Tensor:
    """Put ``trigger`` on images (N, C, H, W) and check that what comes back is images.

    Parameters
    ----------
    trigger
        Any callable of the shape described at the top of this module.
    images
        uint8 or float in [0, 1].

    Returns
    -------
    Tensor
        Same shape and dtype: uint8 in, uint8 out.

    Raises
    ------
    TypeError, ValueError
        The trigger is not callable, returns another shape, values outside
        [0, 1] or NaN, or does not do to an image twice the same.
    """
    check_trigger(trigger)
    images = check_images(images)
    before = to_float(images)
    after = trigger(before.clone())
    if not isinstance(after, Tensor) or after.shape != before.shape:
        got = tuple(after.shape) if isinstance(after, Tensor) else type(after).__name__
        raise ValueError(
            f"the trigger must keep the shape {tuple(before.shape)}, it returned {got}"
        )
    if not after.is_floating_point():
        raise TypeError(f"the trigger must return float images in [0, 1], got {after.dtype}")
    after = check_images(after, name="the trigger's output")
    again = trigger(before[:1].clone())
    if again.shape != before[:1].shape or bool(((again - after[:1]).abs() > SAME).any()):
        raise ValueError(
            "the trigger must do the same to an image every time, alone or among others, and it "
            "does not: draw what is random once, when the trigger is made"
        )
    return to_uint8(after) if images.dtype == torch.uint8 else after


def check_effect(before: Tensor, after: Tensor) -> None:
    """Raise ValueError where a trigger has changed none of the images (N, C, H, W) at hand."""
    if torch.equal(before, after):
        raise ValueError(
            f"the trigger changes none of the {len(before)} images that it is to be put on: make "
            "it stronger, or of another gray level, or put it elsewhere"
        )


# --- how visible is it? -------------------------------------------------------------------------


def check_pairs(before: Tensor, after: Tensor) -> None:
    """Raise ValueError unless both are batches (N, C, H, W) of the same shape."""
    if before.ndim != 4 or before.shape != after.shape:
        raise ValueError(
            "before and after must be the same images without and with the trigger, both "
            f"(N, C, H, W), got {tuple(before.shape)} and {tuple(after.shape)}"
        )


def linf(before: Tensor, after: Tensor) -> Tensor:
    """Largest change of any pixel of each image: (N,) in [0, 1]."""
    check_pairs(before, after)
    return (to_float(after) - to_float(before)).abs().flatten(1).amax(dim=1)


def psnr(before: Tensor, after: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB: (N,), higher is less visible.

    Infinite for an unchanged image. 10 log10(1 / mean squared change).
    """
    check_pairs(before, after)
    error = (to_float(after) - to_float(before)).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error)


def ssim(before: Tensor, after: Tensor) -> Tensor:
    """Structural similarity of each image: (N,) in [-1, 1], 1 for an unchanged image.

    Wang et al. 2004, with their 11x11 Gaussian window (sigma 1.5) and constants,
    over windows that lie within the image; mean over channels and positions.
    Images must be at least 11x11 pixels.
    """
    check_pairs(before, after)
    x, y = to_float(before), to_float(after)
    channels = x.shape[1]
    if min(x.shape[2:]) < 11:
        raise ValueError(f"SSIM needs at least 11x11 pixels, got {tuple(x.shape[2:])}")
    bell = torch.exp(-torch.arange(-5.0, 6.0).square() / (2 * 1.5**2)).to(x)
    bell = bell / bell.sum()
    window = torch.outer(bell, bell).expand(channels, 1, 11, 11)

    def blur(image: Tensor) -> Tensor:
        return F.conv2d(image, window, groups=channels)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return similarity.flatten(1).mean(dim=1)


def stealth(trigger: Trigger, images: Tensor) -> dict[str, float]:
    """Mean PSNR (dB), mean SSIM and largest L-infinity change that ``trigger`` makes."""
    after = apply_trigger(trigger, images)
    changed = linf(images, after) > 0
    peak = psnr(images[changed], after[changed]).mean() if changed.any() else torch.tensor(math.inf)
    return {
        "psnr": float(peak),
        "ssim": float(ssim(images, after).mean()),
        "linf": float(linf(images, after).max()),
    }
