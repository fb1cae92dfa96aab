"""Disturbed images are images, other ones, and the same ones again from the same seed."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.defenses import disturb
from tests.samples import noise

shapes = st.tuples(
    st.integers(1, 6), st.sampled_from([1, 3]), st.integers(8, 33), st.integers(8, 33)
)


def disturbed(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return disturb(images, torch.Generator().manual_seed(seed))


@settings(max_examples=20)
@given(shapes, st.integers(0, 99))
def test_disturbed_images_are_images_of_the_same_shape(shape, seed):
    images = noise(shape)
    result = disturbed(images, seed)
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(images, noise(shape))
    assert torch.equal(result, disturbed(images, seed))


def test_every_image_is_changed_and_each_differently():
    gray = torch.full((64, 1, 28, 28), 0.5)
    change = (disturbed(gray) - gray).flatten(1)
    assert (change.abs().amax(1) > 0.005).all()
    assert len(change.unique(dim=0)) == 64


def test_some_changes_are_local_and_some_are_everywhere():
    gray = torch.full((64, 1, 28, 28), 0.5)
    share = ((disturbed(gray) - gray).abs() > 1e-3).flatten(1).float().mean(1)
    assert (share < 0.1).sum() >= 8
    assert (share > 0.9).sum() >= 8
