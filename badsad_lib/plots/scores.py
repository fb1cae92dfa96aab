"""Figures of anomaly scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from badsad_lib.plots.look import (
    INK,
    book_look,
    check_some,
    check_values,
    log_axis,
    new_axes,
    rgb,
    style_of,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def score_histogram(
    groups: Mapping[str, ArrayLike],
    *,
    threshold: float | Mapping[str, float] | None = None,
    log: bool = False,
    title: str = "",
    x_label: str = "anomaly score",
    bins: int = 50,
) -> Figure:
    """Histograms of anomaly scores, one a group, each with area one.

    Parameters
    ----------
    groups
        Name to scores (N,). Groups of different size can be compared, as each is a density.
    threshold
        Where images begin to be flagged: a vertical line. Several lines: name to threshold,
        such as ``{"0.95": 1.2, "0.99": 3.4}`` for two quantiles of held-out normal scores.
    log
        Logarithmic score axis, for scores that span orders of magnitude. Scores and
        thresholds must be above 0 then.
    x_label
        What the numbers are, where they are not anomaly scores.

    Raises
    ------
    ValueError
        No groups, a group or a mapping of thresholds that is empty, NaN or infinity, or
        values that a logarithmic axis cannot show.
    """
    check_some(groups, "groups")
    scores = {name: check_values(values, f"scores of {name!r}") for name, values in groups.items()}
    thresholds = _named_thresholds(threshold)
    every = np.concatenate(list(scores.values()))
    lowest = min(every.min(), *thresholds.values(), np.inf)
    if log and lowest <= 0:
        raise ValueError(
            f"a logarithmic axis needs scores and thresholds above 0, got {lowest:g}; leave log out"
        )
    low, high = every.min(), every.max()
    if low == high:  # a detector that gives everything one score still deserves a picture
        low, high = (low * 0.9, high * 1.1) if log else (low - 0.5, high + 0.5)
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    # On a log axis a bar's area is what the eye sees, so count per decade.
    position = np.log10(edges) if log else edges
    styles = styles_of(scores)
    with book_look():
        figure, (axes,) = new_axes()
        for name, values in scores.items():
            style = styles[name]
            share = np.histogram(values, edges)[0] / len(values)
            axes.stairs(
                share / np.diff(position),
                edges,
                label=name,
                fill=True,
                facecolor=(*rgb(style.color), 0.35),
                edgecolor=style.color,
                linewidth=1.4,
                hatch=style.hatch,
            )
        _threshold_lines(axes, thresholds)
        axes.set(xlabel=x_label, ylabel="density", yticks=[], title=title)
        if log:
            log_axis(axes, "x")
        # Above the bars: inside there is no place that is free in every histogram.
        figure.legend(loc="outside upper right", ncols=min(4, len(scores) + len(thresholds)))
    return figure


def _named_thresholds(threshold: float | Mapping[str, float] | None) -> dict[str, float]:
    """Label of each line to its place."""
    if threshold is None:
        return {}
    if not isinstance(threshold, Mapping):
        return {"threshold": check_values([threshold], "threshold")[0]}
    check_some(threshold, "threshold")
    places = check_values(list(threshold.values()), "threshold")
    # In brackets: a bare number would look like a place on the axis.
    return {f"threshold ({name})": place for name, place in zip(threshold, places)}


def _threshold_lines(axes: Axes, thresholds: Mapping[str, float]) -> None:
    dashes = cycle([(0, (6, 3)), ":", "-."])
    for (label, place), dash in zip(thresholds.items(), dashes):
        axes.axvline(place, color=INK, linestyle=dash, linewidth=1.6, label=label)


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
    values = check_values(scores, "scores")
    classes = np.asarray(targets)
    if classes.shape != values.shape:
        raise ValueError(f"targets must have shape {values.shape}, got {classes.shape}")
    present = [c for c in range(len(class_names)) if (classes == c).any()]
    order = sorted(present, key=lambda c: float(np.median(values[classes == c])))
    with book_look():
        figure, (axes,) = new_axes(height=0.7 + 0.32 * len(order))
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
            box.set(facecolor=(*rgb(style.color), 0.35), edgecolor=style.color, hatch=style.hatch)
        names = [
            f"{class_names[c]} (normal)" if c == normal_class else class_names[c] for c in order
        ]
        axes.set_yticklabels(names)
        axes.invert_yaxis()
        _threshold_lines(axes, _named_thresholds(threshold))
        axes.set(xlabel="anomaly score")
        if log:
            log_axis(axes, "x")
        if threshold is not None:
            figure.legend(loc="outside upper right")
    return figure
