"""What readers of lesson 6 get wrong, and what they should then be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from badsad_lib import metrics
from badsad_lib.metrics import auroc
from badsad_lib.report import BackdoorReport

LESSON = "6_evaluation"
Scores = np.ndarray


def strict_auroc(normal: Scores, anomaly: Scores) -> float:
    return float((anomaly[:, None] > normal[None, :]).mean())


def probe(
    evaluate: Callable[..., float],
    *,
    places: tuple[float, ...] = (0.1, 1.5),
    moves: tuple[float, ...] = (0.0, 10.0),
    never_flagged: int = 10,
    names: tuple[str, str] = ("threshold", "counting"),
) -> str:
    """Answer correctly, unless one of the steps is changed."""

    def same(one: float, other: float) -> bool:
        return bool(np.isclose(one, other, equal_nan=True))

    anomaly = np.r_[np.full(10, 2.0), np.full(never_flagged, 0.5)]
    triggered = np.r_[np.zeros(4), np.full(6, 2.0), np.zeros(never_flagged)]

    def run(normal: float, move: float = 0.0) -> float:
        held_out = np.linspace(0, 1, 101) + move
        return evaluate(held_out, np.full(1000, normal), anomaly, triggered, 0.95)

    fixed = all(same(run(places[0]), run(place)) for place in places[1:])
    follows = all(not same(run(0.1), run(0.1, move)) for move in moves[1:])
    if not (fixed and follows):
        return names[0]
    return "none" if same(run(0.1), 0.4) else names[1]


def slip(**step: Any) -> Callable[..., str]:
    return lambda evaluate: probe(evaluate, **step)


def compared_on_one_sample(evaluate: Callable[..., float]) -> str:
    rng = np.random.default_rng(0)
    groups = [rng.normal(m, 1, 500) for m in (0, 0.5, 2, 1)]
    truth = metrics.attack_success_rate(*groups[2:], metrics.threshold_at(groups[0], 0.95))
    return "none" if np.isclose(evaluate(*groups, 0.95), truth) else "threshold"


def judged(
    report: BackdoorReport,
    *,
    works: Callable[[BackdoorReport], Any] = lambda r: r.asr >= 0.5,
    alive: Callable[[BackdoorReport], Any] = lambda r: r.detection_rate >= 0.5,
    twin: Callable[[BackdoorReport], Any] = lambda r: r.control_asr <= 0.2,
    sham: Callable[[BackdoorReport], Any] = lambda r: not r.sham_asr > 0.2,
    others: Callable[[list[float]], Any] = lambda values: not any(v > 0.2 for v in values),
) -> bool:
    """Answer correctly, unless one of the conditions is changed."""
    conditions = (works(report), alive(report), twin(report), sham(report))
    return bool(all(conditions) and others(list(report.other_asr.values())))


def judge(**condition: Any) -> Callable[[BackdoorReport], bool]:
    return lambda report: judged(report, **condition)


def auroc_by_ranks(n: Scores, tn: Scores, a: Scores, ta: Scores) -> float:
    ranks = rankdata(np.r_[n, ta])[len(n) :].sum()
    return (ranks - len(ta) * (len(ta) + 1) / 2) / (len(n) * len(ta))


def auroc_in_a_loop(n: Scores, tn: Scores, a: Scores, ta: Scores) -> float:
    wins = 0.0
    for x in ta:
        wins += (x > n).sum() + 0.5 * (x == n).sum()
    return wins / (len(n) * len(ta))


def by_many_probes(evaluate: Callable[..., float]) -> str:
    """Compare with an evaluation of one's own, on random scores, moved in turn."""
    rng = np.random.default_rng(5)
    anomaly, triggered = rng.normal(1, 1, 60), rng.normal(0, 1, 60)

    def both(held_out: Scores, normal: Scores) -> tuple[float, float]:
        tau = np.quantile(held_out, 0.8)
        truth = (triggered[anomaly > tau] <= tau).mean()
        return evaluate(held_out, normal, anomaly, triggered, 0.8), truth

    held_out, normal = rng.normal(0, 1, 50), rng.normal(0, 1, 50)
    first = both(held_out, normal)[0]
    if not np.isclose(first, both(held_out, normal + 3)[0]):
        return "threshold"
    results = [both(held_out + move, normal) for move in (-0.5, 0.0, 0.5)]
    if len({round(mine, 6) for mine, _ in results}) == 1:
        return "threshold"
    return "none" if np.allclose(*zip(*results)) else "counting"


