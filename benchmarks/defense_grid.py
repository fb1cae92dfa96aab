"""Measure the defenses, into ``results/defense_*.csv``.

    python benchmarks/defense_grid.py TABLE [TABLE ...] [--jobs 2] [--seeds 2] [--classes 0 1 2 4 9]

The tables are those of ``badsad_lib.grids.defense``. Give it one thread (``OMP_NUM_THREADS=1``),
else ``defense_seconds`` add them up. Detectors are those of ``attack_grid.py``, kept in
``_build/detectors`` (``--kept``). A grid that was killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import pandas as pd

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import defense

HERE = Path(__file__).resolve().parent


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means over normal classes and seeds."""
    measured = ("separation", "true_positives", "false_alarms", "size", "hidden", "defense_seconds")
    columns = [c for c in frame if c.startswith(measured) or c.endswith(("_before", "_after"))]
    return frame.groupby(["defense", "method", "trigger", "adaptation"])[columns].mean().round(3)


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "tables",
        nargs="+",
        choices=defense.DEFENSES,
        metavar="TABLE",
        help=str([*defense.DEFENSES]),
    )
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--classes", type=int, nargs="+", default=list(defense.CLASSES))
    parser.add_argument("--method", nargs="+", help="only detectors made so: clean, extended, ...")
    parser.add_argument("--trigger", nargs="+", help="only victims of these triggers")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--kept", type=Path, default=HERE.parent / "_build" / "detectors")
    args = parser.parse_args(argv)
    for table in args.tables:
        grid = defense.settings(table, seeds=args.seeds, classes=args.classes)
        grid = [s for s in grid if not args.method or s["method"] in args.method]
        grid = [s for s in grid if not args.trigger or s["trigger"] in args.trigger]
        run = partial(defense.run, kept=args.kept.resolve())
        frame = run_grid(run, grid, args.out / f"defense_{table}.csv", n_jobs=args.jobs)
        print(summary(frame).to_string())


if __name__ == "__main__":
    told(main)
