"""Checkers for the exercises of lesson 3, triggers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib import triggers
from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    is_bool,
    near,
    number,
    pair,
    vector,
    verdict,
)

# --- a wave ---------------------------------------------------------------------------------------

HEIGHT, WIDTH = 12, 20  # not square, so that rows and columns cannot be mistaken
AMPLITUDE, FREQUENCY = 0.2, 2.4


@checker("every column gets its share of the wave, and the result is images again.")
def check_wave(answer: Answer) -> None:
    """Check ``wave(images, amplitude, frequency) -> images``: a sine along the columns.

    Must not write into its input, and must stay within [0, 1].
    """

    def wave(images: Tensor, amplitude: float, frequency: float) -> Tensor:
        value = call(answer, images, amplitude, frequency)
        if not isinstance(value, Tensor) or value.shape != images.shape:
            raise NotYet(
                f"expected images of the same shape, {tuple(images.shape)}, got "
                f"{tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}."
            )
        return value.detach().to(torch.float32)

    gray = torch.full((2, 1, HEIGHT, WIDTH), 0.5)
    _check_ripple(wave(gray, AMPLITUDE, FREQUENCY) - gray)

    generator = torch.Generator().manual_seed(6)
    images = torch.rand(3, 1, HEIGHT, WIDTH, generator=generator)
    result = wave(images, AMPLITUDE, FREQUENCY)
    if not (result.min() >= 0 and result.max() <= 1):  # NaN, too
        raise NotYet(
            f"some pixels leave [0, 1]: the values reach from {float(result.min()):.7g} to "
            f"{float(result.max()):.7g}. Where a wave meets black or white, it must be cut off: "
            "see torch.clamp."
        )
    colored = torch.rand(2, 3, 9, 14, generator=generator)
    plan = ((images, AMPLITUDE, FREQUENCY), (images, 0.05, 6), (colored, 0.3, 1.5))
    for some, amplitude, frequency in plan:
        truth = triggers.Sinusoid(amplitude, frequency)(some)
        if not torch.allclose(wave(some, amplitude, frequency), truth, atol=1e-4):
            raise NotYet(
                f"with amplitude {amplitude} and frequency {frequency}, images of mixed gray, of "
                f"shape {tuple(some.shape)}, do not come out right. Add the wave to the image, "
                "cut off what leaves [0, 1], and change nothing else."
            )


def _check_ripple(ripple: Tensor) -> None:
    """Compare what was added to plain gray images with the wave, and with its usual slips."""
    columns, rows = torch.arange(WIDTH), torch.arange(HEIGHT).view(-1, 1)
    turns = FREQUENCY * columns / WIDTH

    def sine(phase: Tensor) -> Tensor:
        return AMPLITUDE * torch.sin(phase)

    truth = sine(2 * math.pi * turns)
    slips = (
        (
            sine(360.0 * turns),
            "the phase is in degrees. torch.sin takes radians: a full turn is 2 * pi, not 360.",
        ),
        (
            sine(turns),
            "2 * pi is missing: torch.sin makes one full wave in 2 * pi, not in 1.",
        ),
        (
            sine(2 * math.pi * FREQUENCY * rows / HEIGHT),
            "the wave runs down the rows. It should run along the columns: all pixels of one "
            "column change alike. The width is the last dimension of the images.",
        ),
        (
            sine(2 * math.pi * FREQUENCY * columns / HEIGHT),
            "the columns are divided by the height. Frequency counts waves across the width, the "
            "last dimension of the images.",
        ),
        (
            sine(2 * math.pi * FREQUENCY * columns),
            "the columns are not divided by the width, so the wave makes whole turns from one "
            "column to the next. Column j is only j / width of the way across.",
        ),
        (
            sine(2 * math.pi * FREQUENCY * (columns + 1) / WIDTH),
            "the wave is one column off. Count the columns from 0, as torch.arange does.",
        ),
        (
            sine(2 * math.pi * FREQUENCY * columns / (WIDTH - 1)),
            "the wave is a little too long for the image. Column j is j / width of the way "
            "across, not j / (width - 1).",
        ),
        (
            AMPLITUDE * torch.cos(2 * math.pi * turns),
            "that is the cosine. The wave asked for is the sine: it begins at 0.",
        ),
        (
            truth / 255,
            "the wave is 255 times too faint. The images are float in [0, 1], and so is the "
            "amplitude: nothing has to be divided by 255.",
        ),
        (
            (truth / AMPLITUDE).clamp(-0.5, 0.5),
            "the amplitude is missing: a sine alone swings between -1 and 1, and wipes out the "
            "image.",
        ),
        (truth / AMPLITUDE, "the amplitude is missing: a sine alone swings between -1 and 1."),
        (truth.clamp(0, 1) - 0.5, "the image is gone: add the wave to it."),
        (truth - 0.5, "the image is gone: add the wave to it."),
    )
    if torch.allclose(ripple, truth.expand_as(ripple), atol=1e-4):
        return
    for wrong, message in slips:
        if torch.allclose(ripple, wrong.expand_as(ripple), atol=1e-4):
            raise NotYet(message)
    if torch.allclose(ripple, torch.zeros(()), atol=1e-4):
        raise NotYet("a plain gray image comes back unchanged. Add the wave to it.")
    raise NotYet(
        "on a plain gray image the change is not the wave of the formula. Look at one row of "
        "your result less the image: it should hold amplitude * sin(2 * pi * frequency * j / "
        "width) for column j."
    )


# --- PSNR -----------------------------------------------------------------------------------------


@checker("it agrees with the library on any pair of images.")
def check_psnr(answer: Answer) -> None:
    """Check ``psnr(before, after) -> (N,)``: decibels, of uint8 images."""
    generator = torch.Generator().manual_seed(7)
    before = torch.randint(0, 256, (4, 3, 9, 9), generator=generator, dtype=torch.uint8)
    noise = torch.randint(-60, 61, before.shape, generator=generator)
    noise[:, :, ::3] = 0  # some pixels stay as they are
    after = (before.int() + noise).clamp(0, 255).to(torch.uint8)

    value = call(answer, before, after)
    if np.ndim(value) == 0:
        raise NotYet(
            "expected one value per image, got one for all. Take the mean over the pixels of "
            "each image: flatten(1), then mean(dim=1)."
        )
    result = vector(value, len(before), "the PSNR")
    _check_decibels(result, before, after)

    # The first image stays as it is, then all of them.
    for some in (torch.cat([before[:1], after[1:]]), before):
        result = vector(call(answer, before, some), len(before), "the PSNR")
        truth = triggers.psnr(before, some).to(torch.float64)
        same = torch.isinf(truth)
        if not (result[same] == float("inf")).all():
            raise NotYet(
                "for an image that did not change the PSNR must be infinite, got "
                f"{float(result[same].min()):g}. log10(1 / 0) gives it by itself in PyTorch."
            )
        if not torch.allclose(result, truth, rtol=1e-3):
            raise NotYet(
                "where one image stays as it is, the others do not come out right. Each image is "
                "judged for itself."
            )


def _check_decibels(result: Tensor, before: Tensor, after: Tensor) -> None:
    truth = triggers.psnr(before, after).to(torch.float64)

    def decibels(error: Tensor) -> Tensor:
        return -10 * torch.log10(error.double().flatten(1).mean(1))

    levels = after.double() - before.double()
    wrapped = after - before  # as uint8: below 0 it begins again at 255
    slips = (
        (
            decibels(levels**2),
            "the peak does not fit the images: uint8 levels reach 255, and the formula takes 1 "
            "for white. Divide the images by 255 first.",
        ),
        (
            decibels((wrapped.double() / 255) ** 2),
            "uint8 has no negative numbers: 3 - 5 becomes 254. Convert the images with .float() "
            "before you subtract them.",
        ),
        (
            decibels(wrapped.double() ** 2),
            "uint8 has no negative numbers: 3 - 5 becomes 254. Convert the images with .float() "
            "before you subtract them, and divide them by 255.",
        ),
        (
            decibels(wrapped**2),
            "uint8 holds no number above 255 and none below 0, so both the difference and its "
            "square wrap around. Convert the images with .float() first.",
        ),
        (truth * math.log(10), "that is the natural logarithm. Decibels use log10."),
        (-truth, "the sign is reversed: the larger the change, the lower the PSNR."),
        (
            2 * truth,
            "twice too much: 20 belongs to the root of the mean squared change. Of the mean "
            "squared change itself take 10 times the logarithm.",
        ),
        (truth / 2, "half of it: do not take the root, or else 20 in place of 10."),
        (truth / 10, "10 is missing: decibels are tenths."),
        (
            decibels((levels / 255).abs()),
            "that is the mean absolute change. Square the changes before you take the mean.",
        ),
        (
            decibels((levels / 255) ** 2 * levels[0].numel()),
            "that is the sum of the squared changes. Take their mean.",
        ),
        (
            decibels((levels / 255) ** 2).mean().expand(len(truth)),
            "every image gets the same value. Take the mean of each image for itself.",
        ),
    )
    if torch.allclose(result, truth, rtol=1e-3):
        return
    for wrong, message in slips:
        if torch.allclose(result, wrong, rtol=1e-3):
            raise NotYet(message)
    if torch.isinf(result).any():
        raise NotYet(
            "the result is infinite, though the images changed. Do you take the logarithm of "
            "each pixel's change? Some are zero. First the mean over all pixels, then the "
            "logarithm."
        )
    off = int((result - truth).abs().argmax())
    raise NotYet(
        f"of pair {off} of the checker's four the PSNR in dB should be "
        f"{instead(float(truth[off]), float(result[off]), 2)}. Go through the formula from the "
        "inside: change, square, mean, one divided by it, log10, times 10."
    )


# --- an audit -------------------------------------------------------------------------------------

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def _training_set() -> tuple[Tensor, Tensor]:
    """Return forty small images and their semi-labels: 26 unlabeled, 4 normal, 10 anomalies."""
    generator = torch.Generator().manual_seed(8)
    images = torch.randint(20, 236, (40, 3, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0] * 26 + [1] * 4 + [-1] * 10)
    order = torch.randperm(40, generator=generator)
    return images, labels[order]


def _with_changes(positions: Tensor, kind: str) -> Case:
    """Return the set before and after a change of the images at ``positions``."""
    images, labels = _training_set()
    after = images.clone()
    if kind == "brighter":
        after[positions, :, 4:, 4:] = 255
    elif kind == "darker":
        after[positions, :, 4:, 4:] = 0
    elif kind == "faint":  # one value of one color, by one level
        after[positions, 2, 3, 1] += 1
    else:  # moved: each image keeps its sum
        after[positions] = images[positions].roll(1, dims=3)
    return images, labels, after, labels.clone()


@checker("it finds the poison rate, and what a comparison can show.")
def check_audit(answer: Answer) -> None:
    """Check ``audit(before, before_labels, after, after_labels) -> (poison_rate, clean_label)``."""

    def audit(case: Case) -> tuple[float, bool]:
        value = pair(call(answer, *case), "poison_rate, clean_label", "two things")
        if is_bool(value[0]) and not is_bool(value[1]):
            raise NotYet("the two answers are swapped: first the poison rate, then the verdict.")
        return number(value[0], "the poison rate"), verdict(value[1], "the second answer")

    labels = _training_set()[1]
    unlabeled, labeled = (torch.nonzero(labels == y).flatten() for y in (0, 1))
    anomalies = torch.nonzero(labels == -1).flatten()
    chosen = torch.cat([unlabeled[:5], labeled[:1]])  # 6 of the 30 normal images

    honest = _with_changes(chosen, "brighter")
    rate, clean = audit(honest)
    _check_rate(rate, honest)
    if not clean:
        raise NotYet(
            "a set in which some normal images carry a trigger, all else untouched, is called not "
            "clean-label. Poisoned it is, but each image deserves its semi-label. See the section "
            "'Clean-label'."
        )
    kinds = {
        "darker": "darkens pixels",
        "moved": "only moves pixels",
        "faint": "changes one color of one pixel, by one level,",
    }
    for kind, what in kinds.items():
        rate, _ = audit(_with_changes(chosen, kind))
        if not near(rate, 0.2):
            raise NotYet(
                f"a trigger that {what} escapes you: the poison rate should be "
                f"{instead(0.2, rate)}. An image has changed when any of its pixels is different, "
                "brighter or not, however little."
            )
    _check_rules(audit, honest, unlabeled, labeled, anomalies)


def _check_rate(rate: float, case: Case) -> None:
    before, labels, after, _ = case
    changed = after != before
    images = int(changed.flatten(1).any(1).sum())
    slips = (
        (
            images / len(before),
            "the rate counts among the normal images only. You divide by the size of the whole "
            "training set, labeled anomalies included.",
        ),
        (
            images / int((labels == 0).sum()),
            "you divide by the unlabeled images alone. Labeled normals (semi-label +1) are normal "
            "images, too: normal is what has semi-label 0 or +1.",
        ),
        (
            int((labels[changed.flatten(1).any(1)] == 0).sum()) / int((labels == 0).sum()),
            "you count the unlabeled images alone. Labeled normals (semi-label +1) are normal "
            "images, too: normal is what has semi-label 0 or +1.",
        ),
        (
            float(changed.float().mean()),
            "that is the share of pixels that changed. Asked is the share of images: one pixel "
            "is enough for an image to count.",
        ),
        (
            float(changed[labels >= 0].float().mean()),
            "that is the share of pixels that changed. Asked is the share of images: one pixel "
            "is enough for an image to count.",
        ),
        (images, "that is the number of poisoned images. The rate is their share."),
        (20, "the rate is a share between 0 and 1, not a percentage."),
        (
            0,
            "the rate comes out as 0, though images changed. An image has changed when any of "
            "its pixels is different; not all need be.",
        ),
    )
    expect(
        rate,
        0.2,
        slips,
        f"6 of 30 normal images changed, so the poison rate should be {instead(0.2, rate)}. Find "
        "the images in which any pixel changed, then the normal ones among them.",
    )


def _check_rules(
    audit: Any, honest: Case, unlabeled: Tensor, labeled: Tensor, anomalies: Tensor
) -> None:
    images, labels, after, _ = honest

    def changed_labels(*changes: tuple[Tensor, int]) -> Case:
        new = labels.clone()
        for position, label in changes:
            new[position] = label
        return images, labels, after, new

    rate, clean = audit(changed_labels((anomalies[:2], 0)))
    if not near(rate, 0.2):
        raise NotYet(
            "where semi-labels changed as well, the poison rate is not right any more: it should "
            f"be {instead(0.2, rate)}. It counts images that were normal *before*."
        )
    if clean:
        raise NotYet(
            "two labeled anomalies became unlabeled, and yet you call it clean-label. Compare "
            "the semi-labels of both sets."
        )
    if audit(changed_labels((unlabeled[6], -1), (anomalies[0], 0)))[1]:
        raise NotYet(
            "two images swapped their semi-labels, and yet you call it clean-label. Sums and "
            "counts do not see that: compare label by label."
        )
    if audit(changed_labels((unlabeled[6], 1)))[1]:
        raise NotYet(
            "an unlabeled image became a labeled normal, and yet you call it clean-label. No "
            "semi-label may change, whatever it becomes."
        )
    rate, clean = audit(_with_changes(anomalies[:1], "brighter"))
    if clean:
        raise NotYet(
            "a labeled anomaly carries the trigger, and yet you call it clean-label. No anomaly "
            "may change: look at the images with semi-label -1."
        )
    if not near(rate, 0):
        raise NotYet(
            f"only a labeled anomaly changed: the poison rate should be {instead(0, rate)}. It "
            "counts normal images alone, above the line as well as below it."
        )
    if not audit((images, labels, images.clone(), labels.clone()))[1]:
        raise NotYet("a set that nobody touched is called not clean-label.")
