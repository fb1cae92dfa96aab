"""What detectors share, whatever they score with: parameters, and a threshold.

Nothing here trains or scores. :class:`Thresholded` turns scores into verdicts, for any detector;
:class:`Detector` adds what scikit-learn asks of an estimator, for those of this library.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from torch import Tensor

from badsad_lib.metrics import FINITE, threshold_at


class Thresholded(ABC):
    """Scores, and a threshold above which an image counts as an anomaly.

    Attributes
    ----------
    quantile_ : float or None
        The quantile that ``threshold_`` is, set and cleared together with it; None for a
        threshold that was set by hand.
    """

    quantile_: float | None
    _threshold: float | None

    @abstractmethod
    def decision_function(self, images: Tensor | np.ndarray) -> np.ndarray:
        """Anomaly scores (N,) of images (N, C, H, W), **higher is more anomalous**."""

    @property
    def threshold_(self) -> float | None:
        """Score above which :meth:`predict` says anomaly; set by :meth:`calibrate`, else None."""
        return self._threshold

    @threshold_.setter
    def threshold_(self, value: float | None) -> None:
        self._threshold = None if value is None else float(FINITE("threshold_", value))
        self.quantile_ = None  # whoever sets the one knows the other

    def calibrate(self, images: Tensor | np.ndarray, quantile: float = 0.95) -> Self:
        """Set ``threshold_`` to the ``quantile`` of the scores of held-out normal images."""
        self.threshold_ = threshold_at(self.decision_function(images), quantile)
        self.quantile_ = float(quantile)
        return self

    def predict(self, images: Tensor | np.ndarray) -> np.ndarray:
        """1 where the score is above ``threshold_`` (anomaly), else 0; (N,) integers.

        Raises
        ------
        RuntimeError
            No threshold yet.
        """
        if self.threshold_ is None:
            raise RuntimeError(
                "no threshold yet: call calibrate(val_images, quantile=0.95) before predict"
            )
        return (self.decision_function(images) > self.threshold_).astype(np.int64)


class Detector(Thresholded):
    """A detector with parameters in its constructor, all by keyword, each kept under its name."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether there is a detector to score with."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor parameters: ``type(detector)(**detector.get_params())`` is an unfitted copy.

        ``deep`` is scikit-learn's and changes nothing: no parameter has parameters of its own.
        """
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Set some constructor parameters, checked as the constructor does; all or none.

        Raises
        ------
        ValueError
            An unknown name, or a value that the constructor refuses.
        """
        known = self.get_params()
        if unknown := sorted(params.keys() - known.keys()):
            raise ValueError(f"no parameter {unknown[0]!r}; choose one of {list(known)}")
        for name, value in type(self)(**{**known, **params}).get_params().items():
            setattr(self, name, value)
        return self

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {name: one.default for name, one in inspect.signature(cls).parameters.items()}

    def __repr__(self) -> str:
        """Return the parameters that differ from the defaults, and whether it is fitted."""
        defaults = self._defaults()
        changed = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items() if v != defaults[k])
        state = "fitted" if self.is_fitted else "not fitted"
        return f"{type(self).__name__}({changed}) [{state}]"

    def _require_fit(self, doing: str) -> None:
        if not self.is_fitted:
            name = type(self).__name__
            raise RuntimeError(
                f"this {name} is not fitted: call fit(images, semi_labels) before {doing}"
            )

    def predict(self, images: Tensor | np.ndarray) -> np.ndarray:
        """1 where the score is above ``threshold_`` (anomaly), else 0; (N,) integers.

        Raises
        ------
        RuntimeError
            Not fitted, or no threshold yet.
        """
        self._require_fit("predict")
        return super().predict(images)
