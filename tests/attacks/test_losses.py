"""Latent losses: what each measures, and what it leaves alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from badsad_lib.attacks import (
    ALIGNMENTS,
    BadSAD,
    alignment_loss,
    concentration_loss,
    contrast_loss,
)
from badsad_lib.deepsad import anomaly_score
from badsad_lib.triggers import Patch
from tests.attacks.samples import latents

some = settings(max_examples=15)
seeds = st.integers(0, 9999)
sizes = st.tuples(st.integers(2, 40), st.integers(1, 8))


@pytest.mark.parametrize("kind", ALIGNMENTS)
@some
@given(size=sizes, seed=seeds)
def test_alignment_of_a_sample_with_itself_is_zero_in_any_order(kind, size, seed):
    sample = latents(*size, seed)
    assert float(alignment_loss(sample, sample.clone(), kind)) == pytest.approx(0, abs=1e-9)
    shuffled = sample[torch.randperm(len(sample), generator=torch.Generator().manual_seed(seed))]
    assert float(alignment_loss(shuffled, sample, kind)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", ALIGNMENTS)
@some
@given(size=sizes, others=st.integers(1, 60), seed=seeds)
def test_alignment_is_never_negative_and_moves_the_poisoned_images_only(kind, size, others, seed):
    poisoned = latents(*size, seed).requires_grad_()
    normal = latents(others, size[1], seed + 1).requires_grad_()
    loss = alignment_loss(poisoned, normal, kind)
    assert loss.shape == ()
    assert float(loss.detach()) >= 0
    loss.backward()
    assert torch.isfinite(poisoned.grad).all()
    assert normal.grad is None


@pytest.mark.parametrize("kind", ALIGNMENTS)
@some
@given(size=st.tuples(st.integers(16, 60), st.integers(1, 8)), seed=seeds)
def test_alignment_grows_with_the_shift(kind, size, seed):
    normal, sample = latents(*size, seed), latents(*size, seed + 1)
    direction = torch.nn.functional.normalize(latents(1, size[1], seed + 2)) * 3
    # Start from the same mean, so that any shift leads away.
    sample = sample - sample.mean(0) + normal.mean(0)
    losses = [float(alignment_loss(sample + s * direction, normal, kind)) for s in (0, 1, 2, 4)]
    assert losses == sorted(losses)
    assert losses[1] > losses[0]


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_a_step_against_the_gradient_brings_the_samples_nearer(kind):
    normal, poisoned = latents(50, 5), latents(20, 5, seed=1, shift=2.0).requires_grad_()
    first = alignment_loss(poisoned, normal, kind)
    (gradient,) = torch.autograd.grad(first, poisoned)
    moved = poisoned - gradient / gradient.norm()
    assert alignment_loss(moved, normal, kind) < first


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_alignment_has_a_finite_gradient_where_all_points_fall_together(kind):
    poisoned = torch.full((30, 4), 0.5).requires_grad_()
    alignment_loss(poisoned, torch.full((40, 4), 0.5), kind).backward()
    assert torch.isfinite(poisoned.grad).all()


@some
@given(sizes, st.integers(1, 40), seeds)
def test_mean_and_gaussian_alignment_follow_their_formulas(size, others, seed):
    a, b = latents(*size, seed).numpy(), latents(others, size[1], seed + 1, shift=0.5).numpy()
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    spreads = ((a.std(0) - b.std(0)) ** 2).sum()
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    assert float(alignment_loss(a, b, "mean")) == pytest.approx(means)
    assert float(alignment_loss(a, b, "gaussian")) == pytest.approx(means + spreads)


@some
@given(st.tuples(st.integers(2, 8), st.integers(1, 4)), st.integers(1, 8), seeds)
def test_mmd_alignment_follows_its_formula(size, others, seed):
    a, b = latents(*size, seed), latents(others, size[1], seed + 1, shift=1.0)
    points = [*a.numpy(), *b.numpy()]
    squared = np.array([[((p - q) ** 2).sum() for q in points] for p in points])
    width = np.sort(squared, axis=None)[(squared.size - 1) // 2]  # the lower median
    kernel, m = np.exp(-squared / max(width, 1e-12)), len(a)
    expected = kernel[:m, :m].mean() + kernel[m:, m:].mean() - 2 * kernel[:m, m:].mean()
    assert float(alignment_loss(a, b, "mmd")) == pytest.approx(max(expected, 0), abs=1e-6)


@some
@given(sizes, seeds, st.floats(-3, 3))
def test_sliced_alignment_of_a_shift_is_its_squared_length(size, seed, shift):
    sample = latents(*size, seed)
    moved = sample + shift * torch.nn.functional.normalize(latents(1, size[1], seed + 1))
    got = float(alignment_loss(moved, sample, "sliced"))
    if size[1] == 1:  # one dimension has one direction: exact
        assert got == pytest.approx(shift**2, rel=1e-6, abs=1e-12)
    else:
        assert 0.4 * shift**2 <= got + 1e-12
        assert got <= 2 * shift**2 + 1e-12


def test_only_mean_alignment_is_blind_to_the_spread():
    normal = latents(200, 6)
    wide = normal.mean(0) + 2 * (normal - normal.mean(0))
    assert float(alignment_loss(wide, normal, "mean")) == pytest.approx(0, abs=1e-12)
    for kind in ("mmd", "sliced", "gaussian"):
        assert float(alignment_loss(wide, normal, kind)) > 0.01


def test_an_unknown_alignment_is_refused():
    message = r"unknown alignment 'median'; choose one of \('mean', 'mmd', 'sliced', 'gaussian'\)"
    with pytest.raises(ValueError, match=message):
        alignment_loss(latents(4, 2), latents(4, 2), "median")
    with pytest.raises(ValueError, match=r"alignment must be one of \('mean', .*got 'median'"):
        BadSAD(Patch(), alignment="median")


@some
@given(sizes, st.integers(1, 40), seeds)
def test_mean_alignment_and_concentration_make_up_the_distance_to_the_normal_mean(
    size, others, seed
):
    """Bias and variance: the two phases' names are two halves of one distance."""
    poisoned, normal = latents(*size, seed, shift=0.7), latents(others, size[1], seed + 1)
    together = alignment_loss(poisoned, normal, "mean") + concentration_loss(poisoned)
    distance = anomaly_score(poisoned, normal.mean(0)).mean()
    torch.testing.assert_close(together, distance)


