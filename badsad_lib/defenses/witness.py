"""A witness: what a few directions of trusted images' pixels cannot rebuild.

Principal components as a detector of their own: the squared prediction error of process control
(Jackson and Mudholkar, Technometrics 1979). Its worth here is not that it detects well, but that
nobody else has had a hand in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from badsad_lib._rules import Count, Flag
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.images import to_float


@dataclass
class Witness(InputDefense):
    """Rebuild an image from a few directions in which trusted images differ; suspect the rest.

    Suspicion is the squared error of what is rebuilt: its mean over all values of an image, or
    the largest of them. A normal image has little of either, wherever it comes from.

    **Who can run it:** anybody, on training images as well as at the door: the detector is asked
    for nothing but which trusted normals it passes. **Needs** trusted normals, more than
    ``directions`` in each fold. **Costs** one decomposition and one product of matrices.

    **Where it fails.** A faint trigger that covers the image is lost in what ten directions
    cannot rebuild of any image. As a detector it is crude, and an anomaly that looks normal to it
    passes, with or without a trigger.

    Parameters
    ----------
    directions
        How many are kept, the strongest first. At most as many as there are trusted images in a
        training fold.
    worst_pixel
        Go by the worst value alone: for small triggers among many images. The mean is for
        anomalies, which are off in many places.
    """

    directions: Count = 10
    worst_pixel: Flag = False

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        known = to_float(trusted).flatten(1)
        self._mean = known.mean(dim=0)
        _, _, directions = torch.linalg.svd(known - self._mean, full_matrices=False)
        self._known = directions[: self.directions]

    def leftover(self, images: Tensor) -> Tensor:
        """Return squared errors (N, C, H, W) of images (N, C, H, W), at least 0."""
        parts = to_float(images).flatten(1) - self._mean.to(images.device)
        known = self._known.to(parts)
        return (parts - parts @ known.T @ known).square().view(images.shape)

    def _suspicion(self, images: Tensor) -> Scores:
        left = self.leftover(images).flatten(1)
        left = left.amax(dim=1) if self.worst_pixel else left.mean(dim=1)
        suspicion: Scores = left.double().cpu().numpy()
        return suspicion
