"""Measure detectors of surfaces into ``results/surfaces.csv``.

    python benchmarks/surfaces_grid.py [--jobs 2] [--seeds 0 1]

Give it one thread (``OMP_NUM_THREADS=1``), else ``training_seconds`` add them up. A grid that was
killed goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import surfaces

HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args(argv)
    grid = surfaces.settings(seeds=args.seeds)
    frame = run_grid(surfaces.run, grid, args.out / "surfaces.csv", n_jobs=args.jobs)
    print(surfaces.summary(frame).round(3).to_string())


if __name__ == "__main__":
    told(main)
