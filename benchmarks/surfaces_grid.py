"""Measure detectors of surfaces, the attack on them, and what the audit finds.

    python benchmarks/surfaces_grid.py [surfaces] [surfaces_attack] [audits] [--jobs 2] [--seeds 0]

Each goes into ``results/TABLE.csv``.
Give it one thread (``OMP_NUM_THREADS=1``), else ``training_seconds`` add them up. A grid that was
killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import audits, surfaces, surfaces_attack

HERE = Path(__file__).resolve().parent
GRIDS = {
    "surfaces": (surfaces, surfaces.summary),
    "surfaces_attack": (surfaces_attack, surfaces_attack.chosen),
    "audits": (audits, audits.summary),
}


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means, or the weights that are chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help=f"some of {', '.join(GRIDS)} (default: all)"
    )
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.tables) - set(GRIDS)):
        parser.error(f"unknown table {unknown[0]}; choose from {', '.join(GRIDS)}")
    for table in args.tables or GRIDS:
        module, summary = GRIDS[table]
        grid = module.settings(seeds=args.seeds)
        frame = run_grid(module.run, grid, args.out / f"{table}.csv", n_jobs=args.jobs)
        print(summary(frame).round(3).to_string())


if __name__ == "__main__":
    told(main)
