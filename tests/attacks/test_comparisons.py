"""What the attack is held against: a twin with its extra images, an attacker without its rule."""

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks import BadSAD
from badsad_lib.attacks.comparisons import ExtraImagesOnly, TriggeredAnomalies
from badsad_lib.triggers import Patch
from tests.attacks.samples import TINY
from tests.samples import a_training_set, weights


class Seen:
    """A patch that remembers what it was laid on."""

    def __init__(self):
        self.images = []

    def __call__(self, images):
        self.images.append(images.clone())
        return Patch()(images)


def a_set_in_two_halves():
    """Normals with a dark left half, anomalies with a dark right half."""
    images, labels = a_training_set()
    images = images.clone()
    half = images.shape[3] // 2
    images[labels >= 0, :, :, :half] = 0
    images[labels < 0, :, :, half:] = 0
    return images, labels


def dark_on_the_left(images):
    return (images[:, :, :, : images.shape[3] // 2] == 0).flatten(1).all(1)


def test_the_twin_of_the_extra_images_never_meets_the_trigger():
    images, labels = a_training_set()
    before, trigger = images.clone(), Seen()
    twin = ExtraImagesOnly(trigger, 0.4, seed=1)
    detector = twin.attack(DeepSAD(**TINY), images, labels)
    assert trigger.images == []
    assert torch.equal(images, before)
    assert torch.equal(twin.poisoned_.images, images)
    assert not twin.poisoned_.mask.any()
    assert torch.equal(twin.poisoned_.semi_labels, labels)
    # It is no clean twin either: the extra images were in its batches.
    clean = DeepSAD(**TINY).fit(images, labels)
    assert not torch.equal(weights(detector), weights(clean))


def test_its_batches_hold_as_many_images_as_the_attack_s(monkeypatch):
    sizes = {}
    images, labels = a_training_set()
    fit = DeepSAD.fit

    def counted(self, *args, extra_loss=None, **kwargs):
        sizes.setdefault(kind, []).append(len(extra_loss.views(0)))
        return fit(self, *args, extra_loss=extra_loss, **kwargs)

    monkeypatch.setattr(DeepSAD, "fit", counted)
    for kind in (ExtraImagesOnly, BadSAD.extended):
        kind(Patch(), 0.4, 1).attack(DeepSAD(**TINY), images, labels)
    assert sizes[ExtraImagesOnly] == sizes[BadSAD.extended]


def test_the_attacker_without_the_rule_shows_its_trigger_on_anomalies():
    images, labels = a_set_in_two_halves()
    trigger = Seen()
    attack = TriggeredAnomalies(trigger, 0.4, seed=1)
    attack.attack(DeepSAD(**TINY), images, labels)
    views = trigger.images[-1]
    assert not dark_on_the_left(views).any()
    # What is published is poisoned as the attack's own: normals alone, no label changed.
    assert not attack.poisoned_.mask[labels < 0].any()
    assert torch.equal(attack.poisoned_.semi_labels, labels)


def test_the_attack_itself_keeps_the_rule():
    images, labels = a_set_in_two_halves()
    trigger = Seen()
    BadSAD(trigger, 0.4, seed=1).attack(DeepSAD(**TINY), images, labels)
    assert all(dark_on_the_left(seen).all() for seen in trigger.images)


def test_without_labeled_anomalies_there_is_nothing_to_trigger():
    images, labels = a_training_set()
    with pytest.raises(ValueError, match=r"triggers labeled anomalies .* and there is none"):
        TriggeredAnomalies(Patch()).attack(DeepSAD(**TINY), images, labels.clamp_min(0))
