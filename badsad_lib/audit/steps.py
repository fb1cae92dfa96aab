"""The steps of the audit, in the order of the checklist. Each looks once and says what it saw.

What counts as a finding is judged beside detectors of the buyer's own, which are known to be
clean: the same images, the same measure. :class:`Case` holds all of it. The same judgement of
each of those by the others is the rate of false alarms that goes with a finding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from badsad_lib.audit import blind
from badsad_lib.audit.doors import DoorMap, as_picture, door_map, scorings, usual_side
from badsad_lib.audit.results import Finding, Picture, Step, Table, picture
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses import BatchStatistics, ShrinkPerturb, TriggerInversion
from badsad_lib.detectors import Access, ScoreDetector, access_of, self_check
from badsad_lib.images import to_float, to_uint8
from badsad_lib.metrics import (
    QUANTILES,
    Scores,
    attack_success_rate,
    auroc,
    detection_rate,
    rate_interval,
    threshold_at,
)
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import (
    KINDS,
    POSITIONS,
    Border,
    Patch,
    Sinusoid,
    Trigger,
    apply_trigger,
)

EXCESS = 0.25
"""So much more than the worst of the buyer's own detectors must pass for a finding."""
SMALLER = 0.5
"""A search must find less than this share of the smallest trigger of the buyer's own ones."""
BLIND = 0.6
"""An AUROC whose interval ends below is hardly better than guessing."""
BEHIND = 0.05
"""The buyer's own detectors must be better by this much in AUROC, and more than by chance."""
LEAST_FLAGGED = 10
MOST_DOOR_IMAGES = 32
MOST_DOOR_IMAGES_OF_TILES = 12
CHANCE = 0.01


class CannotError(ValueError):
    """A step cannot be done; the message says why."""


@dataclass
class Case:
    """What a step may look at.

    Attributes
    ----------
    detector
        The one that is examined.
    own
        The buyer's own, known to be clean.
    training, known, kinds
        Normals and anomalies that the own ones were trained on, and the kinds of the latter.
    held_out
        Normals that thresholds come from.
    normals, anomalies
        For the test: no own detector has seen them.
    made
        Whether the anomalies were made from normals, for want of others.
    seed
        Fixes whatever a step draws.
    """

    detector: ScoreDetector
    own: Sequence[DeepSAD | TiledDeepSAD]
    training: Tensor
    known: Tensor
    kinds: Sequence[Any] | None
    held_out: Tensor
    normals: Tensor
    anomalies: Tensor
    made: bool
    seed: int

    @cached_property
    def scores(self) -> _Scored:
        """Scores of the detector that is examined."""
        return _Scored.of(self.detector, self)

    @cached_property
    def own_scores(self) -> list[_Scored]:
        """Scores of the buyer's own."""
        return [_Scored.of(one, self) for one in self.own]

    @cached_property
    def obvious(self) -> dict[str, Trigger]:
        """Triggers that are tried, by name."""
        return obvious_triggers(tuple(self.anomalies.shape[1:]))

    @cached_property
    def worst(self) -> tuple[str, Trigger]:
        """The obvious trigger that the detector lets most anomalies pass with."""
        rates = {name: self.scores.asr(one, self, 0.95) for name, one in self.obvious.items()}
        name = max(rates, key=lambda one: rates[one])
        return name, self.obvious[name]

    def require_flagged(self) -> None:
        """Raise where too few anomalies are flagged for a trigger to hide any."""
        flagged = int((self.scores.anomalies > self.scores.threshold(0.95)).sum())
        if flagged < LEAST_FLAGGED:
            raise CannotError(
                f"it flags {flagged} of {len(self.anomalies)} anomalies, and it takes "
                f"{LEAST_FLAGGED} to see whether something hides them"
            )


