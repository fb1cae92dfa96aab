"""The look of the book: styles of groups, empty figures and axes, and checks at the door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

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
    Style("#009e73", "v", "-.", "...."),
    Style("#cc79a7", "D", ":", "xxxx"),
    Style("#e69f00", "s", (0, (5, 1, 1, 1, 1, 1)), "++++"),
    Style("#56b4e9", "P", (0, (1, 3)), "oo"),
)
# What means the same on every page looks the same on every page.
_BY_NAME = {
    "normal": _CYCLE[0],
    "anomaly": _CYCLE[1],
    "labeled anomaly": Style(INK, "P", (0, (1, 3)), "oo"),
    # Far from the blue of normal images, among which it is to be found at a glance.
    "poisoned normal": _CYCLE[3],
    "triggered anomaly": _CYCLE[4],
    "center": Style("#ffffff", "*", "-", ""),
}


def style_of(name: str) -> Style:
    """Style of a group that is drawn alone: fixed for the names that recur."""
    return styles_of([name])[name]


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """Styles of groups that are drawn together, by name.

    Names that recur in the book have a fixed style. The others get, in their order, the next
    of six whose marker is still free.
    """
    names = list(names)
    taken = {_BY_NAME[name].marker for name in names if name in _BY_NAME}
    free = cycle([style for style in _CYCLE if style.marker not in taken] or _CYCLE)
    return {name: _BY_NAME.get(name) or next(free) for name in names}


@contextmanager
def book_look() -> Iterator[None]:
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


def new_axes(
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


def rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue in [0, 1]: for a color that is drawn half transparent."""
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers on it: 0.1 and 10, not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    # Where there are too few decades to read from, number more than the decades.
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > 50 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def check_values(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    """Return ``values`` (N,) as floats, or raise a ValueError that says what is wrong."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    return array


def check_some(groups: Mapping[str, object], what: str) -> None:
    """Raise a ValueError where there is nothing to draw."""
    if not groups:
        raise ValueError(f"nothing to draw: {what} is empty")
