"""Trigger inversion: the smallest change that hides any anomaly from a detector.

Wang et al., "Neural Cleanse" (IEEE S&P 2019, sections IV and V): search for the smallest mask
and pattern that lead every input to a class. A detector has one class to be led to: normal.
So there are no other classes to compare with, and the search on detectors known to be clean
takes their place.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from badsad_lib._rules import (
    Count,
    Gray,
    Inside,
    Positive,
    Seed,
    Share,
    check_fields,
    checked,
)
from badsad_lib.deepsad import DeepSAD, anomaly_score
from badsad_lib.defenses._common import check_given
from badsad_lib.defenses.own import TrainYourOwn, references
from badsad_lib.detectors import Access, GradientDetector, device_of
from badsad_lib.images import to_float
from badsad_lib.metrics import threshold_at
from badsad_lib.triggers import ImageTrigger

LEAST = (20, 10)
"""Trusted normals and anomalies that a search needs."""


@dataclass(frozen=True, eq=False)
class InvertedTrigger(ImageTrigger):
    """What a search found, itself a trigger.

    Attributes
    ----------
    mask
        (1, H, W) in [0, 1]: how much of each pixel is replaced.
    pattern
        (C, H, W) in [0, 1]: by what.
    size
        Mean of the mask, in (0, 1]: the share of the image that it takes.
    hidden
        Share of the anomalies given that score at most the threshold with it on.
    """

    mask: Tensor
    pattern: Tensor
    size: Share
    hidden: Gray

    def paint(self, images: Tensor) -> Tensor:
        """See :class:`~badsad_lib.triggers.ImageTrigger`."""
        mask, pattern = self.mask.to(images), self.pattern.to(images)
        return images * (1 - mask) + mask * pattern


@dataclass
class TriggerInversion:
    """Search for the smallest trigger that hides anomalies; a small one speaks of a backdoor.

    **Who can run it:** the buyer. **Needs** gradients of the score, 20 trusted normals (they set
    the threshold), 10 labeled anomalies, and, to judge the size, detectors known to be clean. Of
    the same architecture, data and normal class, or sizes say little: :class:`RelativeInversion`.
    **Costs** ``steps`` passes back and forth, some seconds a detector.

    **Where it fails.** A trigger that is not small as a mask, such as a faint change of the whole
    image, has to be hit in another guise. A normal class close to its anomalies makes for small
    masks without any backdoor. And a backdoor that hardly works has no trigger to find.

    Parameters
    ----------
    hidden
        Share of the anomalies that must pass, as a running mean over steps, in (0, 1); 0.9 here,
        0.99 in the original.
    steps, lr, views
        Adam, its learning rate, and anomalies in each step.
    seed
        Fixes the order of anomalies.
    quantile
        Of the trusted normals' scores, in (0, 1): anomalies are hidden at or below it. The
        higher, the less it takes to hide them.
    """

    hidden: Inside = 0.9
    steps: Count = 200
    lr: Positive = 0.2
    views: Count = 48
    seed: Seed = 0
    quantile: Inside = 0.95

    def __post_init__(self) -> None:
        check_fields(self)

    def search(
        self, detector: GradientDetector, trusted_images: Tensor, anomalies: Tensor
    ) -> InvertedTrigger:
        """Return the smallest trigger found; of ``size`` 1 (the whole image) where none hides.

        Parameters
        ----------
        detector
            A fitted detector that gives gradients, of whatever make; it is left alone.
        trusted_images
            Clean normals (N, C, H, W), at least 20. Anomalies are to score at most the
            ``quantile`` of theirs.
        anomalies
            Clean anomalies (M, C, H, W), at least 10.

        Raises
        ------
        RuntimeError
            The detector is not fitted.
        TypeError, ValueError
            A detector that gives scores only; wrong or too few images, or no anomaly that the
            detector flags.
        """
        trusted_images, anomalies = check_given(
            detector,
            trusted_images,
            anomalies,
            least=LEAST,
            access=Access.GRADIENTS,
            who=type(self).__name__,
        )
        tau = threshold_at(detector.decision_function(trusted_images), self.quantile)
        flagged = np.flatnonzero(detector.decision_function(anomalies) > tau)
        if len(flagged) == 0:
            raise ValueError("this detector flags none of the anomalies: nothing to hide")
        images = to_float(anomalies[flagged]).to(device_of(detector))
        return self._smallest(_excess(detector, anomalies[flagged], tau), images)

    def _smallest(self, excess: Callable[[Tensor], Tensor], images: Tensor) -> InvertedTrigger:
        mask_logits = torch.zeros(1, *images.shape[2:], device=images.device, requires_grad=True)
        logits = torch.zeros(images.shape[1:], device=images.device, requires_grad=True)
        optimizer = torch.optim.Adam([mask_logits, logits], lr=self.lr, betas=(0.5, 0.9))
        generator = torch.Generator().manual_seed(self.seed)
        best = InvertedTrigger(torch.ones(1, *images.shape[2:]), logits.detach().sigmoid(), 1.0, 0)
        price, passing = 1e-3, 0.0
        for _ in range(self.steps):
            plain = images[torch.randint(len(images), (self.views,), generator=generator)]
            mask, pattern = mask_logits.sigmoid(), logits.sigmoid()
            values = excess(plain * (1 - mask) + mask * pattern)
            passing = 0.7 * passing + 0.3 * float((values.detach() <= 0).float().mean())
            size = float(mask.detach().mean())
            if passing >= self.hidden and size < best.size:
                best = InvertedTrigger(mask.detach().clone(), pattern.detach().clone(), size, 0)
            # A little below the threshold is hidden well enough. The mask's price rises while
            # enough anomalies pass, and falls while they do not.
            loss = (values + 0.3).relu().mean() + price * mask.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            price = min(max(price * (1.12 if passing >= self.hidden else 0.9), 1e-4), 1.0)
        with torch.no_grad():
            share = float((excess(best(images)) <= 0).float().mean())
        return InvertedTrigger(best.mask.cpu(), best.pattern.cpu(), best.size, share)

    def statistic(
        self, detector: GradientDetector, trusted_images: Tensor, anomalies: Tensor
    ) -> float:
        """Size of the smallest trigger found, in (0, 1]: **lower** is more suspicious."""
        return self.search(detector, trusted_images, anomalies).size


def _excess(detector: GradientDetector, flagged: Tensor, tau: float) -> Callable[[Tensor], Tensor]:
    """Return how far images are above the threshold: a function of (N, C, H, W), 0 at ``tau``."""
    if isinstance(detector, DeepSAD):
        encoder = copy.deepcopy(detector.encoder_).eval().requires_grad_(False)
        center = detector.center_
        return lambda images: torch.log((anomaly_score(encoder(images), center) + 1e-9) / tau)
    # Scores of another make may be negative: in units of what the flagged ones are above it.
    unit = float(np.median(detector.decision_function(flagged))) - tau
    return lambda images: (detector.differentiable_scores(images).float() - tau) / unit


@checked
def relative_size(size: Positive, reference_sizes: Sequence[float]) -> float:
    """Size in units of the geometric mean of references' sizes: above 0, 1 means like theirs."""
    return float(size / np.exp(np.log(_checked(reference_sizes, 1)).mean()))


