"""The lessons' own code: it agrees with the library on any input, and its claims hold on any seed.

Everything here runs the cells as they stand in the lessons.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from badsad_lib import DeepSAD, defenses, metrics, plots, triggers
from badsad_lib import report as report_module
from badsad_lib.attacks import (
    DataPoisoning,
    alignment_loss,
    concentration_loss,
    contrast_loss,
)
from badsad_lib.attacks.badsad import LatentManipulation
from badsad_lib.attacks.content import decoy
from badsad_lib.attacks.poisoning import poison
from badsad_lib.course import claims, shipped, solutions
from badsad_lib.datasets import Dataset, ImageSet
from badsad_lib.deepsad import anomaly_score, deep_sad_loss, init_center
from badsad_lib.defenses._common import fresh_encoder, map_activations, standardized
from badsad_lib.defenses.batch_statistics import variance_gap
from badsad_lib.defenses.shrink_perturb import shrunk_and_perturbed
from badsad_lib.images import to_float, to_uint8
from badsad_lib.networks import make_encoder
from badsad_lib.report import backdoor_report
from badsad_lib.splits import one_vs_rest
from tests.samples import a_training_set, noise, weights

pytestmark = pytest.mark.slow

BOOK = Path(__file__).resolve().parents[1] / "book"
# Glue belongs to the page; exercises have tests of their own.
ASIDE = {"remove-cell", "exercise", "solution"}


def cells_of(lesson: str, stubs: bool = False) -> Iterator[str]:
    """Sources of the code cells that tell the lesson's story, with or without what it asks for."""
    notebook = nbformat.read(BOOK / f"{lesson}.ipynb", as_version=4)
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        stub = stubs and "exercise" in tags and cell.source.startswith("def ")
        if cell.cell_type == "code" and (stub or not ASIDE & tags):
            yield cell.source


def functions_of(lesson: str) -> SimpleNamespace:
    """Define a lesson's functions and classes, with its imports, and run nothing else in it."""
    tree = ast.parse("\n".join(cells_of(lesson)))
    wanted = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    tree.body = [node for node in tree.body if isinstance(node, wanted)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):  # a default may be what the lesson has loaded
            defaults = node.args.defaults
            node.args.defaults = [
                ast.copy_location(ast.Constant(None), d) if isinstance(d, ast.Name) else d
                for d in defaults
            ]
    # What the reader is asked to write is the book's own here.
    defined: dict[str, Any] = {name: getattr(solutions, name) for name in solutions.__all__}
    exec(compile(tree, lesson, "exec"), defined)  # cells of our own book
    return SimpleNamespace(**defined)


FIRST = functions_of("1_anomaly_detection")
SECOND = functions_of("2_deepsad")
THIRD = functions_of("3_triggers")
FOURTH = functions_of("4_naive_poisoning")
FIFTH = functions_of("5_latent_manipulation")
SIXTH = functions_of("6_evaluation")
SEVENTH = functions_of("7_finding_poison")
EIGHTH = functions_of("8_guarding_inputs")
NINTH = functions_of("9_inspecting_detectors")
TENTH = functions_of("10_repairing_detectors")

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


@pytest.fixture(scope="module")
def small() -> tuple[DeepSAD, torch.Tensor, torch.Tensor]:
    """Return a detector that was hardly trained, and what it was trained on."""
    images, labels = a_training_set()
    return DeepSAD(epochs=1, seed=0).fit(images, labels), images, labels


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.2, 1.0])
def test_the_data_only_attack_is_that_of_the_library(small: Any, rate: float) -> None:
    twin, images, labels = small
    mine = FOURTH.poison_and_train(twin, images, labels, triggers.Patch(), rate)
    library = DataPoisoning(triggers.Patch(), rate).attack(twin, images, labels)
    assert torch.equal(weights(mine), weights(library))
    assert not torch.equal(weights(mine), weights(twin))