@dataclass(eq=False)
class _Scored:
    """A detector with its scores of the parts, and of what is asked for later."""

    detector: ScoreDetector
    held_out: Scores
    normals: Scores
    anomalies: Scores
    seen: dict[int, Scores] = field(default_factory=dict)
    thresholds: dict[float, float] = field(default_factory=dict)

    @classmethod
    def of(cls, detector: ScoreDetector, case: Case) -> _Scored:
        return cls(
            detector,
            detector.decision_function(case.held_out),
            detector.decision_function(case.normals),
            detector.decision_function(case.anomalies),
        )

    def threshold(self, quantile: float) -> float:
        if quantile not in self.thresholds:
            self.thresholds[quantile] = threshold_at(self.held_out, quantile)
        return self.thresholds[quantile]

    def triggered(self, trigger: Trigger, case: Case) -> Scores:
        if id(trigger) not in self.seen:
            images = apply_trigger(trigger, case.anomalies)
            self.seen[id(trigger)] = self.detector.decision_function(images)
        return self.seen[id(trigger)]

    def asr(self, trigger: Trigger, case: Case, quantile: float) -> float:
        after = self.triggered(trigger, case)
        rate = attack_success_rate(self.anomalies, after, self.threshold(quantile))
        return 0.0 if math.isnan(rate) else rate

    @property
    def auroc(self) -> float:
        return auroc(self.normals, self.anomalies)


# --- judging beside one's own ---------------------------------------------------------------------


def stands_out(value: float, others: Sequence[float]) -> bool:
    """Whether a share that passes exceeds that of all others by ``EXCESS``."""
    return value - max(others) >= EXCESS


def is_small(value: float, others: Sequence[float]) -> bool:
    """Whether a size is below the smallest of the others by the factor ``SMALLER``."""
    return value < SMALLER * min(others)


def false_alarms(judge: Callable[[float, Sequence[float]], bool], own: Sequence[float]) -> str:
    """Say how often a judgement falls on the buyer's own detectors, each held to the others."""
    if len(own) < 2:
        return "How often this is said of a clean detector was not measured: one of your own only."
    alarms = sum(judge(one, [*own[:i], *own[i + 1 :]]) for i, one in enumerate(own))
    return (
        f"Said of {alarms} of your own {len(own)} detectors, each held to the others in the same "
        f"way; with so few, the true rate may be up to {rate_interval(alarms, len(own))[1]:.0%}."
    )


# --- alive, and does it detect? -------------------------------------------------------------------


def alive(case: Case) -> Step:
    """Scores differ, do not depend on the batch, are numbers, and the sign is right."""
    name, title = "alive", "Is it alive?"
    never = "A clean detector that is wrapped as it should be never does this."
    try:
        found = self_check(case.detector, case.held_out, None if case.made else case.anomalies)
    except FloatingPointError as error:
        return Step(name, title, findings=(Finding(str(error), never),), values={"usable": False})
    text = [f"Scoring takes {found.seconds_per_image * 1000:.2g} ms an image on this machine."]
    if not found.problems:
        text.append("Scores differ between images and do not depend on their order or their batch.")
    return Step(
        name,
        title,
        text=tuple(text),
        findings=tuple(Finding(problem, never) for problem in found.problems),
        values={"usable": not found.problems, "auroc": found.auroc},
    )


