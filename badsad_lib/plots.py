"""Every figure of the book, in one look: arrays in, a matplotlib Figure out.

Nothing here trains or scores. Colors are Okabe and Ito's, which people with
color-blind eyes can tell apart; markers, line styles and hatching say the same
a second time, for a gray print. The background is white on light and dark
pages alike.

matplotlib, seaborn and umap are imported by the functions that use them, not
by ``import badsad_lib.plots``: they take seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve
from torch import Tensor
from tqdm import TqdmWarning

from badsad_lib.images import check_images, to_float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: the width of the text of a page
INK = "#222222"


@dataclass(frozen=True)
class Style:
    """How one group of points, bars or lines looks, in color and without it."""

    color: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]
    hatch: str


_CYCLE = (
    Style("#0072b2", "o", "-", ""),
    Style("#d55e00", "^", "--", "////"),
    Style("#009e73", "s", "-.", "...."),
    Style("#cc79a7", "D", ":", "xxxx"),
    Style("#e69f00", "v", (0, (5, 1, 1, 1, 1, 1)), "++++"),
    Style("#56b4e9", "P", (0, (1, 3)), "oo"),
)
# What means the same on every page looks the same on every page.
_BY_NAME = {
    "normal": _CYCLE[0],
    "anomaly": _CYCLE[1],
    "labeled anomaly": Style(INK, "D", ":", "xxxx"),
    "center": Style("#ffffff", "*", "-", ""),
}


def style_of(name: str, position: int = 0) -> Style:
    """Style of a group: fixed for the names that recur, else the next of six."""
    return _BY_NAME.get(name, _CYCLE[position % len(_CYCLE)])


@contextmanager
def _look() -> Iterator[None]:
    """Apply the look of the book to the figures made inside, and to no others."""
    import matplotlib as mpl
    import seaborn as sns

    with (
        sns.axes_style("ticks"),
        sns.plotting_context("notebook", font_scale=0.85),
        mpl.rc_context(
            {
                "figure.facecolor": "white",
                "figure.dpi": 144,
                "axes.titlelocation": "left",
                "axes.titlesize": "medium",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.edgecolor": INK,
                "text.color": INK,
                "hatch.linewidth": 0.6,
                "legend.frameon": False,
            }
        ),
    ):
        yield


def _axes(
    width: float = WIDTH, height: float = 3.2, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure and its axes, row by row.

    The figure is not left open in pyplot: a notebook would show it twice.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained"
    )
    plt.close(figure)
    return figure, list(axes.flat)


def _values(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def _some(groups: Mapping[str, object], what: str) -> None:
    if not groups:
        raise ValueError(f"nothing to draw: {what} is empty")


# --- images -----------------------------------------------------------------------------------


def _show(axes: Axes, image: Tensor) -> None:
    pixels = to_float(image[None])[0].permute(1, 2, 0).cpu().numpy()
    # Nearest: the reader should see pixels, and flat squares make small files.
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _frame(axes: Axes, style: Style) -> None:
    for spine in axes.spines.values():
        spine.set(visible=True, color=style.color, linewidth=3)


def image_grid(
    images: Tensor,
    *,
    titles: Sequence[str] | None = None,
    marked: Sequence[bool] | Tensor | None = None,
    columns: int = 8,
) -> Figure:
    """Images side by side.

    Parameters
    ----------
    images
        (N, C, H, W), uint8 or float in [0, 1], C is 1 or 3.
    titles
        One line above each image.
    marked
        (N,) bool: which images get a frame in the color of anomalies. Say in the titles
        what the frame means.
    columns
        Images in a row.

    Raises
    ------
    ValueError
        Not as many titles or marks as images, or images that
        :func:`~badsad_lib.images.check_images` refuses.
    """
    images = check_images(images)
    for name, values in (("titles", titles), ("marked", marked)):
        if values is not None and len(values) != len(images):
            raise ValueError(f"{name} must be one per image, {len(images)}, got {len(values)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell = WIDTH / columns
    with _look():
        figure, axes = _axes(WIDTH, rows * cell * (1.2 if titles else 1.02), rows, columns)
        for axis in axes[len(images) :]:
            axis.set_axis_off()
        for i, (axis, image) in enumerate(zip(axes, images)):
            _show(axis, image)
            if titles is not None:
                axis.set_title(titles[i], fontsize="small", loc="center", pad=3)
            if marked is not None and marked[i]:
                _frame(axis, style_of("anomaly"))
    return figure


def class_gallery(
    images: Tensor, targets: Tensor, class_names: Sequence[str], *, per_class: int = 10
) -> Figure:
    """The first images of each class, one class a row, its name in front.

    Parameters
    ----------
    images
        (N, C, H, W), uint8 or float in [0, 1].
    targets
        (N,) integers: positions in ``class_names``.
    """
    images = check_images(images)
    with _look():
        rows, cell = len(class_names), (WIDTH - 1.2) / per_class
        figure, axes = _axes(WIDTH, rows * cell * 1.04, rows, per_class)
        for row, name in enumerate(class_names):
            line = axes[row * per_class : (row + 1) * per_class]
            line[0].set_ylabel(f"{row}  {name}", rotation=0, ha="right", va="center")
            for axis in line:
                axis.set(xticks=[], yticks=[])
                for spine in axis.spines.values():
                    spine.set_visible(False)
            for axis, image in zip(line, images[targets == row]):
                _show(axis, image)
    return figure


# --- scores -----------------------------------------------------------------------------------


def score_histogram(
    groups: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    log: bool = False,
    title: str = "",
    bins: int = 50,
) -> Figure:
    """Histograms of anomaly scores, one a group, each with area one.

    Parameters
    ----------
    groups
        Name to scores (N,). Groups of different size can be compared, as each is a density.
    threshold
        Where images begin to be flagged: a vertical line.
    log
        Logarithmic score axis, for scores that span orders of magnitude. Scores must be
        above 0 then.
    """
    _some(groups, "groups")
    scores = {name: _values(values, f"scores of {name!r}") for name, values in groups.items()}
    every = np.concatenate(list(scores.values()))
    if log and every.min() <= 0:
        raise ValueError(f"a logarithmic axis needs scores above 0, got {every.min():g}")
    low, high = every.min(), every.max()
    if low == high:  # a detector that gives everything one score still deserves a picture
        low, high = (low * 0.9, high * 1.1) if log else (low - 0.5, high + 0.5)
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    # On a log axis a bar's area is what the eye sees, so count per decade.
    position = np.log10(edges) if log else edges
    with _look():
        figure, (axes,) = _axes()
        for i, (name, values) in enumerate(scores.items()):
            style = style_of(name, i)
            share = np.histogram(values, edges)[0] / len(values)
            axes.stairs(
                share / np.diff(position),
                edges,
                label=name,
                fill=True,
                facecolor=(*_rgb(style.color), 0.35),
                edgecolor=style.color,
                linewidth=1.4,
                hatch=style.hatch,
            )
        _threshold_line(axes, threshold)
        axes.set(xlabel="anomaly score", ylabel="density", yticks=[], title=title)
        if log:
            _log_axis(axes, "x")
        # Above the bars: inside there is no place that is free in every histogram.
        figure.legend(loc="outside upper right", ncols=len(scores) + 1)
    return figure


def _rgb(color: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def _log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers on it: 0.1 and 10, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    # Where there are too few decades to read from, number more than the decades.
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > 50 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _threshold_line(axes: Axes, threshold: float | None) -> None:
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle=(0, (6, 3)), linewidth=1.6, label="threshold")


def scores_by_class(
    scores: ArrayLike,
    targets: ArrayLike | Tensor,
    class_names: Sequence[str],
    *,
    normal_class: int,
    threshold: float | None = None,
    log: bool = False,
) -> Figure:
    """Box plot of the scores of each class, lowest median at the top.

    The box holds the middle half of a class, the line in it is the median, the whiskers reach
    from the 5th to the 95th percentile. The normal class is filled without hatching.

    Parameters
    ----------
    scores
        (N,) anomaly scores.
    targets
        (N,) integers: positions in ``class_names``.
    """
    values = _values(scores, "scores")
    classes = np.asarray(targets)
    if classes.shape != values.shape:
        raise ValueError(f"targets must have shape {values.shape}, got {classes.shape}")
    present = [c for c in range(len(class_names)) if (classes == c).any()]
    order = sorted(present, key=lambda c: float(np.median(values[classes == c])))
    with _look():
        figure, (axes,) = _axes(height=0.7 + 0.32 * len(order))
        boxes = axes.boxplot(
            [values[classes == c] for c in order],
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            widths=0.6,
            patch_artist=True,
            medianprops={"color": INK, "linewidth": 1.8},
        )
        for box, c in zip(boxes["boxes"], order):
            style = style_of("normal" if c == normal_class else "anomaly")
            box.set(facecolor=(*_rgb(style.color), 0.35), edgecolor=style.color, hatch=style.hatch)
        names = [
            f"{class_names[c]} (normal)" if c == normal_class else class_names[c] for c in order
        ]
        axes.set_yticklabels(names)
        axes.invert_yaxis()
        _threshold_line(axes, threshold)
        axes.set(xlabel="anomaly score")
        if log:
            _log_axis(axes, "x")
        if threshold is not None:
            figure.legend(loc="outside upper right")
    return figure


def roc_curves(
    detectors: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    false_alarm_rate: float | None = None,
) -> Figure:
    """ROC curves: detection rate against false-alarm rate over all thresholds.

    Parameters
    ----------
    detectors
        Name to (scores of normal images, scores of anomalies).
    false_alarm_rate
        Mark this rate with a vertical line: the operating point that matters.
    """
    _some(detectors, "detectors")
    with _look():
        figure, (axes,) = _axes(height=4.0)
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":", label="guessing")
        for i, (name, (normal, anomaly)) in enumerate(detectors.items()):
            normal = _values(normal, f"normal scores of {name!r}")
            anomaly = _values(anomaly, f"anomaly scores of {name!r}")
            truth = np.r_[np.zeros(len(normal)), np.ones(len(anomaly))]
            x, y, _ = roc_curve(truth, np.r_[normal, anomaly])
            style = style_of(name, i)
            axes.plot(x, y, color=style.color, linestyle=style.line, linewidth=2, label=name)
        if false_alarm_rate is not None:
            axes.axvline(false_alarm_rate, color=INK, linewidth=1, label="budget of false alarms")
        axes.set(
            xlabel="false-alarm rate",
            ylabel="detection rate",
            xlim=(-0.01, 1),
            ylim=(0, 1.01),
            aspect="equal",
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def line_chart(
    x: ArrayLike,
    lines: Mapping[str, ArrayLike],
    *,
    x_label: str,
    y_label: str,
    mark: float | None = None,
    mark_label: str = "threshold",
    title: str = "",
    y_limits: tuple[float, float] | None = None,
) -> Figure:
    """Several quantities against one: each line (N,) over ``x`` (N,).

    ``mark`` draws a vertical line at one place, named ``mark_label``.
    """
    _some(lines, "lines")
    places = _values(x, "x")
    with _look():
        figure, (axes,) = _axes()
        for i, (name, values) in enumerate(lines.items()):
            style = style_of(name, i)
            axes.plot(
                places,
                np.asarray(values, dtype=np.float64),
                label=name,
                color=style.color,
                linestyle=style.line,
                linewidth=2,
            )
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, label=mark_label)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        if y_limits is not None:
            axes.set_ylim(*y_limits)
        axes.legend()
    return figure


# --- training ---------------------------------------------------------------------------------


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Mean loss of each epoch, pretraining on the left, training on the right.

    Parameters
    ----------
    histories
        Name of a detector to its ``history_``: lists ``pretrain_loss`` and ``loss``. A list
        that is empty or missing draws nothing; a panel without any line is left out.
    """
    _some(histories, "histories")
    panels = [
        (key, title)
        for key, title in (
            ("pretrain_loss", "Pretraining: reconstruction error"),
            ("loss", "Training: detector loss"),
        )
        if any(len(history.get(key, ())) for history in histories.values())
    ]
    if not panels:
        raise ValueError("nothing to draw: no history has a loss; fit the detector first")
    with _look():
        figure, axes = _axes(height=3.0, columns=len(panels))
        for axis, (key, title) in zip(axes, panels):
            for i, (name, history) in enumerate(histories.items()):
                loss = history.get(key, ())
                if not len(loss):
                    continue
                style = style_of(name, i)
                axis.plot(
                    range(1, len(loss) + 1),
                    loss,
                    color=style.color,
                    linestyle=style.line,
                    marker=style.marker,
                    markersize=4,
                    markevery=max(1, len(loss) // 8),
                    label=name,
                )
            axis.set(xlabel="epoch", ylabel="loss", title=title)
            _log_axis(axis, "y")
            axis.legend()
    return figure


# --- latent space -----------------------------------------------------------------------------


def umap_coordinates(latents: ArrayLike, *, seed: int = 0, neighbors: int = 15) -> NDArray:
    """Coordinates (N, 2) of latents (N, D) on one map that keeps neighbors together.

    Fit once, on all groups that are to be looked at together. Two maps cannot be compared:
    neither places nor distances mean the same on both. Source: McInnes, Healy, Melville,
    arXiv 1802.03426. The first call of a session takes longer, because umap compiles itself.
    """
    with warnings.catch_warnings():
        # umap asks tqdm for a notebook's widgets, which it then does not use.
        warnings.simplefilter("ignore", TqdmWarning)
        from umap import UMAP

    points = np.asarray(latents, dtype=np.float32)
    if points.ndim != 2 or len(points) <= neighbors:
        raise ValueError(
            f"latents must have shape (N, D) with N above {neighbors}, got {points.shape}"
        )
    # One job is what a fixed seed means to umap anyway; saying so spares its warning. It starts
    # from the principal components: the usual start complains about groups far apart.
    reducer = UMAP(n_neighbors=neighbors, init="pca", random_state=seed, n_jobs=1)
    return np.asarray(reducer.fit_transform(points))


def latent_maps(maps: Mapping[str, ArrayLike], groups: Sequence[str] | NDArray[np.str_]) -> Figure:
    """Scatter plots of latents on the plane, one panel a map, without coordinates.

    Parameters
    ----------
    maps
        Title of each panel to coordinates (N, 2), such as :func:`umap_coordinates` gives.
    groups
        (N,) the group of each point, the same in all panels. A point of the group ``center``
        is drawn large and on top.
    """
    _some(maps, "maps")
    names = np.asarray(groups)
    order = list(dict.fromkeys(names.tolist()))
    with _look():
        width = WIDTH / len(maps)
        figure, axes = _axes(height=width + 0.5, columns=len(maps))
        for axis, (title, points) in zip(axes, maps.items()):
            xy = np.asarray(points, dtype=np.float64)
            if xy.shape != (len(names), 2):
                raise ValueError(f"map {title!r} must have shape ({len(names)}, 2), got {xy.shape}")
            for i, name in enumerate(order):
                style, big = style_of(name, i), name == "center"
                own = xy[names == name]
                axis.scatter(
                    own[:, 0],
                    own[:, 1],
                    s=260 if big else 16,
                    marker=style.marker,
                    facecolor="white" if big else (*_rgb(style.color), 0.55),
                    edgecolor=INK if big else style.color,
                    linewidth=1.5 if big else 0.5,
                    zorder=3 if big else 2,
                    label=name,
                )
            axis.set(xticks=[], yticks=[], title=title)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(order))
    return figure