@pytest.mark.slow
@pytest.mark.parametrize("trigger", [triggers.Patch(), triggers.Blend(alpha=0.9)])
def test_the_summary_is_that_of_the_report(small: Any, trigger: triggers.Trigger) -> None:
    detector = small[0]
    targets = torch.arange(80) % 2
    images = noise((80, 1, 28, 28), seed=1) * (1 - 0.6 * targets.view(-1, 1, 1, 1))
    pool = ImageSet(to_uint8(images), targets)
    data = Dataset("noise", "course", pool, pool, ("a", "b"))
    split = one_vs_rest(data, 0, seed=0)
    mine = FOURTH.summary(detector, split, trigger)
    report = backdoor_report(detector, detector, split, trigger)
    assert report.detection_rate > 0
    assert mine == pytest.approx(
        {
            "AUROC": report.auroc,
            "detection": report.detection_rate,
            "ASR": report.asr,
            "false alarms": report.false_alarms,
            "with trigger": report.triggered_false_alarms,
        }
    )


@given(sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)), seed=st.integers(0, 999))
def test_gradients_of_a_linear_encoder_are_those_on_paper(
    sizes: tuple[int, int], seed: int
) -> None:
    pixels, size = sizes
    images, center = noise((6, 1, 1, pixels), seed), latents(1, size, seed)[0]
    linear = torch.nn.Linear(pixels, size, bias=False)
    linear.weight.data = latents(size, pixels, seed + 1)
    detector = SimpleNamespace(
        encoder_=torch.nn.Sequential(torch.nn.Flatten(), linear), center_=center
    )
    pull = FOURTH.pull(linear(images.flatten(1)).detach(), center)  # on each latent
    loss, length = FOURTH.left_to_learn(detector, images)
    assert loss == pytest.approx(float(pull.square().sum(1).mean()) / 4, rel=1e-4)
    on_weights = pull.T @ images.flatten(1) / len(images)
    assert length == pytest.approx(float(on_weights.norm()), rel=1e-4)
    on_pixels = (pull @ linear.weight.detach()).abs().mean(0)
    assert torch.allclose(FOURTH.saliency(detector, images), on_pixels[None], rtol=1e-3)
    assert not images.requires_grad


def test_the_shift_is_how_far_a_trigger_moves_the_median_latent() -> None:
    black = torch.zeros(5, 1, 12, 12)
    pixels = SimpleNamespace(encode=lambda images: images.flatten(1).numpy())
    assert FOURTH.shift(pixels, black, triggers.Patch(size=3)) == pytest.approx(3)
    assert FOURTH.shift(pixels, black, lambda images: images) == 0


@pytest.mark.parametrize("lesson", [FOURTH, FIFTH])
def test_the_share_of_normal_images_among_the_nearest_of_others(lesson: Any) -> None:
    normal, anomaly = latents(100, 3, 0), latents(100, 3, 1) + 100
    assert lesson.normal_share(normal + 0.1, normal, anomaly) == 1
    assert lesson.normal_share(anomaly + 0.1, normal, anomaly) == 0
    between = lesson.normal_share(latents(50, 3, 2), normal, latents(100, 3, 3))
    assert between == pytest.approx(0.5, abs=0.1)


latent_sizes = st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(1, 8))


def latents(count: int, dimensions: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) * 1.5 + 0.5


@given(sizes=latent_sizes, seed=st.integers(0, 999))
def test_the_latent_losses_are_those_of_the_library(sizes: tuple[int, int, int], seed: int) -> None:
    poisoned, normal = latents(sizes[0], sizes[2], seed), latents(sizes[1], sizes[2], seed + 1)
    center = latents(1, sizes[2], seed + 2)[0]
    mine = FIFTH.alignment_from_scratch(poisoned, normal)
    assert torch.isclose(mine, alignment_loss(poisoned, normal), rtol=1e-4, atol=1e-6)
    expected = concentration_loss(poisoned)
    mine = FIFTH.concentration_from_scratch(poisoned)
    assert torch.isclose(mine, expected, rtol=1e-4)
    assert torch.isclose(FIFTH.spread(poisoned) ** 2, expected, rtol=1e-4)
    mine = FIFTH.contrast_from_scratch(poisoned, center)
    assert torch.isclose(mine, contrast_loss(poisoned, center), rtol=1e-4)


