"""Checkers for the exercises of lesson 4, naive poisoning."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from badsad_lib import metrics
from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    near,
    number,
    pair,
)
from badsad_lib.deepsad import anomaly_score
from badsad_lib.networks import make_encoder

Array = NDArray[np.float64]

# --- attack success rate --------------------------------------------------------------------------


def _scores() -> dict[str, Array]:
    """Return whole numbers, so that some scores lie exactly on the threshold: 18 at 0.9."""
    rng = np.random.default_rng(43)
    anomalies = rng.integers(8, 40, 90)
    return {
        "validation normals": rng.permutation(21).astype(float),
        "test normals": rng.integers(3, 26, 25).astype(float),
        "triggered normals": rng.integers(10, 31, 26).astype(float),
        "anomalies": np.r_[anomalies, 18, 18, 30, 31].astype(float),
        "triggered anomalies": np.r_[anomalies - rng.integers(-4, 22, 90), 3, 25, 18, 18] * 1.0,
    }


# Where a threshold may come from, and what to say if it comes from there.
_SOURCES: dict[tuple[str, ...], str] = {
    ("validation normals",): "",
    ("test normals",): "the threshold comes from test images. It would be fitted to the images "
    "that it is to judge: take the validation normals, held out for nothing else.",
    ("triggered normals",): "the threshold comes from normal images with the trigger. The owner "
    "of a detector knows no trigger: take the validation normals.",
    ("anomalies",): "the threshold is a quantile of the scores of anomalies. A threshold cuts "
    "off the upper tail of *normal* scores: take the validation normals.",
    ("triggered anomalies",): "the threshold is a quantile of the scores of triggered anomalies. "
    "A threshold cuts off the upper tail of *normal* scores: take the validation normals.",
    ("validation normals", "test normals"): "the threshold comes from validation and test images "
    "together. Test images must have no hand in it: take the validation normals alone.",
}

Rate = Callable[[dict[str, Array], float], float]


def _success(scores: dict[str, Array], threshold: float) -> float:
    before, after = scores["anomalies"], scores["triggered anomalies"]
    return metrics.attack_success_rate(before, after, threshold)


# What readers compute in place of the attack success rate, and what to say then.
_RATES: tuple[tuple[Rate, str], ...] = (
    (_success, ""),
    (
        lambda s, t: float((s["triggered anomalies"] <= t).mean()),
        "anomalies count that were never flagged: they pass with or without the trigger, and are "
        "the detector's mistakes, not the attack's success. Look among the flagged anomalies only.",
    ),
    (
        lambda s, t: float(((s["anomalies"] > t) & (s["triggered anomalies"] <= t)).mean()),
        "you count the right anomalies, but divide by all of them. The share is one of the "
        "*flagged* anomalies.",
    ),
    (
        lambda s, t: 1 - _success(s, t),
        "that is the share that is still flagged with the trigger. The attack succeeds with the "
        "others.",
    ),
    (
        lambda s, t: float((s["anomalies"] > t).mean() - (s["triggered anomalies"] > t).mean()),
        "that is how much the detection rate drops. An anomaly that is flagged only *with* the "
        "trigger hides one that passes: go through the flagged anomalies one by one.",
    ),
    (
        lambda s, t: float((s["triggered normals"] <= t).mean()),
        "that is the share of normal images that pass with the trigger. An attack is about "
        "anomalies.",
    ),
    (
        lambda s, t: float((s["anomalies"] > t)[s["triggered anomalies"] <= t].mean()),
        "that is a share of those that pass with the trigger. Turn it around: of those that are "
        "flagged without it, the share that passes with it.",
    ),
    (
        lambda s, t: float((s["triggered anomalies"] <= t)[s["anomalies"] >= t].mean()),
        "a score exactly on the threshold counts as flagged. Flagged means *above* it: >, not >=.",
    ),
    (
        lambda s, t: float((s["triggered anomalies"] < t)[s["anomalies"] > t].mean()),
        "a score exactly on the threshold does not count as passing. Flagged means *above* it, "
        "so what lies on it passes: <=, not <.",
    ),
    (
        lambda s, t: float((s["triggered anomalies"] < t)[s["anomalies"] >= t].mean()),
        "a score exactly on the threshold is taken for flagged. Flagged means *above* it: >, and "
        "passing is <=.",
    ),
    (
        lambda s, t: float(((s["anomalies"] > t) & (s["triggered anomalies"] <= t)).sum()),
        "that is a number of anomalies. The rate is a share of the flagged ones.",
    ),
    (lambda s, t: 100 * _success(s, t), "the rate is a share between 0 and 1, not a percentage."),
)


@checker("the threshold is held out, and only flagged anomalies count.")
def check_measure_asr(answer: Answer) -> None:
    """Check ``measure_asr(scores, quantile) -> share``: scores of five groups, by name."""
    scores = _scores()

    def asr(quantile: float) -> float:
        return number(call(answer, scores, quantile), "the attack success rate")

    value = asr(0.9)
    _check_rate(value, scores, 0.9)
    for quantile in (0.5, 0.75):
        truth = _success(scores, metrics.threshold_at(scores["validation normals"], quantile))
        value = asr(quantile)
        if not near(value, truth):
            raise NotYet(
                f"at the quantile 0.9 it is right, at {quantile} it is not: expected "
                f"{instead(truth, value)}. Does your function use the quantile that it is given?"
            )


def _check_rate(value: float, scores: dict[str, Array], quantile: float) -> None:
    truth = _success(scores, metrics.threshold_at(scores["validation normals"], quantile))
    if near(value, truth):
        return
    # First the slips in the rate, the more common ones; then those in the threshold, then both.
    tries = sorted(
        ((source, rate) for source in _SOURCES for rate in _RATES),
        key=lambda pair: bool(_SOURCES[pair[0]]) + bool(pair[1][1]),
    )
    for source, (rate, about_rate) in tries:
        pool = np.concatenate([scores[name] for name in source])
        if near(value, rate(scores, metrics.threshold_at(pool, quantile))):
            raise NotYet(_SOURCES[source] or about_rate)
    for rate, _ in _RATES:
        if near(value, rate(scores, float(np.quantile(scores["validation normals"], 0.1)))):
            raise NotYet(
                "the threshold is at the wrong tail: nearly all normal images would be flagged. "
                "The given quantile is the share of them that lies *below*."
            )
    raise NotYet(
        f"for the scores of the checker the rate should be {instead(truth, value)}. First the "
        "threshold, from the validation normals. Then the anomalies above it. Then, of these, "
        "those that are not above it with the trigger."
    )


# --- how often a poisoned image is seen -----------------------------------------------------------


def _batches(epochs: int, drop_last: bool) -> tuple[list[Tensor], Tensor]:
    """Return batches of twenty images, at most eight a batch, and a mask of six of them."""
    generator = torch.Generator().manual_seed(12)
    mask = torch.zeros(20, dtype=torch.bool)
    mask[torch.randperm(20, generator=generator)[:6]] = True
    batches: list[Tensor] = []
    for _ in range(epochs):
        parts = torch.randperm(20, generator=generator).split(8)
        batches += parts[:-1] if drop_last else parts
    return batches, mask


@checker("it counts every time that a poisoned image comes up.")
def check_poison_seen(answer: Answer) -> None:
    """Check ``poison_seen(batches, mask) -> (per_batch, per_image)``."""

    def seen(case: tuple[list[Tensor], Tensor]) -> tuple[float, float]:
        first, second = pair(call(answer, *case), "per_batch, per_image")
        return number(first, "the first answer"), number(second, "the second answer")

    whole = _batches(epochs=4, drop_last=False)
    per_batch, per_image = seen(whole)
    _check_per_batch(per_batch, per_image, whole)
    _check_per_image(per_image, whole)

    # Where an epoch leaves images out, guesses from the sizes alone come out wrong.
    cut = _batches(epochs=4, drop_last=True)
    what = "where an epoch leaves its last batch out"
    why = "Do not reckon from numbers of epochs and batch sizes: count what is in the batches."
    _check_counts(seen(cut), cut, what, why)

    # The last batch holds none of the poisoned images, and image 5 is in no batch.
    gaps = (
        [torch.tensor([0, 3, 7]), torch.tensor([3, 1, 0]), torch.tensor([2, 4])],
        torch.tensor([1, 0, 0, 1, 0, 1, 0, 1], dtype=torch.bool),
    )
    what = "where a batch has no poisoned image, and one poisoned image is in no batch"
    _check_counts(seen(gaps), gaps, what, "They count, too: the mean is over all of them.")


def _check_counts(
    value: tuple[float, float], case: tuple[list[Tensor], Tensor], what: str, why: str
) -> None:
    batches, mask = case
    count = sum(int(mask[batch].sum()) for batch in batches)
    truth = count / len(batches), count / int(mask.sum())
    for which, mine, right in zip(("per batch", "per image"), value, truth):
        if not near(mine, right):
            raise NotYet(f"{what}, the number {which} should be {instead(right, mine)}. {why}")


def _check_per_batch(value: float, other: float, case: tuple[list[Tensor], Tensor]) -> None:
    batches, mask = case
    in_batch = [mask[batch] for batch in batches]
    total = sum(int(part.sum()) for part in in_batch)
    truth = total / len(batches)
    if near(value, truth):
        return
    if near(value, total / int(mask.sum())) and near(other, truth):
        raise NotYet("the two answers are swapped: first per batch, then per image.")
    slips = (
        (
            sum(float(part.float().mean()) for part in in_batch) / len(batches),
            "that is the mean *share* of poisoned images in a batch. Asked is their number.",
        ),
        (
            float(mask.float().mean()),
            "that is the share of poisoned images. Asked is their number in a batch: divide by "
            "the number of batches, not of images.",
        ),
        (
            int(mask.sum()) / len(batches),
            "each poisoned image counts only once. It comes up again in every epoch: count what is "
            "in the batches.",
        ),
        (
            sum(bool(part.any()) for part in in_batch) / len(batches),
            "that is the share of batches with any poisoned image. Asked is how many there are.",
        ),
        (
            total / sum(bool(part.any()) for part in in_batch),
            "you divide by the number of batches with any poisoned image. Those without count, "
            "too: divide by the number of all batches.",
        ),
        (total, "that is the sum over all batches. Divide by the number of batches."),
        (int(in_batch[0].sum()), "that is the first batch. Take the mean over all of them."),
        (
            len(batches[0]) * float(mask.float().mean()),
            "that is what a full batch would hold on average. The last batch of an epoch is "
            "smaller: count what is in the batches.",
        ),
    )
    _say_which(value, truth, "poisoned images in a batch", slips)


def _check_per_image(value: float, case: tuple[list[Tensor], Tensor]) -> None:
    batches, mask = case
    total = sum(int(mask[batch].sum()) for batch in batches)
    slips = (
        (total, "that is how often all of them were seen together. Divide by their number."),
        (total / len(mask), "you divide by all images. Divide by the number of poisoned ones."),
        (
            total / sum(map(len, batches)),
            "you divide by the number of images in the batches. Divide by the number of poisoned "
            "images.",
        ),
        (1, "each poisoned image counts only once. It comes up again in every epoch."),
        (len(batches), "that is the number of batches. No image is in all of them."),
    )
    _say_which(value, total / int(mask.sum()), "times that a poisoned image was seen", slips)


def _say_which(value: float, truth: float, what: str, slips: tuple[tuple[float, str], ...]) -> None:
    """Raise what fits a wrong value: a known slip, or else what was expected."""
    otherwise = f"{what}: expected {instead(truth, value)} in the checker's example."
    expect(value, truth, slips, otherwise)


# --- the gradient of each image -------------------------------------------------------------------


@checker("each image has its own gradient, over all the weights.")
def check_gradient_length(answer: Answer) -> None:
    """Check ``gradient_length(encoder, images, center) -> mean length``."""
    generator = torch.Generator().manual_seed(10)
    encoder = make_encoder("mnist", generator).eval()
    images = torch.rand(5, 1, 28, 28, generator=generator)
    center = torch.rand(32, generator=generator)
    used = copy.deepcopy(encoder)
    value = call(answer, used, images, center)
    _check_untouched(encoder, used)
    result = number(value, "the mean length")
    _say_which(result, *_length_and_slips(encoder, images, center))


def _check_untouched(before: nn.Module, after: nn.Module) -> None:
    if after.training or any(
        not torch.equal(old, new) for old, new in zip(before.buffers(), after.buffers())
    ):
        raise NotYet(
            "the encoder was put into training mode, in which batch normalization takes its "
            "statistics from the batch, here from a single image. Leave the mode as it is."
        )
    if any(not torch.equal(old, new) for old, new in zip(before.parameters(), after.parameters())):
        raise NotYet("the weights changed. Compute the gradients, but take no step along them.")


def _length_and_slips(
    encoder: nn.Module, images: Tensor, center: Tensor
) -> tuple[float, str, tuple[tuple[float, str], ...]]:
    """Return the right length, what it is, and wrong ones with what to say."""
    weights = list(encoder.parameters())
    pixels = images.clone().requires_grad_()
    distances = anomaly_score(encoder(pixels), center)
    each, parts, plain = [], [], []
    for distance in distances:
        gradients = torch.autograd.grad(distance, weights, retain_graph=True)
        each.append(torch.cat([gradient.flatten() for gradient in gradients]))
        parts.append([float(gradient.norm()) for gradient in gradients])
        plain.append(each[-1] / (2 * distance.detach().sqrt()))  # of the root of the distance
    (on_pixels,) = torch.autograd.grad(distances.sum(), pixels)
    all_of_them = torch.stack(each)
    lengths = all_of_them.norm(dim=1)

    def mean(values: Tensor) -> float:
        return float(values.mean())

    slips = (
        (
            float(all_of_them.mean(0).norm()),
            "that is the length of the mean gradient, in which images cancel. Take one image at a "
            "time, and the mean of the lengths.",
        ),
        (
            float(all_of_them.sum(0).norm()),
            "that is the length of the sum of all gradients, in which images cancel. Take one "
            "image at a time, and the mean of the lengths.",
        ),
        (
            mean(all_of_them.cumsum(0).norm(dim=1)),
            "gradients pile up: backward() adds to what is in .grad from the image before. Use "
            "torch.autograd.grad, or empty .grad for each image.",
        ),
        (
            mean(torch.tensor(parts).sum(1)),
            "the lengths of the weights' gradients are added up. The length of all entries "
            "together is the root of the sum of their squares: join them first.",
        ),
        (
            mean(torch.tensor(parts)),
            "that is the mean over the weights as well. Join the gradients of all weights, then "
            "take one length.",
        ),
        (mean(lengths**2), "the root is missing: that is the square of the length."),
        (float(lengths.sum()), "that is the sum over the images. Take their mean."),
        (
            mean(torch.stack(plain).norm(dim=1)),
            "that is the gradient of the distance. The loss is the squared distance: take no root.",
        ),
        (
            mean(on_pixels.flatten(1).norm(dim=1)),
            "that is the gradient with respect to the pixels. Training changes the weights: "
            "encoder.parameters().",
        ),
        (
            mean(torch.tensor(parts)[:, 0]),
            "only the first weight takes part. Join the gradients of all of them.",
        ),
        (
            mean(torch.tensor(parts)[:, -1]),
            "only the last weight takes part. Join the gradients of all of them.",
        ),
        (float(lengths[-1]), "that is the last image alone. Return the mean over all images."),
        (
            mean(all_of_them.abs().sum(1)),
            "that is the sum of the absolute values. A length is the root of the sum of squares.",
        ),
    )
    return mean(lengths), "mean length of a gradient", slips
