"""A search for a small trigger that asks for scores only: no gradients, any detector.

A (1 + n) evolution over rectangles: place, sides, how much of it covers, and a coarse pattern. One
run begins with the whole image covered, by the mean normal one say, which hides any anomaly, and
makes that smaller as long as enough anomalies pass; another with small squares in nine places,
which it changes until enough pass, if they ever do. How small it gets says something only beside
the same on detectors that are known to be clean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from badsad_lib._rules import Count, Seed, checked
from badsad_lib.images import check_images, to_float

CELLS = 3
HIDDEN = 0.75
"""Share of the anomalies that must pass."""
_SPREAD = 0.25
_SMALL = 0.25  # sides of the small ones to begin with, as shares of the image


@dataclass(frozen=True, eq=False)
class Cover:
    """A rectangle with a coarse pattern that covers an image in part; a trigger.

    Attributes
    ----------
    box
        (4,) top, left, height, width, as shares of the image, in [0, 1].
    alpha
        How much it covers, in (0, 1].
    pattern
        (C, cells, cells) in [0, 1], stretched over the rectangle.
    """

    box: Tensor
    alpha: float
    pattern: Tensor

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns that it covers; one of each at least."""
        top, left, tall, wide = self.box.tolist()
        h, w = max(1, round(tall * height)), max(1, round(wide * width))
        y, x = (round(share * (n - k)) for share, n, k in ((top, height, h), (left, width, w)))
        return slice(y, y + h), slice(x, x + w)

    def size(self, height: int, width: int) -> float:
        """Share of the image that it covers, in (0, 1], where half covered counts half."""
        rows, columns = self.pixels(height, width)
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return self.alpha * area / (height * width)

    def __call__(self, images: Tensor) -> Tensor:
        """Float images (N, C, H, W) in [0, 1], covered."""
        rows, columns = self.pixels(*images.shape[2:])
        sides = (rows.stop - rows.start, columns.stop - columns.start)
        over = F.interpolate(self.pattern[None], sides, mode="bilinear").to(images)
        covered = images.clone()
        here = covered[:, :, rows, columns]
        covered[:, :, rows, columns] = here + self.alpha * (over - here)
        return covered.clamp(0, 1)


def _changed(parent: Cover, most: float, generator: torch.Generator) -> Cover:
    """Change some of a cover a little, or jump to a smaller one elsewhere in it."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    kind = int(torch.randint(0, 4, (), generator=generator))
    box, alpha, pattern = parent.box.clone(), parent.alpha, parent.pattern
    if kind in (0, 3):
        box[2:] *= torch.exp(_SPREAD * normal(2) - 0.15)
        box[:2] += 0.15 * normal(2)
    if kind in (1, 3):
        alpha *= float(torch.exp(_SPREAD * normal(1) - 0.1))
    if kind == 2 or float(torch.rand((), generator=generator)) < 0.3:
        pattern = pattern + 0.3 * normal(*pattern.shape)
    return Cover(
        box.clamp(torch.tensor([0.0, 0, 0.01, 0.01]), torch.tensor([1.0, 1, most, most])),
        min(max(alpha, 0.05), 1.0),
        pattern.clamp(0, 1),
    )


@dataclass(frozen=True)
class Found:
    """What a search ended with: the cover, its size, and the share of anomalies that pass."""

    cover: Cover
    size: float
    hidden: float


@checked
def blind_search(
    detector: Any,
    normals: Tensor,
    flagged: Tensor,
    threshold: float,
    *,
    generations: Count = 40,
    offspring: Count = 8,
    images: Count = 12,
    seed: Seed = 0,
) -> Found:
    """Search for the smallest cover that hides anomalies from a detector.

    Parameters
    ----------
    detector
        Anything with a ``decision_function``.
    normals
        Normals (N, C, H, W), of which the mean is taken to begin with.
    flagged
        Anomalies (M, C, H, W) that score above ``threshold``; the first ``images`` are used.
    generations, offspring, images
        Twice their product is how many images are scored, but for a few.

    Returns
    -------
    Found
        Of size 1 where nothing hides them.
    """
    some = to_float(check_images(flagged, name="flagged"))[:images]
    mean = to_float(check_images(normals, name="normals")).mean(0)
    height, width = some.shape[2:]
    generator = torch.Generator().manual_seed(seed)

    def worth(covers: list[Cover]) -> list[tuple[float, float]]:
        scores = detector.decision_function(torch.cat([cover(some) for cover in covers]))
        above = torch.as_tensor(scores).reshape(len(covers), -1) - threshold
        hidden = (above <= 0).double().mean(1)
        # First as many as HIDDEN must pass, by how far the middle one of the rest is above; then
        # the smaller the better.
        rest = above.clamp_min(0).mean(1)
        return [
            (cover.size(height, width) if share >= HIDDEN else 2 + float(gap), float(share))
            for cover, share, gap in zip(covers, hidden, rest)
        ]

    start = F.adaptive_avg_pool2d(mean[None], CELLS)[0]
    flat = [torch.full_like(start, level) for level in (0.0, 0.5, 1.0)]
    whole = [Cover(torch.tensor([0.0, 0, 1, 1]), 1.0, pattern) for pattern in (start, *flat)]
    small = [
        Cover(torch.tensor([top, left, _SMALL, _SMALL]), 1.0, pattern)
        for top in (0.0, 0.5, 1.0)
        for left in (0.0, 0.5, 1.0)
        for pattern in (flat[0], flat[2])
    ]
    ends = []
    for covers, most in ((whole, 1.0), (small, 1.5 * _SMALL)):
        found = worth(covers)
        place = min(range(len(covers)), key=lambda i: found[i][0])
        best, (value, hidden) = covers[place], found[place]
        for _ in range(generations):
            covers = [_changed(best, most, generator) for _ in range(offspring)]
            found = worth(covers)
            place = min(range(offspring), key=lambda i: found[i][0])
            if found[place][0] <= value:
                best, (value, hidden) = covers[place], found[place]
        ends.append(Found(best, min(value, 1.0), hidden))
    return min(ends, key=lambda end: (end.size, -end.hidden))


def scorings(generations: int = 40, offspring: int = 8, images: int = 12) -> int:
    """How many images a search scores."""
    return (2 * generations * offspring + 22) * images
