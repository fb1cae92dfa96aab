"""AUROC of the clean detector on ten normal classes, into ``results/detector.csv``.

    python benchmarks/detector_grid.py [--jobs 2] [--seeds 1] [--protocol course full hard ...]

The protocols are those of ``badsad_lib.grids.detector``. All but the ``course`` protocols need
the whole of Fashion-MNIST; see ``data/README.md``. A grid that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import detector

RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the mean of each protocol."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--protocol", nargs="+", choices=detector.PROTOCOLS, default=detector.PROTOCOLS
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "detector.csv")
    args = parser.parse_args(argv)
    grid = detector.settings(args.protocol, args.seeds)
    table = run_grid(detector.run, grid, args.out, n_jobs=args.jobs)
    print(table.groupby("protocol")["auroc"].agg(["mean", "min", "max", "count"]).round(4))


if __name__ == "__main__":
    told(main)
