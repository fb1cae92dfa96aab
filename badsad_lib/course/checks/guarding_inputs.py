"""Checkers for the exercises of lesson 8, guarding inputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    instead,
    near,
    number,
)

Array = NDArray[np.float64]

# --- set the alarm --------------------------------------------------------------------------------

Groups = dict[str, Array]
LIMIT = 10.0


def _groups(trusted: int) -> tuple[Groups, Groups]:
    """Scores and suspicions; some scores lie exactly on the limit."""
    rng = np.random.default_rng(72 + trusted)
    sizes = {"training": 90, "trusted": trusted, "test normals": 70, "triggered anomalies": 60}
    centers = {"training": 0.0, "trusted": 1.0, "test normals": 1.2, "triggered anomalies": 6.0}
    scores = {name: rng.integers(4, 12, n).astype(float) for name, n in sizes.items()}
    suspicion = {
        name: rng.normal(centers[name], 1, n) + (scores[name] > LIMIT) * rng.uniform(1, 3, n)
        for name, n in sizes.items()
    }
    # The most suspicious that passes lies on the limit.
    passing = np.flatnonzero(scores["trusted"] <= LIMIT)
    scores["trusted"][passing[np.argmax(suspicion["trusted"][passing])]] = LIMIT
    return scores, suspicion


def _ranked(values: Array, rank: int) -> float:
    return float(np.sort(values)[min(max(rank, 1), len(values)) - 1])


# Which images readers use, and what to say then.
_USED: tuple[tuple[Callable[[Groups, Groups], Array], str], ...] = (
    (lambda s, x: x["trusted"][s["trusted"] <= LIMIT], ""),
    (
        lambda s, x: x["trusted"],
        "images count that the detector flags anyway. They raise an alarm with or without a "
        "guard: use only trusted images that pass, scores <= limit.",
    ),
    (
        lambda s, x: x["trusted"][s["trusted"] < LIMIT],
        "a score exactly on the limit is left out. The detector flags scores *above* it: what "
        "lies on it passes, <=.",
    ),
    (
        lambda s, x: x["trusted"][s["trusted"] > LIMIT],
        "you use the images that the detector flags. The guard is there for those that pass.",
    ),
    *(
        (which, message)
        for name, message in {
            "training": "the threshold comes from training images. Detector and guard have seen "
            "them, so they look more usual than new ones: take the trusted images.",
            "test normals": "the threshold comes from the test images on which the guard will be "
            "judged. They must have no hand in it: take the trusted images.",
            "triggered anomalies": "the threshold comes from attacked images. Nobody shows you "
            "the attack beforehand: take the trusted images.",
        }.items()
        for which in (
            lambda s, x, name=name: x[name][s[name] <= LIMIT],
            lambda s, x, name=name: x[name],
        )
    ),
)

# Where readers cut, and what to say then.
_CUTS: tuple[tuple[Callable[[Array, float], float], str], ...] = (
    (lambda v, rate: _ranked(v, math.ceil((len(v) + 1) * (1 - rate))), ""),
    (
        lambda v, rate: float(np.quantile(v, 1 - rate)),
        "that is a plain quantile. With few images it gives more false alarms than you promise: "
        "take the value of rank ceil((n + 1) * (1 - rate)).",
    ),
    (
        lambda v, rate: _ranked(v, math.ceil(len(v) * (1 - rate))),
        "that is the rank of n images. A new image falls into one of n + 1 gaps: take the rank "
        "ceil((n + 1) * (1 - rate)).",
    ),
    (
        lambda v, rate: _ranked(v, math.ceil((len(v) + 1) * (1 - rate)) + 1),
        "that is one rank too high. The value of rank k stands at place k - 1.",
    ),
    (
        lambda v, rate: _ranked(v, math.ceil((len(v) + 1) * rate)),
        "you cut off the lower tail. An alarm is for what is *more* suspicious: 1 - rate.",
    ),
    (
        lambda v, rate: float(np.quantile(v, rate)),
        "you cut off the lower tail. An alarm is for what is *more* suspicious: 1 - rate.",
    ),
    (
        lambda v, rate: float(v.max()),
        "that is the largest suspicion. It gives hardly any false alarms, whatever the rate, and "
        "catches as little.",
    ),
)


@checker("trusted images that pass, held out, and a rank that keeps its promise.")
def check_set_alarm(answer: Answer) -> None:
    """Check ``set_alarm(scores, suspicion, limit, rate) -> threshold``."""

    def threshold(trusted: int, rate: float) -> tuple[float, Groups, Groups]:
        scores, suspicion = _groups(trusted)
        value = number(call(answer, scores, suspicion, LIMIT, rate), "the threshold")
        return value, scores, suspicion

    for count, rate in ((83, 0.1), (61, 0.05), (120, 0.2)):
        value, scores, suspicion = threshold(count, rate)
        _check_alarm(value, scores, suspicion, rate)
    value, scores, suspicion = threshold(9, 0.05)
    largest = float(suspicion["trusted"][scores["trusted"] <= LIMIT].max())
    if not near(value, largest):
        raise NotYet(
            f"with 9 trusted images the rank for a rate of 0.05 lies beyond the last one. Return "
            f"the largest suspicion of those that pass: it should be {instead(largest, value)}."
        )


def _check_alarm(value: float, scores: Groups, suspicion: Groups, rate: float) -> None:
    used, cut = _USED[0][0], _CUTS[0][0]
    truth = cut(used(scores, suspicion), rate)
    if near(value, truth):
        return
    # One slip first: two together may come to the same number by chance.
    one = [(which, cut, message) for which, message in _USED]
    one += [(used, rule, message) for rule, message in _CUTS]
    two = [(which, rule, message) for which, message in _USED for rule, _ in _CUTS]
    for which, rule, message in one + two:
        if message and near(value, rule(which(scores, suspicion), rate)):
            raise NotYet(message)
    for name in scores:
        if near(value, cut(scores[name], rate)):
            raise NotYet(
                "that is a score of the detector. The guard's threshold is a suspicion: scores "
                "only say which images pass."
            )
    raise NotYet(
        f"the threshold should be {instead(truth, value)}. Of the trusted images keep those "
        "that pass, sort their suspicion, and take the conformal rank: see the section 'What a "
        "promise costs'."
    )


# --- write a purifier -----------------------------------------------------------------------------

Filter = Callable[[Tensor, int], Tensor]


def _windows(images: Tensor, size: int, mode: str = "replicate") -> Tensor:
    """Each pixel's neighborhood: (N, C, H, W, size * size)."""
    border = size // 2
    edged = torch.nn.functional.pad(images, (border,) * 4, mode=mode)
    return edged.unfold(2, size, 1).unfold(3, size, 1).flatten(4)


