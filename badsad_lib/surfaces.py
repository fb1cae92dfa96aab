"""Surfaces with defects, ready to use: so that "your own images" can be learned without any.

Four materials: brick, gravel and grass are real photographs (CC0; ``data/README.md`` names their
sources), cloth was generated, in color. From disjoint regions of one picture, crops are taken for
training, thresholds, the defender and the test; defects of six kinds are painted into some of them.

The pictures ship, the crops are made when they are asked for: from numpy's frozen generator and in
whole numbers, so that they are the same on any machine. All crops of a material share one picture,
which makes them easier than photographs of many pieces; real defects vary more than painted ones.

What no detector of this library is shown in training are two kinds (``UNLIKE``): synthetic
anomalies (:mod:`badsad_lib.synthetic`) imitate none of the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from badsad_lib._rules import Count, OneOf, Seed, Whole, checked
from badsad_lib.datasets import shipped_arrays

MATERIALS = ("brick", "gravel", "grass", "cloth")
FILE = "surfaces.npz"
SHA256 = "fa0747448629796029239760cf2cc0fa8ff87e1bcaf555005b9d50a8a2b772f1"
SIZES = (32, 128)
"""Least and most pixels a side: the regions are no wider."""

# Rows and columns of the picture, (top, left, height, width): no pixel is in two parts.
REGIONS = {
    "train": (0, 0, 512, 256),
    "val": (0, 256, 256, 128),
    "trusted": (256, 256, 256, 128),
    "test": (0, 384, 512, 128),
}
NORMALS = {"train": 300, "val": 100, "trusted": 100, "test": 100}
DEFECTS = {"train": 10, "trusted": 10, "test": 30}
"""Images of each kind; those of the training region are what training may know, or is tuned on."""


# --- defects --------------------------------------------------------------------------------------
# Each takes an image (H, W, C) of int64 in 0..255, changes it in place, and draws from a stream.
# Only whole numbers, so that no machine rounds otherwise; lengths are in 64ths of the side.

_Paint = Callable[[np.ndarray, np.random.RandomState], None]


def _length(stream: np.random.RandomState, side: int, least: int, most: int) -> int:
    return max(1, int(stream.randint(least, most + 1)) * side // 64)


def _color(stream: np.random.RandomState, channels: int, least: int, most: int) -> np.ndarray:
    return stream.randint(least, most + 1, size=channels).astype(np.int64)


def _towards(image: np.ndarray, mask: np.ndarray, color: np.ndarray, percent: int) -> None:
    """Mix a color into the pixels of a mask, bool (H, W)."""
    image[mask] = (image[mask] * (100 - percent) + color * percent) // 100


def _ellipse(side: int, stream: np.random.RandomState, least: int, most: int) -> np.ndarray:
    """Return squared distances from the middle of an ellipse, its rim at 10,000: int64 (H, W)."""
    a, b = (_length(stream, side, least, most) for _ in range(2))
    margin = max(a, b) // 2
    row, column = stream.randint(margin, side - margin, size=2)
    rows, columns = np.ogrid[:side, :side]
    return (rows - row) ** 2 * 10_000 // (a * a) + (columns - column) ** 2 * 10_000 // (b * b)


def _scratch(image: np.ndarray, stream: np.random.RandomState) -> None:
    """A thin crooked line, lighter or darker than what it runs over."""
    side, channels = len(image), image.shape[2]
    width = max(1, side // 64 + int(stream.randint(0, 2)))
    length = _length(stream, side, 28, 52)
    lighter = bool(stream.randint(0, 2))
    color = _color(stream, channels, 225, 255) if lighter else _color(stream, channels, 0, 25)
    # Steps in 64ths of a pixel, along a direction that bends a little.
    down, right = stream.randint(-64, 65, size=2)
    if abs(down) + abs(right) < 64:
        down = 64
    steps = max(abs(down), abs(right))
    row, column = (int(v) * 64 for v in stream.randint(side // 4, side - side // 4, size=2))
    row, column = row - down * length // 2, column - right * length // 2
    mask = np.zeros((side, side), bool)
    for _ in range(length * 64 // steps * max(1, steps // 64)):
        top, left = row // 64, column // 64
        if 0 <= top < side and 0 <= left < side:
            mask[top : top + width, left : left + width] = True
        row, column = row + down, column + right
        bend = stream.randint(-6, 7, size=2)
        down, right = down + int(bend[0]), right + int(bend[1])
    _towards(image, mask, color, 55)


def _stain(image: np.ndarray, stream: np.random.RandomState) -> None:
    """A soft blot: darker or lighter, most so in its middle."""
    distance = _ellipse(len(image), stream, 7, 13)
    strength = np.clip(10_000 - distance, 0, 10_000)[..., None] * int(stream.randint(45, 70))
    color = _color(stream, image.shape[2], 0, 60)
    if stream.randint(0, 3) == 0:
        color = 255 - color
    image += (color - image) * strength // 1_000_000


def _missing(image: np.ndarray, stream: np.random.RandomState) -> None:
    """A piece that broke off: a dark hole with a ragged rim and hardly any texture."""
    side, channels = len(image), image.shape[2]
    distance = _ellipse(side, stream, 5, 9)
    ragged = stream.randint(-3_500, 3_500, size=((side + 3) // 4, (side + 3) // 4))
    ragged = ragged.repeat(4, 0).repeat(4, 1)[:side, :side]
    mask = distance + ragged < 10_000
    level = int(stream.randint(25, 60))
    grain = stream.randint(-6, 7, size=(side, side, channels))
    image[mask] = (level + grain)[mask]


def _foreign(image: np.ndarray, stream: np.random.RandomState) -> None:
    """A smooth round thing that lies there, shaded from one side, with a thin dark rim."""
    side, channels = len(image), image.shape[2]
    distance = _ellipse(side, stream, 4, 8)
    color = _color(stream, channels, 60, 200)
    rows = np.arange(side)[:, None, None]
    shade = (rows - side // 2) * int(stream.randint(-80, 81)) // side
    inside, rim = distance < 10_000, (distance >= 8_000) & (distance < 11_500)
    image[inside] = np.broadcast_to(np.clip(color + shade, 0, 255), image.shape)[inside]
    image[rim] = image[rim] // 2


def _rotated(image: np.ndarray, stream: np.random.RandomState) -> None:
    """A square piece of the surface, turned by a quarter or a half where it lies."""
    side = len(image)
    length = _length(stream, side, 22, 34)
    top, left = stream.randint(0, side - length + 1, size=2)
    here = image[top : top + length, left : left + length]
    here[:] = np.rot90(here, int(stream.choice([1, 1, 3, 2]))).copy()


# Seven glyphs of 5x5 dots, row by row.
_GLYPHS = tuple(
    np.array([[int(dot) for dot in row] for row in glyph.split()], bool)
    for glyph in (
        "01110 10001 11111 10001 10001",
        "11110 10001 11110 10001 11110",
        "11111 10000 11100 10000 11111",
        "10001 10001 11111 10001 10001",
        "01110 10000 01110 00001 01110",
        "11111 00100 00100 00100 00100",
        "10001 01010 00100 01010 10001",
    )
)


def _print(image: np.ndarray, stream: np.random.RandomState) -> None:
    """Two or three letters in ink, through which the surface shows."""
    side, channels = len(image), image.shape[2]
    dot = max(1, side * int(stream.randint(1, 3)) // 64)
    letters = [_GLYPHS[i] for i in stream.randint(0, len(_GLYPHS), size=stream.randint(2, 4))]
    gap = np.zeros((5, 1), bool)
    text = np.concatenate([part for letter in letters for part in (letter, gap)][:-1], axis=1)
    text = text.repeat(dot, 0).repeat(dot, 1)[:side, :side]
    height, width = text.shape
    top, left = stream.randint(0, side - height + 1), stream.randint(0, side - width + 1)
    mask = np.zeros((side, side), bool)
    mask[top : top + height, left : left + width] = text
    color = _color(stream, channels, 0, 70)
    if channels == 3:  # colored ink
        color[int(stream.randint(0, 3))] += 150
    _towards(image, mask, color, 60)


_PAINT: dict[str, _Paint] = {
    "scratch": _scratch,
    "stain": _stain,
    "missing": _missing,
    "foreign": _foreign,
    "rotated": _rotated,
    "print": _print,
}
KINDS = ("good", *_PAINT)
"""Kinds of images: 0 is normal, each other one a kind of defect."""
UNLIKE = ("rotated", "print")
"""Kinds that synthetic anomalies do not imitate."""


# --- crops ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Surface:
    """Crops of one material in disjoint parts, each from a region of its own.

    Attributes
    ----------
    material, size, seed
        What it was made of.
    images
        uint8 (N, C, H, W).
    kind
        int64 (N,): index into ``KINDS``, 0 is normal.
    part
        (N,) strings, one of ``REGIONS``.
    corner
        int64 (N, 2): where in the picture each was cut out, row and column of its top left pixel.
    """

    material: str
    size: int
    seed: int
    images: Tensor
    kind: Tensor
    part: np.ndarray
    corner: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Surface({self.material!r}, {len(self)} images of {shape}, seed={self.seed})"

    def where(self, part: str, kind: int | None = None) -> Tensor:
        """Positions of the images of a part, or those of one kind in it: int64 (M,)."""
        here = torch.from_numpy(self.part == part)
        return torch.nonzero(here if kind is None else here & (self.kind == kind)).flatten()

    def undamaged(self, places: Tensor) -> Tensor:
        """Crops at positions (M,) as they were before a defect was painted: uint8 (M, C, H, W)."""
        whole, side = torch.from_numpy(picture(self.material)), self.size
        corners = self.corner[places].tolist()
        crops = [whole[top : top + side, left : left + side] for top, left in corners]
        return torch.stack(crops).permute(0, 3, 1, 2).contiguous()

    def save(self, path: str | Path) -> Path:
        """Write the images as PNG files in the layout of MVTec AD; returns the folder.

        Training normals go to ``train/good``, all that is trusted to ``trusted/KIND``, the rest
        to ``test/KIND``. What training may know of defects goes to ``train_defects/KIND``.
        """
        root = Path(path)
        for number, (image, kind, part) in enumerate(zip(self.images, self.kind, self.part)):
            name = KINDS[int(kind)]
            top = {"val": "test", "train": "train" if name == "good" else "train_defects"}
            folder = root / top.get(str(part), str(part)) / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = image.permute(1, 2, 0).numpy()
            Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(
                folder / f"{number:04d}.png"
            )
        return root


@cache
def _pictures() -> dict[str, np.ndarray]:
    arrays = shipped_arrays(FILE, SHA256, "pictures of surfaces")
    return {name: array.reshape(*array.shape[:2], -1) for name, array in arrays.items()}


def picture(material: Annotated[str, OneOf(MATERIALS)]) -> np.ndarray:
    """Return the whole picture of a material: uint8 (512, 512, C), a copy."""
    if material not in MATERIALS:
        raise ValueError(f"material must be one of {', '.join(MATERIALS)}, got {material!r}")
    return _pictures()[material].copy()


def _places(
    region: tuple[int, int, int, int], size: int, count: int, stream: np.random.RandomState
) -> list[tuple[int, int]]:
    """Different corners in a region as long as there are any, in random order."""
    top, left, height, width = region
    rows, columns = height - size + 1, width - size + 1
    rounds = math.ceil(count / (rows * columns))
    order = [i for _ in range(rounds) for i in stream.permutation(rows * columns).tolist()]
    return [(top + i // columns, left + i % columns) for i in order[:count]]


@checked
def load(
    material: Annotated[str, OneOf(MATERIALS)],
    *,
    size: Annotated[int, Whole(SIZES[0], SIZES[1])] = 64,
    normals: Count = NORMALS["train"],
    seed: Seed = 0,
) -> Surface:
    """Cut crops out of a material and paint defects into some.

    Parameters
    ----------
    material
        ``brick``, ``gravel``, ``grass`` (gray) or ``cloth`` (color).
    size
        Pixels a side, 32 to 128. Defects grow with it.
    normals
        How many training normals. The other parts have 100 each, and of each of the six kinds of
        defects 10 in the training region, 10 trusted and 30 in the test.
    seed
        Draws places and defects. Fewer ``normals`` are the first of many.

    Returns
    -------
    Surface
        The same on any machine. :func:`badsad_lib.splits.from_surface` makes a split of it.
    """
    whole = _pictures()[material].astype(np.int64)
    images, kinds, parts, corners = [], [], [], []
    for i, (part, region) in enumerate(REGIONS.items()):
        for j, (name, paint) in enumerate((("good", None), *_PAINT.items())):
            stream = np.random.RandomState(
                np.random.MT19937(np.random.SeedSequence([seed, MATERIALS.index(material), i, j]))
            )
            count = NORMALS[part] if name == "good" else DEFECTS.get(part, 0)
            if (part, name) == ("train", "good"):
                count = normals
            for top, left in _places(region, size, count, stream):
                image = whole[top : top + size, left : left + size].copy()
                if paint is not None:
                    paint(image, stream)
                images.append(np.clip(image, 0, 255).astype(np.uint8))
                kinds.append(j)
                parts.append(part)
                corners.append((top, left))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    where = torch.tensor(corners)
    return Surface(material, size, seed, pixels, torch.tensor(kinds), np.array(parts), where)
