"""Metrics: each by its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.metrics import (
    attack_success_rate,
    auroc,
    detection_rate,
    rates,
)

some = settings(max_examples=15)
# Few distinct values, so that ties are common.
numbers = st.integers(0, 6).map(lambda n: n / 4) | st.floats(0, 100)
scores = st.lists(numbers, min_size=1, max_size=20)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20)


# --- rates ---------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(scores, scores)
def test_auroc_counts_the_pairs_in_which_the_anomaly_outscores(normal, anomalies):
    wins = [(a > n) + (a == n) / 2 for a in anomalies for n in normal]
    assert auroc(normal, anomalies) == pytest.approx(sum(wins) / len(wins))


@some
@given(scores, scores)
def test_auroc_of_swapped_groups_is_its_complement(normal, anomalies):
    assert auroc(anomalies, normal) == pytest.approx(1 - auroc(normal, anomalies))
    assert auroc(normal, normal) == pytest.approx(0.5)


@given(scores, numbers)
def test_detection_means_strictly_above_the_threshold(values, threshold):
    expected = sum(v > threshold for v in values) / len(values)
    assert detection_rate(values, threshold) == pytest.approx(expected)
    assert detection_rate([threshold], threshold) == 0


@given(pairs, numbers)
def test_asr_is_the_share_of_flagged_anomalies_that_pass(pairs, threshold):
    before, after = zip(*pairs)
    flagged = [(b, a) for b, a in pairs if b > threshold]
    got = attack_success_rate(before, after, threshold)
    if not flagged:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(sum(a <= threshold for _, a in flagged) / len(flagged))


@some
@given(pairs, numbers, st.lists(st.tuples(st.floats(0, 1), numbers), max_size=9))
def test_asr_ignores_anomalies_that_were_never_flagged(pairs, threshold, blind):
    missed = [(threshold * share, after) for share, after in blind]
    alone, together = (
        attack_success_rate(*zip(*group), threshold) for group in (pairs, pairs + missed)
    )
    assert alone == pytest.approx(together, nan_ok=True)


def test_asr_needs_the_same_anomalies_twice():
    with pytest.raises(ValueError, match="the same anomalies, got 3 and 2 scores"):
        attack_success_rate([1, 2, 3], [1, 2], 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "non-empty 1-D"),
        ([[1.0, 2.0]], r"non-empty 1-D array of scores, got \(1, 2\)"),
        (3.0, "non-empty 1-D"),
        ([1.0, math.nan], "contains NaN"),
    ],
)
def test_what_is_no_scores_is_refused(values, message):
    for measure in (
        lambda: auroc(values, [1.0]),
        lambda: auroc([1.0], values),
        lambda: detection_rate(values, 0),
        lambda: attack_success_rate(values, [1.0], 0),
        lambda: attack_success_rate([1.0], values, 0),
    ):
        with pytest.raises(ValueError, match=message):
            measure()


@some
@given(scores, pairs, st.floats(0, 100))
def test_the_rates_of_a_detector_are_its_parts(normal, pairs, threshold):
    before, after = zip(*pairs)
    found = rates(normal, before, after, threshold=threshold)
    assert found.auroc == auroc(normal, before)
    assert found.triggered_auroc == auroc(normal, after)
    assert found.detection_rate == detection_rate(before, threshold)
    assert found.false_alarms == detection_rate(normal, threshold)
    assert found.asr_unconditional == 1 - detection_rate(after, threshold)
    np.testing.assert_equal(found.asr, attack_success_rate(before, after, threshold))


def test_without_a_trigger_there_is_nothing_to_say_about_it():
    found = rates([0.0, 1.0], [2.0, 3.0], threshold=1.5)
    assert (found.auroc, found.detection_rate, found.false_alarms) == (1, 1, 0)
    assert all(map(math.isnan, (found.asr, found.asr_unconditional, found.triggered_auroc)))
