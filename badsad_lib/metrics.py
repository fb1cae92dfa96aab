"""What scores are worth: pure functions of arrays. Higher scores are more anomalous.

They know no detector; :mod:`badsad_lib.report` scores one and asks them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from badsad_lib._rules import Between

Scores = NDArray[np.float64]
QUANTILES = (0.90, 0.95, 0.99)
FINITE = Between(-math.inf)


def _scores(values: ArrayLike, name: str) -> Scores:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array of scores, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(
            f"{name} contains NaN or infinity: the detector that gave these scores is broken"
        )
    return scores


def _threshold(value: Any) -> float:
    """Return a threshold, which NaN would turn into "nothing is flagged"."""
    if value is None:
        raise ValueError(
            "threshold must be a finite number, got None: "
            "call calibrate(val_images, quantile=0.95) first"
        )
    return float(FINITE("threshold", value))


def auroc(normal_scores: ArrayLike, anomaly_scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that an anomaly outscores a normal image.

    Parameters
    ----------
    normal_scores, anomaly_scores
        1-D, not empty. Ties count one half.

    Returns
    -------
    float
        In [0, 1]; 0.5 is guessing.
    """
    normal = _scores(normal_scores, "normal_scores")
    anomaly = _scores(anomaly_scores, "anomaly_scores")
    truth = np.r_[np.zeros(len(normal)), np.ones(len(anomaly))]
    return float(roc_auc_score(truth, np.r_[normal, anomaly]))


def detection_rate(anomaly_scores: ArrayLike, threshold: float) -> float:
    """Share of the scores strictly above ``threshold``: in [0, 1].

    On anomalies this is the detection rate; on normal images, the false-alarm rate.
    """
    return float(np.mean(_scores(anomaly_scores, "anomaly_scores") > _threshold(threshold)))


def attack_success_rate(
    anomaly_scores: ArrayLike, triggered_scores: ArrayLike, threshold: float
) -> float:
    """ASR: among anomalies flagged without the trigger, the share that passes with it.

    Parameters
    ----------
    anomaly_scores, triggered_scores
        Scores of the same anomalies, in the same order, without and with the trigger.
    threshold
        Flagged means a score strictly above it.

    Returns
    -------
    float
        In [0, 1]; NaN where nothing was flagged to begin with.
    """
    before = _scores(anomaly_scores, "anomaly_scores")
    after = _scores(triggered_scores, "triggered_scores")
    if before.shape != after.shape:
        raise ValueError(
            f"both must score the same anomalies, got {len(before)} and {len(after)} scores"
        )
    threshold = _threshold(threshold)
    flagged = before > threshold
    return float(np.mean(after[flagged] <= threshold)) if flagged.any() else math.nan


def threshold_at(scores: ArrayLike, quantile: float) -> float:
    """Score below which a share ``quantile`` in (0, 1) of ``scores`` (N,) lies."""
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie in (0, 1), got {quantile}; 0.95 is usual")
    if np.size(scores) == 0:
        raise ValueError("scores must not be empty: a threshold needs held-out normal images")
    return float(np.quantile(_scores(scores, "scores"), quantile))


def rate_interval(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a rate of which ``hits`` of ``n`` were seen: within [0, 1].

    Exact and therefore wide (Clopper and Pearson, Biometrika 26, 1934): it covers the true rate
    with a chance of ``level`` at least.

    Raises
    ------
    ValueError
        ``n`` below 1, ``hits`` outside of 0 to ``n``, ``level`` outside of (0, 1).
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"hits must lie in 0 to n, and n be at least 1, got {hits} of {n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}; 0.95 is usual")
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return low, high


# --- one detector at one threshold ----------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """What one detector does at one threshold. Shares in [0, 1]; NaN where nothing was measured."""

    threshold: float
    auroc: float
    detection_rate: float  # anomalies above the threshold
    false_alarms: float  # normals above it
    asr: float  # flagged anomalies that pass with the trigger
    asr_unconditional: float  # all anomalies that pass with the trigger
    triggered_auroc: float  # normals against triggered anomalies


def rates(
    normal_scores: ArrayLike,
    anomaly_scores: ArrayLike,
    triggered_scores: ArrayLike | None = None,
    *,
    threshold: float,
) -> Rates:
    """AUROC, detection, false alarms and, with scores under a trigger, ASR of one detector.

    Parameters
    ----------
    normal_scores, anomaly_scores
        1-D, not empty: clean normals and clean anomalies.
    triggered_scores
        The same anomalies with the trigger, in the same order. Without them what concerns
        the trigger is NaN.
    threshold
        A score above it is an alarm, see :func:`threshold_at`.
    """
    asr = unconditional = area = math.nan
    if triggered_scores is not None:
        asr = attack_success_rate(anomaly_scores, triggered_scores, threshold)
        unconditional = 1 - detection_rate(triggered_scores, threshold)
        area = auroc(normal_scores, triggered_scores)
    return Rates(
        threshold=threshold,
        auroc=auroc(normal_scores, anomaly_scores),
        detection_rate=detection_rate(anomaly_scores, threshold),
        false_alarms=detection_rate(normal_scores, threshold),
        asr=asr,
        asr_unconditional=unconditional,
        triggered_auroc=area,
    )


# --- two ways compared ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval."""

    mean: float
    low: float
    high: float


def paired_interval(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int,
) -> Interval:
    """Mean of ``first - second`` over pairs of runs, with a bootstrap interval.

    Pairs are drawn anew, with replacement. What both runs of a pair share, such as an easy
    normal class, cancels out. The plain percentile interval is too narrow for few pairs; this
    one is widened to what Student's t would cover, Hesterberg's expanded percentile interval
    ("What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015).

    Parameters
    ----------
    first, second
        1-D, of the same length of two or more, finite: results of runs that differ in nothing
        but what is compared, in the same order. Runs that belong together, say several seeds of
        one normal class, go in as their mean.
    level
        Coverage aimed at, in (0, 1). No interval within the range of the differences can cover
        more than ``1 - 2 ** (1 - n)``: .94 of five pairs, .50 of two.
    resamples
        Number of draws, at least 1.
    seed
        Fixes the draws.

    Returns
    -------
    Interval
        Within the range of the differences; swapping the two sides negates it.

    Raises
    ------
    ValueError
        The two are not pairs, are fewer than two, or not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(
            f"first and second must be 1-D and of one length, pair by pair, got {a.shape} "
            f"and {b.shape}; compare only runs of the same class and seed"
        )
    if len(a) < 2:
        raise ValueError(f"an interval needs two pairs or more, got {len(a)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("first and second must be finite; leave out pairs that were not measured")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}; 0.95 is usual")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    differences, n = a - b, len(a)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n))
    means = differences[drawn].mean(axis=1)
    tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf((1 - level) / 2, n - 1))
    mean = float(differences.mean())
    low, high = np.quantile(means, [tail, 1 - tail])
    # Rounding alone may put the mean of equal differences outside.
    return Interval(mean, min(float(low), mean), max(float(high), mean))