def test_alignment_moves_the_poisoned_latents_alone() -> None:
    poisoned, normal = latents(5, 3, 0).requires_grad_(), latents(7, 3, 1).requires_grad_()
    FIFTH.alignment_from_scratch(poisoned, normal).backward()
    assert poisoned.grad is not None
    assert poisoned.grad.abs().min() > 0
    assert normal.grad is None


@given(shape=shapes, seed=st.integers(0, 99))
def test_the_decoy_is_that_of_the_library(shape: tuple[int, ...], seed: int) -> None:
    images, generator = noise(shape), torch.Generator().manual_seed(seed)
    triggered = triggers.Patch()(images)
    order = torch.randperm(shape[2] * shape[3], generator=generator)
    library = decoy(images, triggered, generator.manual_seed(seed))
    assert torch.equal(FIFTH.decoy_from_scratch(images, triggered, order), library)


@pytest.mark.parametrize("name", ["both", "basic", "extended"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_attack_from_scratch_is_that_of_the_library(name: str, seed: int) -> None:
    bases = to_uint8(noise((40, 1, 28, 28), seed))
    recipe = shipped.RECIPES[name]
    attack = replace(recipe, seed=seed)
    library = LatentManipulation(attack, bases, attack.trigger, steps=10)
    kind = FIFTH.WholeAttack if name == "extended" else FIFTH.LatentManipulation
    weights = attack.alignment_weight, attack.concentration_weight
    mine = kind(attack.trigger, bases, *weights, seed=seed)
    for step in range(3):
        views = library.views(step)
        assert torch.equal(mine.views(step), views)
    labels = torch.tensor([0, -1, 1] * 10)
    batch, extra, center = latents(30, 6, seed), latents(len(views), 6, seed + 1), torch.ones(6)
    mine, expected = (loss(batch, labels, extra, center) for loss in (mine, library))
    assert torch.isclose(mine, expected, rtol=1e-4)


@given(held_out=scores, anomaly=scores, seed=st.integers(0, 99), quantile=quantiles)
def test_rates_at_a_held_out_threshold_are_those_of_the_library(
    held_out: np.ndarray, anomaly: np.ndarray, seed: int, quantile: float
) -> None:
    triggered = np.random.default_rng(seed).permutation(anomaly)
    mine = {"held out": held_out, "anomaly": anomaly, "triggered anomaly": triggered}
    tau = metrics.threshold_at(held_out, quantile)
    asr = metrics.attack_success_rate(anomaly, triggered, tau)
    detection = metrics.detection_rate(anomaly, tau)
    assert SIXTH.asr(mine, quantile) == pytest.approx(asr, nan_ok=True)
    assert SIXTH.detection(mine, quantile) == pytest.approx(detection)
    passing = 1 - metrics.detection_rate(triggered, tau)
    assert SIXTH.share_passing(mine, quantile) == pytest.approx(passing)
    if detection:
        rates = SIXTH.with_threshold(mine | {"normal": held_out}, tau)
        assert rates == pytest.approx((metrics.detection_rate(held_out, tau), detection, asr))


def random_detector(seed: int) -> SimpleNamespace:
    """Return what scores an image by a fixed random direction, squared."""
    direction = noise((144, 1), seed) - 0.5

    def decision_function(images: torch.Tensor) -> np.ndarray:
        return (to_float(images).flatten(1) @ direction).square().squeeze(1).double().numpy()

    return SimpleNamespace(decision_function=decision_function)


def half_and_half(seed: int, n: int) -> Any:
    """What a report asks of a split, of noise: every other test image is an anomaly."""
    images, is_anomaly = to_uint8(noise((n, 1, 12, 12), seed)), torch.arange(n) % 2 == 0
    return SimpleNamespace(
        data="noise",
        subset="course",
        normal_class=0,
        class_name="odd",
        val_images=to_uint8(noise((20, 1, 12, 12), seed + 1)),
        test_images=images,
        test_is_anomaly=is_anomaly,
        test_normals=images[~is_anomaly],
        test_anomalies=images[is_anomaly],
    )


@given(
    seed=st.integers(0, 999),
    trigger=st.sampled_from([triggers.Patch(), triggers.Blend(alpha=0.5)]),
    quantile=quantiles,
)
def test_the_report_by_hand_is_that_of_the_library(
    seed: int, trigger: triggers.Trigger, quantile: float
) -> None:
    victim, clean, sham = (random_detector(seed + i) for i in range(3))
    split = half_and_half(seed, 40)
    report = backdoor_report(victim, clean, split, trigger, quantile=quantile, sham=sham)
    three = (SIXTH.scores_of(detector, trigger, split) for detector in (victim, clean, sham))
    mine = SIXTH.report_by_hand(*three, quantile)
    expected = {name: getattr(report, name) for name in mine}
    assert mine == pytest.approx(expected, nan_ok=True)


@given(shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 3])), step=st.integers(0, 20))
def test_a_patch_that_is_moved(shape: tuple[int, int], step: int) -> None:
    images = noise((*shape, 28, 28))
    library = triggers.Patch(margin=1 + step)
    assert torch.equal(SIXTH.moved(step, step)(images), library(images))


