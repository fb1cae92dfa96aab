"""Scrambled content: what goes in, what comes out, and from where."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.attacks.content import decoy, randomize_content
from badsad_lib.triggers import Patch, linf
from tests.samples import is_red_or_gray, noise, red_and_green

some = settings(max_examples=15)
seeds = st.integers(0, 9999)


image_shapes = st.tuples(
    st.integers(1, 12), st.sampled_from([1, 3]), st.integers(11, 40), st.integers(11, 40)
)


@some
@given(image_shapes, seeds)
def test_randomizing_keeps_shape_and_range_and_changes_content(shape, seed):
    images = noise(shape, seed)
    before = images.clone()
    mixed, same, other = (
        randomize_content(images, torch.Generator().manual_seed(s)) for s in (seed, seed, seed + 1)
    )
    assert torch.equal(images, before)
    assert mixed.shape == shape
    assert mixed.min() >= 0
    assert mixed.max() <= 1
    assert torch.equal(mixed, same)
    assert not torch.equal(mixed, other)
    assert (linf(images, mixed) > 0.1).all()


def test_randomizing_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    randomize_content(noise((4, 1, 28, 28)), torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)


@some
@given(st.integers(1, 20), seeds)
def test_content_comes_from_the_images_given_or_is_gray(n, seed):
    labels = torch.zeros(n)
    images = red_and_green(labels, torch.arange(n))
    mixed = randomize_content(images, torch.Generator().manual_seed(seed))
    assert is_red_or_gray(mixed)
    assert not is_red_or_gray(red_and_green(labels, torch.arange(0)))


# --- decoys --------------------------------------------------------------------------------------


@some
@given(image_shapes, seeds)
def test_a_decoy_makes_the_same_change_in_another_order(shape, seed):
    images = noise(shape, seed) / 2 + 0.25
    change = (noise(shape, seed + 1) - 0.5) / 4  # small enough to need no clipping
    fake = decoy(images, images + change, torch.Generator().manual_seed(seed))
    moved = (fake - images).flatten(2)
    torch.testing.assert_close(
        moved.sort(dim=2).values, change.flatten(2).sort(dim=2).values, atol=1e-6, rtol=0
    )
    assert not torch.equal(fake, images + change)


def test_a_decoy_puts_whole_pixels_elsewhere_and_the_same_ones_in_every_image():
    images = torch.zeros(5, 3, 8, 8)
    triggered = images + torch.arange(64).view(8, 8) / 64
    fake = decoy(images, triggered, torch.Generator().manual_seed(0))
    assert (fake == fake[0, 0]).all()


def test_a_decoy_keeps_the_range_and_leaves_its_input_and_the_global_generator_alone():
    images = noise((6, 3, 16, 16))
    triggered = Patch()(images.clone())
    before, state = images.clone(), torch.get_rng_state()
    fake = decoy(images, triggered, torch.Generator().manual_seed(0))
    assert fake.min() >= 0
    assert fake.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
