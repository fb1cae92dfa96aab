"""What readers of lesson 11 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

LESSON = "11_your_own"


def highest(s: torch.Tensor, k: int) -> torch.Tensor:
    return s.flatten(1).topk(k, dim=1).values


def gaps(p: np.ndarray, o: np.ndarray) -> np.ndarray:
    return p - o.max(axis=0)


def in_a_loop(s: torch.Tensor, k: int) -> list[float]:
    return [float(sum(sorted(one.flatten().tolist())[-k:]) / k) for one in s]


def counted(p: np.ndarray, o: np.ndarray, m: float) -> int:
    found = 0
    for i, rate in enumerate(p):
        if all(rate - one[i] >= m for one in o):
            found += 1
    return found


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("image_score", "mean of all", lambda s, k: s.flatten(1).mean(1), "drowns"),
    ("image_score", "highest alone", lambda s, k: s.flatten(1).amax(1), "highest tile alone"),
    (
        "image_score",
        "k lowest",
        lambda s, k: s.flatten(1).topk(k, dim=1, largest=False).values.mean(1),
        "k lowest",
    ),
    ("image_score", "k-th alone", lambda s, k: highest(s, k)[:, -1], "at place 3 alone"),
    ("image_score", "summed", lambda s, k: highest(s, k).sum(1), "sum of the tiles"),
    ("image_score", "median", lambda s, k: s.flatten(1).median(1).values, "median tile"),
    (
        "image_score",
        "highest of each row",
        lambda s, k: s.amax(2).topk(min(k, s.shape[1]), dim=1).values.mean(1),
        "side by side",
    ),
    ("image_score", "k fixed", lambda s, k: highest(s, 3).mean(1), "k does not seem to matter"),
    (
        "image_score",
        "over the images",
        lambda s, k: s.flatten(1).topk(3, dim=0).values.mean(0),
        "must have shape (6,)",
    ),
    ("image_score", "sign reversed", lambda s, k: -highest(s, k).mean(1), "the first image"),
    ("image_score", "highest, not their mean", highest, "must have shape (6,)"),
    ("count_findings", "above, not at least", lambda p, o, m: (gaps(p, o) > m).sum(), "exactly"),
    (
        "count_findings",
        "mean of own",
        lambda p, o, m: (p - o.mean(0) >= m).sum(),
        "mean of your own",
    ),
    ("count_findings", "best of own", lambda p, o, m: (p - o.min(0) >= m).sum(), "the best of"),
    ("count_findings", "first of own", lambda p, o, m: (p - o[0] >= m).sum(), "the first of"),
    ("count_findings", "one number", lambda p, o, m: (p - o.max() >= m).sum(), "one number"),
    ("count_findings", "own not asked", lambda p, o, m: (p >= m).sum(), "are not asked"),
    ("count_findings", "every own one", lambda p, o, m: (p - o >= m).sum(), "by itself"),
    ("count_findings", "share", lambda p, o, m: (gaps(p, o) >= m).mean(), "this is a share"),
    ("count_findings", "the others", lambda p, o, m: (gaps(p, o) < m).sum(), "do not stand out"),
    ("count_findings", "margin fixed", lambda p, o, m: (gaps(p, o) >= 0.25).sum(), "an argument"),
    ("count_findings", "a mask", lambda p, o, m: gaps(p, o) >= m, "must be one number"),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("image_score", in_a_loop),
    ("image_score", lambda s, k: highest(s, k).sum(1) / k),
    ("image_score", lambda s, k: s.flatten(1).sort(1).values[:, -k:].mean(1)),
    ("image_score", lambda s, k: s.flatten(1).sort(1, descending=True).values[:, :k].mean(1)),
    ("image_score", lambda s, k: np.sort(s.numpy().reshape(len(s), -1), 1)[:, -k:].mean(1)),
    ("image_score", lambda s, k: torch.stack([one.flatten().topk(k).values.mean() for one in s])),
    ("image_score", lambda s, k: highest(s, k).double().mean(1).tolist()),
    ("count_findings", counted),
    ("count_findings", lambda p, o, m: (gaps(p, o) >= m).sum()),
    ("count_findings", lambda p, o, m: int(np.count_nonzero(gaps(p, o) >= m))),
    ("count_findings", lambda p, o, m: sum(bool(gap >= m) for gap in gaps(p, o))),
    ("count_findings", lambda p, o, m: (p[None] - o >= m).all(axis=0).sum()),
    ("count_findings", lambda p, o, m: float((o.max(0) <= p - m).sum())),
    ("count_findings", lambda p, o, m: torch.tensor(int((gaps(p, o) >= m).sum()))),
]
