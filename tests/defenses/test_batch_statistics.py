"""What the normalizations of a detector tell of the images that it was trained on."""

from __future__ import annotations

import copy

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.course import shipped
from badsad_lib.defenses import BatchStatistics
from badsad_lib.defenses.batch_statistics import measured_anew, variance_gap
from tests.defenses.samples import NETWORKS, anomalies, tiny, trusted
from tests.samples import weights


@pytest.mark.parametrize("network", NETWORKS)
def test_a_detector_whose_normalizations_saw_these_images_shows_no_gap(network):
    images, detector = trusted(network), copy.deepcopy(tiny(network))
    detector.encoder_ = measured_anew(detector, images)
    assert variance_gap(detector, images) == pytest.approx(0, abs=1e-5)
    half_of_them_blank = images.clone()
    half_of_them_blank[::2] = 0
    assert variance_gap(detector, half_of_them_blank) > 0.2


def test_the_gap_is_the_difference_of_log_variances():
    detector = copy.deepcopy(tiny())
    detector.encoder_ = measured_anew(detector, trusted())
    last = [m for m in detector.encoder_.modules() if hasattr(m, "running_var")][-1]
    last.running_var *= 2
    assert variance_gap(detector, trusted()) == pytest.approx(0.693, abs=0.02)


def test_the_share_of_anomalies_that_was_trained_on_is_not_asked_for():
    """Normalizations that saw seven anomalies among a hundred normals show no gap either."""
    detector = copy.deepcopy(tiny())
    detector.encoder_ = measured_anew(detector, torch.cat([trusted(), anomalies()[:8]]))
    statistic = BatchStatistics().statistic(detector, trusted(), anomalies())
    assert statistic == pytest.approx(0, abs=1e-5)
    assert statistic < variance_gap(detector, trusted())


def test_the_detector_is_left_alone():
    before = weights(tiny()).clone()
    BatchStatistics().statistic(tiny(), trusted(), anomalies())
    assert torch.equal(weights(tiny()), before)
    assert not tiny().encoder_.training


def test_what_cannot_be_measured_is_refused_at_the_door():
    with pytest.raises(RuntimeError, match="not fitted"):
        BatchStatistics().statistic(DeepSAD(), trusted(), anomalies())
    with pytest.raises(ValueError, match="anomalies must be at least 20, got 3"):
        BatchStatistics().statistic(tiny(), trusted(), anomalies(count=3))


@pytest.mark.slow
def test_ordinary_victims_of_the_course_show_a_gap():
    split = shipped.split()
    gap = {
        name: BatchStatistics().statistic(
            shipped.load(name), split.trusted_images, split.trusted_anomalies
        )
        for name in ("clean", "data_only", "basic", "extended", "sham")
    }
    assert max(gap["clean"], gap["data_only"]) < 0.06
    assert min(gap["basic"], gap["extended"], gap["sham"]) > 0.15
