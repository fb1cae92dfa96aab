"""Checkers for the exercises of lesson 1, anomaly detection."""

from __future__ import annotations

import numpy as np
import torch

from badsad_lib import metrics
from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    instead,
    near,
    number,
    vector,
)


@checker("the threshold comes from the validation scores and cuts off their upper tail.")
def check_calibrate(answer: Answer) -> None:
    """Check ``calibrate(validation_scores, test_scores, false_alarm_rate) -> threshold``.

    The threshold must leave the wanted share of the validation scores above it, and must not
    depend on the test scores.
    """
    rng = np.random.default_rng(0)
    # A long upper tail, as scores have it: no formula for the normal distribution fits.
    validation, test = rng.lognormal(0, 1, 1000), rng.normal(9, 4, 1000)

    def threshold(other: np.ndarray, rate: float) -> float:
        return number(call(answer, validation, other, rate), "the threshold")

    value = threshold(test, 0.05)
    for moved in (test + 50, test - 50, test[:7]):
        if not near(value, threshold(moved, 0.05)):
            raise NotYet(
                "the threshold moves when the test scores do. Test images are there to judge a "
                "detector that is already finished, threshold included. See the section 'Where a "
                "threshold must not come from'."
            )
    above = float(np.mean(validation > value))
    if near(above, 0.95, 0.01):
        raise NotYet(
            "wrong tail: nearly all validation images lie above your threshold, so nearly all "
            "would be false alarms. High scores are the anomalous ones: which quantile leaves a "
            "small share above?"
        )
    for rate in (0.05, 0.2):
        above = float(np.mean(validation > threshold(test, rate)))
        if not near(above, rate, 0.005):
            raise NotYet(
                f"asked for a false-alarm rate of {rate}, but a share of {above:.3f} of the "
                "validation scores lies above your threshold. See the section 'A threshold'."
            )


@checker("ties count one half, so a detector that gives one score to all gets 0.5.")
def check_auroc_with_ties(answer: Answer) -> None:
    """Check ``auroc_with_ties(normal, anomaly) -> float``, where equal scores count one half."""
    rng = np.random.default_rng(1)
    normal, anomaly = rng.normal(0, 1, 60), rng.normal(1, 1, 80)

    def area(lower: np.ndarray, upper: np.ndarray) -> float:
        return number(call(answer, lower, upper), "the AUROC")

    value, truth = area(normal, anomaly), metrics.auroc(normal, anomaly)
    if value > 1:
        raise NotYet(
            f"the AUROC must lie between 0 and 1, got {value:g}. You may have counted pairs: "
            "what share of all pairs is it?"
        )
    if near(value, 1 - truth):
        raise NotYet(
            "the two groups are swapped: you measure how often a normal image scores higher. "
            "The anomaly should."
        )
    if not near(value, truth):
        raise NotYet(
            f"without any ties the AUROC should be {instead(truth, value)}. Compare every "
            "anomaly with every normal image; see the section 'One number for all thresholds'."
        )
    same = np.ones(20)
    value = area(same, same[:10])
    if near(value, 0):
        raise NotYet(
            "ties are lost: where all scores are equal you return 0, as if the detector were "
            "perfect the wrong way round. It knows nothing, so it should get 0.5."
        )
    if near(value, 1):
        raise NotYet(
            "ties count in full: where all scores are equal you return 1, a perfect detector. "
            "It knows nothing, so it should get 0.5. Did you use >= in place of >?"
        )
    groups = (same, same[:10]), (normal.round(), anomaly.round())
    for lower, upper in groups:
        value, truth = area(lower, upper), metrics.auroc(lower, upper)
        if not near(value, truth):
            raise NotYet(
                f"with ties the AUROC should be {instead(truth, value)}. A tie adds one half of "
                "what a win adds."
            )


