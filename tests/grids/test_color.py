"""Gray images in color: shapes stay, colors say nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from badsad_lib import datasets
from badsad_lib.grids.color import colorize, colorized
from badsad_lib.images import to_float
from tests.samples import noise


@given(st.integers(1, 6), st.integers(8, 32), st.integers(8, 32), st.integers(0, 99))
def test_the_shape_of_things_stays(n, height, width, seed):
    gray = noise((n, 1, height, width), seed)
    color = colorize(gray, seed=seed)
    assert color.shape == (n, 3, 32, 32)
    assert color.dtype == torch.uint8
    assert torch.equal(colorize(gray, seed=seed), color)
    top, left = (32 - height) // 2, (32 - width) // 2
    inside = to_float(color)[:, :, top : top + height, left : left + width].flatten(2)
    for image, channels in zip(gray.flatten(1), inside, strict=True):
        for channel in channels:  # brighter where the gray image is brighter
            assert (channel[image.argsort()].diff() >= 0).all()


def test_every_image_has_two_colors_of_its_own():
    gray = torch.zeros(50, 1, 28, 28)
    gray[:, :, 14:] = 1
    color = to_float(colorize(gray))
    paper, ink = color[:, :, 0, 0], color[:, :, 20, 16]
    assert len(paper.unique(dim=0)) == len(ink.unique(dim=0)) == 50
    assert paper.max() <= 0.41
    assert ink.min() >= 0.59
    assert not torch.equal(colorize(gray, seed=1), colorize(gray))


@pytest.mark.slow
def test_a_data_set_keeps_its_classes():
    gray = datasets.load("fashion_mnist")
    color = colorized(gray)
    assert color.name == "fashion_mnist in color"
    assert color.class_names == gray.class_names
    for ours, theirs in ((color.train, gray.train), (color.test, gray.test)):
        assert torch.equal(ours.targets, theirs.targets)
        assert ours.images.shape == (len(theirs), 3, 32, 32)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 33, 20), (2, 28, 28)])
def test_other_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"gray images|do not fit|\(N, C, H, W\)"):
        colorize(noise(shape))
