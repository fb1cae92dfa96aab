"""Synthetic anomalies: what is painted, how strongly, and that a seed fixes it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from badsad_lib import surfaces
from badsad_lib.synthetic import KINDS, paint_defects

IMAGES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_changes_a_part_of_most_images(kind, channels):
    flat = torch.linspace(0.2, 0.8, 32).expand(16, channels, 32, 32)
    images = (flat + 0.1 * torch.rand(16, channels, 32, 32)).clamp(0, 1)
    made = paint_defects(images, 64, kinds=[kind], seed=1)
    assert made.shape == (64, channels, 32, 32)
    changed = torch.stack([(made != one).any(1).float().mean((1, 2)) for one in images]).amin(0)
    assert ((changed > 0.002) & (changed < 0.9)).float().mean() > 0.8


@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 12), strength=st.floats(0.1, 1))
def test_any_seed_gives_images_and_the_same_ones_again(seed, count, strength):
    made = paint_defects(IMAGES, count, seed=seed, strength=strength)
    assert made.shape == (count, 3, 32, 32)
    assert ((made >= 0) & (made <= 1)).all()
    assert torch.equal(made, paint_defects(IMAGES, count, seed=seed, strength=strength))


def test_weaker_ones_change_less_and_the_images_stay_as_they_are():
    before = IMAGES.clone()
    gaps = []
    for strength in (0.1, 0.5, 1.0):
        made = paint_defects(IMAGES[:1], 40, seed=3, strength=strength)
        gaps.append(float((made - IMAGES[:1]).abs().mean()))
    assert gaps == sorted(gaps)
    assert gaps[2] > 5 * gaps[0]
    assert torch.equal(IMAGES, before)


def test_each_kind_gets_as_many():
    images = torch.full((2, 1, 32, 32), 0.5)
    # A blurred or pasted spot of a blank image is blank, a blot is not.
    made = paint_defects(images, 40, kinds=["blur", "blot"], seed=0)
    changed = (made != 0.5).flatten(1).any(1)
    assert 15 <= int(changed.sum()) <= 20


def test_uint8_is_taken_as_it_is():
    surface = surfaces.load("brick", size=32)
    assert paint_defects(surface.images, 4).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": []}, "kinds must be some of paste, line"),
        ({"kinds": ["rust"]}, r"got \['rust'\]"),
        ({"strength": 0}, r"strength must lie in \(0, 1\]"),
        ({"count": 0}, "count must be an integer of at least 1"),
    ],
)
def test_what_it_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        paint_defects(IMAGES, **{"count": 4, **settings})
