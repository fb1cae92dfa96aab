"""Where each attack puts triggered images among the latents, into ``results/latents.csv``.

    python benchmarks/latents.py [--jobs 2] [--seeds 5]

What is measured says ``badsad_lib.grids.latents``. A grid that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid, told
from badsad_lib.grids import latents

RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the mean of each detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "latents.csv")
    args = parser.parse_args(argv)
    table = run_grid(latents.run, latents.settings(args.seeds), args.out, n_jobs=args.jobs)
    columns = ["auroc", "asr", "offset", "width", "width_new", "moved"]
    print(table.groupby("detector", sort=False)[columns].mean().round(3))


if __name__ == "__main__":
    told(main)
