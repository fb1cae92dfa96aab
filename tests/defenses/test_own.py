"""A detector of one's own, a second opinion, and anomalies made from normals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import DeepSAD, metrics
from badsad_lib.defenses import SecondOpinion, TrainYourOwn, references, synthetic_anomalies
from tests.defenses.samples import anomalies, tiny, trusted
from tests.samples import noise, weights

SHORT = TrainYourOwn(steps=3)


# --- one's own ------------------------------------------------------------------------------------


def test_nothing_but_the_architecture_is_taken_over():
    """A detector with other weights and another center gives the same one's own."""
    spoiled = SHORT.repair(tiny(), trusted(), anomalies())
    before = weights(tiny()).clone()
    one, two = (SHORT.repair(d, trusted(), anomalies()) for d in (tiny(), spoiled))
    assert torch.equal(weights(one), weights(two))
    assert torch.equal(one.center_, two.center_)
    assert torch.equal(weights(tiny()), before)
    assert one.network_ == tiny().network_
    assert one.threshold_ is None


def test_it_is_trained_for_the_steps_that_were_asked_for():
    own = TrainYourOwn(steps=7).repair(tiny(), trusted(), anomalies())
    assert own.steps(150) >= 7
    assert own.steps(150) <= 8


@pytest.mark.slow
def test_it_does_without_anomalies_and_with_those_that_it_makes():
    ways = [
        SHORT.repair(tiny(), trusted()),
        TrainYourOwn(steps=3, synthetic=30).repair(tiny(), trusted()),
        TrainYourOwn(steps=3, synthetic=30).repair(tiny(), trusted(), anomalies()),
        SHORT.repair(tiny(), trusted(), anomalies(count=1)),
    ]
    assert [len(own.decision_scores_) for own in ways] == [100, 130, 180, 101]


def test_its_first_weights_are_not_those_of_a_detector_with_the_same_seed():
    own = SHORT.repair(tiny(), trusted(), anomalies())
    start = DeepSAD(network="mnist", seed=SHORT.seed).pretrain(trusted())
    name = next(iter(start))
    assert not torch.equal(own.initial_state_[name], start[name])


def test_references_differ_in_their_seed_and_repeat_themselves():
    some = references(tiny(), trusted(), anomalies(), own=SHORT, count=3)
    again = references(tiny(), trusted(), anomalies(), own=SHORT, count=2)
    assert len(some) == 3
    assert all(torch.equal(weights(a), weights(b)) for a, b in zip(some, again))
    assert not torch.equal(weights(some[0]), weights(some[1]))


def test_what_cannot_be_trained_on_is_refused_at_the_door():
    with pytest.raises(RuntimeError, match="not fitted"):
        SHORT.repair(DeepSAD(), trusted())
    with pytest.raises(ValueError, match="trusted_images must be at least 20, got 19"):
        SHORT.repair(tiny(), trusted(count=19))
    with pytest.raises(ValueError, match="count must be an integer of at least 1, got 0"):
        references(tiny(), trusted(), count=0)


# --- a second opinion -----------------------------------------------------------------------------


def opinion() -> SecondOpinion:
    return SecondOpinion(SHORT).fit(tiny(), trusted(), anomalies())


def test_the_larger_score_counts_in_units_of_the_thresholds():
    held_out, images = noise((40, 1, 28, 28), seed=5), noise((9, 1, 28, 28), seed=6)
    second = opinion().calibrate(held_out, quantile=0.9)
    both = [
        d.decision_function(images) / metrics.threshold_at(d.decision_function(held_out), 0.9)
        for d in (second.delivered_, second.own_)
    ]
    np.testing.assert_allclose(second.decision_function(images), np.maximum(*both))
    assert second.quantile_ == 0.9
    assert second.predict(held_out).mean() == pytest.approx(0.1, abs=0.03)


def test_the_delivered_detector_is_left_as_it_is_and_asked():
    before = weights(tiny()).clone()
    second = opinion()
    assert second.delivered_ is tiny()
    assert torch.equal(weights(tiny()), before)


def test_what_either_flags_well_beyond_its_threshold_is_flagged():
    second = opinion().calibrate(noise((40, 1, 28, 28), seed=5))
    images = anomalies()
    for detector, unit in zip((second.delivered_, second.own_), second.units_):
        loud = detector.decision_function(images) > unit * second.threshold_
        assert (second.predict(images)[loud] == 1).all()


def test_an_opinion_before_its_time_is_refused():
    with pytest.raises(RuntimeError, match="not fitted"):
        SecondOpinion().calibrate(trusted())
    with pytest.raises(RuntimeError, match="not fitted"):
        SecondOpinion().predict(trusted())
    with pytest.raises(RuntimeError, match="no common unit yet: call calibrate"):
        opinion().decision_function(trusted())
    with pytest.raises(ValueError, match="images must be at least 20, got 3"):
        opinion().calibrate(trusted(count=3))
    with pytest.raises(ValueError, match="quantile must lie in"):
        opinion().calibrate(trusted(), quantile=1.0)


# --- synthetic anomalies --------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 6),
    st.sampled_from([(1, 28, 28), (3, 32, 32), (1, 9, 14)]),
    st.integers(1, 12),
    st.integers(0, 2**31 - 1),
)
def test_synthetic_anomalies_are_images_and_their_normals_are_left_alone(n, shape, count, seed):
    normals = noise((n, *shape), seed=seed % 97)
    before = normals.clone()
    made = synthetic_anomalies(normals, count, seed)
    assert made.shape == (count, *shape)
    assert made.min() >= 0
    assert made.max() <= 1
    assert torch.equal(normals, before)
    assert torch.equal(made, synthetic_anomalies(normals, count, seed))


def test_synthetic_anomalies_are_not_the_normals_they_were_made_from():
    normals = noise((20, 1, 28, 28))
    made = synthetic_anomalies(normals, 60)
    nearest = torch.cdist(made.flatten(1), normals.flatten(1)).amin(dim=1)
    assert (nearest > 0).all()
    assert not torch.equal(made, synthetic_anomalies(normals, 60, seed=1))


def test_bytes_and_floats_give_the_same_synthetic_anomalies():
    gray = (noise((5, 1, 28, 28)) * 255).to(torch.uint8)
    torch.testing.assert_close(synthetic_anomalies(gray, 8), synthetic_anomalies(gray / 255, 8))
