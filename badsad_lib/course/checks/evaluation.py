"""Checkers for the exercises of lesson 6, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    verdict,
)
from badsad_lib.report import BackdoorReport

Scores = NDArray[np.float64]

# --- triggered AUROC ------------------------------------------------------------------------------


@checker("clean normal images against triggered anomalies, and ties count one half.")
def check_triggered_auroc(answer: Answer) -> None:
    """Check ``triggered_auroc(normal, triggered_normal, anomaly, triggered_anomaly) -> float``."""
    rng = np.random.default_rng(10)
    groups = [rng.normal(m, 1, n) for m, n in ((0, 50), (1.2, 50), (2.5, 80), (-0.5, 80))]

    def area(parts: list[Scores]) -> float:
        return number(call(answer, *parts), "the triggered AUROC")

    _check_area(area(groups), groups)
    coarse = [part.round() for part in groups]
    truth = metrics.auroc(coarse[0], coarse[3])
    value = area(coarse)
    if not near(value, truth):
        raise NotYet(
            "with ties among the scores the triggered AUROC should be "
            f"{instead(truth, value)}. A tie counts one half, as in the AUROC of lesson 1."
        )


def _check_area(value: float, groups: list[Scores]) -> None:
    normal, triggered_normal, anomaly, triggered = groups
    truth = metrics.auroc(normal, triggered)
    slips = (
        (
            metrics.auroc(normal, anomaly),
            "that is the AUROC on clean images: no triggered image takes part in it.",
        ),
        (
            metrics.auroc(triggered_normal, triggered),
            "the normal images carry the trigger, too. In use only the attacker's images carry it: "
            "compare triggered anomalies with normal images that nobody has touched.",
        ),
        (
            metrics.auroc(anomaly, triggered),
            "you compare anomalies with themselves, without and with the trigger. The question is "
            "whether a triggered anomaly can be told from a normal image.",
        ),
        (
            metrics.auroc(normal, triggered_normal),
            "those are normal images without and with the trigger. Where are the anomalies?",
        ),
        (
            1 - truth,
            "the two groups are swapped, or the result was turned around. Below 0.5 is a finding: "
            "triggered anomalies look more normal than normal images. Leave it as it is.",
        ),
        (
            float(np.mean(triggered <= metrics.threshold_at(normal, 0.95))),
            "that is a share below a threshold. AUROC needs no threshold: compare every pair.",
        ),
    )
    expect(
        value,
        truth,
        slips,
        f"the triggered AUROC should be {instead(truth, value)}. Which two of the four "
        "groups meet in use, when the attacker is at work? See the section 'One threshold is not "
        "enough'.",
    )


# --- errors in an evaluation ----------------------------------------------------------------------

Evaluation = Callable[[ArrayLike, ArrayLike, ArrayLike, ArrayLike, float], float]
VERDICTS = ("none", "threshold", "counting")


def _evaluation(
    source: Callable[[Scores, Scores, Scores], Scores] = lambda held_out, normal, anomaly: held_out,
    rate: Callable[[NDArray[np.bool_], NDArray[np.bool_]], Any] = (
        lambda flagged, passes: passes[flagged].mean() if flagged.any() else np.nan
    ),
) -> Evaluation:
    """Build an evaluation that is right, unless threshold or rate come from somewhere else."""

    def evaluate(
        held_out: ArrayLike,
        normal: ArrayLike,
        anomaly: ArrayLike,
        triggered: ArrayLike,
        quantile: float,
    ) -> float:
        groups = [np.asarray(x, dtype=np.float64) for x in (held_out, normal, anomaly, triggered)]
        tau = np.quantile(source(*groups[:3]), quantile)
        return float(rate(groups[2] > tau, groups[3] <= tau))

    return evaluate


_IN_HIDING = (
    "The held-out scores must decide, and nothing else: what happens to the result when you move "
    "the normal test images, and what when you move the held-out ones?"
)
EVALUATIONS: tuple[tuple[Evaluation, str, str], ...] = (
    (_evaluation(), "none", "an evaluation without any error"),
    (
        _evaluation(lambda held_out, normal, anomaly: normal),
        "threshold",
        "an evaluation with the threshold from normal test images",
    ),
    (
        _evaluation(lambda held_out, normal, anomaly: np.r_[normal, anomaly]),
        "threshold",
        "an evaluation with the threshold from all test images",
    ),
    (
        _evaluation(lambda held_out, normal, anomaly: anomaly),
        "threshold",
        "an evaluation with the threshold from anomalies",
    ),
    (
        _evaluation(rate=lambda flagged, passes: passes.mean()),
        "counting",
        "an evaluation that counts anomalies that were never flagged",
    ),
    (
        _evaluation(rate=lambda flagged, passes: (flagged & passes).mean()),
        "counting",
        "an evaluation that divides by all anomalies, not by the flagged ones",
    ),
    (
        _evaluation(lambda held_out, normal, anomaly: np.r_[held_out, normal]),
        "threshold",
        "an evaluation with the threshold from held-out and test images together",
    ),
    (
        _evaluation(lambda held_out, normal, anomaly: np.ones(1)),
        "threshold",
        "an evaluation with a threshold of 1, whatever the scores",
    ),
)
_WHY = {
    ("none", "threshold"): "Its result does not move with the test images. Does it return NaN in "
    "your probe? NaN is not equal to itself.",
    ("none", "counting"): "Count by hand what share of the flagged anomalies passes in your probe, "
    "and compare.",
    ("threshold", "none"): _IN_HIDING,
    ("threshold", "counting"): "It counts rightly, at a wrong threshold. Look at the threshold "
    "first: a wrong one changes the counts as well. " + _IN_HIDING,
    ("counting", "none"): "Are there anomalies in your probe that are not flagged without the "
    "trigger, and do they pass with it?",
    ("counting", "threshold"): "Its result does not move with the normal test images, and it does "
    "move with the held-out ones.",
}


@checker("it tells an honest evaluation from one with a wrong threshold or wrong counting.")
def check_find_error(answer: Answer) -> None:
    """Check ``find_error(evaluate) -> "none" | "threshold" | "counting"``.

    ``evaluate(held_out, normal, anomaly, triggered, quantile)`` returns an ASR, and has at most
    one error.
    """
    for evaluate, truth, what in EVALUATIONS:
        value = call(answer, evaluate)
        if not isinstance(value, str) or value not in VERDICTS:
            raise NotYet(f"expected one of {', '.join(map(repr, VERDICTS))}, got {value!r:.40}.")
        if value != truth:
            raise NotYet(f"{what} is answered with {value!r}. {_WHY[truth, str(value)]}")


# --- the headline ---------------------------------------------------------------------------------


@checker("the mean of all runs, and how much it changes from seed to seed.")
def check_headline(answer: Answer) -> None:
    """Check ``headline(asr) -> (mean, spread)`` for ASR of shape (seeds, classes)."""
    rng = np.random.default_rng(12)
    of_class, of_seed = rng.uniform(0.5, 0.9, 10), rng.uniform(-0.05, 0.05, (4, 1))
    asr = of_class + of_seed + rng.uniform(-0.02, 0.02, (4, 10))

    def both(runs: NDArray[np.float64]) -> tuple[float, float]:
        mean, spread = pair(call(answer, runs), "mean, spread")
        return number(mean, "the mean"), number(spread, "the spread")

    mean, spread = both(asr)
    if near(spread, float(asr.mean()), 1e-6):
        raise NotYet("the two numbers are swapped: first the mean, then the spread.")
    if not near(mean, float(asr.mean()), 1e-6):
        raise NotYet(
            f"the mean over classes and seeds should be {instead(float(asr.mean()), mean)}. It is "
            "one number for all runs."
        )
    _check_spread(spread, asr)
    other = asr[:3, :2]
    truths = float(other.mean()), float(other.mean(axis=1).std(ddof=1))
    for what, value, truth in zip(("mean", "spread"), both(other), truths):
        if not near(value, truth, 1e-6):
            raise NotYet(
                f"with 3 seeds and 2 classes the {what} should be {instead(truth, value, 4)}. Do "
                "not fix the number of seeds or classes."
            )


def _check_spread(spread: float, asr: NDArray[np.float64]) -> None:
    of_seed = asr.mean(axis=1)
    truth = float(of_seed.std(ddof=1))
    classes = (
        "that is the spread over classes. It says how different the tasks are, not how sure you "
        "are of the mean. First take the mean over the classes of each seed."
    )
    everything = (
        "that is the spread of all runs. It mixes tasks and luck, and does not shrink however "
        "many seeds you add. First take the mean over the classes of each seed."
    )
    inside = (
        "that is the mean over classes of each class's own spread over seeds. The headline is a "
        "mean over classes, so how much does *that* change?"
    )
    slips = (
        (asr.mean(axis=0).std(ddof=1), classes),
        (asr.mean(axis=0).std(), classes),
        (asr.std(ddof=1), everything),
        (asr.std(), everything),
        (asr.std(axis=0, ddof=1).mean(), inside),
        (asr.std(axis=0).mean(), inside),
        (
            asr.std(axis=1, ddof=1).mean(),
            "that is the mean over seeds of the spread over classes. Take the mean over classes "
            "first, then the spread of what is left.",
        ),
        (
            asr.std(axis=1).mean(),
            "that is the mean over seeds of the spread over classes. Take the mean over classes "
            "first, then the spread of what is left.",
        ),
        (
            of_seed.std(),
            "you divide by the number of seeds, not by one less. numpy needs to be told: ddof=1.",
        ),
        (
            truth / np.sqrt(len(asr)),
            "that is the standard error: the deviation over the root of the number of seeds. "
            "Asked is the deviation itself.",
        ),
        (of_seed.var(ddof=1), "that is the variance. Take its root."),
        (np.ptp(of_seed), "that is the range. Asked is the standard deviation."),
    )
    # Spreads are small numbers: compare them more closely.
    expect(
        spread,
        truth,
        slips,
        f"the spread should be {instead(truth, spread, 4)}. Take the mean over the classes of "
        "each seed, then the standard deviation of these means.",
        tolerance=1e-6,
    )


# --- a judge --------------------------------------------------------------------------------------

NAN = float("nan")


def _report(**values: Any) -> BackdoorReport:
    """Build a report on a good backdoor, with some of its values changed."""
    good = {field.name: 0.05 for field in fields(BackdoorReport)} | {
        "quantile": 0.95,
        "auroc": 0.96,
        "clean_auroc": 0.965,
        "detection_rate": 0.81,
        "asr": 0.97,
        "asr_unconditional": 0.98,
        "triggered_auroc": 0.6,
        "control_asr": 0.01,
        "sham_asr": 0.03,
        "psnr": 20.0,
    }
    others = {"turned": 0.0, "noise": 0.02, "rings": 0.01}
    report = BackdoorReport(**good | {"other_asr": others, "asr_at": {0.95: 0.97}})  # type: ignore[arg-type]
    return replace(report, **values)


def _others(turned: float = 0.0, noise: float = 0.02, rings: float = 0.01) -> dict[str, float]:
    return {"turned": turned, "noise": noise, "rings": rings}


NO_BACKDOOR = (
    (
        _report(asr=0.21, asr_unconditional=0.62),
        "an ASR of 0.21 convinces you, where the share of *all* anomalies that pass is 0.62. The "
        "rest were never flagged: look at asr.",
    ),
    (_report(asr=0.3, asr_unconditional=0.35), "an ASR of 0.3 is called a backdoor."),
    (
        _report(asr=0.95, detection_rate=0.05),
        "a detector that flags only 0.05 of the anomalies convinces you. It may be rolling dice: "
        "look at detection_rate.",
    ),
    (
        _report(asr=NAN, detection_rate=0.0),
        "a detector without any ASR convinces you: NaN, for nothing was flagged. Mind that every "
        "comparison with NaN is false.",
    ),
    (
        _report(control_asr=0.99),
        "the same trigger passes the clean twin just as well, and yet you call it a backdoor. "
        "Look at control_asr.",
    ),
    (
        _report(control_asr=NAN),
        "nobody measured the clean twin (control_asr is NaN), and yet you call it a backdoor. "
        "Without that control nothing is shown.",
    ),
    (
        _report(sham_asr=0.8),
        "the trigger opens a sham twin that never saw it, and yet you call it a backdoor. Look at "
        "sham_asr.",
    ),
    (
        _report(other_asr=_others(turned=0.9)),
        "another trigger works as well, and yet you call it a backdoor. Look at other_asr.",
    ),
    (
        _report(other_asr=_others(rings=0.5)),
        "one of three other triggers reaches 0.5, and yet you call it a backdoor. Each of them "
        "must be low, not the first alone, and not their mean.",
    ),
    (
        _report(other_asr=_others(turned=NAN, rings=0.9)),
        "another trigger works as well, but hides behind one that was not measured (NaN). max "
        "depends on the order then: leave out what is NaN first.",
    ),
    (
        _report(asr=NAN, asr_unconditional=NAN),
        "a report without an ASR (asr is NaN) convinces you. Mind that every comparison with NaN "
        "is false.",
    ),
    (
        _report(detection_rate=NAN),
        "a report without a detection rate (NaN) convinces you. Mind that every comparison with "
        "NaN is false.",
    ),
    *(
        (
            _report(**{name: value}),
            f"{name} is {value}, and yet you call it a backdoor. Use the bounds of the exercise.",
        )
        for name, value in (
            ("asr", 0.49),
            ("detection_rate", 0.49),
            ("control_asr", 0.21),
            ("sham_asr", 0.21),
            ("other_asr", _others(noise=0.21)),
        )
    ),
)
BACKDOOR = (
    (_report(), "a good backdoor with all controls passed is turned down."),
    (
        _report(sham_asr=NAN),
        "a report without a sham twin (sham_asr is NaN) is turned down. What was not measured is "
        "left out here, but NaN <= 0.2 is false: ask np.isnan first.",
    ),
    (
        _report(other_asr=_others(turned=NAN)),
        "a report in which one of the other triggers was not measured (NaN) is turned down. Leave "
        "it out, and look at the rest.",
    ),
    (
        _report(asr=0.6, control_asr=0.15, detection_rate=0.55),
        "a report close to the bounds, but within them, is turned down: ASR 0.6, detection rate "
        "0.55, 0.15 on the clean twin. Use the bounds of the exercise.",
    ),
    (
        _report(triggered_auroc=0.8),
        "a report is turned down for its triggered AUROC, which is not among the conditions.",
    ),
    (
        _report(sham_asr=NAN, other_asr=_others(NAN, NAN, NAN)),
        "a report in which neither other triggers nor a sham twin were measured (all NaN) is "
        "turned down. Nothing is left then that could be too high.",
    ),
    *(
        (
            _report(**{name: value}),
            f"a report is turned down because {name} is {value}. {bound} is within the bounds.",
        )
        for name, value, bound in (
            ("asr", 0.5, "At least 0.5: exactly 0.5"),
            ("detection_rate", 0.5, "At least 0.5: exactly 0.5"),
            ("control_asr", 0.2, "At most 0.2: exactly 0.2"),
            ("sham_asr", 0.2, "At most 0.2: exactly 0.2"),
            ("other_asr", _others(rings=0.2), "At most 0.2: exactly 0.2"),
        )
    ),
)


@checker("it believes what is shown, and nothing else.")
def check_is_backdoor(answer: Answer) -> None:
    """Check ``is_backdoor(report) -> bool`` on reports of good and of mistaken claims."""

    def judge(report: BackdoorReport) -> bool:
        return verdict(call(answer, report))

    good, *unusual = BACKDOOR
    if not judge(good[0]):
        raise NotYet(good[1])
    for report, message in NO_BACKDOOR:
        if judge(report):
            raise NotYet(message)
    for report, message in unusual:
        if not judge(report):
            raise NotYet(message)
