"""Trigger inversion finds what hides anomalies, and is judged against clean detectors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import DeepSAD
from badsad_lib.course import shipped
from badsad_lib.defenses import (
    InvertedTrigger,
    RelativeInversion,
    TrainYourOwn,
    TriggerInversion,
    anomaly_index,
    left_out,
    p_value,
    references,
    relative_size,
)
from badsad_lib.triggers import apply_trigger
from tests.defenses.samples import NETWORKS, SHAPES, labeled_anomalies, tiny
from tests.samples import noise, weights

sizes = st.lists(st.floats(0.01, 1), min_size=3, max_size=12)
SHORT = TriggerInversion(steps=3, views=8)


def flagged(network: str, trained: DeepSAD, count: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Dim noise to be normal and bright noise to be anomalous, or the other way round."""
    shape = (count, *SHAPES[network])
    dim, bright = noise(shape) * 0.3, 1 - noise(shape) * 0.3
    if trained.decision_function(dim).mean() > trained.decision_function(bright).mean():
        return bright, dim
    return dim, bright


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_found_is_a_trigger(network):
    found = SHORT.search(tiny(network), *flagged(network, tiny(network)))
    channels, height, width = SHAPES[network]
    assert found.mask.shape == (1, height, width)
    assert found.pattern.shape == (channels, height, width)
    assert 0 < found.size <= 1
    assert 0 <= found.hidden <= 1
    apply_trigger(found, noise((4, channels, height, width)))


def test_the_search_leaves_the_detector_alone_and_repeats_itself():
    before, images = weights(tiny()).clone(), flagged("mnist", tiny())
    first, second = (SHORT.search(tiny(), *images) for _ in range(2))
    assert torch.equal(first.mask, second.mask)
    assert SHORT.statistic(tiny(), *images) == first.size
    assert torch.equal(weights(tiny()), before)
    assert all(p.requires_grad for p in tiny().encoder_.parameters())


def test_the_smallest_mask_is_found_where_one_pixel_decides():
    def excess(images: torch.Tensor) -> torch.Tensor:
        return 1 - 2 * images[:, 0, 2, 3]

    found = TriggerInversion(steps=300, views=8)._smallest(excess, torch.zeros(10, 1, 8, 8))
    assert found.hidden == 1
    assert found.mask.argmax() == 2 * 8 + 3
    assert found.size < 0.1
    assert found.pattern[0, 2, 3] > 0.7


def test_where_nothing_hides_the_mask_is_the_whole_image():
    found = SHORT._smallest(
        lambda images: images.flatten(1).sum(1) * 0 + 1, torch.zeros(9, 1, 4, 4)
    )
    assert (found.size, found.hidden) == (1, 0)
    assert (found.mask == 1).all()


def test_a_trigger_replaces_what_its_mask_covers():
    mask = torch.zeros(1, 4, 4)
    mask[0, 1, 2] = 1
    images = noise((3, 2, 4, 4))
    after = InvertedTrigger(mask, torch.full((2, 4, 4), 0.25), 1 / 16, 0.0)(images)
    assert (after[:, :, 1, 2] == 0.25).all()
    assert ((after != images).flatten(1).sum(1) == 2).all()


def test_what_cannot_be_searched_is_refused_at_the_door():
    normals, odd = flagged("mnist", tiny())
    with pytest.raises(RuntimeError, match="not fitted"):
        SHORT.search(DeepSAD(), normals, odd)
    with pytest.raises(ValueError, match="anomalies must be at least 10, got 3"):
        SHORT.search(tiny(), normals, odd[:3])
    with pytest.raises(ValueError, match="flags none of the anomalies"):
        SHORT.search(tiny(), odd, normals)
    with pytest.raises(ValueError, match="hidden must lie in"):
        TriggerInversion(hidden=1)


@given(st.floats(0.01, 1), sizes)
def test_a_p_value_counts_the_clean_detectors_as_low(statistic, clean):
    as_low = sum(c <= statistic for c in clean)
    assert p_value(statistic, clean) == pytest.approx((1 + as_low) / (len(clean) + 1))
    assert p_value(max(clean), clean) == 1
    assert p_value(min(clean) / 2, clean) == pytest.approx(1 / (len(clean) + 1))


@settings(max_examples=50)
@given(st.floats(0.01, 1), sizes, st.floats(0.1, 10))
def test_an_anomaly_index_has_no_unit_and_grows_as_the_size_falls(statistic, clean, unit):
    index = anomaly_index(statistic, clean)
    scaled = anomaly_index(statistic * unit, [c * unit for c in clean])
    assert scaled == pytest.approx(index, rel=1e-3, abs=1e-3) or np.ptp(clean) < 1e-3
    assert anomaly_index(statistic / 2, clean) > index
    assert anomaly_index(float(np.exp(np.median(np.log(clean)))), clean) == pytest.approx(
        0, abs=1e-6
    )


