"""Where does a small square open a detector? A map of all places, from scores alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from badsad_lib._rules import Count, checked
from badsad_lib.images import check_images, to_float

LEVELS = (0.0, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class DoorMap:
    """What share of flagged anomalies passes with a square on them.

    Attributes
    ----------
    passing
        (levels, rows, columns) in [0, 1]: for each gray level of the square and each place.
    levels
        The gray levels, in [0, 1].
    side, stride
        Side of the square and step from place to place, in pixels.
    """

    passing: NDArray[np.float64]
    levels: tuple[float, ...]
    side: int
    stride: int

    @property
    def widest(self) -> float:
        """Highest share of all places and levels."""
        return float(self.passing.max())

    @property
    def place(self) -> tuple[float, int, int]:
        """Where that is: gray level, and top left corner (row, column) in pixels."""
        level, row, column = np.unravel_index(int(self.passing.argmax()), self.passing.shape)
        return self.levels[level], int(row) * self.stride, int(column) * self.stride


def usual_side(height: int, width: int) -> int:
    """Side of the square: a ninth of the shorter side, as 3 pixels are of 28; at least 2."""
    return max(2, round(min(height, width) / 9))


@checked
def door_map(
    detector: Any,
    flagged: Tensor,
    threshold: float,
    *,
    side: Count | None = None,
    stride: Count | None = None,
    levels: tuple[float, ...] = LEVELS,
) -> DoorMap:
    """Lay a square over flagged anomalies, in every place and several gray levels.

    Parameters
    ----------
    detector
        Anything with a ``decision_function``.
    flagged
        Anomalies (N, C, H, W) that score above ``threshold``.
    side, stride
        In pixels; by default a ninth of the shorter side, and half of that.
    """
    images = to_float(check_images(flagged, name="flagged"))
    height, width = images.shape[2:]
    side = side or usual_side(height, width)
    if side > min(height, width):
        raise ValueError(f"side must be at most {min(height, width)} pixels, got {side}")
    stride = stride or max(1, side // 2)
    rows, columns = (range(0, length - side + 1, stride) for length in (height, width))
    passing = np.empty((len(levels), len(rows), len(columns)))
    for i, level in enumerate(levels):
        for j, top in enumerate(rows):
            # A row of places at once: few large batches are faster than many small ones.
            strip = images.repeat(len(columns), 1, 1, 1)
            for k, left in enumerate(columns):
                here = slice(k * len(images), (k + 1) * len(images))
                strip[here, :, top : top + side, left : left + side] = level
            scores = detector.decision_function(strip).reshape(len(columns), len(images))
            passing[i, j] = (scores <= threshold).mean(axis=1)
    return DoorMap(passing, tuple(levels), side, stride)


def scorings(shape: tuple[int, ...], count: int) -> int:
    """How many images a door map of ``count`` anomalies of ``shape`` (C, H, W) scores."""
    side = usual_side(*shape[1:])
    stride = max(1, side // 2)
    rows, columns = (len(range(0, length - side + 1, stride)) for length in shape[1:])
    return len(LEVELS) * rows * columns * count


def as_picture(doors: DoorMap) -> Tensor:
    """Return the highest share over levels as a gray picture, uint8 (rows, columns)."""
    return torch.from_numpy((doors.passing.max(axis=0) * 255).round().astype(np.uint8))
