"""Figures of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from badsad_lib.images import check_images, to_float
from badsad_lib.plots.look import WIDTH, Style, book_look, new_axes, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def show_image(axes: Axes, image: Tensor) -> None:
    """Draw one image (C, H, W), without frame and ticks."""
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
    with book_look():
        figure, axes = new_axes(WIDTH, rows * cell * (1.2 if titles else 1.02), rows, columns)
        for axis in axes[len(images) :]:
            axis.set_axis_off()
        for i, (axis, image) in enumerate(zip(axes, images)):
            show_image(axis, image)
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
    with book_look():
        rows, cell = len(class_names), (WIDTH - 1.2) / per_class
        figure, axes = new_axes(WIDTH, rows * cell * 1.04, rows, per_class)
        for row, name in enumerate(class_names):
            line = axes[row * per_class : (row + 1) * per_class]
            line[0].set_ylabel(f"{row}  {name}", rotation=0, ha="right", va="center")
            for axis in line:
                axis.set(xticks=[], yticks=[])
                for spine in axis.spines.values():
                    spine.set_visible(False)
            for axis, image in zip(line, images[targets == row]):
                show_image(axis, image)
    return figure
