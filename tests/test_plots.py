"""Every figure is drawn, says what it should in color and without it, and refuses bad input."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from badsad_lib import plots
from badsad_lib.images import to_uint8
from badsad_lib.plots import latents
from badsad_lib.plots.attack import amplified
from badsad_lib.triggers import Blend, Patch

RNG = np.random.default_rng(0)
NORMAL, ANOMALY = RNG.normal(2, 0.4, 80) ** 2, RNG.normal(4, 1, 120) ** 2
SCORES = np.r_[NORMAL, ANOMALY]
TARGETS = np.r_[np.zeros(80, int), RNG.integers(1, 3, 120)]
IMAGES = torch.rand(9, 1, 28, 28, generator=torch.Generator().manual_seed(0))
HISTORY = {"pretrain_loss": [0.1, 0.05, 0.04], "loss": [4.0, 1.0, 0.3, 0.2]}
POINTS = RNG.normal(size=(41, 2))
GROUPS = ["normal"] * 20 + ["anomaly"] * 20 + ["center"]
QUANTILES = [0.5, 0.9, 0.95, 0.99]
RATES = [0.005, 0.1, 1.0]
RUNS = np.array([[0.1, 0.2, 0.6], [0.5, 0.5, 0.8], [0.9, 0.9, 0.9]])

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
    "triggered_pairs": lambda: plots.triggered_pairs(IMAGES[:3], Patch()(IMAGES[:3])),
    "asr_by_threshold": lambda: plots.asr_by_threshold(
        QUANTILES, {"victim": [0.1, 0.8, 0.9, 1.0], "clean twin": [0.0] * 4}
    ),
    "auroc_asr_plane": lambda: plots.auroc_asr_plane(
        {"basic": ([0.97, 0.96], [0.3, 0.4]), "extended": ([0.96], [0.9])}
    ),
    "asr_by_poison_rate": lambda: plots.asr_by_poison_rate(
        RATES, {"basic": RUNS, "extended": np.sqrt(RUNS)}
    ),
    "value_rows": lambda: plots.value_rows(
        {"patch": {"before": [0.9, 1.0], "after": [0.1]}, "blend": {"before": [0.8]}},
        x_label="ASR",
    ),
}


def texts(figure: Figure) -> set[str]:
    """All that a reader can read in a figure."""
    figure.draw_without_rendering()
    return {text.get_text() for text in figure.findobj(plt.Text) if text.get_text()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_white_and_not_left_open(name: str) -> None:
    before = plt.get_fignums()
    figure = FIGURES[name]()
    figure.draw_without_rendering()
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
        FIGURES[name]().draw_without_rendering()


def test_the_tests_above_and_the_api_page_cover_every_figure() -> None:
    modules = [
        importlib.import_module(f"badsad_lib.plots.{module.name}")
        for module in pkgutil.iter_modules(plots.__path__)
    ]
    drawn = {
        name
        for module in modules
        for name, value in vars(module).items()
        if getattr(value, "__annotations__", {}).get("return") == "Figure"
    }
    assert drawn == set(FIGURES)
    # The API page shows what stands in __all__.
    assert drawn <= set(plots.__all__)


@pytest.mark.slow
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
    styles = plots.styles_of(f"group {i}" for i in range(6)).values()
    for mark in ("color", "marker", "line", "hatch"):
        assert len({getattr(style, mark) for style in styles}) == 6, mark


RECURRING = (
    "normal",
    "anomaly",
    "labeled anomaly",
    "poisoned normal",
    "triggered anomaly",
    "center",
)


@given(st.lists(st.sampled_from([*RECURRING, *"abcdef"]), min_size=1, max_size=6, unique=True))
def test_up_to_six_groups_of_any_name_are_told_apart(names: list[str]) -> None:
    styles = plots.styles_of(names)
    assert list(styles) == names
    for mark in ("color", "marker"):
        assert len({getattr(style, mark) for style in styles.values()}) == len(names), mark


def test_names_that_recur_look_the_same_wherever_they_stand() -> None:
    for name in RECURRING:
        assert plots.styles_of(["a", "b", name])[name] == plots.style_of(name)


def test_a_seventh_group_is_drawn_all_the_same() -> None:
    assert len(plots.styles_of("abcdefgh")) == 8


def test_histograms_are_told_apart_by_hatching_and_curves_by_line_style() -> None:
    patches = FIGURES["score_histogram"]().axes[0].patches
    assert len({patch.get_hatch() for patch in patches}) == 2
    lines = FIGURES["line_chart"]().axes[0].lines[:2]
    assert len({line.get_linestyle() for line in lines}) == 2


# --- what the figures show --------------------------------------------------------------------


def test_a_line_of_several_values_is_their_mean_and_their_range_is_shaded():
    x, several = [0.01, 0.1, 1.0], np.array([[0.0, 0.2], [0.4, 0.6], [0.9, 1.0]])
    axes = plots.line_chart(x, {"some": several}, x_label="", y_label="", log_x=True).axes[0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([0.1, 0.5, 0.95])
    (band,) = axes.collections
    assert band.get_paths()[0].get_extents().intervaly.tolist() == pytest.approx([0, 1])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.01", "0.1", "1"]


def test_a_histogram_is_a_density_whatever_the_size_of_the_group() -> None:
    figure = plots.score_histogram({"few": NORMAL[:10], "many": ANOMALY})
    for patch in figure.axes[0].patches:
        values, edges, _ = patch.get_data()
        assert np.sum(values * np.diff(edges)) == pytest.approx(1)


def test_a_detector_that_scores_everything_the_same_can_be_shown() -> None:
    for log in (False, True):
        plots.score_histogram({"normal": np.full(9, 0.5)}, log=log).draw_without_rendering()


def test_threshold_and_groups_are_named() -> None:
    assert {"normal", "anomaly", "threshold"} <= texts(FIGURES["score_histogram"]())
    assert "threshold" not in texts(plots.score_histogram({"normal": NORMAL}))


def test_a_histogram_says_what_its_numbers_are() -> None:
    assert FIGURES["score_histogram"]().axes[0].get_xlabel() == "anomaly score"
    figure = plots.score_histogram({"normal": NORMAL}, x_label="suspicion")
    assert figure.axes[0].get_xlabel() == "suspicion"


def test_several_thresholds_have_names_and_line_styles_of_their_own() -> None:
    places = {"0.90": 5.0, "0.95": 6.0, "0.99": 7.0}
    figure = plots.score_histogram({"normal": NORMAL}, threshold=places)
    assert {f"threshold ({name})" for name in places} <= texts(figure)
    lines = figure.axes[0].lines
    assert [line.get_xdata()[0] for line in lines] == list(places.values())
    assert len({line.get_linestyle() for line in lines}) == 3


def test_classes_are_ordered_by_median_and_the_normal_one_is_named() -> None:
    scores = np.r_[np.full(5, 3.0), np.full(5, 1.0), np.full(5, 2.0)] + np.tile(np.arange(5), 3)
    figure = plots.scores_by_class(
        scores, np.repeat([0, 1, 2], 5), ("shirt", "shoe", "bag"), normal_class=2
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["shoe", "bag (normal)", "shirt"]


def test_a_logarithmic_axis_carries_plain_numbers() -> None:
    figure = plots.score_histogram({"normal": np.geomspace(0.001, 100, 50)}, log=True)
    figure.draw_without_rendering()
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


# --- what the figures of an attack show ---------------------------------------------------------


def shown(figure: Figure) -> list[NDArray]:
    """The pixels of every image of a figure, row by row."""
    return [np.squeeze(axes.images[0].get_array()) for axes in figure.axes]


def test_a_pair_stands_above_its_difference() -> None:
    triggered = Patch(size=2, value=0.0)(torch.ones(2, 1, 8, 8))
    images = shown(plots.triggered_pairs(torch.ones(2, 1, 8, 8), triggered))
    assert len(images) == 6
    assert (images[0] == 1).all()
    assert np.array_equal(images[2], triggered[0, 0])
    # Gray where nothing changed, black where white became black.
    assert np.array_equal(images[4], np.where(triggered[0, 0] == 1, 0.5, 0.0))


def test_pairs_may_travel_as_8_bits_and_in_color() -> None:
    color = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    figure = plots.triggered_pairs(to_uint8(color), Blend()(color), titles=["one", "two"])
    assert {"one", "two"} <= texts(figure)
    assert figure.axes[0].images[0].get_array().shape == (8, 12, 3)


def test_the_gain_stands_at_the_row_where_all_columns_share_it() -> None:
    black = torch.zeros(2, 1, 8, 8)
    assert "difference\n× 5" in texts(plots.triggered_pairs(black, black + 0.2))
    assert "difference" in texts(plots.triggered_pairs(black, black + 1))


def test_the_gain_stands_under_each_difference_where_columns_do_not_share_it() -> None:
    black = torch.zeros(2, 1, 28, 28)
    triggered = torch.cat([Patch()(black[:1]), Blend(alpha=0.2)(black[:1])])
    assert {"difference", "× 1", "× 5"} <= texts(plots.triggered_pairs(black, triggered))


@given(largest=st.floats(1 / 255, 1), seed=st.integers(0, 99))
def test_a_difference_is_amplified_as_far_as_the_contrast_reaches(
    largest: float, seed: int
) -> None:
    pattern = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    difference = pattern / pattern.abs().max() * largest
    picture, gain = amplified(difference)
    # Nothing is clipped, and one more would not fit.
    assert torch.allclose((picture - 0.5) * 2 / gain, difference, atol=1e-3)
    assert gain <= 1.001 / largest < gain + 1.01


def test_no_difference_is_plain_gray() -> None:
    picture, gain = amplified(torch.zeros(1, 4, 4))
    assert (picture == 0.5).all()
    assert gain == 1


def test_asr_by_threshold_marks_one_quantile_or_none() -> None:
    figure = FIGURES["asr_by_threshold"]()
    assert {"victim", "clean twin", "quantile 0.95"} <= texts(figure)
    victim, clean, mark = figure.axes[0].lines
    assert victim.get_xydata().tolist() == [[0.5, 0.1], [0.9, 0.8], [0.95, 0.9], [0.99, 1.0]]
    assert (victim.get_marker(), victim.get_linestyle()) != (
        clean.get_marker(),
        clean.get_linestyle(),
    )
    assert mark.get_xdata()[0] == 0.95
    without = plots.asr_by_threshold(QUANTILES, {"victim": [0.1] * 4}, mark=None)
    assert len(without.axes[0].lines) == 1


def test_the_plane_holds_one_point_a_detector() -> None:
    figure = FIGURES["auroc_asr_plane"]()
    clouds = {cloud.get_label(): cloud for cloud in figure.axes[0].collections}
    assert clouds["basic"].get_offsets().tolist() == [[0.97, 0.3], [0.96, 0.4]]
    assert clouds["extended"].get_offsets().tolist() == [[0.96, 0.9]]
    assert len({cloud.get_paths()[0].vertices.tobytes() for cloud in clouds.values()}) == 2


@pytest.mark.parametrize("auroc", [0.2, 1.0])
def test_the_plane_reaches_from_the_worst_detector_to_a_perfect_one(auroc: float) -> None:
    low, high = plots.auroc_asr_plane({"a": ([auroc], [0.5])}).axes[0].get_xlim()
    assert low < min(auroc, 0.95)
    assert high > 1


def test_asr_by_poison_rate_shows_means_and_the_range_of_runs() -> None:
    axes = plots.asr_by_poison_rate(RATES, {"basic": RUNS}).axes[0]
    assert np.allclose(axes.lines[0].get_xydata(), np.c_[RATES, [0.3, 0.6, 0.9]])
    corners = axes.collections[0].get_paths()[0].vertices
    for rate, runs in zip(RATES, RUNS):
        own = corners[corners[:, 0] == rate, 1]
        assert (own.min(), own.max()) == (runs.min(), runs.max())


def test_poison_rates_are_percent_on_a_logarithmic_axis() -> None:
    figure = FIGURES["asr_by_poison_rate"]()
    assert figure.axes[0].get_xscale() == "log"
    assert {"0.5%", "10%", "100%"} <= texts(figure)


def test_one_poison_rate_and_one_run_can_be_shown() -> None:
    plots.asr_by_poison_rate([0.1], {"basic": [[0.9]]}).draw_without_rendering()


def test_rows_hold_every_value_and_their_mean() -> None:
    axes = FIGURES["value_rows"]().axes[0]
    clouds = [(cloud.get_label(), cloud.get_offsets().tolist()) for cloud in axes.collections]
    (first, before), (_, after), (_, other) = clouds
    assert first == "before"
    assert [x for x, _ in before] == [0.9, 1.0]
    # The first row is at the top, and so is the first series of a row.
    assert axes.yaxis_inverted()
    assert before[0][1] < 0 < after[0][1] < other[0][1] == 1
    assert axes.lines[0].get_xdata().tolist() == pytest.approx([0.95, 0.95])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["patch", "blend"]


def test_a_series_has_one_entry_in_the_legend_and_one_mark_in_all_rows() -> None:
    figure = FIGURES["value_rows"]()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after"]
    before, after, other = (
        cloud.get_paths()[0].vertices.tobytes() for cloud in figure.axes[0].collections
    )
    assert before == other != after
    assert not plots.value_rows({"a": {"b": [1]}}, x_label="").legends


def test_a_mean_on_a_logarithmic_axis_is_the_middle_of_what_is_seen() -> None:
    rows = {"clean": {"size": [0.01, 1.0]}}
    axes = plots.value_rows(rows, x_label="size", log=True).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_xdata()[0] == pytest.approx(0.1)


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
        (lambda: plots.score_histogram({"normal": NORMAL}, threshold={}), "threshold is empty"),
        (lambda: plots.score_histogram({"normal": NORMAL}, threshold=np.nan), "threshold must be"),
        (
            lambda: plots.score_histogram({"normal": NORMAL}, threshold={"a": -1.0}, log=True),
            "thresholds above 0, got -1",
        ),
        (
            lambda: plots.scores_by_class([1.0, 2.0], [0], ("a",), normal_class=0),
            r"targets must have shape \(2,\)",
        ),
        (lambda: plots.roc_curves({}), "detectors is empty"),
        (lambda: plots.line_chart([0], {}, x_label="", y_label=""), "lines is empty"),
        (
            lambda: plots.line_chart([1, 2], {"a": [1, 2, 3, 4]}, x_label="", y_label=""),
            r"line 'a' has shape \(4,\), expected \(2,\)",
        ),
        (
            lambda: plots.line_chart([0, 1], {"a": [1, 2]}, x_label="", y_label="", log_x=True),
            "log_x needs places above 0",
        ),
        (lambda: plots.learning_curves({"a": {"loss": []}}), "fit the detector"),
        (lambda: plots.latent_maps({"a": POINTS[:3]}, GROUPS), r"\(41, 2\)"),
        (lambda: plots.umap_coordinates(POINTS[:3]), "N above 15"),
        (lambda: plots.triggered_pairs(IMAGES[:0], IMAGES[:0]), "must not be empty"),
        (lambda: plots.triggered_pairs(IMAGES, IMAGES[:3]), r"triggered .* \(9, 1, 28, 28\)"),
        (lambda: plots.triggered_pairs(IMAGES, IMAGES + 1), "triggered must be float in"),
        (lambda: plots.triggered_pairs(IMAGES, IMAGES * np.nan), "triggered must be finite"),
        (lambda: plots.triggered_pairs(IMAGES, IMAGES, titles=["a"]), "titles must be one per"),
        (lambda: plots.asr_by_threshold(QUANTILES, {}), "asr is empty"),
        (lambda: plots.asr_by_threshold([], {"a": []}), "quantiles must be a non-empty"),
        (lambda: plots.asr_by_threshold([0.9, 0.5], {"a": [0, 0]}), "quantiles must ascend"),
        (lambda: plots.asr_by_threshold([0.5, 95], {"a": [0, 0]}), r"quantiles must lie in \[0, 1"),
        (lambda: plots.asr_by_threshold([0.9], {"a": [np.nan]}), "asr of 'a' must be finite"),
        (lambda: plots.asr_by_threshold([0.9], {"a": [0, 1]}), "one per quantile, 1, got 2"),
        (lambda: plots.auroc_asr_plane({}), "points is empty"),
        (lambda: plots.auroc_asr_plane({"a": ([0.9], [0.1, 0.2])}), "one ASR for each AUROC"),
        (lambda: plots.auroc_asr_plane({"a": ([97.0], [0.1])}), "AUROC of 'a' must lie in"),
        (lambda: plots.asr_by_poison_rate(RATES, {}), "asr is empty"),
        (lambda: plots.asr_by_poison_rate([0.0], {"a": [[1]]}), "rates must be above 0"),
        (lambda: plots.asr_by_poison_rate([0.1, 0.1], {"a": [[1], [1]]}), "and ascend"),
        (lambda: plots.asr_by_poison_rate([0.1], {"a": [1]}), r"\(1, runs\), got \(1,\)"),
        (lambda: plots.asr_by_poison_rate([0.1], {"a": [[np.inf]]}), "asr of 'a' must be finite"),
        (lambda: plots.value_rows({}, x_label=""), "rows is empty"),
        (lambda: plots.value_rows({"a": {}}, x_label=""), "row 'a' is empty"),
        (lambda: plots.value_rows({"a": {"b": [np.nan]}}, x_label=""), "'b' in row 'a' must be"),
        (lambda: plots.value_rows({"a": {"b": [0]}}, x_label="", log=True), "above 0, got 0"),
    ],
)
def test_bad_input_is_refused(draw: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        draw()


@pytest.mark.trial
@pytest.mark.slow
def test_umap_repeats_itself_and_keeps_clusters_together_without_a_warning() -> None:
    clusters = np.concatenate([RNG.normal(center, 0.1, (30, 8)) for center in (0, 5)])
    before = np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        first = plots.umap_coordinates(clusters, seed=1)
    assert first.shape == (60, 2)
    assert np.random.get_state()[1].tobytes() == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert np.array_equal(first, plots.umap_coordinates(clusters, seed=1))
    apart = np.linalg.norm(first[:30].mean(0) - first[30:].mean(0))
    assert apart > max(np.ptp(first[:30]), np.ptp(first[30:])) / 2


# Here neither beside the packages nor in the home can anything be written.
NO_CACHE = """
import numba.core.caching as caching