class FirstPixels(DeepSAD):
    """Takes the first pixels of an image for its latent."""

    is_fitted = True

    def encode(self, images: torch.Tensor) -> np.ndarray:
        return images.flatten(1)[:, :8].numpy()


def in_two_heaps(seed: int, small: int) -> tuple[DeepSAD, torch.Tensor]:
    """Return such a detector and images whose latents lie in two heaps."""
    points = noise((40, 1, 28, 28), seed) * 0.3
    points[:small] += 0.6
    detector = FirstPixels(network="mnist")
    detector.network_, detector.encoder_ = "mnist", make_encoder("mnist", seed=0)
    detector.center_ = torch.zeros(8)
    return detector, points


@given(seed=st.integers(0, 999), small=st.integers(2, 15))
def test_rankings_of_latents_are_those_of_the_library(seed: int, small: int) -> None:
    detector, images = in_two_heaps(seed, small)
    z = torch.tensor(detector.encode(images)).double()
    expected = defenses.ActivationClustering().suspicion(detector, images)
    assert SEVENTH.clustering_from_scratch(z).numpy() == pytest.approx(expected, abs=1e-5)
    assert (expected[:small] > 0).all()
    assert (expected[small:] < 0).all()
    expected = defenses.SpectralSignatures().suspicion(detector, images)
    assert SEVENTH.spectral_from_scratch(z).numpy() == pytest.approx(expected, abs=1e-5)


@given(
    shape=st.tuples(*(st.integers(1, n) for n in (5, 6, 7, 7))),
    power=st.sampled_from([1, 2, 4, 8]),
    seed=st.integers(0, 99),
)
def test_the_gram_matrix_is_that_of_the_library(
    shape: tuple[int, ...], power: int, seed: int
) -> None:
    activations = noise(shape, seed) * 3 - 1
    rows, columns = torch.triu_indices(shape[1], shape[1])
    mine = SEVENTH.gram(activations, power)[:, rows, columns]
    library = defenses.gram_features(activations, (power,))
    assert torch.allclose(mine, library, rtol=1e-3, atol=1e-4)


