"""Input purification: change the image a little, and see whether its score jumps.

ShrinkPad: Li et al., "Backdoor Attack in the Physical World" (arXiv 2104.02361): a trigger
that is moved or resized loses its power. Blurring: after Xu et al., "Feature Squeezing" (NDSS
2018, arXiv 1704.01155).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib.defenses._common import robust_scale
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.detectors import comparable
from badsad_lib.images import to_float


def blurred(images: Tensor) -> Tensor:
    """Mean of each pixel's 3x3 neighborhood, float (N, C, H, W) in [0, 1]."""
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def median_filtered(images: Tensor) -> Tensor:
    """Median of each pixel's 3x3 neighborhood, float (N, C, H, W) in [0, 1]."""
    n, channels, height, width = images.shape
    windows = F.unfold(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3)
    return windows.view(n, channels, 9, height, width).median(dim=2).values


def shrunk(images: Tensor, border: int, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Shrink by ``border`` pixels a side and put into a ``corner`` of an edge-padded image.

    ``corner`` is (0, 0) for top left to (1, 1) for bottom right.
    """
    height, width = images.shape[2:]
    small = F.interpolate(images, (height - border, width - border), mode="area")
    top, left = border * corner[0], border * corner[1]
    return F.pad(small, (left, border - left, top, border - top), mode="replicate")


PURIFIERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "blur": blurred,
    "median": median_filtered,
    "top left": lambda images: shrunk(images, images.shape[2] // 9, (0, 0)),
    "top right": lambda images: shrunk(images, images.shape[2] // 9, (0, 1)),
    "bottom left": lambda images: shrunk(images, images.shape[2] // 9, (1, 0)),
    "bottom right": lambda images: shrunk(images, images.shape[2] // 9, (1, 1)),
}
"""What is done to an image, by name: two blurs, and shrinking by a ninth into each corner."""


@dataclass
class Purification(InputDefense):
    """Score changed versions of the input, in units of what these do to normal images.

    Suspicion is the largest, over the purifiers, of the log score's distance above the trusted
    normals' median, in median absolute deviations: one that breaks the trigger is enough.

    **Who can run it:** the buyer. **Needs** scores only, and trusted normals; no anomalies.
    **Costs** one scoring an image for each of the six ``PURIFIERS``.

    **Where it fails.** A trigger that survives them, and above all one that was trained to. Where
    the changes move normal images much, too, a broken trigger does not stand out: how well it does
    depends on the normal class (``benchmarks/results/defense_inputs.csv``).

    How far to shrink, a ninth, was held against a fourteenth and a sixth on the validation images
    of patch victims (normal classes 0 and 1) and a blend victim (class 0).
    """

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        self._scale = robust_scale(self._logs(trusted))

    def _logs(self, images: Tensor) -> Tensor:
        images = to_float(images)
        scores = [self.detector_.decision_function(p(images)) for p in PURIFIERS.values()]
        return torch.from_numpy(comparable(self.detector_, np.stack(scores, axis=1)))

    def _suspicion(self, images: Tensor) -> Scores:
        median, deviation = self._scale
        return ((self._logs(images) - median) / deviation).amax(dim=1).double().numpy()
