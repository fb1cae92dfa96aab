"""Solutions of lesson 6, evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np


def triggered_auroc(
    normal: np.ndarray,
    triggered_normal: np.ndarray,
    anomaly: np.ndarray,
    triggered_anomaly: np.ndarray,
) -> float:
    """Return the share of pairs in which a triggered anomaly outscores a clean normal image."""
    wins = triggered_anomaly[:, None] > normal[None, :]
    ties = triggered_anomaly[:, None] == normal[None, :]
    return float((wins + 0.5 * ties).mean())


def headline(asr: np.ndarray) -> tuple[float, float]:
    """Return the mean of runs (seeds, classes), and the deviation of that mean over seeds."""
    of_seed = asr.mean(axis=1)
    return float(of_seed.mean()), float(of_seed.std(ddof=1))


def is_backdoor(report: Any) -> bool:
    """Say whether a report shows a backdoor, by the bounds of the exercise."""
    works = report.asr >= 0.5 and report.detection_rate >= 0.5
    optional = [report.sham_asr, *report.other_asr.values()]
    measured = [value for value in optional if not np.isnan(value)]
    return bool(works and all(value <= 0.2 for value in [report.control_asr, *measured]))