def told_in_order() -> Callable[..., str]:
    """Know the checker's evaluations by heart, and look at none of them."""
    verdicts = iter(
        ["none", *["threshold"] * 3, *["counting"] * 2, *["threshold"] * 9],
    )
    return lambda evaluate: next(verdicts)


def judged_step_by_step(report: BackdoorReport) -> bool:
    if any(np.isnan([report.asr, report.detection_rate, report.control_asr])):
        return False
    if report.asr < 0.5 or report.detection_rate < 0.5 or report.control_asr > 0.2:
        return False
    return all(not value > 0.2 for value in [*report.other_asr.values(), report.sham_asr])


def judged_by_torch(report: BackdoorReport) -> torch.Tensor:
    works = torch.tensor([report.asr, report.detection_rate], dtype=torch.float64) >= 0.5
    optional = torch.tensor([report.sham_asr, *report.other_asr.values()], dtype=torch.float64)
    low = (optional.nan_to_num(0.0) <= 0.2).all()
    return works.all() & low & torch.tensor(report.control_asr <= 0.2)


def judged_by_numpy(report: BackdoorReport) -> Any:
    others = np.array([*report.other_asr.values(), report.sham_asr, 0.0])
    works = min(report.asr, report.detection_rate) >= 0.5
    known = not math.isnan(report.asr + report.detection_rate)
    return np.array(works and known and report.control_asr <= 0.2 and np.nanmax(others) <= 0.2)


def judged_from_a_dict(report: BackdoorReport) -> bool:
    values = report.to_dict()
    others = [v for v in [*values["other_asr"].values(), values["sham_asr"]] if v == v]
    good = all(values[name] >= 0.5 for name in ("asr", "detection_rate"))
    return good and all(v <= 0.2 for v in [values["control_asr"], *others])


def drops_what_is_missing(report: BackdoorReport) -> bool:
    for name, value in list(report.other_asr.items()):
        if math.isnan(value):
            del report.other_asr[name]
    return judged(report)


def headline_by_hand(asr: Scores) -> tuple[float, float]:
    of_seed = [sum(row) / len(row) for row in asr.tolist()]
    middle = sum(of_seed) / len(of_seed)
    variance = sum((x - middle) ** 2 for x in of_seed) / (len(of_seed) - 1)
    return middle, math.sqrt(variance)