ensure = caching._CacheLocator.ensure_cache_path

def read_only(self):
    if not isinstance(self, caching.UserProvidedCacheLocator):
        raise OSError("Read-only file system")
    ensure(self)

caching._CacheLocator.ensure_cache_path = read_only
"""
# Stands in for umap, which without a cache takes a minute to import.
CACHED_UMAP = """
from numba import njit

@njit(cache=True)
def compiled(x):
    return x + 1

class UMAP:
    number = compiled(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "works"),
    [
        ("import umap", False),
        ("from badsad_lib.plots import latents; print(latents._import_umap().number)", True),
    ],
)
def test_maps_need_no_place_to_cache_compiled_code(tmp_path, call, works):
    (tmp_path / "umap.py").write_text(CACHED_UMAP)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    path = f"{tmp_path}{os.pathsep}{Path(plots.__file__).parents[2]}"
    settings = {"HOME": "/dev/null", "TMPDIR": str(temporary), "PYTHONPATH": path}
    env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | settings
    run = subprocess.run(
        [sys.executable, "-c", NO_CACHE + call],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode == 0) == works, run.stderr
    assert ("no locator available" in run.stderr) != works
    assert run.stdout == ("3\n" if works else "")
    # The second run finds what the first compiled.
    assert bool(list(temporary.rglob("*.nbi"))) == works


def test_a_cache_that_somebody_else_could_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    usual = latents._cache_folder()
    assert Path(usual).stat().st_mode & 0o777 == 0o700
    assert latents._cache_folder() == usual
    Path(usual).chmod(0o777)
    assert latents._cache_folder() != usual
    Path(usual).rmdir()
    (tmp_path / "foreign").mkdir(mode=0o700)
    Path(usual).symlink_to(tmp_path / "foreign")
    other = Path(latents._cache_folder())
    assert other.is_dir()
    assert not other.is_symlink()
    assert str(other) != usual
