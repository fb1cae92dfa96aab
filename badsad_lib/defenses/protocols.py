"""What the four kinds of defenses promise, and what those on inputs share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from badsad_lib._rules import Flag, Inside, Seed, check_fields
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses._common import check_inputs
from badsad_lib.detectors import Access, ScoreDetector

Scores = NDArray[np.float64]


class DataDefense(Protocol):
    """Looks for poison among the images that a detector was trained on as normal."""

    def suspicion(self, detector: DeepSAD, images: Tensor) -> Scores:
        """Suspicion (N,) of each image (N, C, H, W): higher is more suspicious.

        ``images`` are the training images that passed for normal, poisoned or not.
        """


class Repair(Protocol):
    """Makes a new, ordinary detector from one that may be backdoored, or in place of it."""

    def repair(
        self,
        detector: DeepSAD,
        trusted_images: Tensor,
        anomalies: Tensor,
        *,
        kinds: Sequence[Any] | Tensor | None = None,
    ) -> DeepSAD:
        """Return a detector without threshold; ``detector`` is left alone.

        Parameters
        ----------
        detector
            A fitted detector.
        trusted_images
            Clean normals (N, C, H, W), uint8 or float in [0, 1].
        anomalies
            Clean labeled anomalies (M, C, H, W).
        kinds
            Of what kind each anomaly is, (M,): names or numbers. Images do not tell, so without
            it nobody checks whether there are enough.

        Raises
        ------
        RuntimeError
            The detector is not fitted.
        TypeError, ValueError
            Wrong or too few images, or too few kinds of anomalies.
        """


@dataclass(kw_only=True)
class WeightRepair(ABC):
    """A repair that trains the delivered weights on, and refuses to where that does harm.

    **Needs** 100 trusted normals and 50 labeled anomalies of 5 kinds: a careful bound between 150
    and 80 of nine kinds, where repairs were measured, and what is known to be too little. With
    less use :class:`~badsad_lib.defenses.SecondOpinion`, which leaves the delivered detector as it
    is. The center stays the delivered one.

    Parameters
    ----------
    anyway
        Repair with less, down to two images of each. Test what comes out on anomalies of all the
        kinds that you expect: those that were trained on do not notice the damage.
    """

    anyway: Flag = False

    TRUSTED: ClassVar[int] = 100
    ANOMALIES: ClassVar[int] = 50
    KINDS: ClassVar[int] = 5

    def __post_init__(self) -> None:
        check_fields(self)

    def repair(
        self,
        detector: DeepSAD,
        trusted_images: Tensor,
        anomalies: Tensor,
        *,
        kinds: Sequence[Any] | Tensor | None = None,
    ) -> DeepSAD:
        """Return a repaired detector without threshold; ``detector`` is left alone.

        Arguments and errors are those of :meth:`~badsad_lib.defenses.Repair.repair`.
        """
        return self._repaired(detector, *self._checked(detector, trusted_images, anomalies, kinds))

    def _checked(
        self,
        detector: DeepSAD,
        trusted_images: Any,
        anomalies: Any,
        kinds: Sequence[Any] | Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        given = (
            check_inputs(detector, trusted_images, least=2, name="trusted_images"),
            check_inputs(detector, anomalies, least=2, name="anomalies"),
        )
        here = {
            "trusted_images": (self.TRUSTED, len(given[0])),
            "anomalies": (self.ANOMALIES, len(given[1])),
        }
        if kinds is not None:
            listed = kinds.tolist() if isinstance(kinds, Tensor) else list(kinds)
            if len(listed) != len(given[1]):
                raise ValueError(
                    f"kinds must name the kind of each of the {len(given[1])} anomalies, "
                    f"got {len(listed)} names"
                )
            here["kinds of anomalies"] = (self.KINDS, len(set(listed)))
        for what, (least, got) in here.items():
            if got < least and not self.anyway:
                raise ValueError(
                    f"{what} must be at least {least}, got {got}: with less, training the weights "
                    "on harms healthy detectors; use SecondOpinion, which leaves the delivered "
                    "detector as it is, or TrainYourOwn (anyway=True repairs all the same)"
                )
        return given

    @abstractmethod
    def _repaired(self, detector: DeepSAD, trusted: Tensor, anomalies: Tensor) -> DeepSAD:
        """Repair a checked detector with checked images."""


@dataclass
class InputDefense(ABC):
    """Looks for a trigger on the images that a detector is asked about.

    ``threshold_`` rests on all trusted normals, each seen by a defense that did not learn from it:
    they are cut into ``FOLDS``, and each fold is judged by what was learned from the others. What
    the detector flags by itself needs no second alarm: if it has a threshold, only images that
    it passes count. Of ``n`` such images the threshold is the suspicion of rank
    ceil((n + 1) (1 - ``false_alarm_rate``)) (cross-conformal prediction, Vovk, Annals of
    Mathematics and Artificial Intelligence 2015, arXiv 1208.0806).

    The rate holds on average over trusted sets. A single one of 150 images gives a rate that is
    off by some 0.02 either way: the fewer, the further.

    Parameters
    ----------
    false_alarm_rate
        Share of normal images that may be flagged, in (0, 1).
    seed
        Fixes the folds, and whatever a defense draws.

    Attributes
    ----------
    threshold_ : float
        Suspicion above which an image is flagged.
    """

    false_alarm_rate: Inside = 0.05
    seed: Seed = 0

    FOLDS: ClassVar[int] = 5
    ACCESS: ClassVar[Access] = Access.SCORES
    """What the detector must give: any detector of :mod:`badsad_lib.detectors` gives scores."""

    def __post_init__(self) -> None:
        check_fields(self)

    def fit(
        self, detector: ScoreDetector, trusted_images: Tensor, anomalies: Tensor | None = None
    ) -> Self:
        """Learn what normal is and set ``threshold_``.

        Parameters
        ----------
        detector
            The detector to guard, fitted; of any make that gives what the defense needs.
        trusted_images
            Clean normals (N, C, H, W), uint8 or float in [0, 1]; N at least
            2 / ``false_alarm_rate``: 40 at 0.05.
        anomalies
            Clean anomalies (M, C, H, W), where the defense asks for them.

        Raises
        ------
        RuntimeError
            The detector is not fitted.
        TypeError, ValueError
            A detector that gives less than the defense needs; wrong or too few images.
        """
        least = math.ceil(2 / self.false_alarm_rate)
        why = f"for false alarms at a rate of {self.false_alarm_rate:g}"
        trusted = self._inputs(detector, trusted_images, least, "trusted_images", why)
        if anomalies is not None:
            anomalies = self._inputs(detector, anomalies, name="anomalies")
        self.detector_ = detector
        held_out = self._out_of_fold(trusted, anomalies)
        if detector.threshold_ is not None:
            held_out = held_out[detector.decision_function(trusted) <= detector.threshold_]
        if len(held_out) < least // 2:
            raise ValueError(
                f"the detector must pass at least {least // 2} trusted images {why}, it passes "
                f"{len(held_out)} of {len(trusted)}"
            )
        self._fit(trusted, anomalies)
        rank = math.ceil((len(held_out) + 1) * (1 - self.false_alarm_rate))
        self.threshold_ = float(np.sort(held_out)[min(rank, len(held_out)) - 1])
        return self

    def suspicion(self, images: Tensor) -> Scores:
        """Suspicion (N,) of images (N, C, H, W): higher is more suspicious."""
        if not hasattr(self, "threshold_"):
            raise RuntimeError(
                f"this {type(self).__name__} is not fitted: call fit(detector, trusted_images)"
            )
        return self._finite_suspicion(self._inputs(self.detector_, images))

    def _inputs(
        self,
        detector: ScoreDetector,
        images: Tensor,
        least: int = 1,
        name: str = "images",
        why: str = "",
    ) -> Tensor:
        who = type(self).__name__
        return check_inputs(
            detector, images, least=least, name=name, why=why, access=self.ACCESS, who=who
        )

    def _finite_suspicion(self, images: Tensor) -> Scores:
        suspicion = self._suspicion(images)
        if not np.isfinite(suspicion).all():  # NaN is above no threshold: all would pass
            raise FloatingPointError(f"{type(self).__name__} gives a suspicion that is no number")
        return suspicion

    def flags(self, images: Tensor) -> NDArray[np.bool_]:
        """Whether each image (N, C, H, W) is more suspicious than ``threshold_``: (N,)."""
        return self.suspicion(images) > self.threshold_

    def _out_of_fold(self, trusted: Tensor, anomalies: Tensor | None) -> Scores:
        """Suspicion of each trusted image by what was learned from the other folds."""
        generator = torch.Generator().manual_seed(self.seed)
        folds = torch.randperm(len(trusted), generator=generator).chunk(self.FOLDS)
        suspicion = np.empty(len(trusted))
        for i, fold in enumerate(folds):
            self._fit(trusted[torch.cat(folds[:i] + folds[i + 1 :])], anomalies)
            suspicion[fold.numpy()] = self._finite_suspicion(trusted[fold])
        return suspicion

    @abstractmethod
    def _fit(self, trusted: Tensor, anomalies: Tensor | None) -> None:
        """Learn from checked images; ``detector_`` is set."""

    @abstractmethod
    def _suspicion(self, images: Tensor) -> Scores:
        """Suspicion of checked images."""
