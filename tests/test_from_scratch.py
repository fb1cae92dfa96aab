"""The lessons' own code: it agrees with the library on any input, and its claims hold on any seed.

Everything here runs the cells as they stand in the lessons.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from badsad_lib import metrics, plots, triggers
from badsad_lib.deepsad import anomaly_score, deep_sad_loss, init_center
from badsad_lib.images import to_uint8
from badsad_lib.poisoning import poison
from tests.samples import noise

BOOK = Path(__file__).resolve().parents[1] / "book"
# Glue belongs to the page; exercises have tests of their own.
ASIDE = {"remove-cell", "exercise", "solution"}


def cells_of(lesson: str) -> Iterator[str]:
    """Sources of the code cells that tell the lesson's story."""
    notebook = nbformat.read(BOOK / f"{lesson}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not ASIDE & set(cell.metadata.get("tags", [])):
            yield cell.source


def functions_of(lesson: str) -> SimpleNamespace:
    """Define the functions of a lesson, with its imports, and run nothing else in it."""
    tree = ast.parse("\n".join(cells_of(lesson)))
    wanted = (ast.FunctionDef, ast.Import, ast.ImportFrom)
    tree.body = [node for node in tree.body if isinstance(node, wanted)]
    defined: dict[str, Any] = {}
    exec(compile(tree, lesson, "exec"), defined)  # cells of our own book
    return SimpleNamespace(**defined)


FIRST = functions_of("1_anomaly_detection")
SECOND = functions_of("2_deepsad")
THIRD = functions_of("3_triggers")

scores = arrays(np.float64, st.integers(1, 30), elements=st.floats(-100, 100), unique=True)
quantiles = st.floats(0.01, 0.99)
positive = st.floats(0.01, 100)


@given(normal=scores, anomaly=scores)
def test_auroc_by_pairs_and_by_area_is_that_of_the_library(
    normal: np.ndarray, anomaly: np.ndarray
) -> None:
    assume(not set(normal) & set(anomaly))  # ties are left to an exercise
    expected = metrics.auroc(normal, anomaly)
    assert FIRST.auroc(normal, anomaly) == pytest.approx(expected)
    assert FIRST.area_under_curve(normal, anomaly) == pytest.approx(expected)


@given(normal=scores, anomaly=scores)
def test_the_area_is_that_of_the_library_even_with_ties(
    normal: np.ndarray, anomaly: np.ndarray
) -> None:
    normal, anomaly = normal.round(-1), anomaly.round(-1)
    expected = metrics.auroc(normal, anomaly)
    assert FIRST.area_under_curve(normal, anomaly) == pytest.approx(expected)


@given(normal=scores, anomaly=scores, rate=quantiles)
def test_the_height_of_the_curve_is_a_detection_rate(
    normal: np.ndarray, anomaly: np.ndarray, rate: float
) -> None:
    threshold = metrics.threshold_at(normal, 1 - rate)
    expected = metrics.detection_rate(anomaly, threshold)
    assert FIRST.height_at(normal, anomaly, rate) == pytest.approx(expected)


@given(
    latents=arrays(np.float32, (9, 5), elements=st.floats(-2, 2, width=32)),
    eps=st.floats(0.05, 0.5),
)
def test_center_and_distance_are_those_of_the_library(latents: np.ndarray, eps: float) -> None:
    z = torch.from_numpy(latents)
    mean = z.mean(0).abs()
    assume(((mean - eps).abs() > 1e-5).all())  # where rounding decides, both are right
    center = init_center(z, eps)
    assert torch.allclose(SECOND.center_from_scratch(z, eps), center)
    assert torch.allclose(SECOND.squared_distance(z, center), anomaly_score(z, center), atol=1e-5)


@given(
    images=st.lists(st.tuples(positive, st.sampled_from([-1, 0, 1])), min_size=1, max_size=20),
    eta=positive,
)
def test_the_loss_of_one_image_after_the_other_is_that_of_the_batch(
    images: list[tuple[float, int]], eta: float
) -> None:
    distances = torch.tensor([d for d, _ in images])
    labels = torch.tensor([y for _, y in images])
    expected = deep_sad_loss(distances, labels, eta)
    assert torch.isclose(SECOND.loss_from_scratch(distances, labels, eta), expected, rtol=1e-3)


def test_the_share_of_normal_neighbors_at_its_two_ends_and_by_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(200, 3, generator=generator) for _ in range(2))
    assert SECOND.neighbor_share(one, other + 100) == 0
    assert SECOND.neighbor_share(one, one.flip(0) + 0.01, k=1) > 0.9
    assert SECOND.neighbor_share(one, other) == pytest.approx(0.5, abs=0.05)