def test_an_anomaly_index_by_hand():
    clean = [math.exp(v) for v in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert anomaly_index(math.exp(-1), clean) == pytest.approx(3 / 1.4826)


def test_clean_detectors_are_needed():
    with pytest.raises(ValueError, match="at least 1 clean detector"):
        p_value(0.5, [])
    with pytest.raises(ValueError, match="at least 3 clean detector"):
        anomaly_index(0.5, [0.4, 0.6])
    with pytest.raises(ValueError, match="above 0"):
        p_value(0.5, [0.0])


def test_a_higher_quantile_leaves_less_to_hide():
    """The threshold of the search is that quantile of the trusted normals."""
    normals, odd = flagged("mnist", tiny())
    scores = tiny().decision_function(normals)
    for quantile in (0.5, 0.95):
        found = TriggerInversion(steps=1, views=8, quantile=quantile).search(tiny(), normals, odd)
        kept = odd[np.flatnonzero(tiny().decision_function(odd) > np.quantile(scores, quantile))]
        hidden = tiny().decision_function(found(kept)) <= np.quantile(scores, quantile)
        assert found.hidden == pytest.approx(hidden.mean(), abs=1e-6)
    with pytest.raises(ValueError, match="quantile must lie in"):
        TriggerInversion(quantile=1)


# --- compared with one's own detectors ------------------------------------------------------------


@given(st.floats(0.01, 1), sizes, st.floats(0.1, 10))
def test_a_relative_size_has_no_unit_and_is_one_where_sizes_are_alike(size, own, unit):
    value = relative_size(size, own)
    assert relative_size(size * unit, [s * unit for s in own]) == pytest.approx(value)
    assert relative_size(size, [size] * 3) == pytest.approx(1)
    assert size / max(own) <= value * 1.0001
    assert value <= size / min(own) * 1.0001


def test_the_delivered_detector_is_compared_with_ones_own():
    short = RelativeInversion(SHORT, TrainYourOwn(steps=2), count=2)
    normals, odd = flagged("mnist", tiny(), 40)
    own = short.reference_sizes(tiny(), normals, odd)
    assert len(own) == 2
    expected = relative_size(SHORT.statistic(tiny(), normals[1::2], odd[1::2]), own)
    assert short.statistic(tiny(), normals, odd) == pytest.approx(expected)


def test_no_reference_is_searched_with_images_that_it_was_trained_on():
    short = RelativeInversion(SHORT, TrainYourOwn(steps=2), count=1)
    normals, odd = flagged("mnist", tiny(), 40)
    own = references(tiny(), normals[::2], odd[::2], own=TrainYourOwn(steps=2), count=1)
    expected = SHORT.statistic(own[0], normals[1::2], odd[1::2])
    assert short.reference_sizes(tiny(), normals, odd) == [pytest.approx(expected)]
    for few in ((normals[:39], odd), (normals, odd[:19])):
        with pytest.raises(ValueError, match="must be at least"):
            short.statistic(tiny(), *few)


# --- a null and what it makes of clean detectors --------------------------------------------------


@given(sizes)
def test_single_ones_left_out_are_flagged_at_the_promised_rate_by_rank(clean):
    ranks = left_out(p_value, clean)
    for i in range(len(clean)):
        others = [c for j, c in enumerate(clean) if j != i]
        assert ranks[i] == p_value(clean[i], others)
    if len(set(clean)) == len(clean):
        assert sorted(ranks) == pytest.approx([(i + 1) / len(clean) for i in range(len(clean))])


def test_a_group_left_out_is_judged_by_the_other_groups_alone():
    """Another kind of clean detector comes out smaller: the rank's promise does not hold for it."""
    clean, groups = [0.5, 0.6, 0.7, 0.8, 0.9, 0.05, 0.06], ["here"] * 5 + ["elsewhere"] * 2
    assert (left_out(p_value, clean, groups)[5:] == 1 / 6).all()
    assert (left_out(anomaly_index, clean, ["a", "b", "c", "d", "e", "f", "f"])[5:] > 2).all()
    with pytest.raises(ValueError, match="groups must name that of each of 7, got 2 names"):
        left_out(p_value, clean, ["a", "b"])
    with pytest.raises(ValueError, match="at least 2 clean detector"):
        left_out(p_value, [0.5])


def test_rank_and_index_tell_different_things():
    """Far below all clean detectors the rank can fall no further, the index can."""
    clean = [0.4, 0.5, 0.6, 0.7, 0.8]
    assert p_value(0.3, clean) == p_value(0.003, clean) == pytest.approx(1 / 6)
    assert anomaly_index(0.003, clean) > anomaly_index(0.3, clean) + 5


@pytest.mark.trial
@pytest.mark.slow
def test_backdoored_detectors_yield_to_much_smaller_triggers():
    given = shipped.split().trusted_images, labeled_anomalies()
    size = {
        name: TriggerInversion().statistic(shipped.load(name), *given)
        for name in ("clean", "extended", "sham")
    }
    assert size["extended"] < size["clean"] / 2
    assert size["sham"] < size["clean"] / 2


@pytest.mark.parametrize("judge", [p_value, anomaly_index])
@pytest.mark.parametrize("statistic", [math.nan, -1, 0, math.inf, "0.2", True, None])
def test_a_statistic_that_is_none_is_refused(judge, statistic):
    with pytest.raises(ValueError, match="statistic must be a finite number above 0, got"):
        judge(statistic, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("judge", [p_value, anomaly_index])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 0.0])
def test_a_null_with_what_was_not_measured_is_refused(judge, bad):
    with pytest.raises(ValueError, match="clean_statistics must be finite numbers above 0, got"):
        judge(0.1, [0.1, 0.2, bad])
    with pytest.raises(ValueError, match="at least"):
        judge(0.1, [])