@dataclass
class RelativeInversion:
    """Search the delivered detector and one's own, and compare the sizes of what is found.

    What a size means depends on the normal class, the data and the architecture. Detectors of
    one's own (:func:`~badsad_lib.defenses.references`) share all three with the delivered one.
    They are trained on every second image that is given, and all are searched with the others: to
    images that it was trained on, a detector gives such scores that a search finds masks many
    times too large, and the more so, the fewer they are.

    **Who can run it:** the buyer. **Needs** the weights, 40 trusted normals and 20 labeled
    anomalies, and, to judge the number, the same of detectors known to be clean. **Costs**
    ``count`` trainings of one's own and ``count`` + 1 searches.

    **Where it fails.** Where :class:`TriggerInversion` fails. How often it flags clean detectors
    of which kind, and which victims it misses, is told by the table on inspections
    (:mod:`badsad_lib.grids.inspection`).

    Parameters
    ----------
    inversion
        The search.
    own, count
        How references are trained, and how many.
    """

    inversion: TriggerInversion = field(default_factory=lambda: TriggerInversion(quantile=0.99))
    own: TrainYourOwn = field(default_factory=TrainYourOwn)
    count: Count = 5

    def __post_init__(self) -> None:
        check_fields(self)

    def reference_sizes(
        self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor
    ) -> list[float]:
        """Return the sizes found on one's own detectors, which depend on the images alone."""
        given = self._given(detector, trusted_images, anomalies)
        training, looking = (tuple(images[start::2] for images in given) for start in (0, 1))
        return [
            self.inversion.statistic(own, *looking)
            for own in references(detector, *training, own=self.own, count=self.count)
        ]

    def size(self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor) -> float:
        """Size found on the delivered detector, in (0, 1], with the images of the search."""
        given = self._given(detector, trusted_images, anomalies)
        return self.inversion.statistic(detector, *(images[1::2] for images in given))

    def statistic(self, detector: DeepSAD, trusted_images: Tensor, anomalies: Tensor) -> float:
        """Size relative to one's own detectors', above 0: **lower** is more suspicious.

        Parameters
        ----------
        detector
            Fitted; it is left alone.
        trusted_images, anomalies
            At least 40 clean normals (N, C, H, W) and 20 clean anomalies, in any order that has
            nothing to do with what is on them.
        """
        own = self.reference_sizes(detector, trusted_images, anomalies)
        return relative_size(self.size(detector, trusted_images, anomalies), own)

    def _given(self, detector: DeepSAD, *given: Tensor) -> tuple[Tensor, Tensor]:
        return check_given(detector, *given, least=(2 * LEAST[0], 2 * LEAST[1]))


