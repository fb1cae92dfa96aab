"""Poisoned data, published: what a victim who trains on it gets."""

import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks import DataPoisoning
from badsad_lib.attacks.poisoning import poison
from badsad_lib.triggers import Patch, Universal
from tests.attacks.samples import TINY
from tests.samples import a_training_set, weights


def test_data_poisoning_is_ordinary_training_on_the_poisoned_set():
    images, labels = a_training_set()
    attack = DataPoisoning(Patch(), 0.4, randomize=True, seed=2)
    victim = attack.attack(DeepSAD(**TINY), images, labels)
    published = poison(images, labels, Patch(), poison_rate=0.4, randomize=True, seed=2)
    assert torch.equal(attack.poisoned_.images, published.images)
    trained = DeepSAD(**TINY).fit(published.images, published.semi_labels)
    assert torch.equal(weights(victim), weights(trained))


def test_data_poisoning_needs_a_pattern():
    images, labels = a_training_set()
    with pytest.raises(ValueError, match="no pattern yet"):
        DataPoisoning(Universal()).attack(DeepSAD(**TINY), images, labels)
