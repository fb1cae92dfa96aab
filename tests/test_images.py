"""The image format: uint8 travels, float32 in [0, 1] computes, anything else stops at the door."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from badsad_lib.images import (
    check_images,
    check_semi_labels,
    semi_labels_from,
    to_float,
    to_uint8,
)

SHAPES = hnp.array_shapes(min_dims=4, max_dims=4, max_side=4)


@given(hnp.arrays(np.uint8, SHAPES))
def test_uint8_to_float_and_back_is_lossless(array):
    images = torch.from_numpy(array)
    assert torch.equal(to_uint8(to_float(images)), images)


def test_every_gray_level_is_its_share_of_255():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = to_float(levels)
    assert floats.dtype == torch.float32
    assert floats.min() == 0
    assert floats.max() == 1
    assert torch.equal(floats.flatten(), torch.arange(256, dtype=torch.float32) / 255)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
def test_to_uint8_takes_the_nearest_level(array):
    images = torch.from_numpy(array)
    levels = to_uint8(images)
    assert levels.dtype == torch.uint8
    assert (levels.float() - images * 255).abs().max() <= 0.5 + 1e-4


def test_to_uint8_clamps_what_rounding_pushed_out_of_range():
    images = torch.tensor([-0.01, 1.01]).reshape(1, 1, 1, 2)
    assert to_uint8(images).flatten().tolist() == [0, 255]


def test_conversions_leave_their_input_alone():
    levels = torch.full((1, 1, 2, 2), 7, dtype=torch.uint8)
    floats = torch.full((1, 1, 2, 2), 0.5)
    to_float(levels)
    to_uint8(floats)
    assert levels.unique().tolist() == [7]
    assert floats.unique().tolist() == [0.5]


def test_conversions_pass_what_is_already_converted():
    levels = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    floats = torch.zeros(1, 1, 2, 2)
    assert to_uint8(levels) is levels
    assert to_float(floats) is floats


@given(hnp.arrays(np.uint8, SHAPES))
def test_uint8_passes_the_check_unchanged(array):
    images = check_images(array)
    assert images.dtype == torch.uint8
    assert np.array_equal(images.numpy(), array)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_floats_in_range_become_float32(dtype):
    images = check_images(torch.linspace(0, 1, 12).reshape(3, 1, 2, 2).to(dtype))
    assert images.dtype == torch.float32
    assert images.shape == (3, 1, 2, 2)


def test_a_flipped_numpy_array_is_accepted():
    array = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)[:, :, ::-1]
    assert np.array_equal(check_images(array).numpy(), array)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([[0.0]], TypeError, "tensor or numpy array, got list"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.int64), TypeError, r"got torch.int64; convert"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.bool), TypeError, "got torch.bool"),
        (torch.zeros(3, 2, 2), ValueError, r"\(N, C, H, W\), got \(3, 2, 2\).*images\[:, None\]"),
        (torch.zeros(0, 1, 2, 2), ValueError, "must not be empty"),
        (torch.zeros(1, 1, 0, 2), ValueError, "must not be empty"),
        (torch.full((1, 1, 2, 2), float("nan")), ValueError, "finite"),
        (torch.full((1, 1, 2, 2), float("inf")), ValueError, "finite"),
        (torch.full((1, 1, 2, 2), 255.0), ValueError, r"in \[0, 1\], got values from 255 to 255"),
        (torch.full((1, 1, 2, 2), -0.5), ValueError, r"got values from -0.5"),
    ],
)
def test_bad_images_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        check_images(images)


def test_one_bad_pixel_is_enough():
    images = torch.full((5, 1, 3, 3), 0.5)
    images[3, 0, 2, 1] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        check_images(images)


def test_required_channels_and_size():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert check_images(images, channels=3, size=(32, 32)) is images
    with pytest.raises(ValueError, match=r"1 channel\(s\), got 3"):
        check_images(images, channels=1)
    with pytest.raises(ValueError, match="28x28 pixels, got 32x32"):
        check_images(images, size=(28, 28))


def test_errors_call_the_argument_by_its_name():
    with pytest.raises(ValueError, match=r"^val_images must not be empty"):
        check_images(torch.zeros(0, 1, 2, 2), name="val_images")


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=20))
def test_semi_labels_become_int64(labels):
    checked = check_semi_labels(np.array(labels, dtype=np.int8), len(labels))
    assert checked.dtype == torch.int64
    assert checked.tolist() == labels


@given(st.lists(st.integers(-1, 1), max_size=9), st.integers(2, 9))
def test_class_targets_are_not_semi_labels(labels, target):
    with pytest.raises(ValueError, match=rf"\[{target}\]; class targets are not semi-labels"):
        check_semi_labels([*labels, target], len(labels) + 1)


@pytest.mark.parametrize("labels", [[0, 0], [[0, 0, 0]], [0, 0, 0, 0]])
def test_one_semi_label_per_image(labels):
    with pytest.raises(ValueError, match=r"must have shape \(3,\), one per image"):
        check_semi_labels(labels, 3)


# --- what a refused picture looks like -----------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (np.zeros((2, 1, 4, 4), np.uint16), "divide by the format's maximum"),
        (np.zeros((2, 1, 4, 4), np.int16), "divide by the format's maximum"),
        (np.zeros((2, 1, 4, 4), bool), r"images\.float\(\)"),
        (np.zeros((4, 4), np.uint8), r"one gray picture.*images\[None, None\]"),
        (np.zeros((3, 8, 8), np.uint8), r"one picture \(C, H, W\) needs images\[None\]"),
        (np.zeros((8, 8, 3), np.uint8), r"permute\(2, 0, 1\)\[None\]"),
        (np.full((2, 1, 4, 4), 300.0), "the same number for all sets"),
    ],
)
def test_the_message_names_what_it_looks_like_and_what_mends_it(images, advice):
    with pytest.raises((TypeError, ValueError), match=advice):
        check_images(images)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((2, 28, 28, 1), r"permute\(0, 3, 1, 2\)"), ((2, 4, 28, 28), r"RGBA: images\[:, :3\]")],
)
def test_colors_last_and_transparency_are_named(shape, advice):
    with pytest.raises(ValueError, match=advice):
        check_images(np.zeros(shape, np.uint8), channels=3 if shape[1] == 4 else 1)


# --- semi-labels are not the labels of others ----------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [[True, False], [0, True], np.array([True, False]), torch.tensor([True, False])],
)
def test_booleans_are_no_semi_labels(labels):
    with pytest.raises(TypeError, match=r"got Booleans; semi_labels_from\(is_anomaly\)"):
        check_semi_labels(labels, 2)


@pytest.mark.parametrize("labels", [[0.5, 0.0], [float("nan"), 0.0]])
def test_fractions_are_no_semi_labels(labels):
    with pytest.raises(ValueError, match="got also"):
        check_semi_labels(labels, 2)


def test_text_is_no_semi_label():
    with pytest.raises(TypeError, match="must be numbers"):
        check_semi_labels(["0", "1"], 2)


def test_labeled_normals_without_anomalies_are_warned_about(recwarn):
    assert check_semi_labels([0, 1, -1], 3).tolist() == [0, 1, -1]
    assert check_semi_labels([0, -1], 2).tolist() == [0, -1]
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"In PyOD's y 1 is an outlier.*semi_labels_from"):
        check_semi_labels([0, 1, 0], 3)


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_the_truth_becomes_semi_labels(truth):
    expected = [-1 if anomaly else 0 for anomaly in truth]
    numbers = np.array(truth, dtype=int)
    for given_as in (truth, np.array(truth), torch.tensor(truth), numbers, numbers.astype(float)):
        made = semi_labels_from(given_as)
        assert made.dtype == torch.int64
        assert made.tolist() == expected


@pytest.mark.parametrize("truth", [[-1, 1], [0, 2], [0.5, 0], [[0, 1]]])
def test_what_is_not_the_truth_is_refused(truth):
    with pytest.raises(ValueError, match="is_anomaly must"):
        semi_labels_from(truth)
