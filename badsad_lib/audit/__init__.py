"""The buyer's checklist as a program: what one can see of a detector, whatever the access.

:func:`audit` takes a detector of any make and images that the buyer took. It trains a few
detectors of the buyer's own on half of them, and compares. What it returns are findings, each with
how often it falls on a clean detector as far as that was measured, and a list of what was *not*
looked at and why. It never says that a detector is clean.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from badsad_lib import __version__
from badsad_lib._rules import Count, Device, Flag, Positive, Seed, checked
from badsad_lib.audit import rates
from badsad_lib.audit.results import AuditReport, Finding, Step, write
from badsad_lib.audit.steps import STEPS, CannotError, Case, Planned
from badsad_lib.checkpoints import SUFFIX, CheckpointError
from badsad_lib.deepsad import DeepSAD
from badsad_lib.defenses import references, synthetic_anomalies
from badsad_lib.defenses.own import TrainYourOwn
from badsad_lib.detectors import ScoreDetector, ScoringError, access_of
from badsad_lib.images import check_images, to_uint8
from badsad_lib.tiles import TiledDeepSAD, load_detector

__all__ = ["AuditReport", "audit"]

LEAST_NORMALS = 40
MOST_TESTS = 300
MADE = 100
FIRST_STEP = 200
"""About so many images are scored before anything is known of a detector."""
MOST_TILE_STEPS = 400
"""Steps of own detectors of tiles, which are trained on synthetic anomalies alone."""

FAILS_NOT = (
    "A clean detector that is wrapped as it should be never does this. What a line does with an "
    "image without a score is for you to find out."
)

NEVER = (
    "The data and the script that it was trained with: a clean twin, trained on them, is the "
    "strongest control there is, and the trainer has to give them to you.",
    "Triggers of other kinds, sizes and places than those listed, and any that its maker hid from "
    "this list.",
    "Guards for its inputs in use: they judge images, not the detector.",
)


@checked
def audit(
    detector: ScoreDetector,
    trusted: Tensor | np.ndarray,
    anomalies: Tensor | np.ndarray | None = None,
    *,
    kinds: Sequence[Any] | Tensor | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    own: Count = 3,
    minutes: Positive = 60.0,
    seed: Seed = 0,
    device: Device | torch.device = "auto",
    progress: Flag = False,
) -> AuditReport:
    """Examine a detector with what access and images permit.

    Parameters
    ----------
    detector
        A DeepSAD, or what :func:`badsad_lib.detectors.wrap` returned.
    trusted
        Normals (N, C, H, W) that you took yourself, N at least 40. Half of them train detectors of
        your own, a quarter sets thresholds, a quarter is for the test.
    anomalies
        Your own (M, C, H, W), M at least 4; half of them are trained on. Without any, some are
        made from the normals, and what rests on them is said.
    kinds
        Of what kind each anomaly is, (M,): names or numbers. A repair wants five.
    out
        Folder for ``report.html`` and ``report.json``. An audit that was cut off goes on there
        with the step that was not finished, if the detector can be known again: a DeepSAD, or one
        from an ONNX or TorchScript file. Of any other only the training of your own is kept.
    name
        What the report calls the detector.
    own
        How many detectors of your own are trained to compare with.
    minutes
        Steps that would take longer with this detector are left out, and said.
    seed
        Fixes how images are dealt out, and all that is drawn.
    device
        For your own detectors.
    progress
        Show a progress bar.

    Returns
    -------
    AuditReport
        ``findings``, ``not_looked_at``, ``status``, and ``str(report)``.

    Raises
    ------
    TypeError, ValueError
        No detector; images that it or the networks do not take; too few of them; a detector so slow
        that the first step would not end in time.
    """
    access = access_of(detector)
    normals = to_uint8(check_images(trusted, name="trusted"))
    if len(normals) < LEAST_NORMALS:
        raise ValueError(
            f"an audit needs at least {LEAST_NORMALS} normal images of your own, got "
            f"{len(normals)}: half of them train detectors to compare with, the others test"
        )
    real = None
    if anomalies is not None:
        _, channels, height, width = normals.shape
        real = to_uint8(
            check_images(anomalies, name="anomalies", channels=channels, size=(height, width))
        )
        if len(real) < 4:
            raise ValueError(
                f"anomalies must be at least 4, got {len(real)}: take more, or leave them out and "
                "hand in normals alone (--images with the folder of normals)"
            )
        if kinds is not None and len(kinds) != len(real):
            raise ValueError(f"kinds must name that of each of {len(real)} anomalies")
    _refuse_other_images(detector, normals, minutes)
    parts = _deal(normals, real, kinds, seed)
    work = (
        None if out is None else _Work(Path(out), *_keys(detector, normals, real, own, seed, kinds))
    )
    case = Case(detector=detector, own=(), seed=seed, **parts)
    subject = {
        "detector": name or repr(detector),
        "access": access.name.lower(),
        "images": f"{len(normals)} normals, "
        + (f"{len(real)} anomalies" if real is not None else "no anomalies: some were made of them")
        + f", {'x'.join(map(str, normals.shape[1:]))}",
        "library": f"badsad_lib {__version__}",
    }
    steps = _run(case, own, device, minutes, work, progress)
    never = [*NEVER, rates.measured()]
    if real is None:
        never.insert(0, "Real anomalies: you gave none, so what it detects was not seen.")
    report = AuditReport(subject, tuple(steps), tuple(never))
    if out is not None:
        report.save(out)
    return report


def _refuse_other_images(detector: ScoreDetector, normals: Tensor, minutes: float) -> None:
    """Let a wrong size or layout come up at once, and a detector that would never be done.

    Scores that are no numbers are a finding.
    """
    start = time.monotonic()
    with suppress(FloatingPointError):
        detector.decision_function(normals[:2])
    needed = (time.monotonic() - start) / 2 * FIRST_STEP / 60
    if needed > minutes:
        raise ValueError(
            f"this detector takes {needed / FIRST_STEP * 60:.2g} s an image: the first step alone "
            f"would take {needed:.1f} minutes, beyond the limit of {minutes:g} for all. Allow more "
            "(minutes=..., --minutes), or have it score faster"
        )


# --- the parts ------------------------------------------------------------------------------------


def _deal(
    normals: Tensor, real: Tensor | None, kinds: Sequence[Any] | Tensor | None, seed: int
) -> dict[str, Any]:
    """Deal images out: half to train own detectors, of the normals a quarter for thresholds."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(normals), generator=generator)
    half, quarter = len(normals) // 2, len(normals) // 4
    training, held_out, tests = order.tensor_split([half, half + quarter])
    parts: dict[str, Any] = {
        "training": normals[training],
        "held_out": normals[held_out],
        "normals": normals[tests[:MOST_TESTS]],
        "kinds": None,
        "made": real is None,
    }
    if real is None:
        parts["known"] = to_uint8(synthetic_anomalies(parts["training"], MADE, seed))
        parts["anomalies"] = to_uint8(synthetic_anomalies(parts["normals"], MADE, seed + 1))
        return parts
    order = torch.randperm(len(real), generator=generator)
    known, tests = order.tensor_split(2)
    parts |= {"known": real[known], "anomalies": real[tests[:MOST_TESTS]]}
    if kinds is not None:
        names = kinds.tolist() if isinstance(kinds, Tensor) else list(kinds)
        parts["kinds"] = [names[i] for i in known.tolist()]
    return parts