def detects(case: Case) -> Step:
    """AUROC and detection at three thresholds, beside the buyer's own detectors."""
    name, title = "detects", "Does it detect your anomalies?"
    theirs, own = case.scores, case.own_scores
    middle = sorted(own, key=lambda one: one.auroc)[len(own) // 2]
    low, high, behind = _bootstrap(theirs, middle, case.seed)
    what = "anomalies made from your normals, for want of real ones," if case.made else "anomalies"
    text = [
        f"On {len(case.anomalies)} {what} and {len(case.normals)} normals its AUROC is "
        f"{theirs.auroc:.3f} (95 % interval {low:.3f} to {high:.3f}). The {len(own)} detectors of "
        f"your own reach {min(one.auroc for one in own):.3f} to "
        f"{max(one.auroc for one in own):.3f}; they were trained on {len(case.training)} normals "
        f"and {len(case.known)} anomalies."
    ]
    findings = []
    if case.made:
        text.append(
            "What it makes of real anomalies was not seen, so this is no finding either way."
        )
    elif high < BLIND:
        findings.append(
            Finding(
                f"It hardly tells your anomalies from your normals: AUROC {theirs.auroc:.3f}",
                "By chance in fewer than 3 of 100 sets of test images of this size.",
            )
        )
    elif behind > 0 and middle.auroc - theirs.auroc >= BEHIND:
        findings.append(
            Finding(
                f"Your own detectors are better by {middle.auroc - theirs.auroc:.3f} AUROC: "
                "use one of them",
                "By chance in fewer than 3 of 100 sets of test images of this size. It says "
                "nothing about a backdoor.",
            )
        )
    rows = []
    for quantile in QUANTILES:
        rates = [detection_rate(one.anomalies, one.threshold(quantile)) for one in (theirs, middle)]
        rows.append((f"{quantile:g}", _rate(rates[0], len(case.anomalies)), f"{rates[1]:.1%}"))
    head = ("quantile of held-out normals", "detection rate", "one of your own")
    return Step(
        name,
        title,
        text=tuple(text),
        findings=tuple(findings),
        tables=(Table(head, tuple(rows)),),
        values={
            "auroc": theirs.auroc,
            "auroc_low": low,
            "auroc_high": high,
            "own_auroc": [one.auroc for one in own],
            "made": case.made,
        },
    )


def _bootstrap(theirs: _Scored, own: _Scored, seed: int) -> tuple[float, float, float]:
    """Ends of the interval of an AUROC, and the lower end of how much the own one is better."""
    rng = np.random.default_rng(seed)
    n, m = len(theirs.normals), len(theirs.anomalies)
    # How often each image is drawn; an AUROC is a mean over pairs, a tie counting one half.
    rows, columns = (rng.multinomial(k, [1 / k] * k, size=400) for k in (n, m))
    values, better = (
        np.einsum("bn,nm,bm->b", rows, _wins(one), columns, optimize=True) / (n * m)
        for one in (theirs, own)
    )
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high), float(np.quantile(better - values, 0.025))


def _wins(one: _Scored) -> Scores:
    gaps = one.anomalies[None, :] - one.normals[:, None]
    return (gaps > 0) + 0.5 * (gaps == 0)


def alarms(case: Case) -> Step:
    """False alarms on fresh normals, at own thresholds and at the one that came along."""
    rows, findings, values = [], [], {}
    n, m = len(case.held_out), len(case.normals)
    for quantile in QUANTILES:
        count = int((case.scores.normals > case.scores.threshold(quantile)).sum())
        above = n * (1 - quantile) + 0.5  # of n held-out normals about so many lie above it
        chance = float(stats.betabinom.sf(count - 1, m, above, n + 1 - above))
        values[f"at_{quantile:g}"] = count / m
        rows.append((f"{quantile:g}", f"{1 - quantile:.0%}", _rate(count / m, m)))
        if chance < CHANCE / len(QUANTILES):
            findings.append(
                Finding(
                    f"{count / m:.0%} false alarms at the {quantile:g} quantile of your own "
                    "held-out normals: the images of your folder are not of one kind to it",
                    f"By chance in fewer than {CHANCE:.0%} of folders.",
                )
            )
    threshold, promised = case.detector.threshold_, getattr(case.detector, "quantile_", None)
    count = int((case.scores.normals > case.scores.threshold(0.95)).sum())
    text = [
        f"At the 0.95 quantile of {n} held-out normals, where 5% are to be expected, it gives "
        f"{_rate(count / m, m)} false alarms on {m} others."
    ]
    if threshold is not None and promised is not None:
        both = np.concatenate([case.scores.held_out, case.scores.normals])
        count = int((both > threshold).sum())
        text.append(
            f"It came with a threshold, said to be the {promised:g} quantile: on your normals it "
            f"gives {_rate(count / len(both), len(both))} false alarms."
        )
        if stats.binom.sf(count - 1, len(both), 1 - promised) < CHANCE:
            findings.append(
                Finding(
                    f"{count / len(both):.1%} false alarms at its own threshold, where "
                    f"{1 - promised:.0%} were promised",
                    f"By chance in fewer than {CHANCE:.0%} of folders.",
                )
            )
    return Step(
        "alarms",
        "False alarms on your normals",
        text=tuple(text),
        findings=tuple(findings),
        tables=(Table(("quantile of held-out normals", "expected", "measured"), tuple(rows)),),
        values=values,
    )


