"""The figures that ``attack`` writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from badsad_lib import metrics, plots
from badsad_lib.deepsad import DeepSAD
from badsad_lib.splits import Split
from badsad_lib.triggers import Trigger, apply_trigger

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawings = dict[str, Callable[[], "Figure"]]
"""File name to the function that draws, so that one can fail alone."""

POINTS = 300  # of each group on a map: enough to see its shape


def draw(
    clean: DeepSAD, victim: DeepSAD, split: Split, trigger: Trigger, quantile: float
) -> Drawings:
    """Return all figures but the maps, to be drawn."""
    normals, anomalies = _test_parts(split)
    triggered = apply_trigger(trigger, anomalies)
    twins = {"victim": victim, "clean twin": clean}
    held_out = {name: twin.decision_function(split.val_images) for name, twin in twins.items()}
    before = {name: twin.decision_function(anomalies) for name, twin in twins.items()}
    after = {name: twin.decision_function(triggered) for name, twin in twins.items()}

    shown = torch.cat([_spread(normals, 2), _spread(anomalies, 4)])
    titles = ["normal"] * 2 + ["anomaly"] * 4

    quantiles = np.arange(50, 100) / 100
    asr = {
        name: np.array(
            [
                metrics.attack_success_rate(
                    before[name], after[name], metrics.threshold_at(held_out[name], q)
                )
                for q in quantiles
            ]
        )
        for name in twins
    }
    # Where nothing is flagged to begin with, there is no ASR.
    defined = np.isfinite(list(asr.values())).all(axis=0)
    return {
        "triggered_pairs.png": lambda: plots.triggered_pairs(
            shown, apply_trigger(trigger, shown), titles=titles
        ),
        "score_histogram.png": lambda: plots.score_histogram(
            {
                "normal": victim.decision_function(normals),
                "anomaly": before["victim"],
                "triggered anomaly": after["victim"],
            },
            threshold={
                f"{q:.2f}": metrics.threshold_at(held_out["victim"], q) for q in metrics.QUANTILES
            },
            log=True,
        ),
        "asr_by_threshold.png": lambda: plots.asr_by_threshold(
            quantiles[defined],
            {name: values[defined] for name, values in asr.items()},
            mark=quantile,
        ),
    }


def draw_maps(
    clean: DeepSAD, victim: DeepSAD, split: Split, trigger: Trigger, poisoned: Tensor
) -> Drawings:
    """Return the figure of both latent spaces; ``poisoned`` are training images."""
    return {"latent_maps.png": lambda: _maps(clean, victim, split, trigger, poisoned)}


def _maps(
    clean: DeepSAD, victim: DeepSAD, split: Split, trigger: Trigger, poisoned: Tensor
) -> Figure:
    normals, anomalies = _test_parts(split)
    anomalies = _spread(anomalies, POINTS)
    groups = {
        "normal": _spread(normals, POINTS),
        "poisoned normal": _spread(poisoned, POINTS),
        "anomaly": anomalies,
        "triggered anomaly": apply_trigger(trigger, anomalies),
    }
    images = torch.cat(list(groups.values()))
    names = [name for name, part in groups.items() for _ in part] + ["center"]
    maps = {}
    for title, twin in (("clean twin", clean), ("victim", victim)):
        points = np.concatenate([twin.encode(images), twin.center_.cpu().numpy()[None]])
        maps[title] = plots.umap_coordinates(points)
    return plots.latent_maps(maps, names)


def _test_parts(split: Split) -> tuple[Tensor, Tensor]:
    return split.test_normals, split.test_anomalies


def _spread(images: Tensor, count: int) -> Tensor:
    """Return up to ``count`` images, evenly spread over all of them."""
    return images[torch.linspace(0, len(images) - 1, min(count, len(images))).long()]
