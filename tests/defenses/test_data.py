"""Defenses on training data: what all promise, and where each stands."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib import DeepSAD
from badsad_lib.attacks.poisoning import poison
from badsad_lib.course import shipped
from badsad_lib.defenses import (
    ActivationClustering,
    GramData,
    SpectralSignatures,
    gram_features,
    spectral_scores,
)
from badsad_lib.metrics import auroc
from tests.defenses.samples import NETWORKS, tiny, trusted
from tests.samples import noise

KINDS = {
    "clustering": ActivationClustering,
    "clustering on conv": lambda: ActivationClustering(layer="conv"),
    "spectral": SpectralSignatures,
    "spectral on conv": lambda: SpectralSignatures(layer="conv"),
    "gram": GramData,
}


def with_blank_ones() -> torch.Tensor:
    """60 images of noise, of which the first 6 are nearly blank."""
    images = trusted(count=60)
    images[:6] *= 0.02
    return images


@pytest.fixture(params=KINDS)
def defense(request):
    return KINDS[request.param]()


@pytest.mark.parametrize("network", NETWORKS)
def test_suspicion_is_one_finite_number_an_image(defense, network):
    suspicion = defense.suspicion(tiny(network), trusted(network, count=40))
    assert suspicion.shape == (40,)
    assert suspicion.dtype == np.float64
    assert np.isfinite(suspicion).all()


def test_the_order_of_the_images_does_not_matter(defense):
    images = with_blank_ones()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(4))
    expected = defense.suspicion(tiny(), images)[order]
    np.testing.assert_allclose(defense.suspicion(tiny(), images[order]), expected, rtol=1e-2)


def test_a_few_blank_images_among_noise_stand_out(defense):
    suspicion = defense.suspicion(tiny(), with_blank_ones())
    assert auroc(suspicion[6:], suspicion[:6]) >= 0.95


def test_too_few_images_and_untrained_detectors_are_refused(defense):
    with pytest.raises(RuntimeError, match="not fitted"):
        defense.suspicion(DeepSAD(), trusted())
    with pytest.raises(ValueError, match=r"images must be at least 20.*got 19"):
        defense.suspicion(tiny(), trusted(count=19))
    with pytest.raises(ValueError, match="28x28 pixels"):
        defense.suspicion(tiny(), noise((30, 1, 32, 32)))


@pytest.mark.parametrize("kind", [ActivationClustering, SpectralSignatures])
def test_an_unknown_layer_is_named(kind):
    with pytest.raises(ValueError, match=r"layer must be one of \('latent', 'conv'\), got 'last'"):
        kind(layer="last")


def test_clustering_tells_how_real_its_groups_are():
    found = ActivationClustering()
    found.suspicion(tiny(), with_blank_ones())
    assert found.smaller_share_ == pytest.approx(0.1)
    apart = found.silhouette_
    found.suspicion(tiny(), trusted(count=60))
    assert apart > found.silhouette_ + 0.2


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(0.1, 10))
def test_spectral_scores_measure_along_the_widest_direction(seed, shift):
    vectors = noise((40, 5), seed) * 0.01
    vectors[:, 2] += torch.linspace(-1, 1, 40)
    expected = (vectors[:, 2] - vectors[:, 2].mean()).square()
    scores = spectral_scores(vectors + shift)
    torch.testing.assert_close(scores, expected, atol=0.05, rtol=0.05)


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_gram_features_by_their_definition(images, channels, seed):
    activations = noise((images, channels, 3, 4), seed) * 2 - 1
    features = gram_features(activations, powers=(1, 2))
    pairs = [(i, j) for i in range(channels) for j in range(i, channels)]
    assert features.shape == (images, 2 * len(pairs))
    for column, (i, j) in enumerate(pairs):
        first = (activations[:, i] * activations[:, j]).mean((1, 2))
        torch.testing.assert_close(features[:, column], first, atol=1e-5, rtol=1e-4)
        second = (activations[:, i] ** 2 * activations[:, j] ** 2).mean((1, 2)).sqrt()
        torch.testing.assert_close(features[:, column + len(pairs)], second, atol=1e-5, rtol=1e-4)


def separation(defense, name: str) -> float:
    """AUROC of poisoned against clean training normals of a shipped victim."""
    split = shipped.split()
    poisoned = poison(
        split.train_images, split.train_labels, shipped.trigger(name), poison_rate=0.1, seed=0
    )
    normal = split.train_labels >= 0
    suspicion = defense.suspicion(shipped.load(name), poisoned.images[normal])
    truth = poisoned.mask[normal].numpy()
    return auroc(suspicion[~truth], suspicion[truth])


@pytest.mark.slow
def test_clean_label_poison_hides_among_normal_images(defense):
    assert separation(defense, "data_only") <= 0.75


@pytest.mark.slow
def test_concentration_turns_the_spectral_ranking_around():
    assert separation(SpectralSignatures(), "basic") <= 0.2