def _own_detectors(
    case: Case, count: int, device: str | torch.device, work: _Work | None
) -> list[Any]:
    """Train detectors known to be clean, and keep each at once: a cut costs one of them at most."""
    made = []
    for number in range(count):
        one = None if work is None else work.detector(number)
        if one is None:
            one = _own_detector(case, number, device)
            if work is not None:
                work.keep(one, number)
        made.append(one)
    return made


def _own_detector(case: Case, seed: int, device: str | torch.device) -> DeepSAD | TiledDeepSAD:
    """Train one of the architecture of the delivered one, where that is known."""
    if isinstance(case.detector, DeepSAD):
        usual = TrainYourOwn(seed=seed)
        [one] = references(case.detector, case.training, case.known, own=usual, count=1)
        return one
    if isinstance(case.detector, TiledDeepSAD):
        params = case.detector.get_params() | {"device": device, "progress": False, "seed": seed}
        params["steps"] = min(params["steps"], MOST_TILE_STEPS)
        return TiledDeepSAD(**params).fit(case.training)
    images = torch.cat([case.training, case.known])
    labels = torch.tensor([0] * len(case.training) + [-1] * len(case.known))
    steps = TrainYourOwn().steps
    return DeepSAD(epochs=1, min_steps=steps, seed=seed, device=device).fit(images, labels)


# --- step by step ---------------------------------------------------------------------------------