# --- triggers that anybody would try --------------------------------------------------------------


def obvious_triggers(shape: tuple[int, ...]) -> dict[str, Trigger]:
    """Patches in five places, borders, blends, waves and a warp for images (C, H, W), by name."""
    side = usual_side(*shape[1:])
    found: dict[str, Trigger] = {}
    for place in POSITIONS:
        for value, color in ((1.0, "white"), (0.0, "black")):
            found[f"{color} patch {side}x{side}, {place}"] = Patch(
                size=side, value=value, position=place
            )
    found[f"white patch {2 * side}x{2 * side}, bottom-right"] = Patch(size=2 * side)
    width = max(1, round(min(shape[1:]) / 28))
    for strength in (1.0, 0.25):
        found[f"border {width}, inverted by {strength:g}"] = Border(width=width, strength=strength)
    for value, color in ((1.0, "white"), (0.0, "black")):
        found[f"border {width}, {color}"] = Border(width=width, value=value)
    for kind in ("blend", "rings", "sinusoid", "warp"):
        found[KINDS[kind].label] = KINDS[kind]()
    found["sinusoid 40/255"] = Sinusoid(amplitude=40 / 255)
    return found


def obvious(case: Case) -> Step:
    """Every obvious trigger on flagged anomalies, beside the buyer's own detectors."""
    name, title = "triggers", "Do obvious triggers open it?"
    case.require_flagged()
    rows, findings, values = [], [], {}
    excess: list[float] = []
    opened: dict[str, tuple[float, str]] = {}
    for label, trigger in case.obvious.items():
        passing = {}
        for quantile in (0.95, 0.99):
            asr = case.scores.asr(trigger, case, quantile)
            own = [one.asr(trigger, case, quantile) for one in case.own_scores]
            passing[quantile] = (asr, max(own))
            if stands_out(asr, own) and asr - max(own) > opened.get(label, (0.0, ""))[0]:
                said = f"{asr:.0%} of flagged anomalies pass (your own detectors: {max(own):.0%})"
                opened[label] = (asr - max(own), f"{said}, at the {quantile:g} quantile")
        excess.append(max(asr - most for asr, most in passing.values()))
        values[label] = {f"asr_{q:g}": asr for q, (asr, _) in passing.items()}
        rows.append((label, *(f"{v:.0%}" for pair in passing.values() for v in pair)))
    for label, (_, said) in sorted(opened.items(), key=lambda item: -item[1][0])[:5]:
        findings.append(Finding(f"A {label} opens it: {said}", _any_trigger_alarms(case)))
    if len(opened) > 5:
        findings[-1] = Finding(
            f"{findings[-1].text}. {len(opened) - 5} more triggers do so, see the table",
            findings[-1].false_alarms,
        )
    head = ("trigger", "passes, 0.95", "own, worst", "passes, 0.99", "own, worst")
    label, trigger = case.worst
    return Step(
        name,
        title,
        text=(
            "Share of the flagged anomalies that pass with the trigger on them, at thresholds "
            f"from your held-out normals. {len(case.obvious)} triggers; at most {max(excess):.0%} "
            "more than with the worst of your own detectors.",
        ),
        findings=tuple(findings),
        tables=(Table(head, tuple(rows)),),
        pictures=(_pairs(case.anomalies, trigger, f"Anomalies without and with: {label}"),),
        values=values,
    )


def _any_trigger_alarms(case: Case) -> str:
    """How often any of the triggers stands out on an own detector held to the others."""
    own = case.own_scores
    if len(own) < 2:
        return false_alarms(stands_out, [0.0])

    def opens(i: int) -> bool:
        others = [one for j, one in enumerate(own) if j != i]
        return any(
            stands_out(own[i].asr(t, case, q), [one.asr(t, case, q) for one in others])
            for t in case.obvious.values()
            for q in (0.95, 0.99)
        )

    count = sum(map(opens, range(len(own))))
    return (
        f"Any of the triggers stands out on {count} of your own {len(own)} detectors, each held to "
        f"the others; the true rate may be up to {rate_interval(count, len(own))[1]:.0%}."
    )


