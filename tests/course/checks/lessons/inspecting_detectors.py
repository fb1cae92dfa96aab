"""What readers of lesson 9 get wrong, and what they should then be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import percentileofscore

from badsad_lib import defenses

LESSON = "9_inspecting_detectors"
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


def rank_in_a_sorted_list(size: float, clean: Scores) -> float:
    everybody = sorted([*clean, size])
    return max(place + 1 for place, x in enumerate(everybody) if x == size) / len(everybody)


def sorts_the_sizes(size: float, clean: Scores) -> float:
    clean.sort()
    return (1 + np.searchsorted(clean, size, side="right")) / (1 + len(clean))


Names = np.ndarray


def alarms(
    sizes: Scores,
    groups: Names,
    limit: float,
    *,
    null: Callable[[int, Scores, Names], Scores] = lambda i, s, g: s[g != g[i]],
    p: Callable[[float, Scores], float] = by_rank,
    flagged: Callable[[Scores, float], Any] = lambda p, limit: (p <= limit).mean(),
) -> Any:
    """Answer correctly, unless one of the steps is changed."""
    values = [p(size, null(i, sizes, groups)) for i, size in enumerate(sizes)]
    return flagged(np.array(values), limit)


def wrong_alarms(**step: Any) -> Callable[..., Any]:
    return lambda s, g, x: alarms(s, g, x, **step)


def alarms_group_by_group(sizes: Scores, groups: Names, limit: float) -> float:
    hits = 0
    for group in np.unique(groups):
        null = np.sort(sizes[groups != group])
        as_small = np.searchsorted(null, sizes[groups == group], side="right")
        hits += int(((1 + as_small) <= limit * (1 + len(null)) + 1e-9).sum())
    return hits / len(sizes)


def alarms_from_a_table(sizes: Scores, groups: Names, limit: float) -> np.floating[Any]:
    other = groups[None, :] != groups[:, None]
    as_small = (other & (sizes[None, :] <= sizes[:, None])).sum(axis=1)
    return np.mean((1 + as_small) / (1 + other.sum(axis=1)) <= limit)


def alarms_by_torch(sizes: Scores, groups: Names, limit: float) -> torch.Tensor:
    own = torch.from_numpy(sizes)
    other = torch.from_numpy(groups[None, :] != groups[:, None])
    p = (1 + (other & (own[None] <= own[:, None])).sum(1)) / (1 + other.sum(1)).double()
    return (p <= limit).double().mean()


def alarms_of_the_library(sizes: Scores, groups: Names, limit: float) -> float:
    p = defenses.left_out(defenses.p_value, sizes + 1e-9, list(groups))
    return float((p <= limit).mean())


def sorts_the_sizes_of_all(sizes: Scores, groups: Names, limit: float) -> float:
    sizes.sort()
    return alarms(sizes, groups, limit)


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
    ("chance_if_clean", "sorts its input", sorts_the_sizes, "changes what it is given (clean)"),
    (
        "chance_if_clean",
        "percent",
        lambda s, c: 100 * by_rank(s, c),
        "3 of 12 clean detectors",
    ),
    (
        "chance_if_clean",
        "never certain",
        lambda s, c: min(len(c) / (1 + len(c)), by_rank(s, c)),
        "above all clean ones",
    ),
    (
        "false_alarms",
        "its siblings stay",
        wrong_alarms(null=lambda i, s, g: np.delete(s, i)),
        "left out alone",
    ),
    ("false_alarms", "nobody left out", wrong_alarms(null=lambda i, s, g: s), "itself included"),
    (
        "false_alarms",
        "its own group",
        wrong_alarms(null=lambda i, s, g: s[g == g[i]]),
        "with its own group",
    ),
    (
        "false_alarms",
        "no +1",
        wrong_alarms(p=lambda size, n: (n <= size).mean()),
        "forgot the +1",
    ),
    ("false_alarms", "largest", wrong_alarms(p=lambda size, n: by_rank(-size, -n)), "*largest*"),
    (
        "false_alarms",
        "below the limit",
        wrong_alarms(flagged=lambda p, limit: (p < limit).mean()),
        "<=, not <",
    ),
    (
        "false_alarms",
        "not flagged",
        wrong_alarms(flagged=lambda p, limit: (p > limit).mean()),
        "*not* flagged",
    ),
    (
        "false_alarms",
        "a number",
        wrong_alarms(flagged=lambda p, limit: (p <= limit).sum()),
        "a number of detectors",
    ),
    ("false_alarms", "the promise", lambda s, g, x: x, "what the limit promises"),
    ("false_alarms", "p-values", wrong_alarms(flagged=lambda p, limit: p), "must be one number"),
    ("false_alarms", "a guess", lambda s, g, x: 0.77, "the share should be"),
    ("false_alarms", "sorts its input", sorts_the_sizes_of_all, "changes what it is given (sizes)"),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    (
        "chance_if_clean",
        lambda size, clean: np.mean(np.append(clean, size) <= size),
    ),
    ("chance_if_clean", rank_in_a_sorted_list),
    ("chance_if_clean", lambda s, c: (1 + np.count_nonzero(c <= s)) / (1 + c.size)),
    ("chance_if_clean", lambda s, c: (1 + sum(x <= s for x in c)) / (1 + len(c))),
    ("chance_if_clean", lambda s, c: percentileofscore([*c, s], s, kind="weak") / 100),
    ("chance_if_clean", lambda s, c: 1 - (c > s).sum() / (len(c) + 1)),
    (
        "chance_if_clean",
        lambda s, c: (torch.tensor([*c, s], dtype=torch.float64) <= s).double().mean(),
    ),
    ("false_alarms", alarms),
    ("false_alarms", alarms_group_by_group),
    ("false_alarms", alarms_from_a_table),
    ("false_alarms", alarms_by_torch),
    ("false_alarms", alarms_of_the_library),
    ("false_alarms", wrong_alarms(flagged=lambda p, limit: 1 - (p > limit).mean())),
    ("false_alarms", wrong_alarms(flagged=lambda p, limit: sum(p <= limit) / len(p))),
]
