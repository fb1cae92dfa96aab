"""What readers of lesson 3 get wrong, and what they should then be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib import triggers

LESSON = "3_triggers"


def column(images: Tensor) -> Tensor:
    return torch.arange(images.shape[3])


def turns(images: Tensor, frequency: float) -> Tensor:
    return 2 * math.pi * frequency * column(images) / images.shape[3]


def waves(
    phase: Callable[[Tensor, float], Tensor], sine: Callable[[Tensor], Tensor] = torch.sin
) -> Callable[..., Tensor]:
    """Add amplitude * sine(phase(images, frequency)) to images."""
    return lambda images, a, f: (images + a * sine(phase(images, f))).clamp(0, 1)


def wave_written_into_its_input(images: Tensor, a: float, f: float) -> Tensor:
    images += a * torch.sin(turns(images, f))
    return images.clamp_(0, 1)


def stretched(images: Tensor, a: float, f: float) -> Tensor:
    waved = images + a * torch.sin(turns(images, f))
    low, high = min(waved.min(), 0), max(waved.max(), 1)
    return (waved - low) / (high - low)


def decibels(
    change: Callable[[Tensor, Tensor], Tensor] = lambda b, a: (a.float() - b.float()) / 255,
    error: Callable[[Tensor], Tensor] = lambda d: d.square().flatten(1).mean(1),
    of: Callable[[Tensor], Tensor] = lambda e: 10 * torch.log10(1 / e),
) -> Callable[[Tensor, Tensor], Tensor]:
    """Answer correctly, unless one of the steps is changed."""
    return lambda before, after: of(error(change(before, after)))


Images = Callable[[Tensor, Tensor], Tensor]


def audit(
    before: Tensor,
    before_labels: Tensor,
    after: Tensor,
    after_labels: Tensor,
    *,
    changed: Images = lambda b, a: (a != b).flatten(1).any(1),
    rate: Callable[[Tensor, Tensor], Any] = lambda c, y: c[y >= 0].float().mean(),
    labels_kept: Callable[[Tensor, Tensor], Any] = torch.equal,
    images_kept: Callable[[Tensor, Tensor], Any] = lambda c, y: not c[y == -1].any(),
) -> tuple[float, bool]:
    """Answer correctly, unless one of the steps is changed."""
    different = changed(before, after)
    clean = labels_kept(before_labels, after_labels) and images_kept(different, before_labels)
    return float(rate(different, before_labels)), bool(clean)


def slip(**step: Any) -> Callable[..., tuple[float, bool]]:
    return lambda *arguments: audit(*arguments, **step)


def wave_column_by_column(images: Tensor, a: float, f: float) -> Tensor:
    waved = images.clone()
    for j in range(images.shape[-1]):
        waved[..., j] += a * math.sin(2 * math.pi * f * j / images.shape[-1])
    return waved.clip(min=0, max=1)


def wave_by_numpy(images: Tensor, a: float, f: float) -> Tensor:
    width = images.size(3)
    ripple = a * np.sin(np.linspace(0, 2 * np.pi * f, width, endpoint=False))
    return torch.from_numpy(np.clip(images.numpy() + ripple, 0, 1))


def judged_image_by_image(b: Tensor, y: Tensor, a: Tensor, z: Tensor) -> tuple[float, bool]:
    normals, poisoned, clean = 0, 0, True
    for old, old_label, new, new_label in zip(b, y.tolist(), a, z.tolist()):
        changed = not torch.equal(old, new)
        normals += old_label != -1
        poisoned += changed and old_label != -1
        clean = clean and old_label == new_label and not (changed and old_label == -1)
    return poisoned / normals, clean


def audited_by_numpy(b: Tensor, y: Tensor, a: Tensor, z: Tensor) -> tuple[Any, Any]:
    changed = (b.numpy() != a.numpy()).any(axis=(1, 2, 3))
    normal = np.isin(y.numpy(), [0, 1])
    return changed[normal].mean(), np.array_equal(y, z) and not changed[~normal].any()


def looked_for_no_breach(b: Tensor, y: Tensor, a: Tensor, z: Tensor) -> list[Any]:
    rate = audit(b, y, a, z)[0]
    return [torch.tensor(rate), torch.all(y == z) & torch.all(a[y < 0] == b[y < 0])]


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    (
        "wave",
        "not cut off",
        lambda x, a, f: x + a * torch.sin(turns(x, f)),
        "some pixels leave [0, 1]",
    ),
    (
        "wave",
        "writes into its input",
        wave_written_into_its_input,
        "changes what it is given (images)",
    ),
    ("wave", "degrees", waves(lambda x, f: turns(x, f) * 180 / math.pi), "in degrees"),
    (
        "wave",
        "full turn forgotten",
        waves(lambda x, f: turns(x, f) / (2 * math.pi)),
        "2 * pi is missing",
    ),
    (
        "wave",
        "along the rows",
        waves(lambda x, f: turns(x.transpose(2, 3), f).view(-1, 1)),
        "runs down the rows",
    ),
    (
        "wave",
        "divided by the height",
        waves(lambda x, f: 2 * math.pi * f * column(x) / x.shape[2]),
        "divided by the height",
    ),
    (
        "wave",
        "not divided by the width",
        waves(lambda x, f: 2 * math.pi * f * column(x)),
        "not divided by the width",
    ),
    (
        "wave",
        "columns counted from 1",
        waves(lambda x, f: 2 * math.pi * f * (column(x) + 1) / x.shape[3]),
        "one column off",
    ),
    (
        "wave",
        "last column at a full turn",
        waves(lambda x, f: 2 * math.pi * f * torch.linspace(0, 1, x.shape[3])),
        "a little too long",
    ),
    ("wave", "cosine", waves(turns, torch.cos), "that is the cosine"),
    ("wave", "divided by 255", lambda x, a, f: waves(turns)(x, a / 255, f), "too faint"),
    (
        "wave",
        "amplitude forgotten",
        lambda x, a, f: waves(turns)(x, 1, f),
        "amplitude is missing",
    ),
    (
        "wave",
        "amplitude forgotten, not cut off",
        lambda x, a, f: x + torch.sin(turns(x, f)),
        "amplitude is missing",
    ),
    (
        "wave",
        "wave alone",
        lambda x, a, f: waves(turns)(torch.zeros_like(x), a, f),
        "the image is gone",
    ),
    ("wave", "nothing done", lambda x, a, f: x.clone(), "comes back unchanged"),
    ("wave", "half the frequency", waves(lambda x, f: turns(x, f) / 2), "for column j"),
    ("wave", "stretched, not cut off", stretched, "mixed gray"),
    ("wave", "frequency fixed", lambda x, a, f: waves(turns)(x, a, 6), "for column j"),
    ("wave", "one row only", lambda x, a, f: waves(turns)(x, a, f)[:, :, 0], "the same shape"),
    (
        "psnr",
        "peak of 1 for uint8",
        decibels(lambda b, a: a.float() - b.float()),
        "the peak does not fit",
    ),
    ("psnr", "natural logarithm", decibels(of=lambda e: 10 * torch.log(1 / e)), "log10"),
    (
        "psnr",
        "mean outside the logarithm",
        lambda b, a: -10 * torch.log10(((a.float() - b.float()) / 255) ** 2).flatten(1).mean(1),
        "First the mean",
    ),
    (
        "psnr",
        "mean over all images",
        decibels(error=lambda d: d.square().mean()),
        "one value per image",
    ),
    (
        "psnr",
        "mean of all images, for each",
        lambda b, a: decibels()(b, a).mean().expand(len(b)),
        "each image for itself",
    ),
    ("psnr", "uint8 wraps", decibels(lambda b, a: (a - b) / 255), "no negative numbers"),
    ("psnr", "uint8 wraps, not divided", decibels(lambda b, a: (a - b).float()), "divide them by"),
    (
        "psnr",
        "uint8 wraps twice",
        decibels(lambda b, a: a - b, lambda d: (d**2).float().flatten(1).mean(1)),
        "wrap around",
    ),
    ("psnr", "sign reversed", decibels(of=lambda e: 10 * torch.log10(e)), "sign is reversed"),
    ("psnr", "20 for 10", decibels(of=lambda e: 20 * torch.log10(1 / e)), "twice too much"),
    ("psnr", "root and 10", decibels(of=lambda e: 10 * torch.log10(1 / e.sqrt())), "half of it"),
    ("psnr", "bels", decibels(of=lambda e: torch.log10(1 / e)), "10 is missing"),
    ("psnr", "absolute", decibels(error=lambda d: d.abs().flatten(1).mean(1)), "mean absolute"),
    ("psnr", "sum", decibels(error=lambda d: d.square().flatten(1).sum(1)), "sum of the squared"),
    (
        "psnr",
        "kept from infinity",
        decibels(of=lambda e: 10 * torch.log10(1 / (e + 1e-12))),
        "must be infinite",
    ),
    ("psnr", "largest change", decibels(error=lambda d: d.flatten(1).amax(1)), "from the inside"),
    (
        "audit",
        "rate among all images",
        slip(rate=lambda c, y: c.float().mean()),
        "among the normal images only",
    ),
    (
        "audit",
        "labeled normals not below the line",
        slip(rate=lambda c, y: c.sum() / (y == 0).sum()),
        "divide by the unlabeled images alone",
    ),
    (
        "audit",
        "labeled normals forgotten",
        slip(rate=lambda c, y: c[y == 0].float().mean()),
        "count the unlabeled images alone",
    ),
    (
        "audit",
        "pixels, not images",
        slip(changed=lambda b, a: (a != b).flatten(1).float().mean(1)),
        "share of pixels",
    ),
    (
        "audit",
        "pixels of all images",
        lambda b, y, a, z: (float((a != b).float().mean()), torch.equal(y, z)),
        "share of pixels",
    ),
    ("audit", "counted, not shared", slip(rate=lambda c, y: c[y >= 0].sum()), "their share"),
    ("audit", "percent", slip(rate=lambda c, y: 100 * c[y >= 0].float().mean()), "percentage"),
    (
        "audit",
        "all pixels must change",
        slip(changed=lambda b, a: (a != b).flatten(1).all(1)),
        "not all need be",
    ),
    (
        "audit",
        "only brighter pixels",
        slip(changed=lambda b, a: (a > b).flatten(1).any(1)),
        "darkens pixels",
    ),
    (
        "audit",
        "sums compared",
        slip(changed=lambda b, a: a.flatten(1).sum(1) != b.flatten(1).sum(1)),
        "only moves pixels",
    ),
    (
        "audit",
        "one minus the rate",
        slip(rate=lambda c, y: 1 - c[y >= 0].float().mean()),
        "6 of 30 normal images",
    ),
    (
        "audit",
        "any change is a breach",
        slip(images_kept=lambda c, y: not c.any()),
        "each image deserves its semi-label",
    ),
    (
        "audit",
        "semi-labels not compared",
        slip(labels_kept=lambda y, z: True),
        "Compare the semi-labels",
    ),
    (
        "audit",
        "semi-labels counted",
        slip(labels_kept=lambda y, z: torch.equal(y.sort().values, z.sort().values)),
        "Sums and counts",
    ),
    (
        "audit",
        "normal is normal",
        slip(labels_kept=lambda y, z: torch.equal(y < 0, z < 0)),
        "whatever it becomes",
    ),
    (
        "audit",
        "anomalies not looked at",
        slip(images_kept=lambda c, y: True),
        "a labeled anomaly carries the trigger",
    ),
    (
        "audit",
        "anomalies above the line",
        slip(rate=lambda c, y: c.sum() / (y >= 0).sum()),
        "above the line as well",
    ),
    (
        "audit",
        "answers swapped",
        lambda *arguments: audit(*arguments)[::-1],
        "answers are swapped",
    ),
    ("audit", "verdict alone", lambda *arguments: audit(*arguments)[1], "two things"),
    (
        "audit",
        "no change taken for a breach",
        slip(images_kept=lambda c, y: c.any() and not c[y == -1].any()),
        "a set that nobody touched",
    ),
    (
        "wave",
        "colors mixed",
        lambda x, a, f: waves(turns)(x.mean(1, keepdim=True), a, f).expand_as(x),
        "of shape (2, 3, 9, 14)",
    ),
    (
        "wave",
        "cut off before the wave, not after",
        lambda x, a, f: x.clamp(0, 1) + a * torch.sin(turns(x, f)),
        "some pixels leave [0, 1]",
    ),
    (
        "psnr",
        "infinite if nothing changed, else kept from it",
        lambda b, a: (
            torch.full((len(b),), math.inf)
            if torch.equal(a, b)
            else decibels(of=lambda e: 10 * torch.log10(1 / (e + 1e-12)))(b, a)
        ),
        "must be infinite",
    ),
    (
        "psnr",
        "by channel",
        decibels(error=lambda d: d.square().mean((2, 3))),
        "must have shape (4,)",
    ),
    ("psnr", "peak of 256", decibels(lambda b, a: (a.float() - b.float()) / 256), "inside"),
    (
        "audit",
        "normal by the labels after",
        lambda b, y, a, z: (audit(b, z, a, z)[0], audit(b, y, a, z)[1]),
        "normal *before*",
    ),
    (
        "audit",
        "small changes overlooked",
        slip(changed=lambda b, a: ((a.float() - b.float()).abs() > 2).flatten(1).any(1)),
        "however little",
    ),
    (
        "audit",
        "first color alone",
        slip(changed=lambda b, a: (a != b)[:, 0].flatten(1).any(1)),
        "however little",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("wave", waves(turns)),
    ("wave", lambda images, a, f: triggers.Sinusoid(a, f)(images)),
    ("psnr", triggers.psnr),
    ("psnr", decibels()),
    ("psnr", lambda b, a: decibels()(b, a).numpy()),
    ("audit", audit),
    ("wave", wave_column_by_column),
    ("wave", wave_by_numpy),
    (
        "wave",
        lambda x, a, f: torch.clamp(torch.add(x, torch.sin(turns(x, f)), alpha=a), min=0, max=1),
    ),
    (
        "wave",
        lambda x, a, f: (x + a * torch.sin(turns(x, f)).view(1, 1, 1, -1)).clamp(0.0, 1.0),
    ),
    (
        "wave",
        lambda x, a, f: torch.minimum((x + a * turns(x, f).sin()).relu(), torch.ones(())),
    ),
    (
        "psnr",
        lambda b, a: (
            20 * math.log10(255)
            - 10
            * decibels(
                lambda b, a: a.int() - b.int(),
                lambda d: d.square().float().flatten(1).mean(1),
                torch.log10,
            )(b, a)
        ),
    ),
    ("psnr", decibels(of=lambda e: -10 * torch.log(e) / math.log(10))),
    ("psnr", lambda b, a: decibels(error=lambda d: d.square().mean((1, 2, 3)))(b, a).tolist()),
    (
        "psnr",
        lambda b, a: [
            math.inf if torch.equal(x, y) else 10 * math.log10(1 / float(e))
            for x, y, e in zip(b, a, ((a.float() - b.float()) / 255).square().mean((1, 2, 3)))
        ],
    ),
    ("psnr", decibels(lambda b, a: a.double() / 255 - b.double() / 255)),
    ("audit", judged_image_by_image),
    ("audit", audited_by_numpy),
    ("audit", looked_for_no_breach),
    ("audit", slip(labels_kept=lambda y, z: not (y != z).any())),
    ("audit", slip(rate=lambda c, y: (c & (y > -1)).sum() / (y > -1).sum())),
    ("audit", slip(changed=lambda b, a: (b.int() - a.int()).abs().amax((1, 2, 3)) > 0)),
]
