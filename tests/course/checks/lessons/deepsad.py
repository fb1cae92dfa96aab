"""What readers of lesson 2 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from badsad_lib.deepsad import deep_sad_loss

LESSON = "2_deepsad"


def loss(unlabeled: Any, normal: Any, anomaly: Any, mean: bool = True) -> Callable[..., Tensor]:
    """A loss of a batch from the loss of one image of each kind, as functions of d and eta."""

    def answer(d: Tensor, y: Tensor, eta: float) -> Tensor:
        zero = d * 0
        parts = zero + torch.where(y == 0, unlabeled(d, eta) + zero, zero)
        parts = parts + torch.where(y == 1, normal(d, eta) + zero, zero)
        parts = parts + torch.where(y == -1, anomaly(d, eta) + zero, zero)
        return parts.mean() if mean else parts.sum()

    return answer


def pull(d: Tensor, eta: float) -> Tensor:
    return d


def pull_labeled(d: Tensor, eta: float) -> Tensor:
    return eta * d


def push(d: Tensor, eta: float) -> Tensor:
    return eta / (d + 1e-6)


def mean_of_group_means(d: Tensor, y: Tensor, eta: float) -> Tensor:
    each = torch.where(y == 0, d, eta * (d + 1e-6) ** y)
    return torch.stack([each[y == label].mean() for label in y.unique()]).mean()


def alive(
    before: dict[str, Tensor],
    after: dict[str, Tensor],
    scores: np.ndarray,
    center: Tensor,
    *,
    keys: str = ".weight",
    combine: Any = all,
    spread: float = 1e-6,
    finite: bool = True,
    zero: Any = torch.any,
) -> bool:
    """Answer correctly, unless one of the settings is changed."""
    moved = combine(bool((before[k] != after[k]).any()) for k in before if k.endswith(keys))
    real = bool(np.isfinite(scores).all()) or not finite
    differ = np.nanmax(scores) - np.nanmin(scores) > spread * abs(np.nanmean(scores))
    return bool(moved and real and differ and not zero(center == 0))


def slip(**setting: Any) -> Callable[..., bool]:
    return lambda *arguments: alive(*arguments, **setting)


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    (
        "collapse",
        "weights zero, bias forgotten",
        lambda c, n: (torch.zeros(len(c), n), torch.zeros(len(c))),
        "lands on zero",
    ),
    (
        "collapse",
        "bias set, weights left",
        lambda c, n: (torch.ones(len(c), n), c),
        "depend on the input",
    ),
    (
        "collapse",
        "another point",
        lambda c, n: (torch.zeros(len(c), n), c + 1),
        "not the center",
    ),
    (
        "collapse",
        "weight transposed",
        lambda c, n: (torch.zeros(n, len(c)), c),
        "must have shape (4, 9)",
    ),
    ("collapse", "only one of the two", lambda c, n: torch.zeros(len(c), n), "two things"),
    ("batch_loss", "inverse forgotten", loss(pull, pull_labeled, pull_labeled), "the inverse"),
    (
        "batch_loss",
        "minus for the inverse",
        loss(pull, pull_labeled, lambda d, eta: -eta * d),
        "no lower end",
    ),
    (
        "batch_loss",
        "eta forgotten",
        loss(pull, pull, lambda d, eta: 1 / d),
        "eta is missing: it",
    ),
    ("batch_loss", "eta forgotten for normals", loss(pull, pull, push), "semi-label +1"),
    (
        "batch_loss",
        "eta forgotten for anomalies",
        loss(pull, pull_labeled, lambda d, eta: 1 / d),
        "semi-label -1",
    ),
    (
        "batch_loss",
        "eta on everything",
        loss(pull_labeled, pull_labeled, push),
        "every image alike",
    ),
    ("batch_loss", "sum, not mean", loss(pull, pull_labeled, push, mean=False), "the sum"),
    (
        "batch_loss",
        "power of the label for all",
        lambda d, y, eta: (torch.where(y == 0, 1.0, eta) * (d + 1e-6) ** y).mean(),
        "a constant, d ** 0",
    ),
    (
        "batch_loss",
        "eta times the power of the label for all",
        lambda d, y, eta: (eta * (d + 1e-6) ** y).mean(),
        "a constant, eta * d ** 0",
    ),
    (
        "batch_loss",
        "labeled normals forgotten",
        loss(pull, lambda d, eta: 0 * d, push),
        "(semi-label +1) cost nothing",
    ),
    (
        "batch_loss",
        "labeled anomalies forgotten",
        loss(pull, pull_labeled, lambda d, eta: 0 * d),
        "(semi-label -1) cost nothing",
    ),
    ("batch_loss", "mean of the groups' means", mean_of_group_means, "one semi-label at a time"),
    (
        "batch_loss",
        "squared once more",
        loss(lambda d, eta: d**2, pull_labeled, push),
        "one semi-label at a time",
    ),
    (
        "batch_loss",
        "division by zero",
        loss(pull, pull_labeled, lambda d, eta: eta / d),
        "infinite",
    ),
    (
        "batch_loss",
        "no gradient",
        lambda d, y, eta: deep_sad_loss(d, y, eta).item(),
        "no gradient",
    ),
    (
        "batch_loss",
        "gradient cut for a part",
        loss(pull, pull_labeled, lambda d, eta: eta / (d.detach() + 1e-6)),
        "its gradient is not",
    ),
    ("is_alive", "always dead", lambda *_: False, "in good order is called dead"),
    ("is_alive", "always alive", lambda *_: True, "exactly as it was"),
    ("is_alive", "statistics taken for weights", slip(keys="", combine=any), "running statistics"),
    ("is_alive", "one weight is enough", slip(combine=any), "ask it of all"),
    ("is_alive", "scores not looked at", slip(spread=-1), "one score"),
    ("is_alive", "scores compared exactly", slip(spread=0), "Rounding"),
    ("is_alive", "NaN let through", slip(finite=False), "NaN"),
    ("is_alive", "center not looked at", slip(zero=lambda _: False), "center is zero"),
    ("is_alive", "all of the center must be zero", slip(zero=torch.all), "one component"),
]

ALSO_RIGHT = [
    ("batch_loss", deep_sad_loss),
    ("batch_loss", loss(pull, pull_labeled, push)),
    ("is_alive", alive),
]
