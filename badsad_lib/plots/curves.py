"""Figures of curves: one quantity against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from badsad_lib.plots.look import (
    INK,
    book_look,
    check_some,
    check_values,
    log_axis,
    new_axes,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    check_some(detectors, "detectors")
    with book_look():
        figure, (axes,) = new_axes(height=4.0)
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":", label="guessing")
        styles = styles_of(detectors)
        for name, (normal, anomaly) in detectors.items():
            normal = check_values(normal, f"normal scores of {name!r}")
            anomaly = check_values(anomaly, f"anomaly scores of {name!r}")
            truth = np.r_[np.zeros(len(normal)), np.ones(len(anomaly))]
            x, y, _ = roc_curve(truth, np.r_[normal, anomaly])
            style = styles[name]
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
    log_x: bool = False,
) -> Figure:
    """Several quantities against one: each line (N,) over ``x`` (N,).

    A line (N, K) is drawn as the mean of its K values, and their range is shaded. ``mark`` draws
    a vertical line at one place, named ``mark_label``. ``log_x`` puts a factor of ten at equal
    lengths, for ``x`` above 0, and labels the places themselves.
    """
    check_some(lines, "lines")
    places = check_values(x, "x")
    with book_look():
        figure, (axes,) = new_axes()
        styles = styles_of(lines)
        for name, values in lines.items():
            style = styles[name]
            several = np.asarray(values, dtype=np.float64)
            if several.ndim not in (1, 2) or len(several) != len(places):
                raise ValueError(
                    f"line {name!r} has shape {several.shape}, expected ({len(places)},) as x, or "
                    f"({len(places)}, K) with K values at each place"
                )
            several = several.reshape(len(places), -1)
            axes.plot(
                places,
                several.mean(axis=1),
                label=name,
                color=style.color,
                linestyle=style.line,
                linewidth=2,
            )
            if several.shape[1] > 1:
                low, high = several.min(axis=1), several.max(axis=1)
                axes.fill_between(places, low, high, color=style.color, alpha=0.15, linewidth=0)
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, label=mark_label)
        if log_x:
            if places.min() <= 0:
                raise ValueError(f"x begins at {places.min():g}; log_x needs places above 0")
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        if y_limits is not None:
            axes.set_ylim(*y_limits)
        axes.legend()
    return figure


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Mean loss of each epoch, pretraining on the left, training on the right.

    Parameters
    ----------
    histories
        Name of a detector to its ``history_``: lists ``pretrain_loss`` and ``loss``. A list
        that is empty or missing draws nothing; a panel without any line is left out.
    """
    check_some(histories, "histories")
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
    styles = styles_of(histories)
    with book_look():
        figure, axes = new_axes(height=3.0, columns=len(panels))
        for axis, (key, title) in zip(axes, panels):
            for name, history in histories.items():
                loss = history.get(key, ())
                if not len(loss):
                    continue
                style = styles[name]
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
            log_axis(axis, "y")
            axis.legend()
    return figure
