"""Measure the attack, into ``results/attack_*.csv``.

    python benchmarks/attack_grid.py TABLE [TABLE ...] [--jobs 2] [--seeds 1] [--classes 0 1 ...]

The tables are those of ``badsad_lib.grids.attack``. Detectors are kept in ``_build/detectors``
(``--kept``). A grid that was killed goes on where it stopped. ``--subset full`` needs the whole
data set, see ``data/README.md``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import attack

HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means over classes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "tables", nargs="+", choices=attack.TABLES, metavar="TABLE", help=str([*attack.TABLES])
    )
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--subset", choices=("course", "full"), default="full")
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--trigger", nargs="+", help="only rows with these triggers")
    parser.add_argument("--rate", type=float, nargs="+", help="only rows with these poison rates")
    parser.add_argument("--epochs", type=int, help=f"instead of {attack.EPOCHS}")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--kept", type=Path, default=HERE.parent / "_build" / "detectors")
    args = parser.parse_args(argv)
    for table in args.tables:
        grid = attack.settings(
            table, subset=args.subset, seeds=args.seeds, classes=args.classes, epochs=args.epochs
        )
        grid = [s for s in grid if not args.trigger or s["trigger"] in args.trigger]
        grid = [s for s in grid if not args.rate or s["poison_rate"] in args.rate]
        run = partial(attack.run, kept=args.kept.resolve())
        frame = run_grid(run, grid, args.out / f"attack_{table}.csv", n_jobs=args.jobs)
        by = ["method", "trigger", "poison_rate", "randomize"]
        columns = ["auroc_drop", "detection_drop", "asr", "control_asr"]
        print(frame.groupby(by)[columns].mean().round(4))


if __name__ == "__main__":
    told(main)
