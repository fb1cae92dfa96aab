"""Checkers for the exercises of lesson 9, inspecting detectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    near,
    number,
)
from badsad_lib.defenses import p_value

Scores = NDArray[np.float64]

# --- a size against a null ------------------------------------------------------------------------


@checker("a rank among clean detectors, the judged one counted in: never zero.")
def check_chance_if_clean(answer: Answer) -> None:
    """Check ``chance_if_clean(size, clean_sizes) -> p``: by rank, one-sided, with the +1."""
    clean = np.random.default_rng(20).permutation(np.linspace(0.08, 0.3, 12))

    def chance(size: float, sizes: Scores) -> float:
        return number(call(answer, size, sizes), "the p-value")

    between = float(np.sort(clean)[2:4].mean())
    _check_chance(chance(between, clean), between, clean)
    tiny = 0.03
    value, truth = chance(tiny, clean), p_value(tiny, clean.tolist())
    if not near(value, truth):
        raise NotYet(
            f"with a size below all {len(clean)} clean ones the p-value should be "
            f"{instead(truth, value)}. So few clean detectors cannot make anybody surer than that."
        )
    tied = float(clean[0])
    value, truth = chance(tied, clean), p_value(tied, clean.tolist())
    if not near(value, truth):
        raise NotYet(
            f"with a size equal to one of the clean ones the p-value should be "
            f"{instead(truth, value)}. A clean detector with just this size counts as well: use <=."
        )
    value, truth = chance(0.1, clean[:3]), p_value(0.1, clean[:3].tolist())
    if not near(value, truth):
        raise NotYet(
            f"with 3 clean detectors the p-value should be {instead(truth, value)}. Do not "
            "fix their number."
        )
    value = chance(0.9, clean)
    if not near(value, 1.0):
        raise NotYet(
            f"with a size above all clean ones the p-value should be {instead(1.0, value)}: every "
            "detector has a size as small as that, or smaller."
        )


def _check_chance(value: float, size: float, clean: Scores) -> None:
    count, below = len(clean), int((clean <= size).sum())
    truth = (1 + below) / (count + 1)
    one_less = (
        "you forgot the +1: the detector that you judge is one more case, above and below the "
        "line. Without it a p-value can be zero, and no number of clean detectors proves that."
    )
    two_sided = (
        "that is two-sided. A backdoor makes the smallest trigger smaller, never larger: look at "
        "one side."
    )
    slips = (
        (below / count, one_less),
        (below / (count + 1), one_less),
        ((1 + below) / count, "the +1 is missing below the line: N clean detectors and this one."),
        (
            (2 + below) / (count + 2),
            "the detector that you judge is counted among the clean ones, too. Compare it with "
            "the others, then count it once.",
        ),
        (2 * truth, two_sided),
        (2 * below / count, two_sided),
        (
            (1 + count - below) / (count + 1),
            "that is the chance of a size as *large* as this. Small is suspicious: turn the "
            "comparison around.",
        ),
        ((count - below) / count, "you count the larger sizes. Small is suspicious."),
        (1 - truth, "that is one minus the p-value. A small p-value speaks of a backdoor."),
        (
            float(
                (np.median(clean) - size) / (1.4826 * np.median(np.abs(clean - np.median(clean))))
            ),
            "that is an anomaly index. Asked is a rank, which supposes nothing about how sizes are "
            "spread.",
        ),
    )
    expect(
        value,
        truth,
        slips,
        f"{below} of {count} clean detectors have a size as small as this one's, so the p-value "
        f"should be {instead(truth, value)}. See the section 'Small, compared with what?'.",
    )


# --- false alarms of a null ---------------------------------------------------------------------

Names = NDArray[np.str_]


def _p(size: float, null: Scores) -> float:
    return (1 + float((null <= size).sum())) / (1 + len(null))


def _alarms(
    sizes: Scores,
    groups: Names,
    limit: float,
    *,
    null: Callable[[int, Scores, Names], Scores] = lambda i, s, g: s[g != g[i]],
    p: Callable[[float, Scores], float] = _p,
    strict: bool = False,
) -> float:
    values = np.array([p(size, null(i, sizes, groups)) for i, size in enumerate(sizes)])
    return float((values < limit if strict else values <= limit).mean())


# What readers return in place of the false alarms, and what to say then.
_ALARMS: tuple[tuple[Callable[[Scores, Names, float], float], str], ...] = (
    (
        lambda s, g, x: _alarms(s, g, x, null=lambda i, s, g: np.delete(s, i)),
        "each detector is left out alone, and its own group stays in the null. A buyer's detector "
        "has no such siblings there: leave out all of its group.",
    ),
    (
        lambda s, g, x: _alarms(s, g, x, null=lambda i, s, g: s),
        "each detector is compared with all, itself included. Leave out all of its group.",
    ),
    (
        lambda s, g, x: _alarms(s, g, x, null=lambda i, s, g: s[g == g[i]]),
        "each detector is compared with its own group. Its group is what is left out.",
    ),
    (
        lambda s, g, x: _alarms(s, g, x, p=lambda size, n: float((n <= size).mean())),
        "you forgot the +1, above and below the line: chance_if_clean counts the judged detector "
        "as well.",
    ),
    (
        lambda s, g, x: _alarms(s, g, x, p=lambda size, n: _p(-size, -n)),
        "you flag the *largest* sizes. Small is suspicious.",
    ),
    (
        lambda s, g, x: _alarms(s, g, x, strict=True),
        "a p-value of exactly the limit raises the alarm as well: <=, not <.",
    ),
    (
        lambda s, g, x: 1 - _alarms(s, g, x),
        "that is the share that is *not* flagged.",
    ),
    (
        lambda s, g, x: len(s) * _alarms(s, g, x),
        "that is a number of detectors. Asked is a share, from 0 to 1.",
    ),
    (lambda s, g, x: x, "that is what the limit promises. Count what happens."),
)


@checker("each clean detector is judged by clean detectors of other groups.")
def check_false_alarms(answer: Answer) -> None:
    """Check ``false_alarms(sizes, groups, limit) -> share of clean detectors flagged``."""
    rng = np.random.default_rng(23)
    cases = []

    # One group lies lower than the others; many sizes are alike, and p-values equal the limit.
    def alarms(sizes: Scores, groups: Names, limit: float) -> None:
        value = number(call(answer, sizes, groups, limit), "the share")
        cases.append((value, sizes, groups, limit))

    # One group lies lower than the others; many sizes are alike, and p-values equal the limit.
    for counts, limit in (((9, 9, 6), 0.25), ((5, 12, 8), 0.1), ((7, 7, 7), 0.2)):
        groups = np.repeat(["clothes", "digits", "augmented"], counts)
        shift = np.repeat([8, 8, 4], counts)
        order = rng.permutation(len(groups))
        sizes = (rng.integers(0, 8, len(groups)) + shift)[order] / 50
        alarms(sizes, groups[order], limit)
    # Without the +1 the second smallest would be flagged as well.
    alarms(np.arange(1.0, 10.0) / 50, np.array([*"abcabcabc"]), 0.2)
    wrong = [(v, _alarms(s, g, x), x) for v, s, g, x in cases if not near(v, _alarms(s, g, x))]
    if not wrong:
        return
    for rule, message in _ALARMS:
        if all(near(value, rule(s, g, x)) for value, s, g, x in cases):
            raise NotYet(message)
    value, truth, limit = wrong[0]
    raise NotYet(
        f"at a limit of {limit:g} the share should be {instead(truth, value)}. For each detector "
        "take the sizes of all *other groups* as the null, ask chance_if_clean, and count the "
        "p-values that are at most the limit."
    )
