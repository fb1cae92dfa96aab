"""Solutions of lesson 1, anomaly detection."""

from __future__ import annotations

import numpy as np
import torch


def calibrate(
    validation_scores: np.ndarray, test_scores: np.ndarray, false_alarm_rate: float
) -> float:
    """Return the threshold above which a share ``false_alarm_rate`` of held-out normals lies."""
    return float(np.quantile(validation_scores, 1 - false_alarm_rate))


def nearest_score(queries: torch.Tensor, normals: torch.Tensor, k: int) -> torch.Tensor:
    """Return the mean distance (N,) of each query (N, D) to its ``k`` nearest of (M, D)."""
    distances = torch.cdist(queries, normals)
    return distances.topk(k, dim=1, largest=False).values.mean(dim=1)
