"""What readers of lesson 12 get wrong, and what they should then be told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

LESSON = "12_at_scale"


def in_a_loop(first: np.ndarray, second: np.ndarray) -> float:
    mean, wrong = (first - second).mean(), 0
    for a, b in zip(first.ravel(), second.ravel()):
        if (a > b and mean < 0) or (a < b and mean > 0):
            wrong += 1
    return wrong / first.size


def by_sign(first: np.ndarray, second: np.ndarray) -> np.floating:
    d = np.sign(first - second)
    return (d == -np.sign((first - second).mean())).mean()


def missing(asked: list[dict], done: list[dict], names: tuple[str, ...]) -> list[dict]:
    there = [[row[name] for name in names] for row in done]
    left = [run for run in asked if [run[name] for name in names] not in there]
    return [run for place, run in enumerate(left) if run not in left[:place]]


def settings_alone(asked: list[dict], done: list[dict]) -> list[dict]:
    return [{name: row[name] for name in asked[0]} for row in done]


def once(runs: list[dict]) -> list[dict]:
    return [run for place, run in enumerate(runs) if run not in runs[:place]]


def by_keys(asked: list[dict], done: list[dict]) -> list[dict]:
    there = {frozenset(row.items()) for row in settings_alone(asked, done)}
    left: dict[frozenset, dict] = {}
    for run in asked:
        key = frozenset(run.items())
        if key not in there:
            left.setdefault(key, run)
    return list(left.values())


def by_pandas(asked: list[dict], done: list[dict]) -> list[dict]:
    wanted = pd.DataFrame(asked).drop_duplicates()
    if not done:
        return wanted.to_dict("records")
    names = list(wanted)
    merged = wanted.merge(pd.DataFrame(done)[names], how="left", on=names, indicator=True)
    return merged.loc[merged["_merge"] == "left_only", names].to_dict("records")


def not_in(asked: list[dict], done: list[dict]) -> list[dict]:
    return [run for run in once(asked) if run not in settings_alone(asked, done)]


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("wrong_sign", "below zero", lambda a, b: (a < b).mean(), "share of differences below zero"),
    (
        "wrong_sign",
        "all but the wrong ones",
        lambda a, b: 1 - by_sign(a, b),
        "here it should be",
    ),
    (
        "wrong_sign",
        "zero counts",
        lambda a, b: (np.sign(a - b) != np.sign((a - b).mean())).mean(),
        "without any difference",
    ),
    ("wrong_sign", "a count", lambda a, b: by_sign(a, b) * a.size, "a number of runs"),
    ("wrong_sign", "percent", lambda a, b: 100 * by_sign(a, b), "in percent"),
    (
        "wrong_sign",
        "seed by seed",
        lambda a, b: by_sign(a.mean(1), b.mean(1)),
        "means over classes",
    ),
    (
        "wrong_sign",
        "class by class",
        lambda a, b: by_sign(a.mean(0), b.mean(0)),
        "means over seeds",
    ),
    (
        "wrong_sign",
        "all against all",
        lambda a, b: by_sign(a.ravel()[:, None], b.ravel()[None]),
        "Compare pairs",
    ),
    (
        "wrong_sign",
        "sorted",
        lambda a, b: by_sign(np.sort(a, None), np.sort(b, None)),
        "tears the pairs apart",
    ),
    ("wrong_sign", "above zero", lambda a, b: (a > b).mean(), "swapping the two sides"),
    ("wrong_sign", "of 24 runs", lambda a, b: by_sign(a, b) * a.size / 24, "with fewer seeds"),
    ("wrong_sign", "run by run", lambda a, b: (a - b) > 0, "must be one number"),
    ("todo", "the rest", lambda asked, done: asked[len(done) :], "need not hold the first runs"),
    (
        "todo",
        "whole rows compared",
        lambda asked, done: [run for run in asked if run not in done],
        "compare the settings alone",
    ),
    (
        "todo",
        "twice",
        lambda asked, done: [run for run in asked if run not in settings_alone(asked, done)],
        "asked for twice is run once",
    ),
    (
        "todo",
        "what is there",
        lambda asked, done: [run for run in asked if run in settings_alone(asked, done)],
        "the runs that are there",
    ),
    ("todo", "seeds alone", lambda a, d: missing(a, d, ("seed",)), "seeds alone"),
    ("todo", "classes alone", lambda a, d: missing(a, d, ("normal_class",)), "classes alone"),
    (
        "todo",
        "values without names",
        lambda asked, done: [
            run
            for run in once(asked)
            if sorted(run.values())
            not in [sorted(row.values()) for row in settings_alone(asked, done)]
        ],
        "compare names and values",
    ),
    ("todo", "backwards", lambda asked, done: by_keys(asked, done)[::-1], "the order is reversed"),
    (
        "todo",
        "sorted",
        lambda asked, done: sorted(by_keys(asked, done), key=lambda run: run["seed"]),
        "another order",
    ),
    ("todo", "how many", lambda asked, done: len(by_keys(asked, done)), "expected a list"),
    ("todo", "values alone", lambda a, d: [tuple(x.values()) for x in by_keys(a, d)], "a dict"),
    ("todo", "the first", lambda asked, done: by_keys(asked, done)[:1], "the first of them"),
    (
        "todo",
        "names fixed",
        lambda asked, done: missing(asked, done, ("normal_class", "seed")),
        "raised KeyError",
    ),
    (
        "todo",
        "takes out of the list",
        lambda asked, done: [asked.pop(0) for _ in asked[:]],
        "changes what it is given",
    ),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("wrong_sign", in_a_loop),
    ("wrong_sign", by_sign),
    ("wrong_sign", lambda a, b: float(((a - b) * (a - b).mean() < 0).mean())),
    (
        "wrong_sign",
        lambda a, b: ((a > b) if a.mean() < b.mean() else (a < b)).mean(),
    ),
    ("wrong_sign", lambda a, b: torch.tensor((a - b) * (a.mean() - b.mean()) < 0).double().mean()),
    (
        "wrong_sign",
        lambda a, b: np.count_nonzero((a - b).ravel() * (a - b).sum() < 0) / a.size,
    ),
    ("todo", by_keys),
    ("todo", by_pandas),
    ("todo", not_in),
    (
        "todo",
        lambda asked, done: [
            run for run in once(asked) if not any(run.items() <= row.items() for row in done)
        ],
    ),
    (
        "todo",
        lambda asked, done: [
            run
            for place, run in enumerate(asked)
            if run not in asked[:place] and all({**row, **run} != row for row in done)
        ],
    ),
    (
        "todo",
        lambda asked, done: tuple(
            itertools.filterfalse(settings_alone(asked, done).__contains__, once(asked))
        ),
    ),
]