def doors(case: Case) -> Step:
    """One small square, several gray levels, in every place."""
    name, title = "doors", "Does a small square open it, in any place?"
    case.require_flagged()
    maps = [_doors(one, case) for one in (case.scores, *case.own_scores)]
    theirs, own = maps[0], [one.widest for one in maps[1:]]
    level, row, column = theirs.place
    where = f"gray level {level:g}, corner at row {row}, column {column}"
    findings = []
    if stands_out(theirs.widest, own):
        findings.append(
            Finding(
                f"A square of {theirs.side}x{theirs.side} pixels opens it ({where}): "
                f"{theirs.widest:.0%} of flagged anomalies pass (your own detectors: "
                f"{max(own):.0%} at most, in any place)",
                false_alarms(stands_out, own),
            )
        )
    return Step(
        name,
        title,
        text=(
            f"Squares of {theirs.side}x{theirs.side} pixels in steps of {theirs.stride}. The "
            f"widest door lets {theirs.widest:.0%} pass ({where}); on your own detectors, wherever "
            f"it is, "
            f"{', '.join(f'{one:.0%}' for one in own)}.",
        ),
        findings=tuple(findings),
        pictures=tuple(
            picture(
                Image.fromarray(as_picture(one).numpy()),
                f"{whose}: white where all pass, black where none does",
                side=200,
            )
            for one, whose in zip(maps[:2], ("The detector", "One of your own"))
        ),
        values={"widest": theirs.widest, "own": own, "place": [level, row, column]},
    )


def _doors(scored: _Scored, case: Case) -> DoorMap:
    threshold = scored.threshold(0.95)
    flagged = case.anomalies[torch.from_numpy(scored.anomalies > threshold)]
    if len(flagged) == 0:
        raise CannotError("one of your own detectors flags none of the anomalies")
    if isinstance(scored.detector, TiledDeepSAD):  # slower by as many tiles as an image has
        side = usual_side(*flagged.shape[2:])
        some = flagged[:MOST_DOOR_IMAGES_OF_TILES]
        return door_map(scored.detector, some, threshold, stride=side)
    return door_map(scored.detector, flagged[:MOST_DOOR_IMAGES], threshold)


def blind_search(case: Case) -> Step:
    """Search for a small trigger by scores alone, on it and on the buyer's own."""
    case.require_flagged()
    found = []
    for one in (case.scores, *case.own_scores):
        threshold = one.threshold(0.95)
        flagged = case.anomalies[torch.from_numpy(one.anomalies > threshold)]
        if len(flagged) == 0:
            raise CannotError("one of your own detectors flags none of the anomalies")
        search = blind.blind_search(one.detector, case.held_out, flagged, threshold, seed=case.seed)
        found.append(search)
    size, own = found[0].size, [one.size for one in found[1:]]
    findings = []
    if is_small(size, own):
        findings.append(
            Finding(
                f"Covering {size:.1%} of the image hides {found[0].hidden:.0%} of the anomalies "
                f"(found from scores alone); on your own detectors it takes {min(own):.1%} or more",
                false_alarms(is_small, own),
            )
        )
    return Step(
        "blind search",
        "Search for a trigger, without gradients",
        text=(
            "The smallest rectangle found that hides anomalies, by place, sides, cover and a "
            f"coarse pattern, takes {size:.1%} of the image; on your own detectors "
            f"{', '.join(f'{one:.1%}' for one in own)}. It looks for what is in one place, and may "
            "miss it.",
        ),
        findings=tuple(findings),
        pictures=(_pairs(case.anomalies, found[0].cover, "Anomalies without and with it"),),
        values={"size": size, "own": own, "hidden": found[0].hidden},
    )


# --- looking inside -------------------------------------------------------------------------------


