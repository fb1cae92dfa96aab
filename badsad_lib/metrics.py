"""What scores are worth: pure functions of arrays. Higher scores are more anomalous.

They know no detector; :mod:`badsad_lib.report` scores one and asks them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

Scores = NDArray[np.float64]
QUANTILES = (0.90, 0.95, 0.99)


def _scores(values: ArrayLike, name: str) -> Scores:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array of scores, got {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{name} contains NaN: the detector that gave these scores is broken")
    return scores


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
    return float(np.mean(_scores(anomaly_scores, "anomaly_scores") > threshold))


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
    flagged = before > threshold
    return float(np.mean(after[flagged] <= threshold)) if flagged.any() else math.nan


def threshold_at(scores: ArrayLike, quantile: float) -> float:
    """Score below which a share ``quantile`` in (0, 1) of ``scores`` (N,) lies."""
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie in (0, 1), got {quantile}; 0.95 is usual")
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0:
        raise ValueError("scores must not be empty: a threshold needs held-out normal images")
    return float(np.quantile(values, quantile))


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
