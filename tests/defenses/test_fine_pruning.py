"""Pruning cuts idle channels, for good, and stops before it costs too much."""

import pytest
import torch

from badsad_lib.defenses import FinePruning
from badsad_lib.defenses._common import copy_of, map_activations, tuned
from badsad_lib.defenses.fine_pruning import silence
from tests.defenses.samples import NETWORKS, anomalies, tiny, trusted


def activity(detector, images) -> torch.Tensor:
    return map_activations(detector, images, lambda blocks: blocks[-1].abs().amax((2, 3))).amax(0)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_silenced_channel_stays_silent_through_training(network):
    detector = copy_of(tiny(network))
    silence(detector, 2)
    assert activity(detector, trusted(network))[2] == 0
    given = trusted(network), anomalies(network)
    trained = tuned(detector, *given, steps=3, lr=1e-2, seed=0)
    alive = activity(trained, trusted(network))
    assert alive[2] == 0
    assert (alive[[0, 1, 3]] > 0).all()


def test_all_that_may_go_goes_and_nothing_that_must_stay():
    given = tiny(), trusted(), anomalies()
    channels = tiny().encoder_.blocks[-1].conv.out_channels
    generous = FinePruning(tolerance=0.999)
    pruned = generous.prune(*given)
    assert generous.pruned_ == channels - 1
    alive = activity(pruned, trusted()) > 0
    assert alive.sum() == 1
    mean = map_activations(tiny(), trusted(), lambda blocks: blocks[-1].abs().mean((2, 3))).mean(0)
    assert alive.nonzero().item() == mean.argmax()


def test_the_original_is_not_pruned():
    FinePruning(tolerance=0.999, steps=1).repair(tiny(), trusted(), anomalies())
    assert (activity(tiny(), trusted()) > 0).all()


def test_tolerance_is_a_share():
    with pytest.raises(ValueError, match=r"tolerance must lie in \[0, 1\), got -1"):
        FinePruning(tolerance=-1)
