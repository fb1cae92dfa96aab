"""Repairs: what all promise, and what each is worth on the detectors of the course."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.course import shipped
from badsad_lib.defenses import (
    AttentionDistillation,
    FinePruning,
    FineTuning,
    ShrinkPerturb,
    Unlearning,
)
from badsad_lib.defenses._common import NEW_LENGTH, standardized
from badsad_lib.defenses.shrink_perturb import shrunk_and_perturbed
from tests.defenses.samples import NETWORKS, anomalies, labeled_anomalies, outcome, tiny, trusted
from tests.samples import weights

SHORT = {
    "plain": FineTuning(disturbed=False, steps=2),
    "disturbed": FineTuning(steps=2, views=4),
    "standardized": FineTuning(disturbed=False, standardized=True, steps=2),
    "shrinking": ShrinkPerturb(steps=2),
    "pruning": FinePruning(steps=2),
    "attention": AttentionDistillation(steps=2),
    "unlearning": Unlearning(steps=3, views=4, patterns=2, restart=2),
}


@pytest.fixture(params=SHORT)
def repair(request):
    return SHORT[request.param]


@pytest.mark.trial
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
    with pytest.raises(ValueError, match=r"trusted_images must be at least 100, got 99"):
        repair.repair(tiny(), trusted(count=99), anomalies())
    with pytest.raises(ValueError, match=r"anomalies must be at least 50, got 49"):
        repair.repair(tiny(), trusted(), anomalies(count=49))
    with pytest.raises(ValueError, match=r"anomalies must have 1 channel\(s\), got 3"):
        repair.repair(tiny(), trusted(), anomalies("cifar10"))


def test_too_few_kinds_of_anomalies_are_refused_with_what_to_use_instead(repair):
    kinds = [f"kind {i % 4}" for i in range(50)]
    with pytest.raises(ValueError, match=r"kinds of anomalies must be at least 5, got 4.*Second"):
        repair.repair(tiny(), trusted(), anomalies(), kinds=kinds)
    repair.repair(tiny(), trusted(), anomalies(), kinds=torch.arange(50) % 5)
    with pytest.raises(ValueError, match="the kind of each of the 50 anomalies, got 5 names"):
        repair.repair(tiny(), trusted(), anomalies(), kinds=range(5))


def test_whoever_insists_may_repair_with_less(repair):
    given = trusted(count=4), anomalies(count=2)
    with pytest.raises(ValueError, match="anyway=True"):
        repair.repair(tiny(), *given)
    replace(repair, anyway=True).repair(tiny(), *given, kinds=["one", "one"])


def lengthened(detector: DeepSAD, factor: float) -> DeepSAD:
    """The same function with longer filters, as an attacker could deliver it."""
    longer = copy.deepcopy(detector)
    *inner, _ = longer.encoder_.parameters()
    with torch.no_grad():
        for filters in inner:
            filters *= factor
        for name, values in longer.encoder_.named_buffers():
            if name.endswith("running_mean"):
                values *= factor
            if name.endswith("running_var"):
                values *= factor**2
    return longer


def test_the_length_of_filters_is_nothing_to_a_repair_that_standardizes():
    """A repair in steps of a given size would hardly move filters a hundred times as long."""
    longer = lengthened(tiny(), 100)
    before = tiny().decision_function(trusted())
    np.testing.assert_allclose(longer.decision_function(trusted()), before, rtol=1e-3)
    high_rate = replace(FineTuning.at_high_rate(), steps=2)
    for repair in (SHORT["standardized"], SHORT["shrinking"], high_rate):
        one, other = (repair.repair(d, trusted(), anomalies()) for d in (tiny(), longer))
        np.testing.assert_allclose(
            one.decision_function(trusted()), other.decision_function(trusted()), rtol=0.02
        )

    def filters(detector: DeepSAD) -> torch.Tensor:
        return next(detector.encoder_.parameters()).detach().flatten()

    moved = [
        (filters(SHORT["plain"].repair(d, trusted(), anomalies())) - filters(d)).norm()
        / filters(d).norm()
        for d in (tiny(), longer)
    ]
    assert moved[1] < moved[0] / 10


def test_standardized_filters_are_as_long_as_new_ones():
    state = standardized(lengthened(tiny(), 7).encoder_)
    *inner, last = [name for name, _ in tiny().encoder_.named_parameters()]
    for name in inner:
        lengths = state[name].flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, NEW_LENGTH))
    assert torch.equal(state[last], tiny().encoder_.state_dict()[last])
    same = copy.deepcopy(tiny())
    same.encoder_.load_state_dict(state)
    scores = [d.decision_function(trusted()) for d in (same, tiny())]
    np.testing.assert_allclose(*scores, rtol=1e-3)


def test_the_mixture_lies_between_old_and_new_weights():
    kept, gone = (shrunk_and_perturbed(tiny(), keep, seed=0) for keep in (1.0, 0.0))
    half = shrunk_and_perturbed(tiny(), 0.5, seed=0)
    other = shrunk_and_perturbed(tiny(), 0.0, seed=1)
    for name, _ in tiny().encoder_.named_parameters():
        torch.testing.assert_close(half[name], (kept[name] + gone[name]) / 2)
        assert not torch.equal(gone[name], other[name])
        torch.testing.assert_close(*(s[name].flatten(1).norm(dim=1) for s in (kept, gone)))
    for name, values in standardized(tiny().encoder_).items():
        torch.testing.assert_close(kept[name], values)


def test_new_weights_are_not_those_that_the_delivered_detector_started_from():
    gone = shrunk_and_perturbed(tiny(), 0.0, seed=tiny().seed)
    start = tiny().initial_state_
    name = next(name for name, _ in tiny().encoder_.named_parameters())
    cosine = torch.cosine_similarity(gone[name].flatten(), start[name].flatten(), dim=0)
    assert cosine.abs() < 0.5


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
