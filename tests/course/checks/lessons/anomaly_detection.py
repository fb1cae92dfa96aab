"""What readers of lesson 1 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from badsad_lib import metrics

LESSON = "1_anomaly_detection"


def pairs(normal: np.ndarray, anomaly: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return anomaly[:, None], normal[None, :]


def k_smallest(q: torch.Tensor, n: torch.Tensor, k: int) -> torch.Tensor:
    return torch.cdist(q, n).topk(k, dim=1, largest=False).values


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
]

ALSO_RIGHT = [("auroc_with_ties", metrics.auroc)]