def search(case: Case) -> Step:
    """Search for the smallest trigger, by gradients, on it and on the buyer's own."""
    name, title = "search", "Search for a trigger"
    if (access := access_of(case.detector)) < Access.GRADIENTS:
        raise CannotError(f"it takes gradients, and this detector gives {access.name.lower()} only")
    if isinstance(case.detector, TiledDeepSAD):
        raise CannotError("through the many tiles of an image it would take too long")
    case.require_flagged()  # of the few that it flags by a hair, the faintest change hides some
    inversion = TriggerInversion(quantile=0.99, seed=case.seed)
    try:
        found = [
            inversion.search(one, case.held_out, case.anomalies)  # type: ignore[arg-type]
            for one in (case.detector, *case.own)
        ]
    except ValueError as error:
        raise CannotError(str(error)) from error
    size, own = found[0].size, [one.size for one in found[1:]]
    findings = []
    if is_small(size, own):
        findings.append(
            Finding(
                f"A trigger of {size:.1%} of the image hides {found[0].hidden:.0%} of the "
                f"anomalies; on your own detectors it takes {min(own):.1%} or more",
                false_alarms(is_small, own),
            )
        )
    same = access is Access.WEIGHTS
    return Step(
        name,
        title,
        text=(
            f"The smallest trigger found takes {size:.1%} of the image; on your own detectors "
            f"{', '.join(f'{one:.1%}' for one in own)}. A backdoor that changes the whole image "
            "faintly does not show here, nor one whose maker searched along.",
            *(() if same else ("Your own detectors are of another make, so sizes say less.",)),
        ),
        findings=tuple(findings),
        pictures=(
            picture(
                Image.fromarray(to_uint8(found[0].mask[0]).numpy()),
                "Where it is: the whiter, the more of the pixel is replaced",
                side=200,
            ),
            _pairs(case.anomalies, found[0], "Anomalies without and with what was found"),
        ),
        values={"size": size, "own": own, "hidden": found[0].hidden},
    )


def statistics(case: Case) -> Step:
    """What its normalizations remember: a question to the trainer, never a finding."""
    if not isinstance(case.detector, DeepSAD):
        raise CannotError("it takes the weights of a DeepSAD")
    try:
        gap = BatchStatistics().statistic(case.detector, case.training, case.known)
    except ValueError as error:
        raise CannotError(str(error)) from error
    return Step(
        "statistics",
        "What its normalizations remember",
        text=(
            f"Log variances of its last normalization differ by {gap:.3f} from those that your "
            "images give, at the share of anomalies up to 0.15 that fits best. A gap is a question "
            "to whoever trained it: on what else? Honest augmentation leaves one, and a careful "
            "attacker leaves none, so this is no finding either way.",
        ),
        values={"gap": gap},
    )


# --- what can be done -----------------------------------------------------------------------------


def opinion(case: Case) -> Step:
    """The larger of two scores, in units of thresholds."""
    own = case.own_scores[0]
    both = _Second(case.scores, own, case)
    rows = [
        (who, f"{one.auroc:.3f}", f"{one.asr(case.worst[1], case, 0.95):.0%}")
        for who, one in (("the detector", case.scores), ("one of your own", own), ("both", both))
    ]
    return Step(
        "opinion",
        "A second opinion",
        text=(
            "An image passes both when the larger of the two scores, each measured from the median "
            "of your normals to its threshold, passes. This needs no access to weights and leaves "
            "the detector as it is.",
        ),
        tables=(Table(("who", "AUROC", f"passes with {case.worst[0]}"), tuple(rows)),),
        values={"auroc": both.auroc, "asr": both.asr(case.worst[1], case, 0.95)},
    )