def _median(images: Tensor, size: int) -> Tensor:
    return _windows(images, size).median(dim=4).values


def _mixed(images: Tensor, size: int) -> Tensor:
    windows = _windows(images, size).permute(0, 2, 3, 1, 4)  # channels beside their pixels
    return windows.flatten(3).median(dim=3).values[:, None].expand_as(images)


# What readers write in place of the filter, and what to say then.
_FILTERS: tuple[tuple[Filter, str], ...] = (
    (lambda x, k: x, "nothing changes. The median of each pixel's neighborhood takes its place."),
    (
        lambda x, k: _windows(x, k).mean(dim=4),
        "that is the mean: it smears a patch where the median takes it away.",
    ),
    (
        lambda x, k: _windows(x, k, "constant").median(dim=4).values,
        "the border is filled with zeros, which turns edges and corners dark. Repeat the outermost "
        'pixels: mode="replicate".',
    ),
    (
        lambda x, k: _windows(x, k, "reflect").median(dim=4).values,
        'the border is mirrored. Repeat the outermost pixels: mode="replicate".',
    ),
    (
        lambda x, k: _median(x.mean(dim=1, keepdim=True), k).expand_as(x),
        "the channels are mixed. Each channel is filtered by itself.",
    ),
    (
        _mixed,
        "the channels are mixed. Each channel is filtered by itself.",
    ),
    (
        lambda x, k: _windows(x, k).amax(dim=4),
        "that is the largest value of the neighborhood, not the one in the middle.",
    ),
    (
        lambda x, k: _windows(x, k).amin(dim=4),
        "that is the smallest value of the neighborhood, not the one in the middle.",
    ),
    (
        lambda x, k: _windows(x, k).unflatten(4, (k, k)).median(dim=5).values.median(dim=4).values,
        "that is a median of medians: row by row first. Flatten the window, then take one median "
        "of all its pixels.",
    ),
    (
        lambda x, k: x.flatten(2).median(dim=2).values[:, :, None, None].expand_as(x),
        "every pixel becomes the median of the whole image. Take the median of its neighborhood.",
    ),
    (
        lambda x, k: _median(x, 3),
        "the window is always 3 x 3. It is to have size x size pixels.",
    ),
    (
        lambda x, k: _median(x, 2 * k + 1),
        "the window is too large: size is its whole side, not how far it reaches.",
    ),
)


@checker("the median of each neighborhood, up to the border.")
def check_median_filter(answer: Answer) -> None:
    """Check ``median_filter(images, size) -> images`` on float images of one and three channels."""
    generator = torch.Generator().manual_seed(73)
    for channels, size in ((3, 5), (1, 3), (3, 1), (1, 7)):
        images = torch.rand(4, channels, 11, 9, generator=generator)
        value = call(answer, images, size)
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            hint = " median(dim=...) returns values and places: take .values." * (
                isinstance(value, tuple)
            )
            raise NotYet(f"expected a tensor of images, got a value of type {kind}.{hint}")
        if value.shape != images.shape:
            raise NotYet(
                f"the images must keep their shape {tuple(images.shape)}, got "
                f"{tuple(value.shape)}. Repeat the border first, so that each pixel has all its "
                "neighbors."
            )
        _check_filtered(value.detach(), images, size)


def _check_filtered(value: Tensor, images: Tensor, size: int) -> None:
    def same(other: Tensor) -> bool:
        return torch.allclose(value.double(), other.double(), atol=1e-5)

    if same(_median(images, size)):
        return
    for wrong, message in _FILTERS:
        if size // 2 < 4 and same(wrong(images, size)):
            raise NotYet(message)
    off = (value - _median(images, size)).abs() > 1e-5
    inside = off[:, :, size // 2 : -(size // 2) or None, size // 2 : -(size // 2) or None].any()
    where = "" if inside else " All of them lie at the border: repeat the outermost pixels there."
    raise NotYet(
        f"with size {size} and {images.shape[1]} channels, {off.double().mean():.0%} of the pixels "
        f"are not the median of the {size} x {size} pixels around them.{where}"
    )