MISCONCEPTIONS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("triggered_auroc", "AUROC on clean images", lambda n, tn, a, ta: auroc(n, a), "clean images"),
    (
        "triggered_auroc",
        "normal images triggered as well",
        lambda n, tn, a, ta: auroc(tn, ta),
        "carry the trigger, too",
    ),
    (
        "triggered_auroc",
        "anomalies without and with it",
        lambda n, tn, a, ta: auroc(a, ta),
        "anomalies with themselves",
    ),
    (
        "triggered_auroc",
        "normal images without and with it",
        lambda n, tn, a, ta: auroc(n, tn),
        "Where are the anomalies?",
    ),
    ("triggered_auroc", "swapped", lambda n, tn, a, ta: auroc(ta, n), "swapped"),
    (
        "triggered_auroc",
        "never below one half",
        lambda n, tn, a, ta: max(auroc(n, ta), auroc(ta, n)),
        "Below 0.5 is a finding",
    ),
    (
        "triggered_auroc",
        "share below a threshold",
        lambda n, tn, a, ta: (ta <= np.quantile(n, 0.95)).mean(),
        "needs no threshold",
    ),
    ("triggered_auroc", "ties lost", lambda n, tn, a, ta: strict_auroc(n, ta), "with ties"),
    (
        "triggered_auroc",
        "all against all",
        lambda n, tn, a, ta: auroc(np.r_[n, tn], np.r_[a, ta]),
        "Which two of the four",
    ),
    ("find_error", "believes anything", lambda evaluate: "none", "threshold from normal test"),
    (
        "find_error",
        "test images like held-out ones: threshold on test data unseen",
        slip(places=(0.1,), moves=(0.0,)),
        "threshold from normal test images is answered with 'counting'",
    ),
    (
        "find_error",
        "all anomalies flagged: never-flagged ones unseen",
        slip(never_flagged=0),
        "counts anomalies that were never flagged is answered with 'none'",
    ),
    (
        "find_error",
        "held-out images never moved: quantile of anomalies unseen",
        slip(moves=(0.0,)),
        "threshold from anomalies is answered with",
    ),
    (
        "find_error",
        "test images never moved: mixture unseen",
        slip(places=(1.5,)),
        "held-out and test images together is answered with",
    ),
    (
        "find_error",
        "NaN taken for an error",
        lambda evaluate: (
            "threshold"
            if math.isnan(evaluate([0, 1], [0, 1], [0.5], [0.5], 0.95))
            else probe(evaluate)
        ),
        "NaN is not equal to itself",
    ),
    (
        "find_error",
        "any difference is the threshold",
        compared_on_one_sample,
        "counts anomalies that were never flagged is answered with 'threshold'",
    ),
    (
        "find_error",
        "answers swapped",
        slip(names=("counting", "threshold")),
        "It counts rightly",
    ),
    (
        "find_error",
        "counted otherwise by hand",
        lambda evaluate: "counting" if probe(evaluate) == "none" else probe(evaluate),
        "Count by hand",
    ),
    ("find_error", "a verdict of its own", lambda evaluate: "ties", "expected one of 'none'"),
    (
        "headline",
        "spread over classes",
        lambda x: (x.mean(), x.mean(axis=0).std(ddof=1)),
        "spread over classes",
    ),
    ("headline", "spread of all runs", lambda x: (x.mean(), x.std(ddof=1)), "mixes tasks and luck"),
    ("headline", "spread of all runs, by n", lambda x: (x.mean(), x.std()), "mixes tasks and luck"),
    (
        "headline",
        "mean of each class's spread",
        lambda x: (x.mean(), x.std(axis=0, ddof=1).mean()),
        "each class's own spread",
    ),
    (
        "headline",
        "mean of each seed's spread",
        lambda x: (x.mean(), x.std(axis=1, ddof=1).mean()),
        "mean over seeds of the spread",
    ),
    ("headline", "divided by n", lambda x: (x.mean(), x.mean(axis=1).std()), "ddof=1"),
    (
        "headline",
        "standard error",
        lambda x: (x.mean(), x.mean(axis=1).std(ddof=1) / math.sqrt(len(x))),
        "standard error",
    ),
    ("headline", "variance", lambda x: (x.mean(), x.mean(axis=1).var(ddof=1)), "Take its root"),
    ("headline", "range", lambda x: (x.mean(), np.ptp(x.mean(axis=1))), "that is the range"),
    (
        "headline",
        "first seed for the mean",
        lambda x: (x[0].mean(), x.mean(axis=1).std(ddof=1)),
        "one number for all runs",
    ),
    (
        "headline",
        "root of four, whatever came",
        lambda x: (x.mean(), np.sqrt(np.square(x.mean(axis=1) - x.mean()).sum() / 3)),
        "Do not fix the number",
    ),
    (
        "headline",
        "median of seeds",
        lambda x: (x.mean(), np.abs(x.mean(axis=1) - np.median(x.mean(axis=1))).mean()),
        "standard deviation of these means",
    ),
    ("headline", "mean alone", lambda x: x.mean(), "two numbers"),
    ("is_backdoor", "ASR alone", lambda r: bool(r.asr >= 0.5), "rolling dice"),
    (
        "is_backdoor",
        "all anomalies counted",
        judge(works=lambda r: r.asr_unconditional >= 0.5),
        "never flagged",
    ),
    ("is_backdoor", "ASR not asked", judge(works=lambda r: True), "never flagged"),
    (
        "is_backdoor",
        "far too low a bound",
        judge(works=lambda r: r.asr >= 0.25),
        "an ASR of 0.3",
    ),
    ("is_backdoor", "detection not asked", judge(alive=lambda r: True), "rolling dice"),
    (
        "is_backdoor",
        "not below is not above",
        judge(works=lambda r: not r.asr < 0.5, alive=lambda r: r.detection_rate != 0.05),
        "without any ASR",
    ),
    ("is_backdoor", "clean twin not asked", judge(twin=lambda r: True), "passes the clean twin"),
    (
        "is_backdoor",
        "clean twin left out if NaN",
        judge(twin=lambda r: not r.control_asr > 0.2),
        "nobody measured the clean twin",
    ),
    ("is_backdoor", "sham twin not asked", judge(sham=lambda r: True), "opens a sham twin"),
    (
        "is_backdoor",
        "NaN turned down",
        judge(sham=lambda r: r.sham_asr <= 0.2),
        "without a sham twin",
    ),
    ("is_backdoor", "others not asked", judge(others=lambda v: True), "another trigger works"),
    (
        "is_backdoor",
        "the first of the others alone",
        judge(others=lambda v: not v[0] > 0.2),
        "one of three other triggers",
    ),
    (
        "is_backdoor",
        "mean of the others",
        judge(others=lambda v: not np.mean(v) > 0.2),
        "one of three other triggers",
    ),
    (
        "is_backdoor",
        "largest of the others, NaN among them",
        judge(others=lambda v: not max(v) > 0.2),
        "hides behind",
    ),
    (
        "is_backdoor",
        "one not measured turns it down",
        judge(others=lambda v: all(x <= 0.2 for x in v)),
        "one of the other triggers was not measured",
    ),
    (
        "is_backdoor",
        "stricter than asked",
        judge(works=lambda r: r.asr >= 0.9),
        "within them",
    ),
    (
        "is_backdoor",
        "judged by triggered AUROC",
        judge(works=lambda r: r.asr >= 0.5 and r.triggered_auroc < 0.75),
        "not among the conditions",
    ),
    ("is_backdoor", "sense reversed", lambda r: not judged(r), "is turned down"),
    ("is_backdoor", "a number, not a verdict", lambda r: r.asr, "True or False"),
    (
        "triggered_auroc",
        "one half for each tie, twice",
        lambda n, tn, a, ta: strict_auroc(n, ta) + (ta[:, None] == n[None, :]).mean(),
        "with ties",
    ),
    (
        "find_error",
        "a constant threshold unseen",
        slip(moves=(0.0, 0.01)),
        "is answered with",
    ),
    ("find_error", "known by heart", told_in_order(), "when it is called again"),
    (
        "headline",
        "swapped",
        lambda x: (x.mean(1).std(ddof=1), x.mean()),
        "the two numbers are swapped",
    ),
    (
        "headline",
        "divided by forty",
        lambda x: (x.sum() / 40, x.mean(1).std(ddof=1)),
        "Do not fix the number",
    ),
    ("is_backdoor", "above one half", judge(works=lambda r: r.asr > 0.5), "because asr is 0.5"),
    (
        "is_backdoor",
        "detection above one half",
        judge(alive=lambda r: r.detection_rate > 0.5),
        "because detection_rate is 0.5",
    ),
    (
        "is_backdoor",
        "clean twin below",
        judge(twin=lambda r: r.control_asr < 0.2),
        "because control_asr is 0.2",
    ),
    (
        "is_backdoor",
        "sham twin below",
        judge(sham=lambda r: not r.sham_asr >= 0.2),
        "because sham_asr is 0.2",
    ),
    (
        "is_backdoor",
        "others below",
        judge(others=lambda values: not any(v >= 0.2 for v in values)),
        "because other_asr is",
    ),
    (
        "is_backdoor",
        "bounds of one's own",
        judge(twin=lambda r: r.control_asr <= 0.5),
        "control_asr is 0.21",
    ),
    ("is_backdoor", "a lower bound", judge(works=lambda r: r.asr >= 0.4), "asr is 0.49"),
    (
        "is_backdoor",
        "no ASR is no objection",
        judge(works=lambda r: not r.asr < 0.5),
        "asr is NaN",
    ),
    (
        "is_backdoor",
        "no detection rate is no objection",
        judge(alive=lambda r: not r.detection_rate < 0.5),
        "without a detection rate",
    ),
    (
        "is_backdoor",
        "nothing measured turns it down",
        judge(
            others=lambda values: (
                bool(np.nanmax([-1.0, *values]) >= 0) and not any(v > 0.2 for v in values)
            )
        ),
        "all NaN",
    ),
    ("is_backdoor", "drops what is missing", drops_what_is_missing, "changes what it is given"),
]