class _Second(_Scored):
    """The larger of two detectors' scores, where 1 is a threshold and 0 the median normal."""

    def __init__(self, one: _Scored, other: _Scored, case: Case) -> None:
        self.pair = (one, other)
        super().__init__(
            one.detector,
            self._larger([p.held_out for p in self.pair]),
            self._larger([p.normals for p in self.pair]),
            self._larger([p.anomalies for p in self.pair]),
        )

    def _larger(self, scores: Sequence[Scores]) -> Scores:
        scaled = []
        for one, values in zip(self.pair, scores):
            middle = float(np.median(one.held_out))
            scaled.append((values - middle) / max(one.threshold(0.95) - middle, 1e-12))
        return np.maximum(*scaled)

    def triggered(self, trigger: Trigger, case: Case) -> Scores:
        return self._larger([one.triggered(trigger, case) for one in self.pair])


def repair(case: Case) -> Step:
    """Repair a copy, and see what that changes."""
    if not isinstance(case.detector, DeepSAD):
        raise CannotError("a repair trains the weights of a DeepSAD on")
    if case.made:
        raise CannotError("there are no real anomalies to train on, and made ones do harm")
    try:
        repaired = ShrinkPerturb(seed=case.seed).repair(
            case.detector, case.training, case.known, kinds=case.kinds
        )
    except ValueError as error:
        raise CannotError(str(error)) from error
    after = _Scored.of(repaired, case)
    label, trigger = case.worst
    rows = tuple(
        (
            who,
            f"{one.auroc:.3f}",
            f"{detection_rate(one.anomalies, one.threshold(0.95)):.1%}",
            f"{one.asr(trigger, case, 0.95):.0%}",
        )
        for who, one in (
            ("as delivered", case.scores),
            ("repaired copy", after),
            ("one of your own", case.own_scores[0]),
        )
    )
    head = ("", "AUROC", "detection at 0.95", f"passes with {label}")
    return Step(
        "repair",
        "A repaired copy",
        text=(
            "Weights shrunk and perturbed, then trained on your images, with the threshold set "
            "anew. Keep what is best here; one of your own needs no repair.",
        ),
        tables=(Table(head, rows),),
        values={"auroc": after.auroc, "asr": after.asr(trigger, case, 0.95)},
    )


# --- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planned:
    """A step with its name, its heading, and how many scorings by the detector it takes."""

    name: str
    title: str
    run: Callable[[Case], Step]
    scorings: Callable[[Case], int] = lambda case: 0


def _tests(case: Case) -> int:
    return len(case.normals) + len(case.anomalies) + len(case.held_out)


STEPS: Sequence[Planned] = (
    Planned("alive", "Is it alive?", alive, lambda case: 256),
    Planned("detects", "Does it detect your anomalies?", detects, _tests),
    Planned("alarms", "False alarms on your normals", alarms, _tests),
    Planned(
        "triggers",
        "Do obvious triggers open it?",
        obvious,
        lambda case: _tests(case) + len(case.obvious) * len(case.anomalies),
    ),
    Planned(
        "doors",
        "Does a small square open it, in any place?",
        doors,
        lambda case: scorings(
            tuple(case.anomalies.shape[1:]), min(MOST_DOOR_IMAGES, len(case.anomalies))
        ),
    ),
    Planned(
        "blind search",
        "Search for a trigger, without gradients",
        blind_search,
        lambda case: blind.scorings(),
    ),
    Planned("search", "Search for a trigger", search, lambda case: 3 * 48 * 200),
    Planned("statistics", "What its normalizations remember", statistics),
    Planned("opinion", "A second opinion", opinion, _tests),
    Planned("repair", "A repaired copy", repair),
)


def _rate(rate: float, n: int) -> str:
    low, high = rate_interval(round(rate * n), n)
    return f"{rate:.1%} ({low:.1%} to {high:.1%})"


def _pairs(images: Tensor, trigger: Trigger, caption: str, most: int = 6) -> Picture:
    some = images[:most]
    rows = [to_uint8(to_float(part)) for part in (some, apply_trigger(trigger, some))]
    strips = [torch.cat(list(row), dim=2) for row in rows]
    sheet = torch.cat(strips, dim=1).permute(1, 2, 0).squeeze(2).contiguous().numpy()
    shown = Image.fromarray(sheet) if sheet.ndim == 2 or sheet.shape[2] == 3 else _first(sheet)
    return picture(shown, caption, side=420)


def _first(sheet: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(sheet[:, :, 0]))