@checked
def p_value(statistic: Positive, clean_statistics: Sequence[float]) -> float:
    """Chance of a statistic as low as this on a clean detector, in (0, 1].

    By rank among N statistics of clean detectors: (1 + number as low) / (N + 1). It assumes
    nothing but that the detector, were it clean, would be one more of theirs. So it takes 19 clean
    detectors to reach 0.05, and however far below all of them a statistic lies, the rank stays the
    first: how far is what :func:`anomaly_index` tells. A clean detector is flagged at 0.1 one time
    in ten.
    """
    clean = _checked(clean_statistics, 1)
    return float((1 + np.sum(clean <= statistic)) / (len(clean) + 1))


@checked
def anomaly_index(statistic: Positive, clean_statistics: Sequence[float]) -> float:
    """How far below clean detectors' a statistic lies, in robust standard deviations of its log.

    (median - log statistic) / (1.4826 MAD), as Neural Cleanse (section V) but signed, on a log
    scale, and with clean detectors for the other classes. Above 2 is suspicious there. Needs 3
    clean detectors at least, and is rough with less than ten. To read a chance from it is to
    assume that the logs are normally distributed, as :func:`p_value` does not; it goes on growing
    where the rank can say no more. Its false alarms are counted by :func:`left_out`.
    """
    logs = np.log(_checked(clean_statistics, 3))
    median = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - median))
    return float((median - math.log(statistic)) / max(deviation, 1e-6))


def left_out(
    judge: Callable[[float, Sequence[float]], float],
    clean_statistics: Sequence[float],
    groups: Sequence[Hashable] | None = None,
) -> NDArray[np.float64]:
    """Judge each clean detector by the others: what a null makes of clean detectors it never saw.

    Parameters
    ----------
    judge
        :func:`p_value`, :func:`anomaly_index` or another such function.
    clean_statistics
        Of N clean detectors, finite and above 0.
    groups
        Of what group each is, (N,): a data set, a class, a way of training. Then the whole group
        is left out with it. By rank, single ones left out raise the promised share of alarms by
        construction; only groups tell what happens to a clean detector of another kind.

    Returns
    -------
    ndarray
        (N,): the share of them beyond a limit is the rate of false alarms there.
    """
    clean = _checked(clean_statistics, 2)
    names = range(len(clean)) if groups is None else list(groups)
    if len(names) != len(clean):
        raise ValueError(f"groups must name that of each of {len(clean)}, got {len(names)} names")
    return np.array(
        [
            judge(float(one), [float(c) for c, other in zip(clean, names) if other != name])
            for one, name in zip(clean, names)
        ]
    )


def _checked(clean_statistics: Sequence[float], least: int) -> np.ndarray:
    clean = np.asarray(clean_statistics, dtype=np.float64)
    if clean.ndim != 1 or len(clean) < least:
        raise ValueError(
            f"statistics of at least {least} clean detector(s) are needed, got shape {clean.shape}"
        )
    bad = clean[~(np.isfinite(clean) & (clean > 0))]
    if len(bad):
        raise ValueError(
            f"clean_statistics must be finite numbers above 0, got {bad[0]}: leave out what was "
            "not measured"
        )
    return clean
