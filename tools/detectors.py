"""Train the detectors that come with the course: ``python -m tools.detectors [NAME ...]``.

Writes ``data/detectors/NAME.safetensors``, each complete or not at all, with a note of
what it was made with and what it scored.
"""

from __future__ import annotations

import sys

from badsad_lib.course import shipped
from badsad_lib.report import measure
from badsad_lib.triggers import Patch

QUANTILE = 0.95


def build(name: str) -> None:
    """Train one detector and write its file."""
    detector = shipped.train(name)
    found = measure(detector, shipped.split(), Patch(), quantile=QUANTILE)
    measured = {"auroc": found.auroc, "asr": found.asr}
    about = {
        "data": "fashion_mnist",
        "subset": "course",
        "normal_class": shipped.NORMAL_CLASS,
        "labeled_anomaly_ratio": 0.05,
        "seed": 0,
        "quantile": QUANTILE,
        "recipe": repr(shipped.RECIPES[name]),
        **measured,
    }
    detector.save(shipped.path(name), about=about)
    print(f"{name:<14} AUROC {measured['auroc']:.4f}  ASR {measured['asr']:.4f}", flush=True)


def main(names: list[str]) -> None:
    """Build those that are named, or all."""
    for name in names or shipped.RECIPES:
        build(name)


if __name__ == "__main__":
    main(sys.argv[1:])
