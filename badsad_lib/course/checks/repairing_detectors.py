"""Checkers for the exercises of lesson 10, repairing detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from badsad_lib import metrics
from badsad_lib.course.checks._answers import (
    Answer,
    NotYet,
    call,
    checker,
    expect,
    instead,
    near,
    number,
    pair,
)

Scores = NDArray[np.float64]

# --- before and after -----------------------------------------------------------------------------

GROUPS = ("trusted normals", "validation normals", "test normals", "anomalies", "triggered")
Groups = dict[str, Scores]


def _scores_before_and_after() -> tuple[Groups, Groups]:
    """Scores of a victim and of a detector repaired from it, on another scale."""
    rng = np.random.default_rng(21)

    def groups(scale: float, triggered: float) -> Groups:
        means = dict(zip(GROUPS, (-0.4, 0.0, 0.3, 1.9, triggered)))
        counts = dict(zip(GROUPS, (60, 150, 150, 240, 240)))
        return {
            name: scale * np.exp(rng.normal(mean, 0.8, counts[name]))
            for name, mean in means.items()
        }

    # The repaired detector's scores are smaller throughout: the old threshold does not fit it.
    return groups(1.0, 0.8), groups(0.35, 1.8)


def _asr(
    groups: Groups,
    quantile: float,
    *,
    source: str = "validation normals",
    tau: float | None = None,
    flagged: NDArray[np.bool_] | None = None,
) -> float:
    if tau is None:
        tau = metrics.threshold_at(groups[source], quantile)
    if flagged is None:
        flagged = groups["anomalies"] > tau
    return float((groups["triggered"][flagged] <= tau).mean())


@checker("each detector has its own threshold, from images that nobody trained on.")
def check_asr_before_after(answer: Answer) -> None:
    """Check ``asr_before_after(before, after, quantile) -> (asr before, asr after)``.

    ``before`` and ``after`` are dictionaries of scores, by the names in ``GROUPS``.
    """
    before, after = _scores_before_and_after()

    def rates(before: Groups, after: Groups, quantile: float) -> tuple[float, float]:
        first, second = pair(call(answer, before, after, quantile), "asr_before, asr_after")
        return (
            number(first, "the ASR before the repair"),
            number(second, "the ASR after the repair"),
        )

    for quantile in (0.95, 0.8):
        first, second = rates(before, after, quantile)
        _check_before(first, before, after, quantile)
        _check_after(second, before, after, quantile)
    # Whole numbers, many of them exactly on the threshold.
    coarse, other = ({k: np.round(2 * v) for k, v in g.items()} for g in (before, after))
    for value, groups in zip(rates(coarse, other, 0.8), (coarse, other)):
        if not near(value, _asr(groups, 0.8)):
            raise NotYet(
                "where scores lie exactly on the threshold the ASR should be "
                f"{instead(_asr(groups, 0.8), value)}. Flagged means *above* it: what lies on it "
                "is not flagged, and passes."
            )


def _check_before(value: float, before: Groups, after: Groups, quantile: float) -> None:
    truth = _asr(before, quantile)
    new = metrics.threshold_at(after["validation normals"], quantile)
    slips = (
        *_wrong_sources(before, quantile),
        (_asr(after, quantile), "the two numbers are swapped: first before, then after."),
        (
            _asr(before, quantile, tau=new),
            "before the repair you use the threshold of the repaired detector. Each has its own.",
        ),
    )
    expect(
        value,
        truth,
        slips,
        f"at quantile {quantile:g} the ASR before the repair should be "
        f"{instead(truth, value)}. See the section 'A referee'.",
    )


def _check_after(value: float, before: Groups, after: Groups, quantile: float) -> None:
    truth = _asr(after, quantile)
    old = metrics.threshold_at(before["validation normals"], quantile)
    once = before["anomalies"] > old
    slips = (
        (
            _asr(after, quantile, tau=old),
            "after the repair you use the old threshold. A repair moves all scores, so the "
            "threshold must be computed again, from the repaired detector's own scores.",
        ),
        *_wrong_sources(after, quantile),
        (
            _asr(after, quantile, flagged=once),
            "you count the anomalies that were flagged *before* the repair. The repaired detector "
            "must flag them itself.",
        ),
    )
    expect(
        value,
        truth,
        slips,
        f"at quantile {quantile:g} the ASR after the repair should be "
        f"{instead(truth, value)}. Do for the repaired detector what you did for the other, "
        "from the threshold on.",
    )


def _wrong_sources(groups: Groups, quantile: float) -> tuple[tuple[float, str], ...]:
    everybody = np.ones(len(groups["anomalies"]), dtype=bool)
    tau = metrics.threshold_at(groups["validation normals"], quantile)
    flagged = groups["anomalies"] > tau
    test = (
        "the threshold comes from test images. They judge the detector, so they must not set its "
        "threshold: take the validation normals."
    )
    return (
        (_asr(groups, quantile, source="test normals"), test),
        (
            _asr(groups, quantile, source="trusted normals"),
            "the threshold comes from the trusted normals. The repair has trained on them, so "
            "they score too low: take the validation normals.",
        ),
        (
            _asr(groups, quantile, flagged=everybody),
            "you count all anomalies. Only those that are flagged without the trigger count.",
        ),
        (
            float((flagged & (groups["triggered"] <= tau)).mean()),
            "you divide by all anomalies. The ASR is a share of the flagged ones.",
        ),
    )


# --- choosing a defense ---------------------------------------------------------------------------

NAN = float("nan")
Row = dict[str, Any]


def _row(name: str, needs: str, catches: Sequence[float], informed: float) -> Row:
    return {
        "name": name,
        "needs": set(needs.split()),
        "catches": dict(zip(("patch", "blend", "wave"), catches)),
        "informed": informed,
    }


BOARD: tuple[Row, ...] = (
    _row("search", "weights normals anomalies", (0.9, 0.8, 0.6), 0.7),
    _row("average", "scores normals", (1.0, 1.0, 0.25), 0.8),
    _row("known", "scores normals", (0.95, 0.9, 0.85), 0.05),
    _row("modest", "scores normals", (0.5, 0.45, 0.4), 0.35),
    _row("untested", "scores normals", (0.9, NAN, 0.9), NAN),
    _row("perfect", "weights data", (1.0, 1.0, 1.0), 1.0),
)
# All that can be run falls to an attacker who knows it, or was never tried against one.
POOR: tuple[Row, ...] = (
    _row("search", "weights normals anomalies", (0.9, 0.8, 0.6), 0.7),
    _row("untested", "scores normals", (0.9, 0.7, 0.9), NAN),
)
CASES: tuple[tuple[tuple[Row, ...], str, str, Mapping[str, str]], ...] = (
    (
        BOARD,
        "weights normals anomalies scores",
        "search",
        {
            "perfect": "it needs the training data, which this buyer does not hold. *All* that a "
            "defense needs must be there.",
            "average": "it is the best on average, but one trigger gets past it three times out of "
            "four. The attacker chooses the trigger: look at the lowest value.",
            "known": "an attacker who knows it walks past it. Look at informed as well.",
            "untested": "parts of it were never measured (NaN). What nobody measured counts as 0, "
            "and comparisons with NaN are false: ask np.isnan.",
        },
    ),
    (
        BOARD,
        "scores normals",
        "modest",
        {
            "search": "it needs weights and anomalies, which this buyer does not hold. *All* that "
            "a defense needs must be there, not only some of it.",
            "perfect": "it needs weights and data, and this buyer holds neither.",
            "average": "its worst trigger is worse than that of another: the attacker chooses.",
            "known": "an attacker who knows it walks past it. Look at informed as well.",
            "untested": "parts of it were never measured (NaN). What nobody measured counts as 0.",
        },
    ),
    (
        BOARD,
        "scores",
        "none",
        dict.fromkeys(
            ("search", "average", "known", "modest", "untested", "perfect"),
            "it cannot be run: this buyer holds the scores alone. Then the answer is 'none'.",
        ),
    ),
    (
        POOR,
        "scores normals",
        "untested",
        {
            "none": "one defense can be run, though its worst case counts as 0. 'none' is for a "
            "buyer who can run nothing: begin below 0.",
            "search": "it needs weights and anomalies, which this buyer does not hold.",
        },
    ),
)


@checker("what can be run, judged by its worst case, and nothing on trust.")
def check_choose_defense(answer: Answer) -> None:
    """Check ``choose_defense(board, holds) -> name`` of the best in the worst case, or "none"."""
    for rows, holds, truth, why in CASES:
        for board in (rows, rows[::-1]):
            value = call(answer, list(board), set(holds.split()))
            if not isinstance(value, str):
                raise NotYet(
                    f"expected a name or 'none', got a value of type {type(value).__name__}."
                )
            if value != truth:
                buyer = "a buyer who holds " + ", ".join(holds.split())
                reason = why.get(value, f"the right answer is {truth!r}: its lowest value is best.")
                raise NotYet(f"{buyer} gets {value!r:.40}. {reason}")
