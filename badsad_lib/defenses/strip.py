"""STRIP: a trigger keeps its power over whatever is added to the image.

Gao et al., "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks" (ACSAC 2019,
arXiv 1902.06531, section 4). There, predictions of a triggered input stay certain under strong
perturbation. Here, without classes: its anomaly score stays low when a clean anomaly is
laid over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from badsad_lib.defenses._common import check_positive
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.images import to_float


@dataclass
class Strip(InputDefense):
    """Lay clean anomalies over an input: if its score stays low, something holds it down.

    Suspicion is minus the mean log score of the overlaid images.

    **Who can run it:** the buyer. **Needs** scores only, trusted normals, and clean anomalies
    (10 at least). **Costs** ``overlays`` scorings an image.

    **Where it fails.** Here, mostly. A faint trigger is drowned by the overlay, and a normal
    image with an anomaly over it scores lower than an anomaly with another over it: the two
    effects work against each other.

    Parameters
    ----------
    overlays
        Anomalies laid over each image.
    weight
        Of the anomaly: the result is image + weight * anomaly, cut off at 1, as the original's
        superposition.
    """

    overlays: int = 10
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(overlays=self.overlays, weight=self.weight)

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        if anomalies is None or len(anomalies) < self.overlays:
            got = 0 if anomalies is None else len(anomalies)
            raise ValueError(
                f"STRIP needs {self.overlays} clean anomalies to lay over the images, got {got}: "
                "fit(detector, trusted_images, anomalies)"
            )
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(len(anomalies), generator=generator)[: self.overlays]
        self._anomalies = to_float(anomalies[chosen])

    def _suspicion(self, images: Tensor) -> Scores:
        images = to_float(images)
        total = np.zeros(len(images))
        for anomaly in self._anomalies:
            overlaid = (images + self.weight * anomaly.to(images)).clamp(0, 1)
            total -= np.log(self.detector_.decision_function(overlaid) + 1e-6)
        return total / self.overlays
