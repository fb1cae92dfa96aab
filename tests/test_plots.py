"""Every figure is drawn, says what it should in color and without it, and refuses bad input."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from badsad_lib import plots

RNG = np.random.default_rng(0)
NORMAL, ANOMALY = RNG.normal(2, 0.4, 80) ** 2, RNG.normal(4, 1, 120) ** 2
SCORES = np.r_[NORMAL, ANOMALY]
TARGETS = np.r_[np.zeros(80, int), RNG.integers(1, 3, 120)]
IMAGES = torch.rand(9, 1, 28, 28, generator=torch.Generator().manual_seed(0))
HISTORY = {"pretrain_loss": [0.1, 0.05, 0.04], "loss": [4.0, 1.0, 0.3, 0.2]}
POINTS = RNG.normal(size=(41, 2))
GROUPS = ["normal"] * 20 + ["anomaly"] * 20 + ["center"]

FIGURES: dict[str, Callable[[], Figure]] = {
    "image_grid": lambda: plots.image_grid(IMAGES, titles=list("123456789"), marked=[True] * 9),
    "class_gallery": lambda: plots.class_gallery(
        IMAGES, torch.arange(9) % 3, ("shirt", "shoe", "bag"), per_class=2
    ),
    "score_histogram": lambda: plots.score_histogram(
        {"normal": NORMAL, "anomaly": ANOMALY}, threshold=6.0, log=True
    ),
    "scores_by_class": lambda: plots.scores_by_class(
        SCORES, TARGETS, ("shirt", "shoe", "bag"), normal_class=0, threshold=6.0
    ),
    "roc_curves": lambda: plots.roc_curves(
        {"one": (NORMAL, ANOMALY), "two": (ANOMALY, NORMAL)}, false_alarm_rate=0.05
    ),
    "line_chart": lambda: plots.line_chart(
        [0, 1, 2], {"up": [0, 1, 2], "down": [2, 1, 0]}, x_label="x", y_label="y", mark=1.5
    ),
    "learning_curves": lambda: plots.learning_curves({"DeepSAD": HISTORY, "Deep SVDD": HISTORY}),
    "latent_maps": lambda: plots.latent_maps({"before": POINTS, "after": POINTS}, GROUPS),
}


def texts(figure: Figure) -> set[str]:
    """All that a reader can read in a figure."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(plt.Text) if text.get_text()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_white_and_not_left_open(name: str) -> None:
    before = plt.get_fignums()
    figure = FIGURES[name]()
    figure.canvas.draw()
    assert to_rgb(figure.get_facecolor()) == (1, 1, 1)
    assert figure.axes
    # An open figure would appear twice in a notebook.
    assert plt.get_fignums() == before


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_changes_no_global_setting(name: str) -> None:
    before = dict(plt.rcParams)
    FIGURES[name]()
    assert dict(plt.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_warns_of_nothing(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FIGURES[name]().canvas.draw()


def test_the_test_above_covers_every_figure_of_the_module() -> None:
    public = {
        name
        for name, value in vars(plots).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == plots.__name__
        and value.__annotations__.get("return") == "Figure"
    }
    assert public == set(FIGURES)


def test_importing_the_library_imports_no_plotting_package() -> None:
    code = (
        "import sys, badsad_lib, badsad_lib.plots\n"
        "heavy = {'matplotlib', 'seaborn', 'umap', 'numba', 'torchvision'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# --- legible in gray --------------------------------------------------------------------------


def test_six_styles_differ_in_every_one_of_their_marks() -> None:
    styles = [plots.style_of(f"group {i}", i) for i in range(6)]
    for mark in ("color", "marker", "line", "hatch"):
        assert len({getattr(style, mark) for style in styles}) == 6, mark


def test_names_that_recur_look_the_same_wherever_they_stand() -> None:
    for name in ("normal", "anomaly", "labeled anomaly", "center"):
        assert plots.style_of(name, 0) == plots.style_of(name, 4)


def test_histograms_are_told_apart_by_hatching_and_curves_by_line_style() -> None:
    patches = FIGURES["score_histogram"]().axes[0].patches
    assert len({patch.get_hatch() for patch in patches}) == 2
    lines = FIGURES["line_chart"]().axes[0].lines[:2]
    assert len({line.get_linestyle() for line in lines}) == 2


# --- what the figures show --------------------------------------------------------------------


def test_a_histogram_is_a_density_whatever_the_size_of_the_group() -> None:
    figure = plots.score_histogram({"few": NORMAL[:10], "many": ANOMALY})
    for patch in figure.axes[0].patches:
        values, edges, _ = patch.get_data()
        assert np.sum(values * np.diff(edges)) == pytest.approx(1)


def test_a_detector_that_scores_everything_the_same_can_be_shown() -> None:
    for log in (False, True):
        plots.score_histogram({"normal": np.full(9, 0.5)}, log=log).canvas.draw()


def test_threshold_and_groups_are_named() -> None:
    assert {"normal", "anomaly", "threshold"} <= texts(FIGURES["score_histogram"]())
    assert "threshold" not in texts(plots.score_histogram({"normal": NORMAL}))


def test_classes_are_ordered_by_median_and_the_normal_one_is_named() -> None:
    scores = np.r_[np.full(5, 3.0), np.full(5, 1.0), np.full(5, 2.0)] + np.tile(np.arange(5), 3)
    figure = plots.scores_by_class(
        scores, np.repeat([0, 1, 2], 5), ("shirt", "shoe", "bag"), normal_class=2
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["shoe", "bag (normal)", "shirt"]


def test_a_logarithmic_axis_carries_plain_numbers() -> None:
    figure = plots.score_histogram({"normal": np.geomspace(0.001, 100, 50)}, log=True)
    figure.canvas.draw()
    numbers = {label.get_text() for label in figure.axes[0].get_xticklabels()}
    assert {"0.01", "0.1", "1", "10"} <= numbers


def test_a_perfect_detector_reaches_the_top_left_corner() -> None:
    figure = plots.roc_curves({"perfect": ([0.0, 1.0], [2.0, 3.0])})
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "perfect")
    assert [0.0, 1.0] in curve.get_xydata().tolist()


def test_learning_curves_leave_out_a_pretraining_that_did_not_happen() -> None:
    assert len(FIGURES["learning_curves"]().axes) == 2
    assert len(plots.learning_curves({"DeepSAD": {"pretrain_loss": [], "loss": [1.0]}}).axes) == 1


def test_each_map_has_its_own_panel_without_coordinates() -> None:
    figure = FIGURES["latent_maps"]()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before", "after"]
    for axes in figure.axes:
        assert len(axes.get_xticks()) == len(axes.get_yticks()) == 0
    assert {"normal", "anomaly", "center"} <= texts(figure)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "complaint"),
    [
        (lambda: plots.image_grid(IMAGES[0]), "shape"),
        (lambda: plots.image_grid(IMAGES, titles=["one"]), "titles must be one per image, 9"),
        (lambda: plots.image_grid(IMAGES, marked=[True]), "marked must be one per image, 9"),
        (lambda: plots.score_histogram({}), "groups is empty"),
        (lambda: plots.score_histogram({"normal": []}), "non-empty"),
        (lambda: plots.score_histogram({"normal": [1.0, np.nan]}), "finite"),
        (lambda: plots.score_histogram({"normal": [0.0, 1.0]}, log=True), "above 0"),
        (
            lambda: plots.scores_by_class([1.0, 2.0], [0], ("a",), normal_class=0),
            r"targets must have shape \(2,\)",
        ),
        (lambda: plots.roc_curves({}), "detectors is empty"),
        (lambda: plots.line_chart([0], {}, x_label="", y_label=""), "lines is empty"),
        (lambda: plots.learning_curves({"a": {"loss": []}}), "fit the detector"),
        (lambda: plots.latent_maps({"a": POINTS[:3]}, GROUPS), r"\(41, 2\)"),
        (lambda: plots.umap_coordinates(POINTS[:3]), "N above 15"),
    ],
)
def test_bad_input_is_refused(draw: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        draw()


@pytest.mark.slow
def test_umap_repeats_itself_and_keeps_clusters_together_without_a_warning() -> None:
    clusters = np.concatenate([RNG.normal(center, 0.1, (30, 8)) for center in (0, 5)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        first = plots.umap_coordinates(clusters, seed=1)
    assert first.shape == (60, 2)
    assert np.array_equal(first, plots.umap_coordinates(clusters, seed=1))
    apart = np.linalg.norm(first[:30].mean(0) - first[30:].mean(0))
    assert apart > max(np.ptp(first[:30]), np.ptp(first[30:])) / 2
