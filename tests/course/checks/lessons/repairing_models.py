"""What readers of lesson 8 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from badsad_lib import metrics

LESSON = "8_repairing_models"
Scores = np.ndarray


def by_rank(
    size: float, clean: Scores, *, above: int = 1, below: int = 1, strict: bool = False
) -> float:
    """Answer correctly, unless one of the steps is changed."""
    low = clean < size if strict else clean <= size
    return float((above + low.sum()) / (below + len(clean)))


def index(size: float, clean: Scores) -> float:
    middle = np.median(clean)
    return float((middle - size) / (1.4826 * np.median(np.abs(clean - middle))))


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


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("chance_if_clean", "no +1", lambda s, c: by_rank(s, c, above=0, below=0), "forgot the +1"),
    ("chance_if_clean", "+1 below alone", lambda s, c: by_rank(s, c, above=0), "forgot the +1"),
    (
        "chance_if_clean",
        "+1 above alone",
        lambda s, c: by_rank(s, c, below=0),
        "missing below the line",
    ),
    (
        "chance_if_clean",
        "compared with itself",
        lambda s, c: by_rank(s, np.append(c, s)),
        "counted among the clean ones, too",
    ),
    ("chance_if_clean", "two-sided", lambda s, c: 2 * by_rank(s, c), "two-sided"),
    ("chance_if_clean", "larger sizes", lambda s, c: by_rank(-s, -c), "as *large* as this"),
    ("chance_if_clean", "share of larger", lambda s, c: (c > s).mean(), "count the larger"),
    ("chance_if_clean", "one minus", lambda s, c: 1 - by_rank(s, c), "one minus the p-value"),
    ("chance_if_clean", "anomaly index", index, "anomaly index"),
    ("chance_if_clean", "ties lost", lambda s, c: by_rank(s, c, strict=True), "use <="),
    (
        "chance_if_clean",
        "twelve, whatever came",
        lambda s, c: (1 + (c <= s).sum()) / 13,
        "Do not fix their number",
    ),
    (
        "chance_if_clean",
        "never below one in ten",
        lambda s, c: max(0.1, by_rank(s, c)),
        "below all 12 clean ones",
    ),
    ("chance_if_clean", "a guess", lambda s, c: 0.42, "3 of 12 clean detectors"),
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
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    (
        "chance_if_clean",
        lambda size, clean: np.mean(np.append(clean, size) <= size),
    ),
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
]