shapes = st.tuples(
    st.integers(1, 5), st.sampled_from([1, 3]), st.integers(12, 30), st.integers(12, 30)
)
shares = st.floats(0.01, 1)


@given(shape=shapes, size=st.integers(1, 8), margin=st.integers(0, 4))
def test_the_white_patch_is_that_of_the_library(
    shape: tuple[int, ...], size: int, margin: int
) -> None:
    images = noise(shape)
    given = images.clone()
    expected = triggers.Patch(size=size, margin=margin)(images)
    assert torch.equal(THIRD.white_patch(given, size, margin), expected)
    assert torch.equal(given, images)


@given(shape=shapes, alpha=shares, pattern=st.sampled_from(triggers.PATTERNS))
def test_the_blend_is_that_of_the_library(
    shape: tuple[int, ...], alpha: float, pattern: str
) -> None:
    images, library = noise(shape), triggers.Blend(alpha, pattern, seed=1)
    mine = THIRD.blend(images, library.draw(*shape[1:]), alpha)
    assert torch.allclose(mine, library(images), atol=1e-6)


@given(shape=shapes, changed=st.integers(0, 20))
def test_largest_change_and_changed_pixels(shape: tuple[int, ...], changed: int) -> None:
    before = noise(shape)
    after = before.clone()
    after.view(len(after), -1)[:, :changed] = 1
    assert torch.equal(THIRD.largest_change(before, after), triggers.linf(before, after))
    assert (THIRD.pixels_changed(before, after) == changed).all()


@given(anomaly=scores, seed=st.integers(0, 99), quantile=quantiles)
def test_the_success_rate_is_that_of_the_library(
    anomaly: np.ndarray, seed: int, quantile: float
) -> None:
    triggered = np.random.default_rng(seed).permutation(anomaly)
    threshold = metrics.threshold_at(anomaly, quantile)
    assume((anomaly > threshold).any())
    expected = metrics.attack_success_rate(anomaly, triggered, threshold)
    assert THIRD.success_rate(anomaly, triggered, threshold) == pytest.approx(expected)


@given(
    labels=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40),
    rate=shares,
    seed=st.integers(0, 99),
)
def test_poisoning_by_hand_is_that_of_the_library(
    labels: list[int], rate: float, seed: int
) -> None:
    semi_labels = torch.tensor(labels)
    assume(round(rate * int((semi_labels >= 0).sum())) >= 1)
    images = to_uint8(noise((len(labels), 1, 12, 12)))
    library = poison(images, semi_labels, triggers.Patch(), poison_rate=rate, seed=seed)
    mine, chosen = THIRD.poison_by_hand(images, semi_labels, triggers.Patch(), rate, seed)
    assert torch.equal(mine, library.images)
    assert sorted(chosen.tolist()) == library.mask.nonzero().flatten().tolist()


# --- claims over seeds ------------------------------------------------------------------------


def with_seed(source: str, seed: int) -> str:
    """Replace the seed of a lesson, 0, wherever it is set."""
    return re.sub(r"(seed=|default_rng\(|manual_seed\()0\b", rf"\g<1>{seed}", source)


def run_lesson(lesson: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a lesson's cells with another seed and without figures; return what it printed."""
    for name in dir(plots):
        if callable(getattr(plots, name)) and not name.startswith("_"):
            monkeypatch.setattr(plots, name, lambda *_, **__: None)
    names: dict[str, Any] = {"__name__": "lesson"}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        for source in cells_of(lesson):
            exec(compile(with_seed(source, seed), lesson, "exec"), names)  # our own book
    return out.getvalue()


def test_another_seed_is_really_another() -> None:
    assert with_seed("DeepSAD(seed=0); default_rng(0)", 3) == "DeepSAD(seed=3); default_rng(3)"
    for lesson in ("1_anomaly_detection", "2_deepsad", "3_triggers"):
        assert any(with_seed(source, 3) != source for source in cells_of(lesson))


# Lessons that train were run with all five seeds by hand: seconds add up.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("lesson", "seed"),
    [*(("1_anomaly_detection", seed) for seed in (1, 2, 3, 4)), ("3_triggers", 1)],
)
def test_the_claims_of_a_lesson_hold_with_other_seeds(
    lesson: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_lesson(lesson, seed, monkeypatch)
    claims = sum(source.count("claim(") for source in cells_of(lesson))
    assert printed.count(": holds") >= claims > 0
