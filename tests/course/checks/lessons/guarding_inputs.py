"""What readers of lesson 8 get wrong, and what they should then be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.ndimage import median_filter as scipy_median
from torch import Tensor
from torch.nn import functional as F

LESSON = "8_guarding_inputs"
Array = np.ndarray


Groups = dict[str, Array]


def alarm(
    scores: Groups,
    suspicion: Groups,
    limit: float,
    rate: float,
    *,
    name: str = "trusted",
    passes: Callable[[Array, float], Array] = lambda s, limit: s <= limit,
    cut: Callable[[Array, float], Any] = lambda x, rate: np.sort(x)[
        min(math.ceil((len(x) + 1) * (1 - rate)), len(x)) - 1
    ],
) -> Any:
    """Answer correctly, unless one of the steps is changed."""
    return cut(suspicion[name][passes(scores[name], limit)], rate)


def wrong_alarm(**step: Any) -> Callable[..., Any]:
    return lambda *arguments: alarm(*arguments, **step)


def everything(scores: Array, limit: float) -> Array:
    return np.ones(len(scores), dtype=bool)


def filtered(
    images: Tensor,
    size: int,
    *,
    mode: str = "replicate",
    middle: Callable[[Tensor], Tensor] = lambda w: w.flatten(4).median(dim=4).values,
) -> Tensor:
    """Answer correctly, unless one of the steps is changed."""
    edged = F.pad(images, (size // 2,) * 4, mode=mode)
    return middle(edged.unfold(2, size, 1).unfold(3, size, 1))


def wrong_filter(**step: Any) -> Callable[..., Tensor]:
    return lambda *arguments: filtered(*arguments, **step)


def unpadded(images: Tensor, size: int) -> Tensor:
    return images.unfold(2, size, 1).unfold(3, size, 1).flatten(4).median(dim=4).values


def overwriting(images: Tensor, size: int) -> Tensor:
    images.copy_(filtered(images, size))
    return images


def sorts_its_suspicion(scores: Groups, suspicion: Groups, limit: float, rate: float) -> Any:
    kept = suspicion["trusted"] = np.sort(suspicion["trusted"][scores["trusted"] <= limit])
    return kept[min(math.ceil((len(kept) + 1) * (1 - rate)), len(kept)) - 1]


def alarm_from_a_list(scores: Groups, suspicion: Groups, limit: float, rate: float) -> float:
    pairs = zip(scores["trusted"], suspicion["trusted"])
    kept = sorted(s for score, s in pairs if not score > limit)
    rank = math.ceil((len(kept) + 1) * (1 - rate))
    return kept[-1] if rank > len(kept) else kept[rank - 1]


def alarm_from_above(scores: Groups, suspicion: Groups, limit: float, rate: float) -> Any:
    kept = -np.sort(-suspicion["trusted"][scores["trusted"] <= limit])
    return kept[max(math.floor((len(kept) + 1) * rate), 1) - 1]


def alarm_by_torch(scores: Groups, suspicion: Groups, limit: float, rate: float) -> Tensor:
    kept = torch.from_numpy(suspicion["trusted"])[torch.from_numpy(scores["trusted"]) <= limit]
    rank = min(math.ceil((len(kept) + 1) * (1 - rate)), len(kept))
    return kept.kthvalue(rank).values


def alarm_by_inverted_cdf(scores: Groups, suspicion: Groups, limit: float, rate: float) -> Any:
    kept = suspicion["trusted"][scores["trusted"] <= limit]
    level = min(math.ceil((len(kept) + 1) * (1 - rate)) / len(kept), 1.0)
    return np.quantile(kept, level - 1e-9, method="inverted_cdf")


def pixel_by_pixel(images: Tensor, size: int) -> Tensor:
    border, (height, width) = size // 2, images.shape[2:]
    edged = F.pad(images, (border, border, border, border), mode="replicate")
    result = torch.empty_like(images)
    for i in range(height):
        for j in range(width):
            result[:, :, i, j] = edged[:, :, i : i + size, j : j + size].flatten(2).median(2).values
    return result


def by_shifted_images(images: Tensor, size: int) -> Tensor:
    border, (height, width) = size // 2, images.shape[2:]
    edged = F.pad(images, (border,) * 4, mode="replicate")
    moved = [edged[..., i : i + height, j : j + width] for i in range(size) for j in range(size)]
    return torch.stack(moved).median(dim=0)[0]


def channel_by_channel(images: Tensor, size: int) -> Tensor:
    return torch.cat([filtered(part, size) for part in images.split(1, dim=1)], dim=1)


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("set_alarm", "training images", wrong_alarm(name="training"), "training images"),
    ("set_alarm", "test images", wrong_alarm(name="test normals"), "no hand in it"),
    (
        "set_alarm",
        "attacked images",
        wrong_alarm(name="triggered anomalies"),
        "Nobody shows you the attack",
    ),
    (
        "set_alarm",
        "attacked images, all of them",
        wrong_alarm(name="triggered anomalies", passes=everything),
        "Nobody shows you the attack",
    ),
    (
        "set_alarm",
        "flagged anyway",
        wrong_alarm(passes=everything),
        "the detector flags anyway",
    ),
    ("set_alarm", "flagged only", wrong_alarm(passes=lambda s, x: s > x), "for those that pass"),
    (
        "set_alarm",
        "on the limit",
        wrong_alarm(passes=lambda s, x: s < x),
        "exactly on the limit",
    ),
    (
        "set_alarm",
        "plain quantile",
        wrong_alarm(cut=lambda x, r: np.quantile(x, 1 - r)),
        "plain quantile",
    ),
    (
        "set_alarm",
        "rank of n",
        wrong_alarm(cut=lambda x, r: np.sort(x)[math.ceil(len(x) * (1 - r)) - 1]),
        "n + 1 gaps",
    ),
    (
        "set_alarm",
        "one place too far",
        wrong_alarm(
            cut=lambda x, r: np.sort(x)[min(math.ceil((len(x) + 1) * (1 - r)), len(x) - 1)]
        ),
        "one rank too high",
    ),
    (
        "set_alarm",
        "lower tail",
        wrong_alarm(cut=lambda x, r: np.quantile(x, r)),
        "lower tail",
    ),
    ("set_alarm", "largest", wrong_alarm(cut=lambda x, r: x.max()), "the largest suspicion"),
    (
        "set_alarm",
        "beyond the last: infinity",
        wrong_alarm(
            cut=lambda x, r: np.r_[np.sort(x), np.inf][
                min(math.ceil((len(x) + 1) * (1 - r)), len(x) + 1) - 1
            ]
        ),
        "beyond the last one",
    ),
    (
        "set_alarm",
        "scores for suspicion",
        lambda s, x, limit, rate: alarm(s, s, 99, rate),
        "a score of the detector",
    ),
    (
        "median_filter",
        "mean",
        wrong_filter(middle=lambda w: w.mean(dim=(4, 5))),
        "that is the mean",
    ),
    ("median_filter", "zeros", wrong_filter(mode="constant"), "filled with zeros"),
    ("median_filter", "mirrored", wrong_filter(mode="reflect"), "mirrored"),
    (
        "median_filter",
        "channels mixed",
        wrong_filter(
            middle=lambda w: (
                w.permute(0, 2, 3, 1, 4, 5)
                .flatten(3)
                .median(dim=3)
                .values[:, None]
                .expand(-1, w.shape[1], -1, -1)
            )
        ),
        "channels are mixed",
    ),
    (
        "median_filter",
        "median of medians",
        wrong_filter(middle=lambda w: w.median(dim=5).values.median(dim=4).values),
        "median of medians",
    ),
    (
        "median_filter",
        "largest",
        wrong_filter(middle=lambda w: w.amax(dim=(4, 5))),
        "the largest value",
    ),
    (
        "median_filter",
        "values and places",
        lambda x, k: F.pad(x, (k // 2,) * 4, mode="replicate").unfold(2, k, 1).median(dim=4),
        "take .values",
    ),
    ("median_filter", "border lost", unpadded, "must keep their shape"),
    ("median_filter", "always three", lambda x, k: filtered(x, 3), "always 3 x 3"),
    ("median_filter", "reach for side", lambda x, k: filtered(x, 2 * k + 1), "too large"),
    (
        "median_filter",
        "whole image",
        lambda x, k: x.flatten(2).median(2).values[..., None, None].expand_as(x),
        "of the whole image",
    ),
    ("median_filter", "nothing", lambda x, k: x.clone(), "nothing changes"),
    ("median_filter", "overwrites", overwriting, "changes what it is given (images)"),
    (
        "median_filter",
        "wraps around",
        wrong_filter(mode="circular"),
        "All of them lie at the border",
    ),
    (
        "set_alarm",
        "sorts its input",
        sorts_its_suspicion,
        "changes what it is given (suspicion)",
    ),
    (
        "set_alarm",
        "next lower, as numpy has it",
        wrong_alarm(cut=lambda x, r: np.quantile(x, 1 - r, method="lower")),
        "the conformal rank",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("set_alarm", alarm),
    (
        "set_alarm",
        lambda s, x, limit, rate: float(
            np.partition(
                x["trusted"][s["trusted"] <= limit],
                min(
                    math.ceil(((s["trusted"] <= limit).sum() + 1) * (1 - rate)),
                    (s["trusted"] <= limit).sum(),
                )
                - 1,
            )[
                min(
                    math.ceil(((s["trusted"] <= limit).sum() + 1) * (1 - rate)),
                    (s["trusted"] <= limit).sum(),
                )
                - 1
            ]
        ),
    ),
    ("median_filter", filtered),
    (
        "median_filter",
        lambda x, k: (
            F.unfold(F.pad(x, (k // 2,) * 4, mode="replicate").flatten(0, 1)[:, None], k)
            .median(dim=1)
            .values.view(x.shape)
        ),
    ),
    ("set_alarm", alarm_from_a_list),
    ("set_alarm", alarm_from_above),
    ("set_alarm", alarm_by_torch),
    ("set_alarm", alarm_by_inverted_cdf),
    ("median_filter", pixel_by_pixel),
    ("median_filter", by_shifted_images),
    ("median_filter", channel_by_channel),
    (
        "median_filter",
        lambda x, k: torch.from_numpy(scipy_median(x.numpy(), size=(1, 1, k, k), mode="nearest")),
    ),
    ("median_filter", wrong_filter(middle=lambda w: w.flatten(4).quantile(0.5, dim=4))),
]
