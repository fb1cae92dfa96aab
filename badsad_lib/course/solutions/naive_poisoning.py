"""Solutions of lesson 4, naive poisoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch


def measure_asr(scores: Mapping[str, np.ndarray], quantile: float) -> float:
    """Return the ASR at a quantile of the scores of the validation normals."""
    threshold = np.quantile(scores["validation normals"], quantile)
    flagged = scores["anomalies"] > threshold
    passes = scores["triggered anomalies"] <= threshold
    return float(passes[flagged].mean())


def poison_seen(batches: Sequence[torch.Tensor], mask: torch.Tensor) -> tuple[float, float]:
    """Return poisoned images a batch, and how often each poisoned image (N,) was seen."""
    seen = sum(int(mask[batch].sum()) for batch in batches)
    return seen / len(batches), seen / int(mask.sum())
