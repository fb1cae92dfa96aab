"""What readers of lesson 1 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import mannwhitneyu, norm
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from badsad_lib import metrics

LESSON = "1_anomaly_detection"


def pairs(normal: np.ndarray, anomaly: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return anomaly[:, None], normal[None, :]


def k_smallest(q: torch.Tensor, n: torch.Tensor, k: int) -> torch.Tensor:
    return torch.cdist(q, n).topk(k, dim=1, largest=False).values


def sorted_in_place(v: np.ndarray, t: np.ndarray, r: float) -> float:
    v.sort()
    return v[round((1 - r) * len(v))]


def area_of_trapezoids(normal: np.ndarray, anomaly: np.ndarray) -> float:
    levels = np.unique(np.r_[normal, anomaly])[::-1]
    x, y = (np.r_[0, [(part >= level).mean() for level in levels]] for part in (normal, anomaly))
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def by_searching(normal: np.ndarray, anomaly: np.ndarray) -> float:
    ordered = np.sort(normal)
    below, not_above = (np.searchsorted(ordered, anomaly, side=s) for s in ("left", "right"))
    return (below.sum() + not_above.sum()) / (2 * len(normal) * len(anomaly))


def counted_among(images: float) -> Callable[[float, float, float], float]:
    def answer(d: float, f: float, p: float) -> float:
        hits, false = d * p * images, f * (1 - p) * images
        return hits / (hits + false)

    return answer


def in_a_loop(q: torch.Tensor, n: torch.Tensor, k: int) -> list[float]:
    return [float(torch.sort((n - x).norm(dim=1)).values[:k].mean()) for x in q]


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("calibrate", "threshold on test data", lambda v, t, r: np.quantile(t, 1 - r), "test scores"),
    (
        "calibrate",
        "threshold on both together",
        lambda v, t, r: np.quantile(np.r_[v, t], 1 - r),
        "test scores",
    ),
    ("calibrate", "wrong tail", lambda v, t, r: np.quantile(v, r), "wrong tail"),
    ("calibrate", "largest score", lambda v, t, r: v.max(), "rate of 0.05"),
    ("calibrate", "rate fixed", lambda v, t, r: np.quantile(v, 0.95), "rate of 0.2"),
    (
        "auroc_with_ties",
        "ties lost",
        lambda n, a: np.greater(*pairs(n, a)).mean(),
        "ties are lost",
    ),
    (
        "auroc_with_ties",
        "ties in full",
        lambda n, a: np.greater_equal(*pairs(n, a)).mean(),
        "ties count in full",
    ),
    (
        "auroc_with_ties",
        "groups swapped",
        lambda n, a: metrics.auroc(a, n),
        "swapped",
    ),
    (
        "auroc_with_ties",
        "counted, not averaged",
        lambda n, a: np.greater(*pairs(n, a)).sum(),
        "share of all pairs",
    ),
    (
        "auroc_with_ties",
        "compared in order, not in pairs",
        lambda n, a: (a[: min(len(a), len(n))] > n[: min(len(a), len(n))]).mean(),
        "Compare every",
    ),
    (
        "auroc_with_ties",
        "ties weighed wrongly",
        lambda n, a: (
            np.greater(*pairs(n, a)).mean()
            + (0.5 if np.ptp(n) == 0 else 0.2) * np.equal(*pairs(n, a)).mean()
        ),
        "one half",
    ),
    (
        "true_alarm_share",
        "detection rate taken for it",
        lambda d, f, p: d,
        "that is the detection rate",
    ),
    (
        "true_alarm_share",
        "prevalence forgotten",
        lambda d, f, p: d / (d + f),
        "prevalence is missing",
    ),
    (
        "true_alarm_share",
        "false alarms among all",
        lambda d, f, p: d * p / (d * p + f),
        "among normal images only",
    ),
    (
        "true_alarm_share",
        "false ones counted",
        lambda d, f, p: f * (1 - p) / (f * (1 - p) + d * p),
        "alarms that are false",
    ),
    ("true_alarm_share", "something else", lambda d, f, p: 1 - f, "group by group"),
    (
        "nearest_score",
        "farthest, not nearest",
        lambda q, n, k: torch.cdist(q, n).topk(k, dim=1).values.mean(1),
        "largest=False",
    ),
    (
        "nearest_score",
        "sign reversed",
        lambda q, n, k: -k_smallest(q, n, k).mean(1),
        "sign is reversed",
    ),
    (
        "nearest_score",
        "k-th neighbor alone",
        lambda q, n, k: k_smallest(q, n, k)[:, -1],
        "k-th nearest alone",
    ),
    (
        "nearest_score",
        "squared",
        lambda q, n, k: k_smallest(q, n, k).square().mean(1),
        "squared distances",
    ),
    ("nearest_score", "k ignored", lambda q, n, k: torch.cdist(q, n).min(1).values, "alone"),
    ("nearest_score", "k fixed", lambda q, n, k: k_smallest(q, n, 3).mean(1), "with k = 1"),
    (
        "nearest_score",
        "mean over the wrong dimension",
        lambda q, n, k: k_smallest(q, n, k).mean(0),
        "which dimension",
    ),
    ("calibrate", "sorts its input", sorted_in_place, "changes what it is given (v)"),
    (
        "calibrate",
        "normal distribution assumed",
        lambda v, t, r: v.mean() + norm.ppf(1 - r) * v.std(),
        "rate of 0.2",
    ),
    (
        "calibrate",
        "rate in percent",
        lambda v, t, r: np.percentile(v, 1 - r),
        "rate of 0.05",
    ),
    ("calibrate", "the rate itself", lambda v, t, r: 1 - r, "rate of 0.05"),
    (
        "calibrate",
        "no higher than the test scores",
        lambda v, t, r: min(np.quantile(v, 1 - r), t.max()),
        "test scores",
    ),
    (
        "auroc_with_ties",
        "one pair too many",
        lambda n, a: metrics.auroc(n, a) * len(n) * len(a) / (len(n) * len(a) + 1),
        "without any ties",
    ),
    (
        "auroc_with_ties",
        "percent",
        lambda n, a: 100 * metrics.auroc(n, a),
        "share of all pairs",
    ),
    (
        "auroc_with_ties",
        "halves only where all scores agree",
        lambda n, a: 0.5 if np.ptp(np.r_[n, a]) == 0 else np.greater(*pairs(n, a)).mean(),
        "A tie adds one half",
    ),
    (
        "true_alarm_share",
        "share of all images",
        lambda d, f, p: d * p,
        "share of all images",
    ),
    (
        "true_alarm_share",
        "percent",
        lambda d, f, p: 100 * counted_among(1)(d, f, p),
        "a percentage",
    ),
    (
        "true_alarm_share",
        "whole images only",
        lambda d, f, p: int(1000 * d * p) / (int(1000 * d * p) + int(1000 * f * (1 - p))),
        "group by group",
    ),
    (
        "nearest_score",
        "sum",
        lambda q, n, k: k_smallest(q, n, k).sum(1),
        "with k = 3",
    ),
    (
        "nearest_score",
        "itself left out",
        lambda q, n, k: k_smallest(q, n, min(k + 1, len(n)))[:, 1:].mean(1),
        "with k = 3",
    ),
    (
        "nearest_score",
        "city blocks",
        lambda q, n, k: torch.cdist(q, n, p=1).topk(k, largest=False).values.mean(1),
        "with k = 3",
    ),
    (
        "nearest_score",
        "at most ten of five numbers",
        lambda q, n, k: (
            torch.cdist(q, n).topk(min(k, 5) if len(n) < 10 else k, largest=False).values.mean(1)
        ),
        "Do not fix how many",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("auroc_with_ties", metrics.auroc),
    ("calibrate", lambda v, t, r: np.percentile(v, 100 * (1 - r))),
    ("calibrate", lambda v, t, r: np.quantile(v, 1 - r, method="higher")),
    ("calibrate", lambda v, t, r: np.sort(v)[int((1 - r) * len(v))]),
    ("calibrate", lambda v, t, r: torch.quantile(torch.from_numpy(v), 1 - r)),
    ("calibrate", lambda v, t, r: -np.quantile(-v, r)),
    ("calibrate", lambda v, t, r: sorted(v, reverse=True)[int(r * len(v))]),
    ("auroc_with_ties", lambda n, a: roc_auc_score([0] * len(n) + [1] * len(a), np.r_[n, a])),
    ("auroc_with_ties", lambda n, a: mannwhitneyu(a, n).statistic / (len(n) * len(a))),
    ("auroc_with_ties", lambda n, a: (np.sign(np.subtract(*pairs(n, a))).mean() + 1) / 2),
    ("auroc_with_ties", area_of_trapezoids),
    ("auroc_with_ties", by_searching),
    (
        "auroc_with_ties",
        lambda n, a: sum((x > y) + (x == y) / 2 for x in a for y in n) / (len(a) * len(n)),
    ),
    ("true_alarm_share", counted_among(1)),
    ("true_alarm_share", counted_among(1000)),
    ("true_alarm_share", lambda d, f, p: np.array(counted_among(1)(d, f, p))),
    ("true_alarm_share", lambda d, f, p: torch.tensor(counted_among(10)(d, f, p))),
    ("true_alarm_share", lambda d, f, p: 1 / (1 + f * (1 - p) / (d * p))),
    ("true_alarm_share", lambda d, f, p: 1 - f * (1 - p) / (f + p * (d - f))),
    ("nearest_score", in_a_loop),
    ("nearest_score", lambda q, n, k: torch.cdist(q, n).sort(dim=1).values[:, :k].mean(1)),
    ("nearest_score", lambda q, n, k: -(-torch.cdist(q, n)).topk(k).values.mean(1)),
    (
        "nearest_score",
        lambda q, n, k: (q[:, None] - n[None]).square().sum(2).sqrt().sort().values[:, :k].mean(1),
    ),
    ("nearest_score", lambda q, n, k: np.sort(torch.cdist(q, n), axis=1)[:, :k].mean(axis=1)),
    (
        "nearest_score",
        lambda q, n, k: NearestNeighbors(n_neighbors=k).fit(n).kneighbors(q)[0].mean(axis=1),
    ),
]
