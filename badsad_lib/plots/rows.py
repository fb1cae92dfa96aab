"""Figures of few values: one row a group, one mark a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from badsad_lib.plots.look import (
    INK,
    book_look,
    check_some,
    check_values,
    log_axis,
    new_axes,
    rgb,
    styles_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def value_rows(
    rows: Mapping[str, Mapping[str, ArrayLike]],
    *,
    x_label: str,
    log: bool = False,
    x_limits: tuple[float, float] | None = None,
) -> Figure:
    """Every value as a mark, in the row of its group; a short line stands at each mean.

    For numbers too few for a histogram, such as one a detector.

    Parameters
    ----------
    rows
        Name of a row, the first at the top, to the series in it: name to values (K,). A series
        looks the same in every row, such as "before" and "after" in a row a defense.
    log
        Logarithmic axis; values must be above 0 then.

    Raises
    ------
    ValueError
        Nothing to draw, NaN, or values that a logarithmic axis cannot show.
    """
    check_some(rows, "rows")
    for row, series in rows.items():
        check_some(series, f"row {row!r}")
    names = list(dict.fromkeys(name for series in rows.values() for name in series))
    styles = styles_of(names)
    with book_look():
        height = 0.9 + (0.2 + 0.16 * max(map(len, rows.values()))) * len(rows)
        figure, (axes,) = new_axes(height=height)
        for place, (row, series) in enumerate(rows.items()):
            # Series of one row lie a little below one another, centered on it.
            shifts = (np.arange(len(series)) - (len(series) - 1) / 2) * 0.6 / len(series)
            for shift, (name, some) in zip(shifts, series.items()):
                values, style = check_values(some, f"{name!r} in row {row!r}"), styles[name]
                if log and values.min() <= 0:
                    raise ValueError(
                        f"a logarithmic axis needs values above 0, got {values.min():g} in row "
                        f"{row!r}; leave log out"
                    )
                axes.scatter(
                    values,
                    np.full(len(values), place + shift),
                    s=34,
                    marker=style.marker,
                    facecolor=(*rgb(style.color), 0.5),
                    edgecolor=style.color,
                    label=name,
                    clip_on=False,
                    zorder=3,
                )
                mean = np.exp(np.log(values).mean()) if log else values.mean()
                half = 0.5 * 0.6 / len(series)
                axes.plot([mean, mean], [place + shift - half, place + shift + half], color=INK)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(xlabel=x_label, ylim=(len(rows) - 0.5, -0.5))
        if x_limits is not None:
            axes.set_xlim(*x_limits)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        if log:
            log_axis(axes, "x")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels())))
        if len(handles) > 1:
            figure.legend(
                handles.values(), handles, loc="outside upper right", ncols=min(4, len(handles))
            )
    return figure