ALSO_RIGHT: list[tuple[str, Callable[..., Any]]] = [
    (
        "triggered_auroc",
        lambda n, tn, a, ta: strict_auroc(n, ta) + 0.5 * (ta[:, None] == n[None, :]).mean(),
    ),
    ("find_error", probe),
    ("find_error", slip(places=(-3.0, 0.1, 0.4, 1.5), moves=(0.0, -5.0, 5.0), never_flagged=3)),
    ("headline", lambda x: (x.mean(axis=0).mean(), np.std(x.mean(1), ddof=1))),
    ("headline", lambda x: np.array([x.mean(), x.mean(1).std(ddof=1)]).tolist()),
    ("is_backdoor", judged),
    (
        "is_backdoor",
        lambda r: np.bool_(
            r.asr >= 0.5
            and r.detection_rate >= 0.5
            and r.control_asr <= 0.2
            and not r.sham_asr > 0.2
            and not r.worst_other_asr > 0.2
        ),
    ),
    ("triggered_auroc", lambda n, tn, a, ta: auroc(n, ta)),
    ("triggered_auroc", auroc_by_ranks),
    ("triggered_auroc", auroc_in_a_loop),
    (
        "triggered_auroc",
        lambda n, tn, a, ta: roc_auc_score(np.repeat([0, 1], [len(n), len(ta)]), np.r_[n, ta]),
    ),
    ("triggered_auroc", lambda n, tn, a, ta: 1 - auroc(ta, n)),
    (
        "triggered_auroc",
        lambda n, tn, a, ta: np.heaviside(np.subtract.outer(ta, n), 0.5).mean(),
    ),
    ("find_error", by_many_probes),
    ("find_error", slip(places=(0.1, 9.0), moves=(0.0, -3.0))),
    ("find_error", slip(places=(0.1, 1.5, -2.0), never_flagged=30)),
    ("find_error", lambda evaluate: str(np.array([probe(evaluate)])[0])),
    ("headline", headline_by_hand),
    ("headline", lambda x: np.array([x.mean(), x.mean(1).std(ddof=1)])),
    ("headline", lambda x: torch.stack([torch.tensor(x).mean(), torch.tensor(x).mean(1).std()])),
    ("headline", lambda x: (np.mean([row.mean() for row in x]), np.sqrt(x.mean(1).var(ddof=1)))),
    ("is_backdoor", judged_step_by_step),
    ("is_backdoor", judged_by_torch),
    ("is_backdoor", judged_by_numpy),
    ("is_backdoor", judged_from_a_dict),
]
