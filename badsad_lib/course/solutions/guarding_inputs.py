"""Solutions of lesson 8, guarding inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def set_alarm(
    scores: Mapping[str, np.ndarray],
    suspicion: Mapping[str, np.ndarray],
    limit: float,
    rate: float,
) -> float:
    """Return the suspicion of conformal rank among trusted images that the detector passes."""
    passes = scores["trusted"] <= limit
    ordered = np.sort(suspicion["trusted"][passes])
    rank = math.ceil((len(ordered) + 1) * (1 - rate))
    return float(ordered[min(rank, len(ordered)) - 1])


def median_filter(images: Tensor, size: int) -> Tensor:
    """Return the median of the ``size`` x ``size`` pixels around each pixel, channel by channel."""
    edged = torch.nn.functional.pad(images, (size // 2,) * 4, mode="replicate")
    windows = edged.unfold(2, size, 1).unfold(3, size, 1)
    return windows.flatten(4).median(dim=4).values