@checker("few of the alarms are true when anomalies are rare, however good the detector.")
def check_true_alarm_share(answer: Answer) -> None:
    """Check ``true_alarm_share(detection_rate, false_alarm_rate, prevalence) -> float``."""

    def share(detection: float, false_alarm: float, prevalence: float) -> float:
        return number(call(answer, detection, false_alarm, prevalence), "the share")

    def truth(detection: float, false_alarm: float, prevalence: float) -> float:
        hits, false = detection * prevalence, false_alarm * (1 - prevalence)
        return hits / (hits + false)

    cases = ((0.8, 0.1, 0.3), (0.9, 0.05, 0.001), (0.5, 0.5, 0.5))
    value = share(*cases[0])
    if near(value, 0.8):
        raise NotYet(
            "that is the detection rate: the share of anomalies that raise an alarm. Asked is "
            "the share of alarms that are anomalies. Count images in each of the two groups."
        )
    if near(value, 0.8 / 0.9):
        raise NotYet(
            "the prevalence is missing: the two rates belong to groups of very different size. "
            "How many of a thousand images are anomalies, and how many are normal?"
        )
    if near(value, 0.8 * 0.3 / (0.8 * 0.3 + 0.1)):
        raise NotYet(
            "the false-alarm rate counts among normal images only, and not all images are "
            "normal: multiply it by the share that is."
        )
    if near(value, 0.1 * 0.7 / (0.1 * 0.7 + 0.8 * 0.3)):
        raise NotYet("that is the share of alarms that are false. Asked are the true ones.")
    if near(value, 0.8 * 0.3):
        raise NotYet(
            "that is the share of all images that raise a true alarm. Asked is a share of the "
            "alarms: divide by how many there are, true and false."
        )
    if near(value, 100 * truth(*cases[0])):
        raise NotYet("the share lies between 0 and 1; that is a percentage.")
    for case in cases:
        value = share(*case)
        if not near(value, truth(*case)):
            raise NotYet(
                f"with detection rate, false-alarm rate and prevalence {case} the share should "
                f"be {instead(truth(*case), value)}. Count the alarms among a thousand "
                "images, group by group."
            )


@checker("a query far from all its nearest normal images gets a high score.")
def check_nearest_score(answer: Answer) -> None:
    """Check ``nearest_score(queries, normals, k) -> (N,)``: mean distance to the k nearest."""
    generator = torch.Generator().manual_seed(2)
    queries = torch.randn(7, 5, generator=generator)
    normals = torch.randn(40, 5, generator=generator)
    distances = torch.cdist(queries, normals).to(torch.float64).sort(dim=1).values

    def agrees(value: torch.Tensor, target: torch.Tensor) -> bool:
        return torch.allclose(value, target, rtol=1e-3, atol=1e-3)

    def scores(k: int) -> torch.Tensor:
        return vector(call(answer, queries, normals, k), len(queries), "the score")

    value = scores(3)
    if agrees(value, distances[:, -3:].mean(1)):
        raise NotYet(
            "those are the k farthest normal images. torch.topk takes the largest values unless "
            "it is told largest=False."
        )
    if agrees(-value, distances[:, :3].mean(1)):
        raise NotYet("the sign is reversed: a higher score must mean more anomalous.")
    if agrees(value, distances[:, 2]):
        raise NotYet("that is the distance to the k-th nearest alone. Take the mean over all k.")
    if agrees(value, distances[:, :3].square().mean(1)):
        raise NotYet("those are squared distances; take them as torch.cdist gives them.")
    if agrees(value, distances[:, 0]):
        raise NotYet("k makes no difference: you use the nearest normal image alone.")
    for k in (3, 1, 10):
        if not agrees(scores(k), distances[:, :k].mean(1)):
            raise NotYet(
                f"with k = {k} the scores are not the mean distance to the {k} nearest normal "
                "images. Begin from torch.cdist(queries, normals): one row a query."
            )
    queries, normals = queries[:4, :3], normals[:6, :3]
    if not agrees(scores(6), torch.cdist(queries, normals).to(torch.float64).mean(1)):
        raise NotYet(
            "with 4 queries, 6 normal images of 3 numbers each, and k = 6, the scores are not the "
            "mean distance to all of them. Do not fix how many there are."
        )
