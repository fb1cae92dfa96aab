"""Checkers for the exercises of lesson 11, your own images and detectors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    instead,
    near,
    number,
    vector,
)


def _highest(scores: Tensor, k: int) -> Tensor:
    return scores.flatten(1).topk(k, dim=1).values.mean(1)


@checker("an image is as odd as its oddest tiles, and one tile alone does not decide.")
def check_image_score(answer: Answer) -> None:
    """Check ``image_score(tile_scores, k) -> (N,)``, the mean of the k highest tiles."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(6, 4, 5, generator=generator) ** 3

    def image_scores(tiles: Tensor, k: int) -> Tensor:
        return vector(call(answer, tiles, k), len(tiles), "the scores of the images")

    for k in (1, 3, 20):
        got, flat = image_scores(scores, k), scores.flatten(1).double()
        if torch.allclose(got, _highest(scores, k).double(), rtol=1e-4, atol=1e-6):
            continue
        slips = (
            (-_highest(-scores, k), "these are the k lowest tiles. A defect makes its tiles "
             "high, and the others know nothing of it."),
            (_highest(scores, 1), f"this is the highest tile alone, whatever k is; it should be "
             f"the mean of {k}."),
            (flat.sort(1, descending=True).values[:, k - 1], f"this is the tile at place {k} "
             "alone. Take the mean of all down to it."),
            (_highest(scores, k) * k, "this is the sum of the tiles. Take their mean, so that "
             "scores stay comparable when k changes."),
            (flat.mean(1), "this is the mean of all tiles: a small defect drowns in it. Take "
             "the highest alone."),
            (flat.median(1).values, "this is the median tile. Take the highest ones."),
            (scores.amax(2).topk(min(k, 4), dim=1).values.mean(1), "each row of tiles gave its "
             "highest one only. The highest may lie side by side: flatten rows and columns "
             "first."),
            (_highest(scores, 3), "k does not seem to matter."),
        )  # fmt: skip
        for wrong, message in slips:
            if torch.allclose(got, wrong.double(), rtol=1e-4, atol=1e-6):
                raise NotYet(message)
        first = instead(float(_highest(scores, k)[0]), float(got[0]), 4)
        raise NotYet(
            f"with k = {k} the first image should score {first}. Flatten the tiles of each image, "
            "take the k highest, and their mean."
        )


@checker("each trigger is held to the worst of your own detectors with the same trigger.")
def check_count_findings(answer: Answer) -> None:
    """Check ``count_findings(passing, own, margin)``: triggers that open one detector only.

    ``passing`` (T,) is the share that passes with each trigger, ``own`` (D, T) the same of one's
    own detectors; the count is of triggers at least ``margin`` above the highest of them.
    """
    # In eighths, which are exact: each slip gives another count.
    passing = np.array([4, 4, 4, 3, 8, 3, 5, 3, 4, 8, 1, 5, 3, 6, 6, 2]) / 8
    own = (
        np.array(
            [
                [4, 0, 3, 0, 0, 0, 0, 5, 5, 0, 6, 0, 0, 0, 5, 5],
                [0, 0, 1, 0, 0, 0, 5, 3, 0, 4, 5, 0, 5, 1, 0, 0],
                [0, 5, 1, 3, 0, 0, 0, 6, 0, 0, 6, 3, 0, 4, 2, 0],
            ]
        )
        / 8
    )
    margin = 0.25

    def count(a: np.ndarray, b: np.ndarray, m: float) -> float:
        return number(call(answer, a, b, m), "the count")

    def at_least(gaps: np.ndarray, m: float) -> int:
        return int((gaps >= m).sum())

    value, worst = count(passing, own, margin), own.max(0)
    truth = at_least(passing - worst, margin)
    if not near(value, truth):
        slips = (
            (int((passing - worst > margin).sum()), "a trigger that is above by exactly the "
             "margin counts, too: at least, not more than."),
            (at_least(passing - own.mean(0), margin), "you compare with the mean of your own "
             "detectors. Compare with the worst: what opens a clean one needs no backdoor."),
            (at_least(passing - own.min(0), margin), "you compare with the best of your own "
             "detectors. Compare with the worst: what opens a clean one needs no backdoor."),
            (at_least(passing - own[0], margin), "you compare with the first of your own "
             "detectors only. Each of them may be opened by something else."),
            (at_least(passing - own.max(), margin), "you compare all triggers with one number. "
             "Compare each with what the same trigger does to your own detectors: axis 0."),
            (int((passing >= margin).sum()), "your own detectors are not asked. Some triggers "
             "open clean ones as well."),
            (at_least(passing[None] - own, margin), "you count every own detector by itself. "
             "Take the highest of them first, one number a trigger."),
            (truth / len(passing), "this is a share. How many triggers are it?"),
            (len(passing) - truth, "these are the triggers that do not stand out."),
        )  # fmt: skip
        for wrong, message in slips:
            if near(value, wrong):
                raise NotYet(message)
        raise NotYet(
            f"of these {len(passing)} triggers {truth} stand out, got {value:g}. Subtract the "
            "highest rate of your own detectors, trigger by trigger, and compare with the margin."
        )
    for other in (0.125, 0.5):
        if not near(count(passing, own, other), at_least(passing - worst, other)):
            raise NotYet(f"the margin is an argument: with {other} the count comes out wrong.")
    if not near(
        count(passing[:3], own[:1, :3], margin), at_least(passing[:3] - own[0, :3], margin)
    ):
        raise NotYet("with one detector of your own and three triggers the count comes out wrong.")
