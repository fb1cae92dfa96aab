"""Attackers who know a defense."""

from __future__ import annotations

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks import BadSAD
from badsad_lib.attacks.adaptive import ADAPTATIONS, NearMisses, SurvivePurification, SurviveStrip
from badsad_lib.course import shipped
from badsad_lib.defenses import PURIFIERS
from badsad_lib.triggers import Patch, Sinusoid
from tests.samples import a_training_set, noise

PATCH = Patch()


def pair(n: int = 48, shape=(1, 28, 28), trigger=PATCH) -> tuple[torch.Tensor, torch.Tensor]:
    plain = noise((n, *shape)) * 0.5
    return trigger(plain), plain


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_an_adaptation_keeps_shape_and_range_and_leaves_its_input_alone(name, shape):
    triggered, plain = pair(shape=shape)
    before = triggered.clone(), plain.clone()
    changed = ADAPTATIONS[name](triggered, plain, generator())
    assert torch.equal(triggered, before[0])
    assert torch.equal(plain, before[1])
    for part in changed:
        assert part.shape == plain.shape
        assert part.min() >= 0
        assert part.max() <= 1
    for one, other in zip(changed, ADAPTATIONS[name](triggered, plain, generator())):
        assert torch.equal(one, other)


def test_purified_views_are_purified_alike_with_and_without_the_trigger():
    triggered, plain = pair(200)
    purified = SurvivePurification()(triggered, plain, generator())
    seen = set()
    for i in range(200):
        ways = {"none": lambda x: x, **PURIFIERS}
        (name,) = [n for n, p in ways.items() if torch.equal(p(plain[[i]]), purified[1][[i]])]
        assert torch.equal(ways[name](triggered[[i]]), purified[0][[i]])
        seen.add(name)
    assert seen == {"none", *PURIFIERS}


def test_near_misses_carry_a_part_of_the_trigger_at_the_end_of_the_plain_views():
    triggered, plain = pair(48, trigger=Sinusoid())
    pulled, pushed = NearMisses()(triggered, plain, generator())
    assert torch.equal(pulled, triggered)
    assert torch.equal(pushed[:36], plain[:36])
    whole = (triggered - plain)[36:].flatten(1)
    share = (pushed - plain)[36:].flatten(1).abs().sum(1) / whole.abs().sum(1)
    assert (share > 0.1).all()
    assert (share < 0.9).all()
    # Some are weaker everywhere, the others lack pixels.
    untouched = ((pushed - plain)[36:].flatten(1) == 0).float().mean(1)
    assert (untouched > 0.15).any()
    assert (untouched < 0.15).any()


def test_overlays_calm_plain_views_and_give_triggered_ones_away():
    triggered, plain = pair(64)
    pulled, pushed = SurviveStrip()(triggered, plain, generator())
    assert torch.equal(pulled[:56], triggered[:56])
    assert torch.equal(pushed[:56], plain[:56])
    for overlaid, under in ((pulled[56:], plain[56:]), (pushed[56:], triggered[56:])):
        added = overlaid - under
        assert (added >= 0).all()
        # At least half of another view, at most the whole of it, cut off at white.
        for one, lower in zip(added, under):
            free = (one + lower) < 1
            shares = [(one / other)[free] for other in plain]
            assert any(s.min() > 0.49 and s.max() < 1.01 and s.std() < 1e-3 for s in shares)


def test_the_attack_sees_its_views_through_the_adaptation():
    images, labels = a_training_set(normals=40, anomalies=8)
    calls = []

    def watch(triggered, plain, generator):
        calls.append((len(triggered), len(plain)))
        return triggered, plain

    def attacked(adaptation) -> DeepSAD:
        attack = BadSAD(Patch(), 0.5, contrast_weight=0.1, views=8, adaptation=adaptation)
        return attack.attack(DeepSAD(network="mnist", epochs=1, device="cpu"), images, labels)

    same, plain = attacked(watch), attacked(None)
    assert set(calls) == {(8, 8)}
    assert (same.decision_function(images) == plain.decision_function(images)).all()
    other = attacked(NearMisses())
    assert (other.decision_function(images) != plain.decision_function(images)).any()


@pytest.mark.slow
@pytest.mark.trial
def test_an_attacker_who_knows_purification_keeps_the_backdoor_open_behind_it():
    """On the course subset: purified, the triggered anomalies of the plain victim are seen."""
    split, plain = shipped.split(), shipped.load("extended")
    attack = BadSAD.extended(Patch(), 0.1, 0)
    attack.adaptation = SurvivePurification()
    adapted = attack.attack(DeepSAD(device="cpu"), split.train_images, split.train_labels)
    anomalies = Patch()(split.test_anomalies[::8].float() / 255)

    def passing(detector: DeepSAD) -> float:
        detector.calibrate(split.val_images)
        purified = [p(anomalies) for p in PURIFIERS.values()]
        return 1 - float(max(detector.predict(images).mean() for images in purified))

    assert passing(adapted) > passing(plain) + 0.2