def _run(
    case: Case,
    own: int,
    device: str | torch.device,
    minutes: float,
    work: _Work | None,
    progress: bool,
) -> list[Step]:
    end = time.monotonic() + minutes * 60
    stopped, speed = "", 0.0
    steps: list[Step] = []
    for planned in (bar := tqdm(STEPS, "audit", disable=not progress, unit="step")):
        if not stopped and planned.name != "alive" and not case.own:
            bar.set_postfix_str("training detectors of your own")
            case.own = _own_detectors(case, own, device, work)
        bar.set_postfix_str(planned.name)
        needed = 0.0 if stopped else speed * planned.scorings(case)
        found = None if work is None else work.step(planned.name)
        if found is None or stopped:
            found = _one(planned, case, stopped, needed, end, minutes)
            if work is not None and not found.skipped:
                work.note(found)
        if planned.name == "alive":
            if not found.values.get("usable"):
                stopped = "the detector cannot be used as it is, see the first step"
            else:
                speed = _seconds_per_image(case)
        steps.append(found)
    return steps


def _one(
    planned: Planned, case: Case, stopped: str, needed: float, end: float, minutes: float
) -> Step:
    if stopped:
        return Step(planned.name, planned.title, skipped=stopped)
    if time.monotonic() + needed > end:
        why = f"with this detector it would take {needed / 60:.1f} minutes, beyond the limit of "
        return Step(planned.name, planned.title, skipped=f"{why}{minutes:g} for all")
    try:
        return planned.run(case)
    except CannotError as error:
        return Step(planned.name, planned.title, skipped=str(error))
    except (FloatingPointError, ScoringError) as error:
        # It took the buyer's images: what a step does to them it must take as well.
        failed = Finding(f"It fails on images of this step: {error}", FAILS_NOT)
        return Step(planned.name, planned.title, findings=(failed,), values={"failed": str(error)})


def _seconds_per_image(case: Case) -> float:
    some = case.held_out[:64]
    start = time.perf_counter()
    case.detector.decision_function(some)
    return (time.perf_counter() - start) / len(some)


# --- going on after a kill ------------------------------------------------------------------------


def _keys(
    detector: ScoreDetector,
    normals: Tensor,
    real: Tensor | None,
    own: int,
    seed: int,
    kinds: Any = None,
) -> tuple[str, str | None]:
    """Name what own detectors are made of, and the whole audit: other images begin anew.

    Scores do not tell one detector from another: with a backdoor or without it may give the same
    ones to all images at hand. So one that cannot be known again has no second name.
    """
    digest = hashlib.sha256(f"{__version__} {own} {seed} {normals.shape}".encode())
    for images in (normals, real):
        if images is not None:
            digest.update(images.numpy().tobytes())
    inner = detector.deepsad_ if isinstance(detector, TiledDeepSAD) else detector
    if isinstance(detector, DeepSAD | TiledDeepSAD):
        digest.update(repr(detector.get_params()).encode())
    if isinstance(inner, DeepSAD):
        digest.update(repr((inner.get_params(), inner.network_)).encode())
    images_key = digest.hexdigest()[:16]
    if isinstance(inner, DeepSAD):
        for values in (*inner.encoder_.state_dict().values(), inner.center_):
            digest.update(values.detach().cpu().contiguous().numpy().tobytes())
    elif (known := getattr(detector, "digest_", None)) is not None:
        digest.update(f"{known} {detector!r}".encode())
    else:
        return images_key, None
    digest.update(f"{detector.threshold_} {getattr(detector, 'quantile_', None)}".encode())
    if kinds is not None:
        digest.update(repr([str(one) for one in kinds]).encode())
    return images_key, digest.hexdigest()[:16]


@dataclass
class _Work:
    """Steps that are done, as files of a folder; a damaged one is done again."""

    out: Path
    images_key: str
    key: str | None

    def __post_init__(self) -> None:
        self.own = self.out / f"own-{self.images_key}"
        self.steps = self.out / f"steps-{self.key}"

    def step(self, name: str) -> Step | None:
        """Return a step that was done before, with a detector that is known again."""
        if self.key is None:
            return None
        try:
            text = (self.steps / f"{name}.json").read_text(encoding="utf-8")
            return Step.from_dict(json.loads(text))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, step: Step) -> None:
        """Keep a step."""
        if self.key is not None:
            self.steps.mkdir(parents=True, exist_ok=True)
            write(self.steps / f"{step.name}.json", json.dumps(asdict(step)))

    def detector(self, number: int) -> DeepSAD | TiledDeepSAD | None:
        """Return an own detector that was trained before."""
        try:
            return load_detector(self.own / f"own_{number}{SUFFIX}")
        except (FileNotFoundError, CheckpointError):
            return None

    def keep(self, one: DeepSAD | TiledDeepSAD, number: int) -> None:
        """Keep an own detector."""
        self.own.mkdir(parents=True, exist_ok=True)
        one.save(self.own / f"own_{number}{SUFFIX}")
