"""Frequency detector: a trigger leaves traces in the image's spectrum.

Zeng et al., "Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective" (ICCV 2021,
arXiv 2104.03413, section 4): a classifier of discrete cosine transforms, clean images against
the same images with made-up triggers on them. A linear one here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from badsad_lib._rules import Count
from badsad_lib.defenses.disturbances import disturb
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.images import to_float


def dct(images: Tensor) -> Tensor:
    """Orthonormal two-dimensional discrete cosine transform (type II) of (N, C, H, W)."""

    def basis(size: int) -> Tensor:
        places = (torch.arange(size) + 0.5) * math.pi / size
        waves = torch.cos(torch.arange(size).view(-1, 1) * places) * math.sqrt(2 / size)
        waves[0] /= math.sqrt(2)
        return waves.to(images)

    return basis(images.shape[2]) @ images @ basis(images.shape[3]).T


@dataclass
class Frequency(InputDefense):
    """Tell images with something on them by their spectrum, whatever the detector says.

    **Who can run it:** anybody. **Needs** trusted normals, and clean anomalies if there are any:
    without them, the spectrum of an anomaly may be taken for a trigger. The detector is asked
    for nothing but which trusted normals it passes. **Costs** one cosine transform an image.

    **Where it fails.** It learns a guessed family of triggers
    (:func:`~badsad_lib.defenses.disturb`). A small patch hardly shows in a spectrum, and what
    lies outside of the family may not show at all.

    Parameters
    ----------
    copies
        Disturbed versions of each clean image to learn from. 2 and 4 came to much the same on
        the validation images of patch victims (normal classes 0 and 1) and a blend victim
        (class 0).
    """

    copies: Count = 4

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        clean = to_float(trusted)
        if anomalies is not None:
            clean = torch.cat([clean, to_float(anomalies)])
        generator = torch.Generator().manual_seed(self.seed)
        disturbed = disturb(clean.repeat(self.copies, 1, 1, 1), generator)
        labels = [0] * len(clean) + [1] * len(disturbed)
        classifier = LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
        self._classifier = make_pipeline(StandardScaler(), classifier)
        self._classifier.fit(self._spectra(torch.cat([clean, disturbed])), labels)

    def _spectra(self, images: Tensor) -> Scores:
        spectra = (dct(to_float(images)).abs() + 1e-3).log()
        return spectra.flatten(1).double().cpu().numpy()

    def _suspicion(self, images: Tensor) -> Scores:
        suspicion: Scores = self._classifier.decision_function(self._spectra(images))
        return suspicion
