"""Repairs: what all promise, and what each is worth on the detectors of the course."""

from dataclasses import replace

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.course import shipped
from badsad_lib.defenses import AttentionDistillation, FinePruning, FineTuning, Unlearning
from tests.defenses.samples import NETWORKS, anomalies, labeled_anomalies, outcome, tiny, trusted
from tests.samples import weights

SHORT = {
    "plain": FineTuning(disturbed=False, steps=2),
    "disturbed": FineTuning(steps=2, views=4),
    "pruning": FinePruning(steps=2),
    "attention": AttentionDistillation(steps=2),
    "unlearning": Unlearning(steps=3, views=4, patterns=2, restart=2),
}


@pytest.fixture(params=SHORT)
def repair(request):
    return SHORT[request.param]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_repair_returns_an_ordinary_detector_with_the_same_center(repair, network):
    detector = tiny(network)
    repaired = repair.repair(detector, trusted(network), anomalies(network))
    assert type(repaired) is DeepSAD
    assert repaired.network_ == detector.network_
    assert repaired.threshold_ is None
    assert not repaired.encoder_.training
    torch.testing.assert_close(repaired.center_, detector.center_, rtol=0, atol=0)
    assert not torch.equal(weights(repaired), weights(detector))


def test_the_original_is_left_alone(repair):
    detector = tiny()
    before, mode = weights(detector).clone(), detector.encoder_.training
    repaired = repair.repair(detector, trusted(), anomalies())
    repaired.center_.zero_()
    assert torch.equal(weights(detector), before)
    assert detector.encoder_.training == mode
    assert detector.center_.abs().sum() > 0


def test_a_repair_that_diverges_hands_out_no_detector(repair):
    with pytest.raises(FloatingPointError, match="training diverged"):
        replace(repair, lr=1e30).repair(tiny(), trusted(), anomalies())


def test_what_a_repair_is_given_is_left_alone(repair):
    normals, odd = trusted(), anomalies()
    repair.repair(tiny(), normals, odd)
    assert torch.equal(normals, trusted())
    assert torch.equal(odd, anomalies())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(repair):
    first, second = (repair.repair(tiny(), trusted(), anomalies()) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    other = replace(repair, seed=1).repair(tiny(), trusted(), anomalies())
    assert not torch.equal(weights(first), weights(other))


def test_a_repaired_detector_survives_saving(repair, tmp_path):
    repaired = repair.repair(tiny(), trusted(), anomalies())
    loaded = DeepSAD.load(repaired.save(tmp_path / "repaired.safetensors"))
    assert torch.equal(weights(loaded), weights(repaired))


def test_bytes_and_floats_mean_the_same(repair):
    gray = (anomalies() * 255).round().to(torch.uint8)
    first = repair.repair(tiny(), trusted(), gray)
    second = repair.repair(tiny(), trusted(), gray / 255)
    assert torch.equal(weights(first), weights(second))


def test_what_cannot_be_repaired_is_refused_at_the_door(repair):
    with pytest.raises(RuntimeError, match="not fitted"):
        repair.repair(DeepSAD(), trusted(), anomalies())
    with pytest.raises(ValueError, match=r"trusted_images must be at least 20, got 19"):
        repair.repair(tiny(), trusted(count=19), anomalies())
    with pytest.raises(ValueError, match=r"anomalies must be at least 20, got 3"):
        repair.repair(tiny(), trusted(), anomalies(count=3))
    with pytest.raises(ValueError, match=r"anomalies must have 1 channel\(s\), got 3"):
        repair.repair(tiny(), trusted(), anomalies("cifar10"))


@pytest.mark.parametrize("name", ["steps", "lr"])
def test_parameters_are_positive(repair, name):
    with pytest.raises(
        ValueError,
        match=f"{name} must be (a finite number above 0|an integer of at least 1), got 0",
    ):
        replace(repair, **{name: 0})


# Repair, detector, and the most ASR that may be left. A patch, a blend, and nothing to repair.
FLOORS = [
    (Unlearning(), "extended", 0.10),
    (Unlearning(), "clean", 0.05),
    (FineTuning(), "sham", 0.25),
    (FinePruning(), "extended", 0.30),
    (AttentionDistillation(), "extended", 0.15),
]


@pytest.mark.slow
@pytest.mark.trial
@pytest.mark.parametrize(("repair", "name", "most"), FLOORS)
def test_a_repair_removes_the_backdoor_and_does_no_harm(repair, name, most):
    detector = shipped.load(name)
    trigger = None if name == "clean" else shipped.trigger(name)
    repaired = repair.repair(detector, shipped.split().trusted_images, labeled_anomalies())
    auroc, asr = outcome(repaired, trigger)
    assert auroc >= outcome(detector, trigger)[0] - 0.01
    assert asr <= most
