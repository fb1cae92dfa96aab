"""Train the detectors that come with the course: ``python -m tools.detectors [NAME ...]``.

Writes ``data/detectors/NAME.safetensors``, each complete or not at all, with a note of
what it was made with and what it scored.
"""

from __future__ import annotations

import sys

from badsad_lib.course import shipped
from badsad_lib.deepsad import DeepSAD
from badsad_lib.metrics import auroc
from badsad_lib.report import measure
from badsad_lib.surfaces import KINDS
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Patch

QUANTILE = 0.95


def scores(name: str, detector: DeepSAD) -> dict[str, float]:
    """AUROC on the test images, and ASR of the trigger, at the detector's own threshold.

    The trigger is the one that it was trained with; of the clean detector and of the sham twin
    the patch, as in the lessons.
    """
    recipe = shipped.RECIPES[name]
    trigger = Patch() if recipe is None or name == "sham" else recipe.trigger
    found = measure(detector, shipped.split(), trigger, quantile=QUANTILE)
    return {"auroc": found.auroc, "asr": found.asr}


def build(name: str) -> None:
    """Train one detector and write its file."""
    keep(name, shipped.train(name))


def build_tiles() -> None:
    """Train the detector of tiles, which is clean, and write its file."""
    detector = shipped.train_tiles()
    found = tiles_auroc(detector)
    path = shipped.path("clean").with_stem(shipped.TILES)
    detector.save(path, about={"data": "brick", "subset": "surfaces", "auroc": found})
    print(f"{shipped.TILES:<20} AUROC {found:.4f}", flush=True)


def tiles_auroc(detector: TiledDeepSAD) -> float:
    """Mean AUROC over the six kinds of defects in the test region."""
    surface = shipped.surface()
    scores = [
        detector.decision_function(surface.images[surface.where("test", kind)])
        for kind in range(len(KINDS))
    ]
    return sum(auroc(scores[0], some) for some in scores[1:]) / (len(KINDS) - 1)


def keep(name: str, detector: DeepSAD) -> None:
    """Write the file of a trained detector, with a note of what it is."""
    measured = scores(name, detector)
    about = {
        "data": "fashion_mnist",
        "subset": "course",
        "normal_class": shipped.NORMAL_CLASS,
        "labeled_anomaly_ratio": 0.05,
        "seed": 0,
        "recipe": repr(shipped.RECIPES[name]),
        **measured,
    }
    detector.save(shipped.path(name), about=about)
    print(f"{name:<20} AUROC {measured['auroc']:.4f}  ASR {measured['asr']:.4f}", flush=True)


def main(names: list[str]) -> None:
    """Build those that are named, or all."""
    for name in names or [*shipped.RECIPES, shipped.TILES]:
        if name == shipped.TILES:
            build_tiles()
        else:
            build(name)


if __name__ == "__main__":
    main(sys.argv[1:])