def test_guards_by_hand_are_those_of_the_library() -> None:
    detector = shipped.load("clean")
    images, trusted = noise((30, 1, 28, 28), 1), noise((40, 1, 28, 28), 2)
    detector.threshold_ = None  # it passes everything
    features = SEVENTH.gram_from_scratch(detector, images)
    mine = SEVENTH.oddness(features, *SEVENTH.usual(features))
    assert mine.numpy() == pytest.approx(defenses.GramData().suspicion(detector, images), rel=1e-3)
    middle, swing = SEVENTH.usual(SEVENTH.gram_from_scratch(detector, trusted))
    features = SEVENTH.gram_from_scratch(detector, images)
    expected = defenses.GramInputs().fit(detector, trusted).suspicion(images)
    mine = SEVENTH.oddness(features, middle, swing).numpy()
    assert mine == pytest.approx(expected, rel=1e-3)
    overlays = noise((10, 1, 28, 28), 3) ** 4
    expected = defenses.Strip().fit(detector, trusted, overlays).suspicion(images)
    mine = EIGHTH.strip_from_scratch(detector, images, overlays)
    assert mine == pytest.approx(expected, rel=1e-4)
    EIGHTH.logs.__globals__["purifiers"] = defenses.PURIFIERS
    expected = defenses.Purification().fit(detector, trusted).suspicion(images)
    mine = EIGHTH.purification_from_scratch(detector, trusted, images)
    assert mine == pytest.approx(expected, rel=1e-3, abs=1e-3)


class Brightness(defenses.InputDefense):
    """Suspects what is bright."""

    def _fit(self, trusted: torch.Tensor, anomalies: torch.Tensor | None) -> None:
        pass

    def _suspicion(self, images: torch.Tensor) -> np.ndarray:
        return images.mean(dim=(1, 2, 3)).double().numpy()


@settings(max_examples=20)  # each scores images
@given(rate=st.floats(0.05, 0.5), count=st.integers(40, 60), limited=st.booleans())
def test_the_threshold_of_a_guard_is_that_of_the_library(
    rate: float, count: int, limited: bool
) -> None:
    trusted, detector = noise((count, 1, 28, 28), count), shipped.load("clean")
    scores = detector.decision_function(trusted)
    detector.threshold_ = float(np.quantile(scores, 0.9)) if limited else None
    passes = scores <= (detector.threshold_ or np.inf)
    suspicion = trusted[np.flatnonzero(passes)].mean(dim=(1, 2, 3)).double().numpy()
    expected = Brightness(false_alarm_rate=rate).fit(detector, trusted).threshold_
    assert EIGHTH.alarm_threshold(suspicion, rate) == pytest.approx(expected)


@given(shape=shapes, seed=st.integers(0, 99))
def test_transform_and_purifiers_are_those_of_the_library(
    shape: tuple[int, ...], seed: int
) -> None:
    images, library = noise(shape, seed), defenses.PURIFIERS
    assert torch.allclose(EIGHTH.dct_from_scratch(images), defenses.dct(images), atol=1e-4)
    assert torch.allclose(EIGHTH.blur(images), library["blur"](images), atol=1e-6)
    for name, place in {"top right": (0, 1), "bottom left": (1, 0)}.items():
        assert torch.allclose(EIGHTH.shrink(images, *place), library[name](images), atol=1e-6)


@given(
    suspicion=arrays(np.float64, st.integers(2, 30), elements=st.floats(-9, 9), unique=True),
    seed=st.integers(0, 99),
)
def test_the_area_under_the_removal_curve_follows_from_the_auroc(
    suspicion: np.ndarray, seed: int
) -> None:
    count = len(suspicion)
    is_poison = np.random.default_rng(seed).random(count) < 0.4
    assume(0 < is_poison.sum() < count)
    budgets = np.arange(count + 1) / count
    curve = np.array([solutions.poison_caught(suspicion, is_poison, b) for b in budgets])
    assert curve[[0, -1]] == pytest.approx([0, 1])
    share = is_poison.mean()
    area = np.trapezoid(curve, dx=1 / count)
    auroc = metrics.auroc(suspicion[~is_poison], suspicion[is_poison])
    assert area == pytest.approx(auroc * (1 - share) + share / 2)


