"""Learning rate and batch size where one anomaly class is known: ``results/detector_choice.csv``.

    python benchmarks/detector_choice.py [--jobs 2]

What is chosen, and on which images, says ``badsad_lib.grids.detector_choice``. Needs the whole of
Fashion-MNIST. A grid that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import detector_choice

RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing, print the means and the choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, default=RESULTS / "detector_choice.csv")
    args = parser.parse_args(argv)
    grid = detector_choice.settings()
    table = run_grid(detector_choice.run, grid, args.out, n_jobs=args.jobs)
    print(table.pivot_table(index="lr", columns="batch_size", values="val_auroc").round(4))
    print(detector_choice.best(table))


if __name__ == "__main__":
    told(main)
