"""Purification by reconstruction: a small network takes off what does not belong to an image.

After Liu et al., "Neural Trojans" (ICCD 2017, arXiv 1710.00942), where an
autoencoder stands before the model. Here it is a denoising one (Vincent et al., ICML 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from badsad_lib._rules import Count, Positive
from badsad_lib.deepsad import SCORING_BATCH
from badsad_lib.defenses.disturbances import disturb
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.detectors import device_of
from badsad_lib.images import to_float
from badsad_lib.networks import generator_of, layer

CELL, WIDTH = 4, 32


class Cleaner(nn.Module):
    """Four convolutions over cells of 4x4 pixels, which say what to add to an image."""

    def __init__(self, channels: int, seed: int | torch.Generator = 0) -> None:
        super().__init__()
        ends = (channels * CELL**2, WIDTH, WIDTH, WIDTH, channels * CELL**2)
        generator = generator_of(seed)
        self.convs = nn.ModuleList(
            layer(nn.Conv2d, generator, a, b, 3, padding=1) for a, b in pairwise(ends)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to the same."""
        height, width = images.shape[2:]
        if height % CELL or width % CELL:
            padding = (0, -width % CELL, 0, -height % CELL)
            return self(F.pad(images, padding, mode="replicate"))[:, :, :height, :width]
        x = F.pixel_unshuffle(images, CELL)
        for i, conv in enumerate(self.convs):
            x = conv(F.relu(x) if i else x)
        return (images + F.pixel_shuffle(x, CELL)).clamp(0, 1)


@dataclass
class Reconstruction(InputDefense):
    """Score what a denoising network makes of the input.

    The network learns to give back clean images from disturbed ones
    (:func:`~badsad_lib.defenses.disturb`). Suspicion is the score of what it gives back: an
    anomaly without its trigger scores high.

    **Who can run it:** the buyer. **Needs** scores only, trusted normals, and clean anomalies if
    there are any: without them the network makes anomalies more normal. **Costs** three
    trainings of ``steps`` steps, some ten seconds, then one scoring an image.

    **Where it fails.** It learns a guessed family of triggers, and to paint over a patch it would
    have to know what is behind. An anomaly that scores low without its trigger passes here, too.

    Parameters
    ----------
    steps, lr, batch_size
        Adam with a learning rate that falls along a cosine. Chosen on the validation images of a
        patch victim, normal class 0, for a fit within some ten seconds: more steps tell more.
    """

    steps: Count = 250
    lr: Positive = 5e-3
    batch_size: Count = 64

    # Each fold is a training.
    FOLDS: ClassVar[int] = 2

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        clean = to_float(trusted)
        if anomalies is not None:
            clean = torch.cat([clean, to_float(anomalies)])
        device = device_of(self.detector_)
        self._cleaner = Cleaner(clean.shape[1], self.seed).to(device)
        optimizer = torch.optim.Adam(self._cleaner.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(self.seed)
        for _ in range(self.steps):
            picks = clean[torch.randint(len(clean), (self.batch_size,), generator=generator)]
            loss = F.mse_loss(self._cleaner(disturb(picks, generator).to(device)), picks.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) as the fitted network gives them back, float in [0, 1]."""
        device = device_of(self.detector_)
        with torch.no_grad():
            parts = [self._cleaner(b.to(device)) for b in to_float(images).split(SCORING_BATCH)]
        return torch.cat(parts)

    def _suspicion(self, images: Tensor) -> Scores:
        scores: Scores = self.detector_.decision_function(self.reconstruct(images)).astype(float)
        return scores
