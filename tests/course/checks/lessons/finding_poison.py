"""What readers of lesson 7 get wrong, and what they should then be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

LESSON = "7_finding_poison"
Array = np.ndarray


def p_values(suspicion: Array, trusted: Array) -> Array:
    return (1 + (trusted[None] >= suspicion[:, None]).sum(axis=1)) / (len(trusted) + 1)


def taken_by_searching(suspicion: Array, trusted: Array, rate: float) -> list[bool]:
    ordered = np.sort(trusted)
    as_odd = len(trusted) - np.searchsorted(ordered, suspicion, side="left")
    return [bool((1 + count) <= rate * (1 + len(trusted))) for count in as_odd]


def taken_with_itself_appended(suspicion: Array, trusted: Array, rate: float) -> tuple[bool, ...]:
    return tuple(np.mean(np.append(trusted, own) >= own) <= rate for own in suspicion)


def taken_by_torch(suspicion: Array, trusted: Array, rate: float) -> Tensor:
    own, others = torch.from_numpy(suspicion), torch.from_numpy(trusted)
    p = ((others[:, None] >= own).sum(0) + 1) / (len(others) + 1)
    return p <= rate


def sorts_the_trusted(suspicion: Array, trusted: Array, rate: float) -> Array:
    trusted.sort()
    return p_values(suspicion, trusted) <= rate


Mask = np.ndarray


def share_caught(
    suspicion: Array,
    is_poison: Mask,
    budget: float,
    *,
    order: Callable[[Array], Array] = lambda s: np.argsort(-s),
    count: Callable[[float, Array], int] = lambda budget, mask: round(budget * len(mask)),
    of: Callable[[Array, Mask], float] = lambda taken, mask: taken.sum() / mask.sum(),
) -> float:
    """Answer correctly, unless one of the steps is changed."""
    taken = is_poison[order(suspicion)][: count(budget, is_poison)]
    return of(taken, is_poison)


def wrong_share(**step: Any) -> Callable[..., float]:
    return lambda s, m, b: share_caught(s, m, b, **step)


def caught_one_by_one(suspicion: Array, is_poison: Mask, budget: float) -> float:
    ranked = sorted(zip(suspicion, is_poison), key=lambda pair: -pair[0])
    taken = ranked[: round(budget * len(ranked))]
    return sum(bool(poison) for _, poison in taken) / sum(map(bool, is_poison))


def caught_by_torch(suspicion: Array, is_poison: Mask, budget: float) -> Tensor:
    places = torch.from_numpy(suspicion).topk(round(budget * len(suspicion))).indices
    mask = torch.from_numpy(is_poison)
    return mask[places].sum() / mask.sum()


def caught_from_the_curve(suspicion: Array, is_poison: Mask, budget: float) -> float:
    found = np.r_[0, np.cumsum(is_poison[np.argsort(-suspicion)])] / is_poison.sum()
    return float(found[int(budget * len(suspicion) + 0.5)])


def caught_by_rank(suspicion: Array, is_poison: Mask, budget: float) -> float:
    above = (suspicion[None, :] > suspicion[:, None]).sum(axis=1)
    return float((above < budget * len(suspicion) - 1e-6)[is_poison].mean())


def sorts_the_suspicion(suspicion: Array, is_poison: Mask, budget: float) -> float:
    suspicion.sort()
    return float(is_poison[-round(budget * len(suspicion)) :].sum() / is_poison.sum())


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("take_out", "keeps what should go", lambda s, t, r: p_values(s, t) > r, "keep what should go"),
    ("take_out", "wrong end", lambda s, t, r: p_values(-s, -t) <= r, "*least* suspicious"),
    (
        "take_out",
        "itself not counted",
        lambda s, t, r: (t[None] >= s[:, None]).mean(axis=1) <= r,
        "itself is not counted",
    ),
    (
        "take_out",
        "ties lost",
        lambda s, t, r: (1 + (t[None] > s[:, None]).sum(axis=1)) / (len(t) + 1) <= r,
        "*exactly* as suspicious",
    ),
    ("take_out", "plain quantile", lambda s, t, r: s > np.quantile(t, 1 - r), "plain quantile"),
    (
        "take_out",
        "quantile of the pool",
        lambda s, t, r: s > np.quantile(s, 1 - r),
        "compare the pool with itself",
    ),
    (
        "take_out",
        "ranks within the pool",
        lambda s, t, r: (s[None] >= s[:, None]).mean(axis=1) <= r,
        "compare the pool with itself",
    ),
    ("take_out", "odder than all", lambda s, t, r: s > t.max(), "whatever the rate"),
    ("take_out", "p-values", lambda s, t, r: p_values(s, t), "Not the p-values"),
    (
        "take_out",
        "places",
        lambda s, t, r: np.flatnonzero(p_values(s, t) <= r),
        "not the places",
    ),
    (
        "take_out",
        "judges the trusted",
        lambda s, t, r: p_values(t, s) <= r,
        "one for each training image",
    ),
    (
        "take_out",
        "a fixed share of the pool",
        lambda s, t, r: np.argsort(np.argsort(-s)) < 0.15 * len(s),
        "are judged wrongly",
    ),
    (
        "take_out",
        "divided by M",
        lambda s, t, r: (1 + (t[None] >= s[:, None]).sum(axis=1)) / len(t) <= r,
        "divide by M + 1",
    ),
    ("take_out", "below the rate", lambda s, t, r: p_values(s, t) < r, "<=, not <"),
    (
        "take_out",
        "itself below the line alone",
        lambda s, t, r: (t[None] >= s[:, None]).sum(axis=1) / (len(t) + 1) <= r,
        "not above it",
    ),
    ("take_out", "sorts its input", sorts_the_trusted, "changes what it is given (trusted)"),
    (
        "take_out",
        "zeros and ones",
        lambda s, t, r: (p_values(s, t) <= r).astype(int),
        "a mask of True and False",
    ),
    ("take_out", "one verdict", lambda s, t, r: bool((s > t.max()).any()), "mask"),
    ("poison_caught", "least suspicious", wrong_share(order=np.argsort), "*least* suspicious"),
    (
        "poison_caught",
        "poison among the taken",
        wrong_share(of=lambda taken, mask: taken.mean() if len(taken) else 0.0),
        "among the images taken out",
    ),
    (
        "poison_caught",
        "of all images",
        wrong_share(of=lambda taken, mask: taken.sum() / len(mask)),
        "number of all images",
    ),
    (
        "poison_caught",
        "a number",
        wrong_share(of=lambda taken, mask: int(taken.sum())),
        "a number of images",
    ),
    (
        "poison_caught",
        "what stays",
        wrong_share(of=lambda taken, mask: 1 - taken.sum() / mask.sum()),
        "that stays",
    ),
    (
        "poison_caught",
        "cut off, not rounded",
        wrong_share(count=lambda budget, mask: int(budget * len(mask))),
        "Use round",
    ),
    (
        "poison_caught",
        "budget of the poison",
        wrong_share(count=lambda budget, mask: round(budget * mask.sum())),
        "a share of all images",
    ),
    (
        "poison_caught",
        "as they came",
        wrong_share(order=lambda s: np.arange(len(s))),
        "in the order in which they came",
    ),
    (
        "poison_caught",
        "above a quantile",
        lambda s, m, b: m[s > np.quantile(s, 1 - b)].sum() / m.sum(),
        "above a quantile is not enough",
    ),
    (
        "poison_caught",
        "as the paper has it",
        wrong_share(count=lambda budget, mask: round(1.5 * mask.sum())),
        "one and a half times",
    ),
    ("poison_caught", "a guess", lambda s, m, b: 0.5, "the share should be"),
    (
        "poison_caught",
        "one at least",
        wrong_share(count=lambda budget, mask: max(1, round(budget * len(mask)))),
        "at a budget of 0",
    ),
    (
        "poison_caught",
        "sorts its input",
        sorts_the_suspicion,
        "changes what it is given (suspicion)",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    (
        "take_out",
        lambda s, t, r: np.array([(1 + sum(x >= y for x in t)) / (len(t) + 1) <= r for y in s]),
    ),
    (
        "take_out",
        lambda s, t, r: (
            torch.from_numpy(s)
            > torch.from_numpy(np.r_[np.sort(t), np.inf])[
                min(math.ceil((len(t) + 1) * (1 - r) - 1e-9), len(t) + 1) - 1
            ]
        ),
    ),
    ("take_out", taken_by_searching),
    ("take_out", taken_with_itself_appended),
    ("take_out", taken_by_torch),
    ("take_out", lambda s, t, r: list(p_values(s, t) <= r)),
    ("take_out", lambda s, t, r: list(torch.from_numpy(p_values(s, t) <= r))),
    ("take_out", lambda s, t, r: ~(p_values(s, t) > r)),
    ("poison_caught", share_caught),
    ("poison_caught", caught_one_by_one),
    ("poison_caught", caught_by_torch),
    ("poison_caught", caught_from_the_curve),
    ("poison_caught", caught_by_rank),
    ("poison_caught", wrong_share(of=lambda taken, mask: np.array([taken.sum() / mask.sum()]))),
    ("poison_caught", wrong_share(order=lambda s: np.argsort(s)[::-1])),
]
