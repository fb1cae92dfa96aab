"""Figures of an attack: what it does to images, and how well it works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from badsad_lib.images import check_images, to_float
from badsad_lib.plots.images import show_image
from badsad_lib.plots.look import (
    INK,
    WIDTH,
    book_look,
    check_some,
    check_values,
    new_axes,
    rgb,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = 1.0  # inches: room for the names of rows
LARGEST = 1.6  # inches: side of an image where there are few


def _shares(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    """Return rates in [0, 1] as a flat array, or raise a ValueError that says what is wrong."""
    array = check_values(values, name)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(
            f"{name} must lie in [0, 1], got values from {array.min():g} to {array.max():g}"
        )
    return array


def amplified(difference: Tensor) -> tuple[Tensor, int]:
    """Signed difference (C, H, W) around mid-gray, and the gain that fills the contrast.

    A whole number is easy to read, and rounding down never clips.
    """
    largest = float(difference.abs().max())
    gain = max(1, int(1 / largest + 1e-3)) if largest else 1
    return (0.5 + 0.5 * gain * difference).clamp(0, 1), gain


def triggered_pairs(
    images: Tensor, triggered: Tensor, *, titles: Sequence[str] | None = None
) -> Figure:
    """Images, the same images with a trigger, and what the trigger changed.

    One column an image. In the row of differences, gray means unchanged, brighter than gray
    means brighter with the trigger. A faint difference is amplified as far as the contrast
    reaches, by a whole number: the gain. It stands at the row's name where all columns share
    it, and under each difference where they do not.

    Parameters
    ----------
    images, triggered
        (N, C, H, W), uint8 or float in [0, 1], the same images in the same order. Different
        triggers can stand side by side.
    titles
        One line above each column.

    Raises
    ------
    ValueError
        Shapes differ, there are not as many titles as images, or
        :func:`~badsad_lib.images.check_images` refuses the images.
    """
    before = to_float(check_images(images))
    after = to_float(check_images(triggered, name="triggered"))
    if before.shape != after.shape:
        raise ValueError(
            f"triggered must have the shape of images, {tuple(before.shape)}, "
            f"got {tuple(after.shape)}"
        )
    count = len(before)
    if titles is not None and len(titles) != count:
        raise ValueError(f"titles must be one per image, {count}, got {len(titles)}")
    differences, gains = zip(*(amplified(change) for change in after - before))
    rows: dict[str, Iterable[Tensor]] = {
        "image": before,
        "with trigger": after,
        "difference": differences,
    }
    one_gain = len(set(gains)) == 1
    cell = min(LARGEST, (WIDTH - LABELS) / count)
    with book_look():
        height = 3 * cell + 0.2 * (titles is not None) + 0.2 * (not one_gain)
        figure, axes = new_axes(LABELS + count * cell, height, 3, count)
        figure.set_layout_engine("compressed")  # images keep their shape: no gaps between them
        for row, (name, line) in enumerate(rows.items()):
            own = axes[row * count : (row + 1) * count]
            for axis, image in zip(own, line):
                show_image(axis, image)
            own[0].set_ylabel(name, rotation=0, ha="right", va="center")
        if one_gain and gains[0] != 1:
            axes[2 * count].set_ylabel(f"difference\n× {gains[0]}")
        for i in range(count):
            if titles is not None:
                axes[i].set_title(titles[i], fontsize="small", loc="center", pad=3)
            if not one_gain:
                axes[2 * count + i].set_xlabel(f"× {gains[i]}", fontsize="small")
    return figure


def _asr_axis(axes: Axes) -> None:
    axes.set(ylabel="attack success rate (ASR)", ylim=(-0.03, 1.03))
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)


def asr_by_threshold(
    quantiles: ArrayLike, asr: Mapping[str, ArrayLike], *, mark: float | None = 0.95
) -> Figure:
    """ASR against the threshold, which is a quantile of the scores of held-out normal images.

    Parameters
    ----------
    quantiles
        (Q,) in [0, 1], ascending.
    asr
        Name, such as a detector or a trigger, to its ASR at each quantile: (Q,) in [0, 1].
    mark
        The quantile in use: a vertical line. None draws no line.

    Raises
    ------
    ValueError
        Nothing to draw, NaN (the ASR where nothing is flagged to begin with: leave that
        quantile out), rates outside [0, 1], or lengths that differ.
    """
    check_some(asr, "asr")
    places = _shares(quantiles, "quantiles")
    if (np.diff(places) <= 0).any():
        raise ValueError("quantiles must ascend, each above the one before; sort them")
    styles = styles_of(asr)
    with book_look():
        figure, (axes,) = new_axes()
        for name, rates in asr.items():
            values = _shares(rates, f"asr of {name!r}")
            if values.shape != places.shape:
                raise ValueError(
                    f"asr of {name!r} must be one per quantile, {len(places)}, got {len(values)}"
                )
            style = styles[name]
            axes.plot(
                places,
                values,
                color=style.color,
                linestyle=style.line,
                linewidth=2,
                marker=style.marker,
                markersize=5,
                markevery=max(1, len(places) // 8),
                label=name,
                clip_on=False,
            )
        if mark is not None:
            axes.axvline(mark, color=INK, linewidth=1, label=f"quantile {mark:g}")
        axes.set(xlabel="threshold: quantile of the scores of held-out normal images")
        _asr_axis(axes)
        figure.legend(loc="outside right center", handlelength=3)
    return figure


def auroc_asr_plane(points: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """How well a detector works on clean images against how well a trigger fools it.

    An attack that succeeds and stays unnoticed lies at the top right.

    Parameters
    ----------
    points
        Name, such as an attack, to (AUROC on clean images, ASR), both (K,) in [0, 1]: one
        value a detector.

    Raises
    ------
    ValueError
        Nothing to draw, NaN, values outside [0, 1], or lengths that differ.
    """
    check_some(points, "points")
    styles = styles_of(points)
    lowest = 0.95  # AUROCs close to 1 should not look far apart
    with book_look():
        figure, (axes,) = new_axes(height=3.8)
        for name, (auroc, asr) in points.items():
            x = _shares(auroc, f"AUROC of {name!r}")
            y = _shares(asr, f"asr of {name!r}")
            if x.shape != y.shape:
                raise ValueError(
                    f"{name!r} must have one ASR for each AUROC, {len(x)}, got {len(y)}"
                )
            lowest = min(lowest, float(x.min()))
            style = styles[name]
            axes.scatter(
                x,
                y,
                s=42,
                marker=style.marker,
                facecolor=(*rgb(style.color), 0.55),
                edgecolor=style.color,
                label=name,
                clip_on=False,
                zorder=3,
            )
        margin = 0.04 * (1 - lowest)
        axes.set(xlabel="AUROC on clean images", xlim=(lowest - margin, 1 + margin))
        _asr_axis(axes)
        figure.legend(loc="outside right center", handlelength=3)
    return figure


def asr_by_poison_rate(rates: ArrayLike, asr: Mapping[str, ArrayLike]) -> Figure:
    """ASR against the share of the training normals that carry the trigger.

    A line joins the means; the band reaches from the least to the largest run.

    Parameters
    ----------
    rates
        (R,) poison rates in (0, 1], ascending. The axis is logarithmic, in percent.
    asr
        Name to ASR of every run at each rate: (R, runs) in [0, 1].

    Raises
    ------
    ValueError
        Nothing to draw, NaN, values out of range, or shapes that do not fit.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    check_some(asr, "asr")
    places = _shares(rates, "rates")
    if places[0] <= 0 or (np.diff(places) <= 0).any():
        raise ValueError("rates must be above 0 and ascend, each above the one before")
    styles = styles_of(asr)
    with book_look():
        figure, (axes,) = new_axes()
        for name, runs in asr.items():
            values = np.asarray(runs, dtype=np.float64)
            if values.ndim != 2 or len(values) != len(places):
                raise ValueError(
                    f"asr of {name!r} must have shape ({len(places)}, runs), got {values.shape}; "
                    "a single run is asr[:, None]"
                )
            values = _shares(values.ravel(), f"asr of {name!r}").reshape(values.shape)
            style = styles[name]
            axes.fill_between(
                places, values.min(axis=1), values.max(axis=1), color=style.color, alpha=0.2, lw=0
            )
            axes.plot(
                places,
                values.mean(axis=1),
                color=style.color,
                linestyle=style.line,
                linewidth=2,
                marker=style.marker,
                markersize=6,
                label=name,
                clip_on=False,
            )
        axes.set(xscale="log", xlabel="poison rate: share of the training normals")
        axes.xaxis.set_major_locator(FixedLocator(places.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
        _asr_axis(axes)
        figure.legend(loc="outside right center", handlelength=3)
    return figure