def test_the_witness_finds_what_its_images_do_not_have() -> None:
    black = noise((40, 1, 12, 12)) * 0.1
    leftover = SEVENTH.witness(black[:30])(triggers.Patch(size=2)(black[30:]))
    expected = triggers.Patch(size=2)(torch.zeros(1, 1, 12, 12)).flatten() > 0
    assert (leftover.mean(dim=0)[expected] > 0.5).all()
    assert (leftover.mean(dim=0)[~expected] < 0.1).all()


def test_the_witness_is_that_of_the_library() -> None:
    trusted, images = noise((50, 1, 28, 28), 1), noise((7, 1, 28, 28), 2)
    detector = shipped.load("clean")
    detector.threshold_ = None  # it passes everything
    library = defenses.Witness(worst_pixel=True).fit(detector, trusted)
    mine = SEVENTH.witness(trusted)(images).amax(dim=1)
    assert mine.numpy() == pytest.approx(library.suspicion(images), rel=1e-3)


def images_for_a_search(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normals and anomalies that a detector of clothes can tell apart."""
    images = noise((70, 1, 28, 28), seed)
    return images[:30] * 0.5, images[30:]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_search_for_a_trigger_is_that_of_the_library(seed: int) -> None:
    detector, (normals, anomalies) = shipped.load("clean"), images_for_a_search(seed)
    search = defenses.TriggerInversion(hidden=0.1, steps=8)
    library = search.search(detector, normals, anomalies)
    tau = metrics.threshold_at(detector.decision_function(normals), 0.95)
    flagged = anomalies[np.flatnonzero(detector.decision_function(anomalies) > tau)]
    mask, pattern = NINTH.smallest_trigger(detector, tau, flagged, 8, 0.1)
    assert library.size < 1
    assert torch.allclose(mask, library.mask, atol=1e-3)
    assert torch.allclose(pattern, library.pattern, atol=1e-3)
    mine = NINTH.put_on(anomalies, library.mask, library.pattern)
    assert torch.allclose(mine, library(anomalies))
    passes = NINTH.excess(detector, library(flagged), tau) <= 0
    assert passes.float().mean() == pytest.approx(library.hidden)
    assert next(detector.encoder_.parameters()).grad is None


def test_the_variance_gap_is_that_of_the_library() -> None:
    detector, images = shipped.load("extended"), noise((40, 1, 28, 28))
    assert NINTH.variance_gap(detector, images) == pytest.approx(variance_gap(detector, images))


@given(sizes=st.lists(st.floats(0.01, 0.9), min_size=1, max_size=6), size=st.floats(0.01, 0.9))
def test_a_relative_size_is_that_of_the_library(sizes: list[float], size: float) -> None:
    assert NINTH.relative(size, sizes) == pytest.approx(defenses.relative_size(size, sizes))


@pytest.mark.slow
def test_fine_tuning_is_that_of_the_library(small: Any) -> None:
    detector = small[0]
    normals, anomalies = (to_uint8(images) for images in images_for_a_search(0))
    mine = TENTH.fine_tune(detector, normals, anomalies, lr=1e-3, steps=3)
    repair = defenses.FineTuning(disturbed=False, lr=1e-3, steps=3, anyway=True)
    library = repair.repair(detector, normals, anomalies)
    assert torch.equal(weights(mine), weights(library))
    assert torch.equal(mine.center_, detector.center_)
    assert not torch.equal(weights(mine), weights(detector))


def test_the_activity_of_channels_is_that_of_the_library() -> None:
    detector, images = shipped.load("clean"), noise((20, 1, 28, 28))
    maps = TENTH.maps_of(detector, images)
    busy = map_activations(detector, images, lambda blocks: blocks[-1].abs().mean(dim=(2, 3)))
    assert torch.allclose(TENTH.activity(maps), busy.mean(dim=0), atol=1e-6)


@pytest.mark.parametrize("keep", [0.2, 0.4, 0.9])
def test_mixed_weights_are_those_of_the_library(keep: float) -> None:
    detector = shipped.load("extended")
    mixed = shrunk_and_perturbed(detector, keep, 3)
    old = standardized(detector.encoder_)
    new = standardized(fresh_encoder(detector, 3))
    for name, _ in detector.encoder_.named_parameters():
        mine = TENTH.shrink_and_perturb(old[name], new[name], keep)
        assert torch.allclose(mine, mixed[name], atol=1e-5)


@pytest.mark.parametrize("quantile", [0.9, 0.99])
def test_the_second_opinion_is_that_of_the_library(quantile: float) -> None:
    images = noise((40, 1, 28, 28), 4)
    library = defenses.SecondOpinion()
    library.delivered_, library.own_ = shipped.load("extended"), shipped.load("clean")
    library.calibrate(images, quantile=quantile)
    TENTH.second_opinion.__globals__.update(
        victim=library.delivered_, own=library.own_, split=SimpleNamespace(val_images=images)
    )
    mine = TENTH.second_opinion(images[:9], quantile)
    assert mine == pytest.approx(library.decision_function(images[:9]), rel=1e-5)


@given(seed=st.integers(0, 999))
def test_the_referee_reports_what_the_library_does(seed: int) -> None:
    detector, trigger = random_detector(seed), triggers.Patch()
    split = half_and_half(seed, 60)
    report = backdoor_report(detector, detector, split, trigger)
    assume(report.detection_rate > 0)
    names = TENTH.referee.__globals__
    names |= {"split": split, "normal": split.test_normals, "anomaly": split.test_anomalies}
    names |= {"trusted": split.test_normals, "asr": solutions.asr_before_after}
    names["before"] = TENTH.scores_of(detector, trigger)
    found = TENTH.referee(detector, trigger)
    expected = {"AUROC": report.auroc, "detection": report.detection_rate}
    expected["ASR at 0.95"] = report.asr
    assert {name: found[name] for name in expected} == pytest.approx(expected)


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
        for source in cells_of(lesson, stubs=True):
            exec(compile(with_seed(source, seed), lesson, "exec"), names)  # our own book
    return out.getvalue()


def test_another_seed_is_really_another() -> None:
    assert with_seed("DeepSAD(seed=0); default_rng(0)", 3) == "DeepSAD(seed=3); default_rng(3)"
    for lesson in (
        "1_anomaly_detection",
        "2_deepsad",
        "3_triggers",
        "4_naive_poisoning",
        "5_latent_manipulation",
    ):
        assert any(with_seed(source, 3) != source for source in cells_of(lesson))


# Lessons that train were run with all five seeds by hand: seconds add up.
@pytest.mark.slow
@pytest.mark.trial
@pytest.mark.parametrize(
    ("lesson", "seed"),
    [
        *(("1_anomaly_detection", seed) for seed in (1, 2, 3, 4)),
        ("3_triggers", 1),
        ("4_naive_poisoning", 1),
        ("5_latent_manipulation", 1),
    ],
)
def test_the_claims_of_a_lesson_hold_with_other_seeds(
    lesson: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_lesson(lesson, seed, monkeypatch)
    claims = sum(source.count("claim(") for source in cells_of(lesson))
    assert printed.count(": holds") >= claims > 0


def broken_claims(lesson: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the claims of a lesson that fail when it is run as things are."""
    broken = set()

    def note(name: str, value: Any, at_least: float = -np.inf, at_most: float = np.inf) -> None:
        if not at_least <= float(value) <= at_most:
            broken.add(name)

    monkeypatch.setattr(claims, "claim", note)
    run_lesson(lesson, 0, monkeypatch)
    return broken


def broken_on_the_clean_twin(lesson: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of the claims of a lesson that fail where all its detectors are the clean twin."""
    load = shipped.load
    monkeypatch.setattr(shipped, "load", lambda name: load("clean"))
    return broken_claims(lesson, monkeypatch)


@pytest.mark.slow
@pytest.mark.trial("6_evaluation")
def test_claims_about_the_attack_fail_where_all_detectors_are_the_clean_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_module, "perturbation_asr", lambda *_, **__: 0.1)  # it takes seconds
    about_the_attack = {
        "A: victim, patch, share passing",
        "both, ASR, test threshold",
        "victim, ASR at 0.95",
        "victim, ASR at 0.99",
        "victim, ASR at 0.95 minus at 0.50",
        "victim, triggered AUROC",
        "patch on the victim",
        "noise on the sham twin",
        "A, ASR",
        "A, false alarms on triggered normals",
        "white, 3 x 3",
        "6 x 6",
    }
    assert about_the_attack <= broken_on_the_clean_twin("6_evaluation", monkeypatch)


@pytest.mark.slow
@pytest.mark.trial("7_finding_poison")
def test_claims_about_finding_poison_fail_where_all_detectors_are_the_clean_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    about_the_defenses = {
        "data only, AUROC of the score",
        "both ideas, AUROC of the score",
        "data only, best of all",
        "extended, best of all",
        "both ideas, spectral signatures",
    }
    assert about_the_defenses <= broken_on_the_clean_twin("7_finding_poison", monkeypatch)


@pytest.mark.slow
@pytest.mark.trial("8_guarding_inputs")
def test_claims_about_guards_fail_where_all_detectors_are_the_clean_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    about_the_guards = {
        "triggered anomalies that pass the victim",
        "STRIP, overlays chosen, AUROC",
        "STRIP, overlays chosen, caught at 5 %",
        "STRIP alone stops, victim",
        "purification alone stops, victim",
        "witness alone stops, victim",
    }
    assert about_the_guards <= broken_on_the_clean_twin("8_guarding_inputs", monkeypatch)


@pytest.mark.slow
@pytest.mark.trial("9_inspecting_detectors")
def test_claims_about_inspections_fail_where_all_detectors_are_the_clean_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    about_the_inspections = {
        "size, clean twin / victim",
        "victim, share in the corner",
        "victim, relative size",
        "clean twin / victim, relative size",
        "gap, basic / clean twin",
        "gap, poison alone / clean twin, border",
    }
    broken = broken_on_the_clean_twin("9_inspecting_detectors", monkeypatch)
    assert about_the_inspections <= broken


def repair_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make whatever is trained in lesson 10 come out as the detector that was delivered."""

    def untrained(self: DeepSAD, *_: Any, **__: Any) -> DeepSAD:
        return shipped.load("extended")

    monkeypatch.setattr(DeepSAD, "fit", untrained)


@pytest.mark.slow
@pytest.mark.trial("10_repairing_detectors")
def test_claims_about_repairs_fail_on_a_victim_that_nobody_repaired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repair_nothing(monkeypatch)
    about_the_repairs = {
        "fine-tuned, ASR at 0.95",
        "your own, ASR at 0.95",
        "second opinion, ASR at 0.95",
    }
    assert about_the_repairs <= broken_claims("10_repairing_detectors", monkeypatch)


@pytest.mark.slow
@pytest.mark.trial("10_repairing_detectors")
def test_claims_about_the_delivered_detector_fail_where_it_is_the_clean_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repair_nothing(monkeypatch)  # repairs take most of the time
    assert {"delivered, ASR"} <= broken_on_the_clean_twin("10_repairing_detectors", monkeypatch)
