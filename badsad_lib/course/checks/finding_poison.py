"""Checkers for the exercises of lesson 7, finding poison."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    array_of,
    call,
    checker,
    instead,
    near,
    number,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# --- what a budget catches ------------------------------------------------------------------------


def _in_order(suspicion: Array, is_poison: Mask) -> Mask:
    return is_poison[np.argsort(-suspicion)]


# What readers return in place of the share of the poison, and what to say then.
_CAUGHT: tuple[tuple[Callable[[Array, Mask, float], float], str], ...] = (
    (
        lambda s, m, b: _in_order(-s, m)[: round(b * len(s))].sum() / m.sum(),
        "you take out the *least* suspicious images. np.argsort sorts upward: turn the "
        "sign around.",
    ),
    (
        lambda s, m, b: _in_order(s, m)[: round(b * len(s))].mean() if b else 0.0,
        "that is the share of poison among the images taken out. Asked is what share of all the "
        "poison is among them: divide by the number of poisoned images.",
    ),
    (
        lambda s, m, b: _in_order(s, m)[: round(b * len(s))].sum() / len(s),
        "you divide by the number of all images. The share of the *poison*: divide by the number "
        "of poisoned images.",
    ),
    (
        lambda s, m, b: float(_in_order(s, m)[: round(b * len(s))].sum()),
        "that is a number of images. Asked is a share, from 0 to 1.",
    ),
    (
        lambda s, m, b: 1 - _in_order(s, m)[: round(b * len(s))].sum() / m.sum(),
        "that is the share of the poison that stays.",
    ),
    (
        lambda s, m, b: _in_order(s, m)[: int(b * len(s))].sum() / m.sum(),
        "int cuts off where it should round: 0.29 * 100 is 28.999999999999996 to Python. "
        "Use round.",
    ),
    (
        lambda s, m, b: _in_order(s, m)[: round(b * m.sum())].sum() / m.sum(),
        "your budget is a share of the poison. Nobody knows how much that is: it is a share of all "
        "images.",
    ),
    (
        lambda s, m, b: m[: round(b * len(s))].sum() / m.sum(),
        "you take out the first images, in the order in which they came. Put the mask into the "
        "order of suspicion first.",
    ),
    (
        lambda s, m, b: m[s > np.quantile(s, 1 - b)].sum() / m.sum(),
        "at a budget of 1 all images are taken out, the least suspicious one included: above a "
        "quantile is not enough.",
    ),
    (
        lambda s, m, b: _in_order(s, m)[: round(1.5 * m.sum())].sum() / m.sum(),
        "that takes out one and a half times as many as there are poisoned images. Take out what "
        "the budget says.",
    ),
)


@checker("the share of the poison that a budget catches, at any budget.")
def check_poison_caught(answer: Answer) -> None:
    """Check ``poison_caught(suspicion, is_poison, budget) -> share of the poison``."""
    rng = np.random.default_rng(70)
    cases = []
    for count, poison, budget in ((100, 20, 0.29), (40, 12, 0.25), (60, 6, 0.75), (50, 9, 1.0)):
        is_poison = np.zeros(count, dtype=bool)
        is_poison[rng.choice(count, poison, replace=False)] = True
        suspicion = rng.normal(size=count) + 0.8 * is_poison
        if budget == 1:
            suspicion[np.flatnonzero(is_poison)[0]] = -9.0
        else:  # the last image of the budget is poison
            last = np.argsort(-suspicion)[round(budget * count) - 1]
            first = np.flatnonzero(is_poison)[0]
            suspicion[[last, first]] = suspicion[[first, last]]
        value = number(call(answer, suspicion, is_poison, budget), "the share")
        cases.append((value, suspicion, is_poison, budget))
    suspicion, is_poison = cases[0][1:3]
    suspicion[np.flatnonzero(is_poison)[1]] = 9.0  # so that one too many would be caught
    cases[0] = (number(call(answer, *cases[0][1:]), "the share"), *cases[0][1:])
    nothing = number(call(answer, suspicion, is_poison, 0.0), "the share at budget 0")
    _check_caught(cases)
    if not near(nothing, 0.0):
        raise NotYet("at a budget of 0 nothing is taken out, so nothing is caught.")


def _check_caught(cases: list[tuple[float, Array, Mask, float]]) -> None:
    truths = [float(_in_order(s, m)[: round(b * len(s))].sum() / m.sum()) for _, s, m, b in cases]
    wrong = [(case, truth) for case, truth in zip(cases, truths) if not near(case[0], truth)]
    if not wrong:
        return
    for rule, message in _CAUGHT:
        if all(near(value, float(rule(s, m, b))) for value, s, m, b in cases):
            raise NotYet(message)
    (value, _, _, budget), truth = wrong[0]
    raise NotYet(
        f"at a budget of {budget:g} the share should be {instead(truth, value)}. Sort, the most "
        "suspicious first, take out as many as the budget says, and count the poison among them."
    )


# --- take out what is odd -------------------------------------------------------------------------


def _p_values(suspicion: Array, trusted: Array) -> Array:
    as_odd: Array = (trusted[None, :] >= suspicion[:, None]).sum(axis=1)
    return (1 + as_odd) / (len(trusted) + 1)


# What readers take out in place of what is odd, and what to say then.
_TAKEN: tuple[tuple[Callable[[Array, Array, float], Mask], str], ...] = (
    (
        lambda s, t, rate: _p_values(s, t) > rate,
        "you keep what should go. The mask is True for images to take out: those whose p-value is "
        "at most rate.",
    ),
    (
        lambda s, t, rate: _p_values(-s, -t) <= rate,
        "you take out the *least* suspicious images. Count the trusted images that are at least "
        "as suspicious, >=.",
    ),
    (
        lambda s, t, rate: _p_values(s, t) < rate,
        "a p-value of exactly rate is kept. *At most* rate goes: <=, not <.",
    ),
    (
        lambda s, t, rate: _p_values(s, t) * (len(t) + 1) / len(t) <= rate,
        "the image itself is counted above the line, but not below it: divide by M + 1.",
    ),
    (
        lambda s, t, rate: (_p_values(s, t) * (len(t) + 1) - 1) / (len(t) + 1) <= rate,
        "the image itself is counted below the line, but not above it: it is at least as "
        "suspicious as itself.",
    ),
    (
        lambda s, t, rate: (t[None, :] >= s[:, None]).mean(axis=1) <= rate,
        "the image itself is not counted. Add one above, and one below the line: otherwise the "
        "oddest image has a p-value of 0, however few trusted images there are.",
    ),
    (
        lambda s, t, rate: (1 + (t[None, :] > s[:, None]).sum(axis=1)) / (len(t) + 1) <= rate,
        "a trusted image that is *exactly* as suspicious does not count with you. At least as "
        "suspicious: >=, not >.",
    ),
    (
        lambda s, t, rate: s > np.quantile(t, 1 - rate),
        "that is a plain quantile of the trusted images. With few of them it takes out too many: "
        "count the image itself.",
    ),
    (
        lambda s, t, rate: s > np.quantile(s, 1 - rate),
        "you compare the pool with itself. Then the same share goes, whether nothing is poisoned "
        "or half of it. Compare each image with the trusted ones.",
    ),
    (
        lambda s, t, rate: (s[None, :] >= s[:, None]).mean(axis=1) <= rate,
        "you compare the pool with itself. Then the same share goes, whether nothing is poisoned "
        "or half of it. Compare each image with the trusted ones.",
    ),
    (
        lambda s, t, rate: s > t.max(),
        "you take out what is odder than all trusted images, whatever the rate. At a higher rate "
        "more may go.",
    ),
)


@checker("it takes out what is odd beside trusted images, and nobody told it how much there is.")
def check_take_out(answer: Answer) -> None:
    """Check ``take_out(suspicion, trusted, rate) -> bool mask (N,)``."""
    rng = np.random.default_rng(71)

    def mask(suspicion: Array, trusted: Array, rate: float) -> Mask:
        value = array_of(call(answer, suspicion, trusted, rate))
        if value.dtype != bool or value.ndim == 0:
            raise NotYet(
                f"expected a mask of True and False for {len(suspicion)} images, got "
                f"{value.dtype if value.ndim else 'one value for all'}. Not the p-values, and not "
                "the places: compare the p-values with rate."
            )
        if value.shape != suspicion.shape:
            raise NotYet(
                f"the mask must have shape {suspicion.shape}, one for each training image, got "
                f"{value.shape}. Over which dimension do you count?"
            )
        return value

    # Whole numbers tie. With 20, 49 and 13 rules differ that agree where a p-value can be equal
    # to the rate, with 15 and 31 those that differ only there; 1/16 and 1/8 are exact in binary.
    plan = ((20, 0.1, 30), (49, 0.05, 60), (49, 0.05, 0), (30, 0.2, 10), (13, 0.15, 10))
    cases = []
    for count, rate, poison in (*plan, (15, 0.0625, 20), (31, 0.125, 20)):
        trusted = rng.integers(0, 60, count).astype(float)
        clean = rng.integers(0, 60, 100)
        suspicion = np.r_[clean, rng.integers(50, 90, poison), np.sort(trusted)[-4:]].astype(float)
        cases.append((mask(suspicion, trusted, rate), suspicion, trusted, rate))
    _check_taken(cases)
    few = rng.normal(size=10)
    if mask(np.r_[few, 99.0], few, 0.05).any():
        raise NotYet(
            "with 10 trusted images no p-value can be below 1/11, so at a rate of 0.05 nothing may "
            "be taken out. Is the image itself counted?"
        )


def _check_taken(cases: list[tuple[Mask, Array, Array, float]]) -> None:
    truths = [_p_values(s, t) <= rate for _, s, t, rate in cases]
    wrong = [(case[0], right) for case, right in zip(cases, truths) if (case[0] != right).any()]
    if not wrong:
        return
    for rule, message in _TAKEN:
        if all((value == rule(s, t, rate)).all() for value, s, t, rate in cases):
            raise NotYet(message)
    value, truth = wrong[0]
    raise NotYet(
        f"of {len(value)} images {truth.sum()} should be taken out, and {value.sum()} are; "
        f"{(value != truth).sum()} are judged wrongly. The p-value is one plus the number of "
        "trusted images at least as suspicious, divided by one plus the number of all trusted "
        "images."
    )
