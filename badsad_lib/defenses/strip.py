"""STRIP: a trigger keeps its power over whatever is added to the image.

Gao et al., "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks" (ACSAC 2019,
arXiv 1902.06531, section 4). There, predictions of a triggered input stay certain under strong
perturbation. Here, without classes: its anomaly score stays low when a clean anomaly is
laid over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from badsad_lib._rules import Count, Positive
from badsad_lib.defenses.protocols import InputDefense, Scores
from badsad_lib.detectors import comparable
from badsad_lib.images import to_float


@dataclass
class Strip(InputDefense):
    """Lay clean anomalies over an input: if its score stays low, something holds it down.

    Suspicion is minus the mean log score of the overlaid images (of a detector that is no
    DeepSAD, the mean score, which may be negative).

    **Who can run it:** the buyer. **Needs** scores only, trusted normals, and clean anomalies
    (10 at least, several times as many to choose from are better). **Costs** ``overlays``
    scorings an image, and once one scoring of a trusted normal for each pair.

    The original draws its overlays at random. Here they are chosen: those under which the fewest
    trusted normals still pass. A dress over a T-shirt leaves a T-shirt, and nothing to go by.

    **Where it fails.** A faint trigger is drowned by the overlay. Where no anomaly at hand turns
    normal images into anomalies, it is as good as its luck.

    Parameters
    ----------
    overlays
        Anomalies laid over each image.
    weight
        Of the anomaly: the result is image + weight * anomaly, cut off at 1, as the original's
        superposition. 1 was held against 0.5 on the validation images of patch victims
        (normal classes 0 and 1) and a blend victim (class 0).
    """

    overlays: Count = 10
    weight: Positive = 1.0

    TRIED: ClassVar[int] = 40  # trusted normals that overlays are tried on

    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        if anomalies is None or len(anomalies) < self.overlays:
            got = 0 if anomalies is None else len(anomalies)
            raise ValueError(
                f"STRIP needs {self.overlays} clean anomalies to lay over the images, got {got}: "
                "fit(detector, trusted_images, anomalies)"
            )
        anomalies, some = to_float(anomalies), to_float(trusted[: self.TRIED])
        # High where even the most normal-looking trusted images turn into anomalies.
        lowest = [np.quantile(self._scores(some, anomaly), 0.05) for anomaly in anomalies]
        self._anomalies = anomalies[np.argsort(lowest)[-self.overlays :].copy()]

    def _scores(self, images: Tensor, anomaly: Tensor) -> Scores:
        overlaid = (images + self.weight * anomaly.to(images)).clamp(0, 1)
        return self.detector_.decision_function(overlaid)

    def _suspicion(self, images: Tensor) -> Scores:
        images = to_float(images)
        total = np.zeros(len(images))
        for anomaly in self._anomalies:
            total -= comparable(self.detector_, self._scores(images, anomaly))
        return total / self.overlays
