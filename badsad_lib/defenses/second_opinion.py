"""A second opinion: the delivered detector as it is, beside one's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from badsad_lib._rules import Inside, checked
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import check_inputs
from badsad_lib.defenses.own import TrainYourOwn
from badsad_lib.metrics import threshold_at

Scores = NDArray[np.float64]


@dataclass
class SecondOpinion:
    """The larger of two scores, the delivered detector's and one's own, in units of thresholds.

    What is to be passed has to pass both: a trigger that opens the delivered detector has to
    open one that its maker has never seen.

    **Who can run it:** any buyer who can ask the delivered detector for scores; its weights stay
    as they are. **Needs** 20 trusted normals for one's own detector, and labeled anomalies as far
    as there are any; anomalies made from the normals stand beside them. Held-out normals for the
    threshold, as any detector does. **Costs** the training of one's own, and twice the scoring.

    **Where it fails.** It flags what either flags, so at a given rate of false alarms each of the
    two has a higher threshold than alone; against a trigger that opens the delivered detector it
    is no stronger than one's own at its higher threshold. So a border passes in part at the 0.99
    quantile, on some normal classes or where one's own had 20 images of each kind
    (``benchmarks/results/repair.csv``). On healthy detectors it cost little or no AUROC there.

    Parameters
    ----------
    own
        How one's own detector is trained.

    Attributes
    ----------
    delivered_, own_ : DeepSAD
        The two that are asked. The delivered one is never changed.
    units_ : tuple of float
        Their thresholds: a score of 1 is where one of the two begins to flag.
    threshold_ : float or None
        Set by :meth:`calibrate`, with the units, at ``quantile_``.
    """

    own: TrainYourOwn = field(default_factory=lambda: TrainYourOwn(synthetic=150))

    def fit(
        self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor | None = None
    ) -> Self:
        """Train one's own detector.

        Parameters
        ----------
        detector
            The delivered detector, fitted. It is asked as it is; nothing is taken over from it
            but its architecture.
        trusted_images, anomalies
            As in :meth:`TrainYourOwn.repair <badsad_lib.defenses.TrainYourOwn.repair>`.
        """
        self.own_ = self.own.repair(detector, trusted_images, anomalies)
        self.delivered_ = detector
        self.threshold_: float | None = None
        self.quantile_: float | None = None
        return self

    @checked
    def calibrate(self, images: Tensor, quantile: Inside = 0.95) -> Self:
        """Set units and ``threshold_`` from held-out normals (N, C, H, W), N at least 20.

        Not those that :meth:`fit` was given: one's own detector has been trained on them.
        """
        self._require_fit("calibrate")
        images = check_inputs(self.delivered_, images, least=20)
        both = self._both(images)
        self.units_ = (threshold_at(both[0], quantile), threshold_at(both[1], quantile))
        self.threshold_ = threshold_at(self._larger(both), quantile)
        self.quantile_ = quantile
        return self

    def decision_function(self, images: Tensor) -> Scores:
        """Anomaly scores (N,) of images (N, C, H, W), in [0, inf), higher is more anomalous."""
        self._require_fit("decision_function")
        if self.threshold_ is None:
            raise RuntimeError(
                "the two scores have no common unit yet: call calibrate(val_images, quantile=0.95) "
                "with normals that neither detector was trained on"
            )
        return self._larger(self._both(images))

    def predict(self, images: Tensor) -> NDArray[np.int64]:
        """1 where the score is above ``threshold_`` (anomaly), else 0; (N,) integers."""
        return (self.decision_function(images) > (self.threshold_ or 0)).astype(np.int64)

    def _both(self, images: Tensor) -> tuple[Scores, Scores]:
        return self.delivered_.decision_function(images), self.own_.decision_function(images)

    def _larger(self, both: tuple[Scores, Scores]) -> Scores:
        return np.maximum(both[0] / self.units_[0], both[1] / self.units_[1])

    def _require_fit(self, doing: str) -> None:
        if not hasattr(self, "own_"):
            raise RuntimeError(
                f"this SecondOpinion is not fitted: call fit(detector, trusted_images) before "
                f"{doing}"
            )
