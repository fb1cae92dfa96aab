"""What readers of lesson 2 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
    moves: Any = lambda old, new: bool((old != new).any()),
    zero: Any = torch.any,
) -> bool:
    """Answer correctly, unless one of the settings is changed."""
    moved = combine(moves(before[k], after[k]) for k in before if k.endswith(keys))
    real = bool(np.isfinite(scores).all()) or not finite
    differ = np.nanmax(scores) - np.nanmin(scores) > spread * abs(np.nanmean(scores))
    return bool(moved and real and differ and not zero(center == 0))


def slip(**setting: Any) -> Callable[..., bool]:
    return lambda *arguments: alive(*arguments, **setting)


def by_a_layer(center: Tensor, n_inputs: int) -> tuple[Tensor, Tensor]:
    layer = nn.Linear(n_inputs, len(center))
    nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.copy_(center)
    return layer.weight, layer.bias


def emptied_center(center: Tensor, n_inputs: int) -> tuple[Tensor, Tensor]:
    bias = center.clone()
    return torch.zeros(len(center), n_inputs), center.zero_() + bias


def in_three_parts(d: Tensor, y: Tensor, eta: float) -> Tensor:
    pulled, pushed = d[y == 0].sum() + eta * d[y == 1].sum(), eta * (1 / (d[y == -1] + 1e-6)).sum()
    return (pulled + pushed) / len(d)


def written_into_a_copy(d: Tensor, y: Tensor, eta: float) -> Tensor:
    each = d.clone()
    each[y == 1] = eta * d[y == 1]
    each[y == -1] = eta / d[y == -1].clamp(min=1e-6)
    return each.mean()


def written_into_the_distances(d: Tensor, y: Tensor, eta: float) -> Tensor:
    d[y == 1] = eta * d[y == 1]
    d[y == -1] = eta / (d[y == -1] + 1e-6)
    return d.mean()


def one_by_one(d: Tensor, y: Tensor, eta: float) -> Tensor:
    cost = {0: lambda x: x, 1: lambda x: eta * x, -1: lambda x: eta / (x + 1e-6)}
    return torch.stack([cost[int(label)](x) for x, label in zip(d, y)]).mean()


def checked_step_by_step(before: Any, after: Any, scores: np.ndarray, center: Tensor) -> bool:
    for name, weight in before.items():
        if name.endswith(".weight") and torch.allclose(weight, after[name], rtol=0, atol=0):
            return False
    if np.isnan(scores).any() or np.isinf(scores).any():
        return False
    if scores.max() - scores.min() <= 1e-6 * scores.mean():
        return False
    return torch.count_nonzero(center).item() == len(center)


def by_distance_moved(before: Any, after: Any, scores: np.ndarray, center: Tensor) -> Tensor:
    names = [name for name in before if name[-7:] == ".weight"]
    moved = torch.tensor([float((after[name] - before[name]).norm()) for name in names])
    values = torch.from_numpy(scores)
    return (
        (moved > 0).all()
        & values.isfinite().all()
        & ((values.max() - values.min()) / values.mean().abs() > 1e-6)
        & (center.abs() > 0).all()
    )


def not_broken(before: Any, after: Any, scores: np.ndarray, center: Tensor) -> bool:
    still = any(torch.equal(before[k], after[k]) for k in before if k.endswith(".weight"))
    flat = not np.isfinite(scores).all() or np.ptp(scores) <= 1e-6 * abs(np.mean(scores))
    return not (still or flat or bool((center == 0).any()))


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
    ("collapse", "nearly zero", lambda c, n: (torch.full((len(c), n), 1e-7), c), "some weight"),
    ("collapse", "swapped", lambda c, n: (c, torch.zeros(len(c), n)), "First the weight"),
    ("collapse", "four and nine", lambda c, n: (torch.zeros(4, 9), c), "must have shape (7, 3)"),
    ("collapse", "center emptied", emptied_center, "changes what it is given (c"),
    ("collapse", "minus the center", lambda c, n: (torch.zeros(len(c), n), -c), "not the center"),
    (
        "batch_loss",
        "written into the distances",
        written_into_the_distances,
        "changes what it is given (d)",
    ),
    (
        "batch_loss",
        "eta is three",
        lambda d, y, eta: loss(pull, pull_labeled, push)(d, y, 3.0),
        "with eta = 0.5",
    ),
    (
        "is_alive",
        "infinity left out",
        lambda b, a, s, c: alive(b, a, s[~np.isinf(s)], c),
        "one score is inf",
    ),
    (
        "is_alive",
        "every number must move",
        slip(moves=lambda old, new: bool((old != new).all())),
        "some numbers within a weight",
    ),
    (
        "is_alive",
        "spread not compared with the mean",
        lambda b, a, s, c: alive(b, a, s, c) and np.ptp(s) > 1e-6,
        "Compare their spread",
    ),
    ("is_alive", "far too wide", slip(spread=1e-2), "Compare their spread"),
    ("is_alive", "a number, not a verdict", lambda b, a, s, c: np.ptp(s), "True or False"),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("batch_loss", deep_sad_loss),
    ("batch_loss", loss(pull, pull_labeled, push)),
    ("is_alive", alive),
    ("collapse", by_a_layer),
    ("collapse", lambda c, n: [c.new_zeros(len(c), n), c]),
    ("collapse", lambda c, n: (np.zeros((len(c), n)), c.numpy())),
    ("collapse", lambda c, n: ([[0.0] * n] * len(c), c.tolist())),
    ("collapse", lambda c, n: (torch.zeros(c.shape[0], n, dtype=torch.float64), c.double())),
    ("collapse", lambda c, n: (0 * torch.outer(c, torch.ones(n)), 1 * c)),
    ("batch_loss", in_three_parts),
    ("batch_loss", written_into_a_copy),
    ("batch_loss", one_by_one),
    (
        "batch_loss",
        lambda d, y, eta: torch.where(y == 0, d, eta * (d + 1e-6) ** y).mean().reshape(1),
    ),
    ("is_alive", checked_step_by_step),
    ("is_alive", by_distance_moved),
    ("is_alive", not_broken),
    ("is_alive", lambda *arguments: np.bool_(alive(*arguments))),
    ("is_alive", lambda *arguments: np.array(alive(*arguments))),
]
