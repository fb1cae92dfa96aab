"""Detectors of surfaces: tiles with synthetic anomalies beside simple ones, on the same splits.

No real label is trained on. A row is one material, seed and detector.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from badsad_lib import metrics, splits, surfaces
from badsad_lib.grids.neighbors import NEIGHBORS
from badsad_lib.tiles import TiledDeepSAD

TILES = "tiles"
# (detector, size, normals); the first is the one that all others are measured by.
CASES = (
    (TILES, 64, 300),
    *((name, 64, 300) for name in NEIGHBORS),
    (TILES, 64, 20),
    (TILES, 128, 300),
)


def measure(detector: Any, surface: surfaces.Surface, split: splits.Split) -> dict[str, Any]:
    """AUROC of each kind of defect, their means, and rates at the 0.95 quantile."""
    kind = surface.kind[split.test_index].numpy()
    scores = np.asarray(detector.decision_function(split.test_images))
    row = {
        f"auroc_{name}": metrics.auroc(scores[kind == 0], scores[kind == number])
        for number, name in enumerate(surfaces.KINDS)
        if number
    }
    unlike = [row[f"auroc_{name}"] for name in surfaces.UNLIKE]
    threshold = metrics.threshold_at(detector.decision_function(split.val_images), 0.95)
    return {
        "auroc": float(np.mean(list(row.values()))),
        "auroc_unlike": float(np.mean(unlike)),
        **row,
        "detection_rate": metrics.detection_rate(scores[kind > 0], threshold),
        "false_alarms": metrics.detection_rate(scores[kind == 0], threshold),
    }


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train the detector of a row and measure it.

    Parameters
    ----------
    setting
        One of :func:`settings`.
    """
    surface = surfaces.load(
        setting["material"],
        size=setting["size"],
        normals=setting["normals"],
        seed=setting["seed"],
    )
    split = splits.from_surface(surface)
    start = time.process_time()
    if setting["detector"] == TILES:
        detector: Any = TiledDeepSAD(seed=setting["seed"])
    else:
        detector = NEIGHBORS[setting["detector"]](setting["seed"])
    detector.fit(split.train_images)
    seconds = time.process_time() - start
    return measure(detector, surface, split) | {"training_seconds": seconds}


def settings(
    *,
    seeds: Iterable[int] = (0, 1),
    materials: Iterable[str] = surfaces.MATERIALS,
    cases: Iterable[tuple[str, int, int]] = CASES,
) -> list[dict[str, Any]]:
    """List the runs, seed by seed."""
    materials, cases = tuple(materials), tuple(cases)
    return [
        {
            "material": material,
            "seed": seed,
            "detector": detector,
            "size": size,
            "normals": normals,
        }
        for seed in seeds
        for detector, size, normals in cases
        for material in materials
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean AUROC over defects and seeds: a row a detector, a column a material, and ``mean``."""
    table = frame.pivot_table(
        index=["detector", "size", "normals"], columns="material", values="auroc", sort=False
    )
    table = table[[name for name in surfaces.MATERIALS if name in table]]
    return table.assign(mean=table.mean(axis=1))