@some
@given(sizes, seeds, st.floats(-5, 5))
def test_concentration_measures_spread_and_not_place(size, seed, shift):
    points = latents(*size, seed)
    loss = concentration_loss(points)
    assert loss > 0
    torch.testing.assert_close(concentration_loss(points + shift), loss)
    torch.testing.assert_close(concentration_loss(points * 2), loss * 4)
    together = concentration_loss(points[:1].repeat(len(points), 1))
    assert float(together) == pytest.approx(0, abs=1e-12)


@some
@given(sizes, seeds)
def test_contrast_falls_with_the_distance(size, seed):
    center, directions = latents(1, size[1], seed)[0], latents(*size, seed + 1)
    directions = torch.nn.functional.normalize(directions)
    near, far = (contrast_loss(center + r * directions, center) for r in (0.5, 2.0))
    assert float(near) == pytest.approx(1 / 0.5**2, rel=1e-4)
    assert float(far) == pytest.approx(1 / 2.0**2, rel=1e-4)


def test_contrast_is_finite_on_the_center_and_pushes_outward():
    center = torch.zeros(3)
    assert torch.isfinite(contrast_loss(torch.zeros(4, 3), center))
    points = torch.tensor([[1.0, 0, 0]], requires_grad=True)
    contrast_loss(points, center).backward()
    assert (points - points.grad)[0, 0] > 1
