"""How long an audit takes, step by step: of a detector of clothes (28x28) and of tiles (64x64).

    python benchmarks/audit_speed.py [clothes] [tiles] [--threads 2]

It prints seconds of the processor, which other programs on the machine hardly change, and seconds
by the clock, which they do, beside the budget; and how many times the training of the detector
that is examined the audit costs, which travels better. No test here depends on the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

import badsad_lib.audit
from badsad_lib import DeepSAD, datasets, splits, surfaces
from badsad_lib.audit import audit, steps
from badsad_lib.experiments import device_in_words
from badsad_lib.tiles import TiledDeepSAD

BUDGET_MINUTES = {"clothes": 3, "tiles": 6}
"""By the clock, on two cores that do nothing else."""

Times = dict[str, tuple[float, float]]


def clothes() -> tuple[Any, splits.Split]:
    """Train a detector of T-shirts."""
    split = splits.one_vs_rest(datasets.load("fashion_mnist"), 0)
    return DeepSAD(seed=0).fit(split.train_images, split.train_labels), split


def tiles() -> tuple[Any, splits.Split]:
    """Train a detector of tiles of a brick wall."""
    split = splits.from_surface(surfaces.load("brick"))
    return TiledDeepSAD(seed=0).fit(split.train_images), split


SUBJECTS: dict[str, Callable[[], tuple[Any, splits.Split]]] = {"clothes": clothes, "tiles": tiles}


@contextmanager
def timed(name: str, times: Times) -> Iterator[None]:
    """Note seconds of the processor and by the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    try:
        yield
    finally:
        times[name] = time.process_time() - processor, time.perf_counter() - clock


@contextmanager
def watched(times: Times) -> Iterator[None]:
    """Have each step of an audit timed, and the training of own detectors."""
    planned, train = badsad_lib.audit.STEPS, badsad_lib.audit._own_detectors

    def one(step: steps.Planned) -> steps.Planned:
        def run(case: steps.Case) -> Any:
            with timed(step.name, times):
                return step.run(case)

        return steps.Planned(step.name, step.title, run, step.scorings)

    def own(*arguments: Any) -> Any:
        with timed("own detectors", times):
            return train(*arguments)

    badsad_lib.audit.STEPS = [one(step) for step in planned]
    badsad_lib.audit._own_detectors = own
    try:
        yield
    finally:
        badsad_lib.audit.STEPS, badsad_lib.audit._own_detectors = planned, train


def measure(detector: Any, split: splits.Split, **settings: Any) -> Times:
    """Audit a detector with the trusted images of its split; seconds of each step, and of all."""
    times: Times = {}
    kinds = torch.arange(len(split.trusted_anomalies)) % 5
    with watched(times), timed("all", times):
        audit(detector, split.trusted_images, split.trusted_anomalies, kinds=kinds, **settings)
    return times


def main() -> None:
    """Train, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="clothes, tiles; or both")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{device_in_words()}, {args.threads} threads")
    for name in args.subjects or SUBJECTS:
        training: Times = {}
        with timed("training", training):
            detector, split = SUBJECTS[name]()
        times = training | measure(detector, split)
        budget = f"budget {BUDGET_MINUTES[name] * 60} s by the clock"
        print(f"\n{name}: {times['all'][0] / times['training'][0]:.1f} trainings, {budget}")
        for step, (processor, clock) in times.items():
            print(f"  {step:<16}{processor:8.1f} s of the processor{clock:8.1f} s", flush=True)


if __name__ == "__main__":
    main()
