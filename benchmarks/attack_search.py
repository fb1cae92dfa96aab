"""The search for the working point of ``BadSAD.basic``, into ``results/attack_search.csv``.

    python benchmarks/attack_search.py [--jobs 2]

What was tried, and on which images, says ``badsad_lib.grids.attack_search``. Needs the whole of
Fashion-MNIST. A grid that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from badsad_lib.experiments import run_grid
from badsad_lib.grids import attack_search

RESULTS = Path(__file__).resolve().parent / "results"


def main(argv: list[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, default=RESULTS / "attack_search.csv")
    args = parser.parse_args(argv)
    frame = run_grid(attack_search.run, attack_search.settings(), args.out, n_jobs=args.jobs)
    by = ["subset", "normal_class", "trigger", "poison_rate", "concentration_weight", "views"]
    print(frame[[*by, "fade", "auroc_drop", "asr_at_95"]].round(3).to_string())


if __name__ == "__main__":
    main()
