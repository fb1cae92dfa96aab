"""What readers of lesson 10 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from badsad_lib import metrics

LESSON = "10_repairing_detectors"
Scores = np.ndarray


def rates(
    before: dict[str, Scores],
    after: dict[str, Scores],
    quantile: float,
    *,
    source: str = "validation normals",
    one_threshold: str = "",
    flagged_before: bool = False,
    everybody: bool = False,
    of_all: bool = False,
) -> tuple[float, ...]:
    """Answer correctly, unless one of the steps is changed."""
    own = [metrics.threshold_at(groups[source], quantile) for groups in (before, after)]
    if one_threshold:
        own = [own[one_threshold == "new"]] * 2
    found = []
    for groups, tau in zip((before, after), own):
        flagged = groups["anomalies"] > tau
        if flagged_before:
            flagged = before["anomalies"] > own[0]
        if everybody:
            flagged = np.ones_like(flagged)
        passes = groups["triggered"] <= tau
        found.append(float((passes & flagged).mean() if of_all else passes[flagged].mean()))
    return tuple(found)


def slip(**step: Any) -> Callable[..., tuple[float, ...]]:
    return lambda before, after, quantile: rates(before, after, quantile, **step)


def chosen(
    board: list[dict[str, Any]],
    holds: set[str],
    *,
    enough: Callable[[set[str], set[str]], Any] = lambda needs, holds: needs <= holds,
    worth: Callable[[list[float]], float] = min,
    informed: bool = True,
    unknown: float = 0.0,
    nothing: str = "none",
) -> str:
    """Answer correctly, unless one of the steps is changed."""

    def value(row: dict[str, Any]) -> float:
        rates = [*row["catches"].values(), *([row["informed"]] if informed else [])]
        return worth([unknown if np.isnan(rate) else rate for rate in rates])

    ours = [row for row in board if enough(row["needs"], holds)]
    return max(ours, key=value)["name"] if ours else nothing


def choice(**step: Any) -> Callable[..., str]:
    return lambda board, holds: chosen(board, holds, **step)


def first_that_runs(board: list[dict[str, Any]], holds: set[str]) -> str:
    return next((row["name"] for row in board if row["needs"] <= holds), "none")


def rates_one_by_one(before: Any, after: Any, quantile: float) -> list[float]:
    found = []
    for scores in (before, after):
        tau = np.percentile(scores["validation normals"], 100 * quantile)
        pairs = zip(scores["anomalies"], scores["triggered"])
        passes = [not with_it > tau for without, with_it in pairs if without > tau]
        found.append(sum(passes) / len(passes))
    return found


def rates_by_torch(before: Any, after: Any, quantile: float) -> torch.Tensor:
    found = []
    for scores in (before, after):
        normal, anomaly, triggered = (
            torch.from_numpy(scores[k]) for k in ("validation normals", "anomalies", "triggered")
        )
        tau = torch.quantile(normal, quantile)
        found.append((triggered[anomaly > tau] <= tau).double().mean())
    return torch.stack(found)


def rates_of_the_library(before: Any, after: Any, quantile: float) -> tuple[float, ...]:
    return tuple(
        metrics.attack_success_rate(
            s["anomalies"],
            s["triggered"],
            metrics.threshold_at(s["validation normals"], quantile),
        )
        for s in (before, after)
    )


def sorts_the_validation_scores(before: Any, after: Any, quantile: float) -> tuple[float, ...]:
    after["validation normals"].sort()
    return rates(before, after, quantile)


def on_the_threshold(before: Any, after: Any, quantile: float) -> tuple[float, ...]:
    found = []
    for scores in (before, after):
        tau = np.quantile(scores["validation normals"], quantile)
        found.append((scores["triggered"][scores["anomalies"] >= tau] < tau).mean())
    return tuple(found)


def replaces_what_is_missing(board: list[dict[str, Any]], holds: set[str]) -> str:
    for row in board:
        row["informed"] = np.nan_to_num(row["informed"])
        row["catches"] = {name: np.nan_to_num(rate) for name, rate in row["catches"].items()}
    return chosen(board, holds)


def pops_the_best(board: list[dict[str, Any]], holds: set[str]) -> str:
    board.sort(key=lambda row: row["name"])
    return chosen(board, holds)


def begins_at_zero(board: list[dict[str, Any]], holds: set[str]) -> str:
    best, best_worst = "none", 0.0
    for row in board:
        worst = np.nan_to_num([*row["catches"].values(), row["informed"]]).min()
        if row["needs"] <= holds and worst > best_worst:
            best, best_worst = row["name"], worst
    return best


def chosen_by_sorting(board: list[dict[str, Any]], holds: set[str]) -> str:
    runnable = [row for row in board if holds.issuperset(row["needs"])]
    if not runnable:
        return "none"
    worst = [
        min(0.0 if x != x else x for x in (*row["catches"].values(), row["informed"]))
        for row in runnable
    ]
    return runnable[int(np.argmax(worst))]["name"]


def chosen_from_pairs(board: list[dict[str, Any]], holds: set[str]) -> str:
    pairs = [(-1.0, "none")]
    for row in board:
        if all(need in holds for need in row["needs"]):
            rates = torch.tensor([*row["catches"].values(), row["informed"]])
            pairs.append((float(rates.nan_to_num(0.0).min()), row["name"]))
    return max(pairs)[1]


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("asr_before_after", "old threshold", slip(one_threshold="old"), "use the old threshold"),
    (
        "asr_before_after",
        "new threshold for both",
        slip(one_threshold="new"),
        "threshold of the repaired detector",
    ),
    ("asr_before_after", "threshold on test data", slip(source="test normals"), "test images"),
    (
        "asr_before_after",
        "threshold on what the repair trained on",
        slip(source="trusted normals"),
        "trained on them",
    ),
    (
        "asr_before_after",
        "flagged before the repair",
        slip(flagged_before=True),
        "flagged *before* the repair",
    ),
    ("asr_before_after", "all anomalies", slip(everybody=True), "count all anomalies"),
    ("asr_before_after", "share of all", slip(of_all=True), "divide by all"),
    ("asr_before_after", "swapped", lambda b, a, q: rates(b, a, q)[::-1], "swapped"),
    (
        "asr_before_after",
        "the usual quantile",
        lambda b, a, q: rates(b, a, 0.95),
        "at quantile 0.8 the ASR before",
    ),
    (
        "asr_before_after",
        "no repair at all",
        lambda b, a, q: (rates(b, a, q)[0], 0.0),
        "from the threshold on",
    ),
    ("asr_before_after", "one number", lambda b, a, q: rates(b, a, q)[1], "expected two numbers"),
    ("choose_defense", "needs not asked", choice(enough=lambda n, h: True), "training data"),
    (
        "choose_defense",
        "some of the needs",
        choice(enough=lambda needs, holds: needs & holds),
        "*All* that a defense needs",
    ),
    ("choose_defense", "mean of triggers", choice(worth=np.mean), "best on average"),
    ("choose_defense", "best of triggers", choice(worth=max), "best on average"),
    ("choose_defense", "nobody informed", choice(informed=False), "walks past it"),
    (
        "choose_defense",
        "what was not measured is fine",
        choice(unknown=1.0),
        "never measured",
    ),
    ("choose_defense", "first that runs", first_that_runs, "never measured"),
    (
        "choose_defense",
        "something for everybody",
        lambda board, holds: chosen(board, holds, nothing="search"),
        "holds the scores alone",
    ),
    ("choose_defense", "a row", lambda board, holds: board[0], "expected a name"),
    (
        "asr_before_after",
        "sorts its input",
        sorts_the_validation_scores,
        "changes what it is given (after)",
    ),
    ("asr_before_after", "on the threshold", on_the_threshold, "exactly on the threshold"),
    ("choose_defense", "begins at zero", begins_at_zero, "begin below 0"),
    (
        "choose_defense",
        "what is missing replaced in place",
        replaces_what_is_missing,
        "changes what it is given (board)",
    ),
    ("choose_defense", "board sorted", pops_the_best, "changes what it is given (board)"),
    ("choose_defense", "NaN left out", choice(worth=np.nanmin, unknown=np.nan), "never measured"),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    ("asr_before_after", lambda b, a, q: list(rates(b, a, q))),
    (
        "choose_defense",
        lambda board, holds: max(
            [{"name": "none", "worst": -1.0}]
            + [
                {
                    "name": row["name"],
                    "worst": np.nan_to_num([*row["catches"].values(), row["informed"]]).min(),
                }
                for row in board
                if not row["needs"] - holds
            ],
            key=lambda row: row["worst"],
        )["name"],
    ),
    ("asr_before_after", rates_one_by_one),
    ("asr_before_after", rates_by_torch),
    ("asr_before_after", rates_of_the_library),
    ("asr_before_after", lambda b, a, q: np.array(rates(b, a, q))),
    ("asr_before_after", lambda b, a, q: (np.float64(rates(b, a, q)[0]), rates(b, b | a, q)[1])),
    ("choose_defense", chosen),
    ("choose_defense", chosen_by_sorting),
    ("choose_defense", chosen_from_pairs),
    ("choose_defense", choice(enough=lambda needs, holds: not needs - holds)),
    ("choose_defense", choice(enough=lambda needs, holds: needs & holds == needs)),
]
