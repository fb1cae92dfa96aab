"""Measure what a buyer can do, into ``results/{repair,inspection,crossing}.csv``.

    python benchmarks/buyer_grid.py TABLE [TABLE ...] [--jobs 2] [--seeds 0 1] [--classes 2 3 6 8 0]

The tables are those of ``badsad_lib.grids.repair``, ``inspection`` and ``crossing``. Give it one
thread (``OMP_NUM_THREADS=1``), else ``defense_seconds`` add them up. Detectors are those of
``attack_grid.py``, kept in ``_build/detectors`` (``--kept``). A grid that was killed goes on where
it stopped.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import pandas as pd

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import crossing, inspection, repair

HERE = Path(__file__).resolve().parent
GRIDS = {"repair": repair, "inspection": inspection, "crossing": crossing}


def summary(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return means over normal classes and seeds, or what an inspection is worth."""
    if table == "inspection":
        return inspection.judged(frame).round(3)
    if table == "crossing":
        means = frame.groupby(["trusted", "anomalies"])[["own_auroc", "delivered_auroc"]].mean()
        return means.round(3)
    frame = repair.excess(frame)
    measured = ("auroc_loss", "detection_loss", "asr_at_", "excess_at_")
    by = ["regime", "defense", "method", "trigger", "adaptation"]
    return frame.groupby(by)[[c for c in frame if c.startswith(measured)]].mean().round(3)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=GRIDS, metavar="TABLE", help=str([*GRIDS]))
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--classes", type=int, nargs="+", help="normal classes")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--kept", type=Path, default=HERE.parent / "_build" / "detectors")
    args = parser.parse_args(argv)
    for table in args.tables:
        some = {"classes": args.classes} if args.classes else {}
        grid = GRIDS[table].settings(seeds=args.seeds, **some)
        run = partial(GRIDS[table].run, kept=args.kept.resolve())
        frame = run_grid(run, grid, args.out / f"{table}.csv", n_jobs=args.jobs)
        print(summary(table, frame).to_string())


if __name__ == "__main__":
    told(main)
