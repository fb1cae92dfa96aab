"""Triggers: same shape, same range, same change every time; and how visible they are."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.images import to_float, to_uint8
from badsad_lib.triggers import (
    KINDS,
    PATTERNS,
    POSITIONS,
    Blend,
    Border,
    Patch,
    Sinusoid,
    Universal,
    Warp,
    apply_trigger,
    linf,
    psnr,
    ssim,
    stealth,
)

FAMILIES = ("patch", "border", "blend", "sinusoid", "warp", "universal")


def noise(shape, seed=0, low=0.0, high=1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator) * (high - low) + low


# Square or not, gray or color.
shapes = st.tuples(
    st.integers(1, 4), st.sampled_from([1, 3]), st.integers(11, 40), st.integers(11, 40)
)
# Images and triggers draw from different seeds: noise blended with itself changes nothing.
image_seeds, seeds = st.integers(0, 9999), st.integers(10_000, 99_999)
some = settings(max_examples=15)


@st.composite
def images(draw, low=0.0, high=1.0):
    return noise(draw(shapes), draw(image_seeds), low, high)


@st.composite
def triggers(draw, kind, shape):
    """Any trigger of the kind that fits images of the shape and can be seen in 8 bits."""
    channels, height, width = shape[1:]
    if kind == "patch":
        return Patch(
            size=draw(st.integers(1, 8)),
            value=draw(st.floats(0, 1)),
            position=draw(st.sampled_from(POSITIONS)),
            margin=draw(st.integers(0, 3)),
        )
    if kind == "border":
        return Border(
            width=draw(st.integers(1, 3)),
            strength=draw(st.floats(0.1, 1)),
            value=draw(st.none() | st.floats(0, 1)),
            margin=draw(st.integers(0, 2)),
        )
    if kind == "blend":
        alpha, pattern = draw(st.floats(0.05, 1)), draw(st.sampled_from(PATTERNS))
        return Blend(alpha, pattern, draw(seeds))
    if kind == "sinusoid":
        # Below half the width: a faster wave may meet every column at zero.
        return Sinusoid(draw(st.floats(0.02, 1)), draw(st.floats(0.5, 0.45 * width)))
    if kind == "warp":
        return Warp(draw(st.integers(2, 8)), draw(st.floats(0.2, 4)), draw(seeds))
    epsilon = draw(st.integers(4, 255)) / 255
    pattern = (noise((channels, height, width), draw(seeds)) * 2 - 1) * epsilon
    return Universal(epsilon, pattern)


# --- what every trigger promises -----------------------------------------------------------------


@pytest.mark.parametrize("kind", FAMILIES)
@some
@given(data=st.data())
def test_a_trigger_keeps_shape_and_range_changes_something_and_is_pure(kind, data):
    batch = data.draw(images())
    trigger = data.draw(triggers(kind, batch.shape))
    before = batch.clone()
    after = trigger(batch)
    assert torch.equal(batch, before)
    assert after.shape == batch.shape
    assert after.dtype == batch.dtype
    assert after.min() >= 0
    assert after.max() <= 1
    # Every image of the batch, not only one of them.
    assert (linf(batch, after) > 0).all()


@pytest.mark.parametrize("kind", FAMILIES)
@some
@given(data=st.data())
def test_a_trigger_is_the_same_every_time_and_in_any_batch(kind, data):
    batch = data.draw(images())
    trigger = data.draw(triggers(kind, batch.shape))
    torch.manual_seed(1)
    after = trigger(batch)
    torch.manual_seed(2)
    assert torch.equal(trigger(batch), after)
    assert torch.equal(dataclasses.replace(trigger)(batch), after)
    alone = torch.cat([trigger(batch[i : i + 1]) for i in range(len(batch))])
    torch.testing.assert_close(alone, after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", FAMILIES)
@some
@given(data=st.data())
def test_a_trigger_survives_eight_bits(kind, data):
    batch = data.draw(images())
    trigger = data.draw(triggers(kind, batch.shape))
    levels = to_uint8(batch)
    after = apply_trigger(trigger, levels)
    assert after.dtype == torch.uint8
    assert torch.equal(after, to_uint8(trigger(to_float(levels))))
    assert not torch.equal(after, levels)


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (Patch(), "Patch(size=3, value=1.0, position='bottom-right', margin=1)"),
        (Border(), "Border(width=1, strength=1.0, value=None, margin=0)"),
        (Blend(), "Blend(alpha=0.2, pattern='noise', seed=0)"),
        (Sinusoid(0.5), "Sinusoid(amplitude=0.5, frequency=6.0)"),
        (Warp(), "Warp(cells=4, strength=0.5, seed=0)"),
        (Universal(0.5), "Universal(epsilon=0.5, pattern=None)"),
        (Universal(0.5, torch.zeros(1, 28, 28)), "Universal(epsilon=0.5, pattern=(1, 28, 28))"),
    ],
)
def test_what_is_printed_is_what_is_used_and_nobody_changes_it(trigger, text):
    assert repr(trigger) == text
    name = dataclasses.fields(trigger)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(trigger, name, getattr(trigger, name))


# --- one by one ----------------------------------------------------------------------------------


@some
@given(st.data())
def test_a_patch_changes_exactly_its_pixels_where_its_position_says(data):
    batch = data.draw(images(low=0.1, high=0.9))
    trigger = data.draw(triggers("patch", batch.shape))
    trigger = dataclasses.replace(trigger, value=data.draw(st.sampled_from([0.0, 1.0])))
    height, width = batch.shape[2:]
    gap, size = trigger.margin, trigger.size
    rows = {"top": gap, "bottom": height - gap - size, "center": (height - size) // 2}
    columns = {"left": gap, "right": width - gap - size, "center": (width - size) // 2}
    vertical, _, horizontal = trigger.position.partition("-")
    top, left = rows[vertical], columns[horizontal or "center"]

    after = trigger(batch)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[top : top + size, left : left + size] = True
    assert int(inside.sum()) == size**2
    assert (after[:, :, inside] == trigger.value).all()
    assert torch.equal(after[:, :, ~inside], batch[:, :, ~inside])


def test_the_default_patch_is_that_of_badnets():
    after = Patch()(torch.zeros(1, 1, 28, 28))
    assert torch.nonzero(after[0, 0]).tolist() == [
        [r, c] for r in (24, 25, 26) for c in range(24, 27)
    ]


def test_a_patch_fits_up_to_the_last_pixel_and_no_further():
    white = torch.ones(1, 1, 11, 11)
    assert torch.equal(Patch(11, position="center", margin=5)(white * 0), white)
    assert torch.equal(Patch(10, margin=1)(white * 0)[:, :, :10, :10], white[:, :, :10, :10])
    with pytest.raises(ValueError, match="patch of 10 pixels with margin 2 does not fit into 11"):
        Patch(10, margin=2)(white)
    with pytest.raises(ValueError, match="patch of 12 pixels with margin 0 does not fit into 11"):
        Patch(12, position="center")(white)


@some
@given(st.data())
def test_a_border_changes_its_frame_by_its_share_and_nothing_else(data):
    batch = data.draw(images())
    trigger = data.draw(triggers("border", batch.shape))
    height, width = batch.shape[2:]
    rows = torch.arange(height).view(-1, 1).expand(height, width)
    columns = torch.arange(width).view(1, -1).expand(height, width)
    # How many pixels away the nearest edge is.
    depth = torch.stack([rows, height - 1 - rows, columns, width - 1 - columns]).amin(0)
    frame = (depth >= trigger.margin) & (depth < trigger.margin + trigger.width)

    after = trigger(batch)
    assert torch.equal(after[:, :, ~frame], batch[:, :, ~frame])
    old = batch[:, :, frame]
    new = 1 - old if trigger.value is None else torch.full_like(old, trigger.value)
    expected = (1 - trigger.strength) * old + trigger.strength * new
    torch.testing.assert_close(after[:, :, frame], expected, rtol=0, atol=1e-6)


def test_the_default_border_inverts_the_outermost_pixels():
    after = Border()(torch.zeros(1, 1, 28, 28))
    assert float(after.sum()) == 4 * 27
    assert float(after[:, :, 1:-1, 1:-1].sum()) == 0
    assert torch.equal(Border()(after), torch.zeros(1, 1, 28, 28))
    further_in = Border(margin=1)(torch.zeros(1, 1, 28, 28))
    assert float(further_in.sum()) == 4 * 25
    assert not (further_in * after).any()


def test_a_border_fits_up_to_the_middle_and_no_further():
    black = torch.zeros(1, 1, 28, 12)
    assert float(Border(width=6)(black).sum()) == black.numel()
    assert float(Border(width=1, margin=5)(black).sum()) == 2 * 18
    for trigger in (Border(width=7), Border(width=1, margin=6)):
        with pytest.raises(ValueError, match=r"frame of . pixels .* does not fit into 28x12"):
            trigger(black)


@some
@given(images(), st.floats(0.01, 1), st.sampled_from(PATTERNS), seeds)
def test_blend_is_the_convex_combination(batch, alpha, pattern, seed):
    trigger = Blend(alpha, pattern, seed)
    drawn = trigger.draw(*batch.shape[1:])
    assert drawn.shape == batch.shape[1:]
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    expected = (1 - alpha) * batch + alpha * drawn
    torch.testing.assert_close(trigger(batch), expected, rtol=0, atol=1e-6)


@some
@given(shapes, seeds)
def test_blend_noise_follows_its_seed_and_rings_their_center(shape, seed):
    one, same, other = (Blend(seed=s).draw(*shape[1:]) for s in (seed, seed, seed + 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    rings = Blend(pattern="rings").draw(*shape[1:])
    torch.testing.assert_close(rings, rings.flip(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(rings, rings.flip(2), rtol=0, atol=1e-5)
    assert rings.std() > 0.1


@some
@given(st.data())
def test_a_sinusoid_is_bounded_by_its_amplitude_and_constant_along_a_column(data):
    shape = data.draw(shapes)
    trigger = data.draw(triggers("sinusoid", shape))
    batch = noise(shape, data.draw(image_seeds))
    assert (linf(batch, trigger(batch)) <= trigger.amplitude + 1e-6).all()
    if trigger.amplitude <= 0.5:  # nothing is clipped on gray
        change = trigger(torch.full(shape, 0.5)) - 0.5
        torch.testing.assert_close(change, change[:1, :1, :1].expand(shape), rtol=0, atol=1e-6)
        column = torch.arange(shape[3], dtype=torch.float64)
        wave = trigger.amplitude * torch.sin(2 * math.pi * trigger.frequency * column / shape[3])
        torch.testing.assert_close(change[0, 0, 0].double(), wave, rtol=0, atol=1e-5)


def test_the_default_sinusoid_is_faint():
    change = Sinusoid()(torch.full((1, 1, 28, 28), 0.5)) - 0.5
    assert 19 / 255 <= float(change.abs().max()) <= 20 / 255


@some
@given(st.data())
def test_a_warp_leaves_a_constant_image_alone(data):
    shape = data.draw(shapes)
    trigger = data.draw(triggers("warp", shape))
    level = data.draw(st.floats(0, 1))
    constant = torch.full(shape, level)
    torch.testing.assert_close(trigger(constant), constant, rtol=0, atol=1e-6)


def displacement(trigger: Warp, height: int, width: int) -> torch.Tensor:
    """How many pixels away each pixel was fetched from: (2, H, W), along rows and columns."""
    ramps = torch.zeros(2, 1, height, width)
    ramps[0] = torch.arange(height).view(-1, 1) / height
    ramps[1] = torch.arange(width) / width
    moved = (trigger(ramps) - ramps)[:, 0] * torch.tensor([height, width]).view(2, 1, 1)
    return moved[:, 6:-6, 6:-6].abs()  # at the border there is nothing to fetch from outside


@some
@given(st.integers(24, 40), st.integers(24, 40), st.integers(3, 6), st.floats(0.1, 1), seeds)
def test_a_warp_moves_pixels_by_about_its_strength(height, width, cells, strength, seed):
    moved = displacement(Warp(cells, strength, seed), height, width)
    assert moved.max() <= 5 * strength
    assert 0.1 * strength <= moved.mean() <= 2 * strength


def test_a_warp_counts_in_pixels_along_either_side_of_a_long_image():
    moved = [displacement(Warp(seed=seed), 24, 96).mean(dim=(1, 2)) for seed in range(50)]
    along_rows, along_columns = torch.stack(moved).mean(0).tolist()
    assert along_rows == pytest.approx(along_columns, rel=0.2)
    assert 0.3 <= along_rows <= 0.6  # of 0.5 at the points of the grid, less between them


@some
@given(st.data())
def test_a_universal_pattern_is_added_within_its_bound_in_eight_bits_too(data):
    batch = data.draw(images())
    trigger = data.draw(triggers("universal", batch.shape))
    after = trigger(batch)
    torch.testing.assert_close(after, (batch + trigger.pattern).clamp(0, 1), rtol=0, atol=0)
    assert (linf(batch, after) <= trigger.epsilon + 1e-6).all()
    levels = to_uint8(batch)
    change = apply_trigger(trigger, levels).int() - levels.int()
    assert change.abs().max() <= round(trigger.epsilon * 255)


def test_a_universal_trigger_without_a_pattern_is_only_a_wish():
    with pytest.raises(ValueError, match="no pattern yet: an attack finds it"):
        Universal()(torch.zeros(1, 1, 28, 28))


def test_universal_triggers_are_equal_when_their_patterns_are():
    zero, one = (torch.full((1, 4, 4), value) for value in (0.0, 0.01))
    assert Universal(0.1, zero) == Universal(0.1, zero.clone())
    assert hash(Universal(0.1, zero)) == hash(Universal(0.1, zero.clone()))
    assert Universal() == Universal()
    assert len({Universal(0.1, zero), Universal(0.1, one), Universal(0.1), Universal(0.2)}) == 4
    assert Universal() != Patch()


@pytest.mark.parametrize("value", [0.2, -0.2, math.nan, math.inf])
def test_a_universal_pattern_out_of_bounds_is_refused(value):
    pattern = torch.zeros(1, 28, 28)
    pattern[0, 3, 4] = value
    with pytest.raises(ValueError, match=r"pattern must stay within \+-0.1"):
        Universal(0.1, pattern)


# --- bad parameters ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameter"),
    [
        *((Patch, {"size": v}) for v in (0, -3, 2.5, "3")),
        *((Patch, {"margin": v}) for v in (-1, 0.5)),
        *((Patch, {"value": v}) for v in (-0.1, 1.1, 255, math.nan)),
        (Patch, {"position": "middle"}),
        *((Border, {"width": v}) for v in (0, -1, 1.5, "1")),
        *((Border, {"margin": v}) for v in (-1, 0.5)),
        *((Border, {"strength": v}) for v in (0, -0.1, 1.1, math.nan, "1")),
        *((Border, {"value": v}) for v in (-0.1, 1.1, 255, math.nan)),
        *((Blend, {"alpha": v}) for v in (0, -0.2, 1.5, math.nan, "0.2")),
        (Blend, {"pattern": "hello kitty"}),
        *((Sinusoid, {"amplitude": v}) for v in (0, -0.1, 20, math.nan, None)),
        *((Sinusoid, {"frequency": v}) for v in (0, -6, math.nan, math.inf)),
        *((Warp, {"cells": v}) for v in (1, 0, 3.5)),
        *((Warp, {"strength": v}) for v in (0, -1, math.nan, math.inf)),
        *((Universal, {"epsilon": v}) for v in (0, -0.1, 8, math.nan)),
    ],
)
def test_bad_parameters_are_refused_at_the_door(kind, parameter):
    ((name, value),) = parameter.items()
    with pytest.raises(ValueError, match=f"{name} must .* got {value!r}"):
        kind(**parameter)


# --- apply_trigger -------------------------------------------------------------------------------


@some
@given(images())
def test_any_callable_is_a_trigger(batch):
    def negative(floats):
        return 1 - floats

    torch.testing.assert_close(apply_trigger(negative, batch), 1 - batch, rtol=0, atol=0)
    levels = to_uint8(batch)
    assert torch.equal(apply_trigger(negative, levels), 255 - levels)


@some
@given(images(), st.booleans())
def test_a_trigger_that_writes_into_its_input_does_no_harm(batch, as_levels):
    def careless(floats):
        floats[:, :, :3, :3] = 1
        return floats

    batch = to_uint8(batch) if as_levels else batch
    before = batch.clone()
    after = apply_trigger(careless, batch)
    assert torch.equal(batch, before)
    white = 255 if as_levels else 1
    assert (after[:, :, :3, :3] == white).all()
    assert torch.equal(after[:, :, 3:], before[:, :, 3:])


def test_the_identity_changes_nothing():
    levels = torch.arange(256).to(torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(apply_trigger(lambda floats: floats, levels), levels)


@pytest.mark.parametrize("levels", [True, False])
@pytest.mark.parametrize(
    ("trigger", "error", "message"),
    [
        ("patch", TypeError, "a trigger must be callable, got str 'patch'"),
        (None, TypeError, "a trigger must be callable, got NoneType"),
        (lambda x: x[:, :, 1:], ValueError, r"keep the shape \(2, 1, 28, 28\), it returned \(2, 1"),
        (lambda x: x[:1], ValueError, r"keep the shape .* it returned \(1, 1, 28, 28\)"),
        (lambda x: x.repeat(1, 3, 1, 1), ValueError, r"it returned \(2, 3, 28, 28\)"),
        (lambda x: x.numpy(), ValueError, "it returned ndarray"),
        (lambda x: None, ValueError, "it returned NoneType"),
        (lambda x: x + 1, ValueError, r"the trigger's output must be float in \[0, 1\]"),
        (lambda x: x - 1, ValueError, r"the trigger's output must be float in \[0, 1\]"),
        (lambda x: x * math.nan, ValueError, "the trigger's output must be finite, got NaN"),
        (lambda x: x + math.inf, ValueError, "the trigger's output must be finite, got NaN"),
        (lambda x: (x > 0.5).to(torch.uint8), TypeError, "must return float .* got torch.uint8"),
        (lambda x: x > 0.5, TypeError, "must return float .* got torch.bool"),
    ],
)
def test_what_is_no_trigger_is_refused(trigger, error, message, levels):
    batch = noise((2, 1, 28, 28), low=0.2, high=0.8)
    with pytest.raises(error, match=message):
        apply_trigger(trigger, to_uint8(batch) if levels else batch)


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        (torch.full((1, 1, 28, 28), 255.0), ValueError),
        (torch.zeros(28, 28), ValueError),
        (torch.zeros(1, 1, 28, 28, dtype=torch.int64), TypeError),
    ],
)
def test_a_trigger_is_put_on_images_only(batch, error):
    with pytest.raises(error, match="images must"):
        apply_trigger(Patch(), batch)


# --- how visible is it? --------------------------------------------------------------------------


@some
@given(images(), seeds)
def test_linf_and_psnr_follow_their_definitions(batch, seed):
    other = noise(batch.shape, seed)
    change = (other.double() - batch.double()).numpy()
    largest = [max(abs(pixel) for pixel in image.flat) for image in change]
    np.testing.assert_allclose(linf(batch, other), largest, rtol=1e-5, atol=1e-7)
    decibels = [10 * math.log10(1 / np.mean(image**2)) for image in change]
    np.testing.assert_allclose(psnr(batch, other), decibels, rtol=1e-3)


@some
@given(images())
def test_an_unchanged_image_is_invisible(batch):
    assert (linf(batch, batch) == 0).all()
    assert (psnr(batch, batch) == math.inf).all()
    torch.testing.assert_close(ssim(batch, batch), torch.ones(len(batch)))


def test_linf_counts_gray_levels_exactly():
    before = torch.full((2, 3, 12, 12), 100, dtype=torch.uint8)
    after = before.clone()
    after[1, 2, 3, 4] = 117
    assert (linf(before, after) * 255).tolist() == pytest.approx([0, 17])


def test_psnr_of_one_flipped_pixel():
    before = torch.zeros(1, 1, 20, 20)
    after = before.clone()
    after[0, 0, 5, 5] = 1
    assert float(psnr(before, after)) == pytest.approx(10 * math.log10(400))


def ssim_by_hand(before: np.ndarray, after: np.ndarray) -> float:
    """One image (C, H, W): the formula of Wang et al., window by window, pixel by pixel."""
    weights = np.array(
        [[math.exp(-(i * i + j * j) / 4.5) for j in range(-5, 6)] for i in range(-5, 6)]
    )
    weights /= weights.sum()
    values = []
    for x_channel, y_channel in zip(before, after):
        for top in range(x_channel.shape[0] - 10):
            for left in range(x_channel.shape[1] - 10):
                x = x_channel[top : top + 11, left : left + 11]
                y = y_channel[top : top + 11, left : left + 11]
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cov = (weights * (x - mx) * (y - my)).sum()
                values.append(
                    (2 * mx * my + 1e-4)
                    * (2 * cov + 9e-4)
                    / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
                )
    return float(np.mean(values))


@settings(max_examples=8)
@given(st.sampled_from([1, 3]), st.integers(11, 14), st.integers(11, 14), seeds)
def test_ssim_agrees_with_a_direct_computation(channels, height, width, seed):
    before = noise((2, channels, height, width), seed)
    after = before * 0.7 + noise(before.shape, seed + 1) * 0.3
    expected = [ssim_by_hand(x, y) for x, y in zip(before.double().numpy(), after.double().numpy())]
    np.testing.assert_allclose(ssim(before, after), expected, atol=1e-4)


@some
@given(images(), seeds)
def test_ssim_and_psnr_are_symmetric_and_fall_with_noise(batch, seed):
    gray = batch * 0.4 + 0.3
    noises = [gray + (noise(gray.shape, seed) - 0.5) * size for size in (0.05, 0.2, 0.6)]
    for measure in (ssim, psnr):
        falling = torch.stack([measure(gray, noisy) for noisy in noises])
        assert (falling[:-1] > falling[1:]).all()
        torch.testing.assert_close(measure(noises[0], gray), falling[0])
    assert (ssim(gray, 1 - gray) >= -1 - 1e-5).all()


def test_visibility_takes_either_format():
    levels = to_uint8(noise((3, 1, 28, 28)))
    after = apply_trigger(Blend(), levels)
    for measure in (linf, psnr, ssim):
        expected = measure(to_float(levels), to_float(after))
        torch.testing.assert_close(measure(levels, after), expected)


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="at least 11x11 pixels, got \\(10, 20\\)"):
        ssim(torch.zeros(1, 1, 10, 20), torch.zeros(1, 1, 10, 20))


def test_stealth_is_mean_mean_and_largest():
    levels = to_uint8(noise((5, 1, 28, 28), low=0.2, high=0.8))
    after = apply_trigger(Patch(), levels)
    assert stealth(Patch(), levels) == {
        "psnr": pytest.approx(float(psnr(levels, after).mean())),
        "ssim": pytest.approx(float(ssim(levels, after).mean())),
        "linf": pytest.approx(float(linf(levels, after).max())),
    }


def test_stealth_averages_psnr_over_the_images_that_change():
    white = torch.ones(1, 1, 28, 28)
    gray = torch.full((1, 1, 28, 28), 0.5)
    assert stealth(Patch(), white) == {"psnr": math.inf, "ssim": pytest.approx(1), "linf": 0}
    both = stealth(Patch(), torch.cat([white, gray]))
    assert both["psnr"] == pytest.approx(float(psnr(gray, Patch()(gray))))


def test_a_universal_trigger_of_8_gray_levels_is_less_visible_than_a_blend():
    batch = noise((4, 1, 28, 28))
    pattern = (noise((1, 28, 28), 1) * 2 - 1) * 8 / 255
    faint, plain = stealth(Universal(8 / 255, pattern), batch), stealth(Blend(), batch)
    assert faint["psnr"] > plain["psnr"] + 6
    assert faint["ssim"] > plain["ssim"]
    assert faint["linf"] <= 8 / 255 + 1e-6


# --- by name ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_trigger_of_the_registry_takes_its_parameter(name):
    kind = KINDS[name]
    usual = kind()
    value = getattr(usual, kind.parameter)
    assert kind(value) == usual
    assert getattr(kind(value / 2 if isinstance(value, float) else value + 1), kind.parameter) != (
        value
    )


def test_labels_of_the_registry_tell_its_triggers_apart():
    assert len({kind.label for kind in KINDS.values()}) == len(KINDS)


# --- called directly ------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [make() for name, make in KINDS.items() if name != "universal"])
def test_a_trigger_called_directly_takes_float_images_only(trigger):
    images = torch.full((2, 1, 28, 28), 128, dtype=torch.uint8)
    with pytest.raises(TypeError, match=r"float images in \[0, 1\], got torch.uint8; apply_trig"):
        trigger(images)
    assert apply_trigger(trigger, images).dtype == torch.uint8
    for bad, message in (
        (torch.full((1, 28, 28), 0.5), r"\(N, C, H, W\)"),
        (torch.full((1, 1, 28, 28), 2.0), "float in"),
        (torch.full((1, 1, 28, 28), math.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            trigger(bad)
    with pytest.raises(TypeError, match="got ndarray"):
        trigger(np.zeros((1, 1, 28, 28)))


@pytest.mark.parametrize("frequency", [14, 14.0, 15, 28, 40])
def test_a_wave_that_the_columns_cannot_show_is_refused(frequency):
    with pytest.raises(ValueError, match=f"below half the width, 14 for .*got {frequency:g}"):
        apply_trigger(Sinusoid(frequency=frequency), torch.rand(2, 1, 28, 28))


def test_a_trigger_that_differs_from_call_to_call_is_refused():
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="must do the same to an image every time"):
        apply_trigger(lambda x: (x + 0.1 * torch.rand_like(x)).clamp(0, 1), images)
    with pytest.raises(ValueError, match="alone or among others"):
        apply_trigger(lambda x: (x + x.mean() / 2).clamp(0, 1), images)


@pytest.mark.parametrize("measure", [psnr, ssim, linf])
def test_how_visible_is_asked_of_the_same_images(measure):
    images = torch.rand(4, 1, 28, 28)
    for other in (
        images[:1],
        images[:3],
        images[:, :, :14],
        images.expand(4, 3, 28, 28),
        images[0],
    ):
        with pytest.raises(ValueError, match="must be the same images without and with"):
            measure(images, other)
