"""Nothing draws from a global generator, or so much as borrows one: many threads may train."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from badsad_lib import DeepSAD
from badsad_lib.attacks import BadSAD, DataPoisoning
from badsad_lib.defenses import (
    ActivationClustering,
    AttentionDistillation,
    FinePruning,
    FineTuning,
    Frequency,
    GramData,
    GramInputs,
    Purification,
    Reconstruction,
    SpectralSignatures,
    Strip,
    TriggerInversion,
    Unlearning,
)
from badsad_lib.networks import make_encoder
from badsad_lib.triggers import Patch, Universal
from tests.defenses.samples import anomalies, tiny, trusted
from tests.samples import a_training_set, weights

QUICK: dict[str, Any] = {"network": "mnist", "epochs": 1, "batch_size": 16, "device": "cpu"}


def global_states() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 (the global one is what is watched)
    return random.getstate(), name, keys.tobytes(), rest, torch.get_rng_state().numpy().tobytes()


def fit(**parameters: Any) -> DeepSAD:
    return DeepSAD(**QUICK, **parameters).fit(*a_training_set())


def screen(defense: Any) -> Any:
    return defense.fit(tiny(), trusted(), anomalies()).suspicion(trusted(count=5))


def inspect(defense: Any) -> Any:
    images, labels = a_training_set(normals=60)
    return defense.suspicion(tiny(), images[labels == 0])


DRAWS = {
    "fit": fit,
    "pretrained fit": lambda: fit(pretrain_epochs=1),
    "pretrain": lambda: DeepSAD(**QUICK, pretrain_epochs=1).pretrain(a_training_set()[0]),
    "encode initial": lambda: fit().encode(a_training_set()[0], initial=True),
    "network": lambda: make_encoder("cifar10", seed=3),
    "data poisoning": lambda: DataPoisoning(Patch(), poison_rate=0.5, randomize=True).attack(
        DeepSAD(**QUICK), *a_training_set()
    ),
    "extended": lambda: BadSAD.extended(Patch(), poison_rate=0.5).attack(
        DeepSAD(**QUICK), *a_training_set()
    ),
    "learned trigger": lambda: BadSAD.basic(Universal(), poison_rate=0.5).attack(
        DeepSAD(**QUICK), *a_training_set()
    ),
    "fine-tuning": lambda: FineTuning(steps=2, views=4).repair(tiny(), trusted(), anomalies()),
    "pruning": lambda: FinePruning(steps=2).repair(tiny(), trusted(), anomalies()),
    "attention": lambda: AttentionDistillation(steps=2).repair(tiny(), trusted(), anomalies()),
    "unlearning": lambda: Unlearning(steps=3, views=4, patterns=2, restart=2).repair(
        tiny(), trusted(), anomalies()
    ),
    "inversion": lambda: TriggerInversion(steps=2).search(tiny(), trusted(), anomalies()),
    "gram inputs": lambda: screen(GramInputs()),
    "strip": lambda: screen(Strip()),
    "purification": lambda: screen(Purification()),
    "frequency": lambda: screen(Frequency(copies=1)),
    "reconstruction": lambda: screen(Reconstruction(steps=2, batch_size=8)),
    "gram data": lambda: inspect(GramData()),
    "clustering": lambda: inspect(ActivationClustering()),
    "spectral": lambda: inspect(SpectralSignatures()),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", DRAWS)
def test_the_global_generators_are_left_alone(what):
    before = global_states()
    DRAWS[what]()
    assert global_states() == before


@pytest.mark.slow
@pytest.mark.parametrize("pretrain_epochs", [0, 1])
def test_sixty_seeds_on_four_threads_give_the_bits_that_they_give_one_after_another(
    pretrain_epochs,
):
    def trained(seed: int) -> torch.Tensor:
        return weights(fit(seed=seed, pretrain_epochs=pretrain_epochs))

    alone = [trained(seed) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(trained, range(60)))
    differing = [s for s, (a, b) in enumerate(zip(alone, together)) if not torch.equal(a, b)]
    assert differing == []
    assert len({tuple(w.tolist()) for w in alone}) == 60


def test_attacks_in_threads_give_the_bits_that_they_give_one_after_another():
    def attacked(seed: int) -> torch.Tensor:
        attack = BadSAD.extended(Patch(), poison_rate=0.5, seed=seed)
        return weights(attack.attack(DeepSAD(**QUICK, seed=seed), *a_training_set()))

    alone = [attacked(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(attacked, range(8)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together))
