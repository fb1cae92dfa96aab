"""Checkers for the exercises of lesson 12, many runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from badsad_lib.course.checks._answers import Answer, NotYet, call, checker, instead, near, number
from badsad_lib.course.solutions import at_scale as solutions

Settings = dict[str, Any]


@checker("a run that says the opposite is no failure. It is what one run is worth.")
def check_wrong_sign(answer: Answer) -> None:
    """Check ``wrong_sign(first, second)``: share of single runs that say the opposite of the mean.

    Both are (seeds, classes) of one measure, run by run; a run without any difference says
    nothing, and so not the opposite.
    """
    rng = np.random.default_rng(4)
    # In eighths, which are exact; the mean is clearly below zero, and some differences are zero.
    second = rng.integers(2, 9, (3, 8)) / 8
    first = np.clip(second + rng.integers(-5, 4, (3, 8)) / 8, 0, 1)

    def share(a: np.ndarray, b: np.ndarray) -> float:
        return number(call(answer, a, b), "the share")

    value, d = share(first, second), first - second
    truth = solutions.wrong_sign(first, second)
    if not near(value, truth):
        right, of_all = np.sign(d.mean()), first.ravel()[:, None] - second.ravel()[None]
        slips = (
            ((d < 0).mean(), "this is the share of differences below zero. Here the mean is below "
             "zero itself, so these agree with it."),
            ((np.sign(d) == right).mean(), "these are the runs that agree with the mean."),
            ((np.sign(d) != right).mean(), "a run without any difference does not say the "
             "opposite. Count only those whose sign is the other one."),
            ((np.sign(d) == -right).sum(), "this is a number of runs. What share of all runs?"),
            (100 * truth, "this is in percent. Return a share, between 0 and 1."),
            ((np.sign(d.mean(1)) == -right).mean(), "these are means over classes, one a seed. "
             "Look at single runs, one class and one seed."),
            ((np.sign(d.mean(0)) == -right).mean(), "these are means over seeds, one a class. "
             "Look at single runs, one class and one seed."),
            ((np.sign(of_all) == -right).mean(), "every run of the one is compared with every run "
             "of the other. Compare pairs: the same seed, the same class."),
            ((np.sign(np.sort(first, None) - np.sort(second, None)) == -right).mean(), "sorting "
             "tears the pairs apart."),
        )  # fmt: skip
        for wrong, message in slips:
            if near(value, float(wrong)):
                raise NotYet(message)
        raise NotYet(
            f"here it should be {instead(truth, value)}. Take the differences run by run, "
            "their mean, and the share of them with the other sign."
        )
    if not near(share(second, first), truth):
        raise NotYet("swapping the two sides turns all signs, and the share must stay.")
    if not near(share(first[:2], second[:2]), solutions.wrong_sign(first[:2], second[:2])):
        raise NotYet("with fewer seeds it is wrong. Do not fix how many runs there are.")


def _missing(asked: list[Settings], done: list[Settings], names: tuple[str, ...]) -> list[Settings]:
    """What is left when only some settings are compared."""
    there = [tuple(row[name] for name in names) for row in done]
    left = [run for run in asked if tuple(run[name] for name in names) not in there]
    return [run for place, run in enumerate(left) if run not in left[:place]]


def _listed(value: Any) -> list[Settings]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(x, Mapping) for x in value):
        raise NotYet(
            "expected a list of the settings that are missing, a dict each, as they are asked for, "
            f"got {type(value).__name__}: {str(value)[:60]}"
        )
    return [dict(run) for run in value]


@checker("whatever killed a grid, it goes on where it stopped, and nothing is run twice.")
def check_todo(answer: Answer) -> None:
    """Check ``todo(asked, done)``: settings that a table has no row of, each once, in order.

    ``asked`` are dicts of settings, ``done`` the rows of a table: settings and results, whatever
    their order, and maybe of runs that nobody asks for any more.
    """
    pairs = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (0, 1), (2, 0), (2, 1), (2, 0), (3, 1)]
    asked = [{"normal_class": c, "seed": s} for c, s in pairs]
    done = [
        {"seed": s, "asr": 0.5, "normal_class": c, "seconds": 3.0}
        for c, s in ((0, 1), (9, 2), (1, 1), (3, 1))
    ]
    got, truth = _listed(call(answer, asked, done)), solutions.todo(asked, done)
    if got != truth:
        names = ("normal_class", "seed")
        both = [{name: row[name] for name in names} for row in done]
        values = [sorted(row.values()) for row in both]
        turned = [run for run in asked if sorted(run.values()) not in values]
        ordered = sorted(truth, key=lambda run: (run["seed"], run["normal_class"]))
        whole = [run for run in asked if run not in both]
        slips = (
            (asked[len(done):], "the table need not hold the first runs that were asked for. Look "
             "which it holds."),
            (asked, "nothing is found in the table. Its rows hold results as well: compare the "
             "settings alone."),
            (_missing(asked, [], names), "nothing is found in the table. Its rows hold results as "
             "well: compare the settings alone."),
            (whole, "a run that is asked for twice is run once."),
            ([run for run in asked if run in both], "these are the runs that are there."),
            (_missing(asked, [run for run in both if run in asked], ("normal_class", "seed"))
             + [run for run in both if run not in asked], "rows that nobody asks for need not be "
             "run again."),
            (_missing(asked, done, ("seed",)), "you compare seeds alone."),
            (_missing(asked, done, ("normal_class",)), "you compare classes alone."),
            (turned, "class 0 with seed 1 is not class 1 with seed 0: compare names and values."),
            ([run for i, run in enumerate(turned) if run not in turned[:i]], "class 0 with seed 1 "
             "is not class 1 with seed 0: compare names and values."),
            (truth[::-1], "the order is reversed."),
            (ordered, "they are in another order than they were asked for."),
            (truth[:1], "this is the first of them only."),
        )  # fmt: skip
        for wrong, message in slips:
            if got == wrong:
                raise NotYet(message)
        if sorted(map(str, got)) == sorted(map(str, truth)):
            raise NotYet("they are in another order than they were asked for.")
        raise NotYet(
            f"of these {len(asked)} settings {len(truth)} are missing, got {len(got)}: {got}. Keep "
            "the settings that no row has, each once."
        )
    others = [{"trigger": t, "rate": r} for t in ("patch", "border") for r in (0.1, 0.5)]
    rows = [{**others[2], "asr": 0.9}]
    if _listed(call(answer, others, rows)) != solutions.todo(others, rows):
        raise NotYet("with settings of other names it is wrong. Take the names from what is asked.")
    if _listed(call(answer, others, [])) != others:
        raise NotYet("an empty table lacks all runs.")
