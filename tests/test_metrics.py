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
    paired_interval,
    rates,
    threshold_at,
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


# --- two ways compared ---------------------------------------------------------------------------

results = st.lists(
    st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)), min_size=2, max_size=12
)
few = {"resamples": 400, "seed": 0}


@given(results)
def test_an_interval_holds_the_mean_and_stays_within_the_differences(pairs):
    first, second = np.array(pairs).T
    found = paired_interval(first, second, **few)
    differences = first - second
    assert found.mean == pytest.approx(differences.mean(), abs=1e-12)
    assert differences.min() - 1e-12 <= found.low <= found.mean
    assert found.mean <= found.high <= differences.max() + 1e-12


@given(results)
def test_swapping_the_sides_negates_the_interval(pairs):
    first, second = np.array(pairs).T
    one, other = paired_interval(first, second, **few), paired_interval(second, first, **few)
    swapped = (-other.mean, -other.high, -other.low)
    assert (one.mean, one.low, one.high) == pytest.approx(swapped, abs=1e-12)


@given(results, st.floats(-1, 1, width=32))
def test_what_both_runs_of_a_pair_share_cancels_out(pairs, shared):
    first, second = np.array(pairs).T
    of_pair = shared * np.arange(len(first))
    one = paired_interval(first, second, **few)
    other = paired_interval(first + of_pair, second + of_pair, **few)
    assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=1e-9)


def test_equal_differences_leave_no_width():
    found = paired_interval([0.5, 0.75, 1.0], [0.25, 0.5, 0.75], **few)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_of_two_pairs_the_interval_is_their_range():
    found = paired_interval([0.5, 1.0], [0.25, 0.0], **few)
    assert (found.low, found.high) == (0.25, 1.0)


def test_a_higher_level_is_wider_and_the_seed_fixes_the_draws():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 10))
    wide = paired_interval(first, second, level=0.99, **few)
    narrow = paired_interval(first, second, level=0.5, **few)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert paired_interval(first, second, level=0.5, **few) == narrow
    assert paired_interval(first, second, level=0.5, resamples=400, seed=1) != narrow


@pytest.mark.parametrize("n", [8, 30])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(n):
    """Of 95 %: the plain percentile interval covers 88 % of eight pairs."""
    rng, trials, truth = np.random.default_rng(0), 400, 0.3
    covered = 0
    for seed in range(trials):
        shared = rng.normal(size=n)
        first, second = shared + truth + rng.normal(size=n), shared + rng.normal(size=n)
        found = paired_interval(first, second, resamples=1_000, seed=seed)
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / trials <= 0.98


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ([1.0, 2.0], [1.0], {}, r"got \(2,\) and \(1,\); compare only runs of the same"),
        ([[1.0, 2.0]], [[1.0, 2.0]], {}, "must be 1-D"),
        ([1.0], [0.0], {}, "two pairs or more, got 1"),
        ([], [], {}, "two pairs or more, got 0"),
        ([1.0, math.nan], [0.0, 0.0], {}, "must be finite"),
        ([1.0, 2.0], [0.0, math.inf], {}, "must be finite"),
        ([1.0, 2.0], [0.0, 0.0], {"level": 95}, r"level must lie in \(0, 1\), got 95"),
        ([1.0, 2.0], [0.0, 0.0], {"resamples": 0}, "at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, options, message):
    with pytest.raises(ValueError, match=message):
        paired_interval(first, second, seed=0, **options)


@pytest.mark.parametrize("threshold", [None, math.nan, math.inf, "high"])
def test_a_threshold_that_is_none_is_refused(threshold):
    scores, say = [1.0, 2.0], "calibrate" if threshold is None else "finite number"
    for ask in (
        lambda: detection_rate(scores, threshold),
        lambda: attack_success_rate(scores, scores, threshold),
    ):
        with pytest.raises(ValueError, match=f"threshold must be.*{say}"):
            ask()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_give_no_threshold(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        threshold_at([1.0, bad, 2.0], 0.5)
