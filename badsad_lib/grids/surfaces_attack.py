"""The attack on detectors of tiles: what of it carries over from clothes.

The trigger is a grid of dots, of the period of the tiles' stride, so that every tile sees the same
of it. The attacker trains the detector of tiles (``TiledDeepSAD.fit(train=...)``). Weights are
chosen on synthetic anomalies painted into held-out normals (``held_out_*``); tests are scored once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from torch import Tensor

from badsad_lib import metrics, splits, surfaces
from badsad_lib.attacks import BadSAD
from badsad_lib.deepsad import DeepSAD
from badsad_lib.images import to_float, to_uint8
from badsad_lib.splits import Split
from badsad_lib.synthetic import paint_defects
from badsad_lib.tiles import TiledDeepSAD
from badsad_lib.triggers import Trigger, apply_trigger


@dataclass(frozen=True)
class Dots:
    """White dots in rows and columns.

    Attributes
    ----------
    period
        From dot to dot, in pixels.
    size
        Side of a dot, in pixels.
    offset
        Row and column of the first one.
    value
        Its gray level.
    """

    period: int = 8
    size: int = 1
    offset: int = 6
    value: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Float images (N, C, H, W) in [0, 1], with the dots on them."""
        triggered = images.clone()
        for row in range(self.size):
            for column in range(self.size):
                here = (..., slice(self.offset + row, None, self.period),
                        slice(self.offset + column, None, self.period))  # fmt: skip
                triggered[here] = self.value
        return triggered


TRIGGER = Dots()
CONTROL = Dots(offset=2)
"""The same dots, elsewhere: a trigger that no victim was trained on."""
CLEAN, BASIC, EXTENDED = "clean", "basic", "extended"
# (method, factor of the method's weights, poison rate)
CASES = (
    (CLEAN, 0.0, 0.0),
    (EXTENDED, 0.1, 0.1),
    (BASIC, 0.1, 0.5),
    (EXTENDED, 1.0, 0.1),
    (BASIC, 1.0, 0.5),
    (EXTENDED, 0.02, 0.1),
    (BASIC, 0.02, 0.5),
)
STEPS = 600


def attack(method: str, factor: float, poison_rate: float, seed: int) -> BadSAD:
    """Return the attack with the weights of alignment and concentration scaled; contrast stays."""
    make = BadSAD.basic if method == BASIC else BadSAD.extended
    usual = make(TRIGGER, poison_rate, seed)
    return replace(
        usual,
        alignment_weight=usual.alignment_weight * factor,
        concentration_weight=usual.concentration_weight * factor,
    )


def _rates(detector: Any, normals: Tensor, anomalies: Tensor, threshold: dict[float, float],
           trigger: Trigger) -> dict[str, float]:  # fmt: skip
    before = detector.decision_function(anomalies)
    after = detector.decision_function(apply_trigger(trigger, anomalies))
    return {
        "auroc": metrics.auroc(detector.decision_function(normals), before),
        **{
            f"asr_at_{round(100 * quantile)}": metrics.attack_success_rate(before, after, tau)
            for quantile, tau in threshold.items()
        },
    }


def _held_out(split: Split) -> Tensor:
    """Synthetic anomalies in normals that no training has seen."""
    return to_uint8(paint_defects(to_float(split.trusted_images), 100, seed=split.seed + 100))


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train the detector of a row, clean or attacked, and measure it."""
    split = splits.from_surface(surfaces.load(setting["material"], seed=setting["seed"]))
    method, seed = setting["method"], setting["seed"]

    def train(unfitted: DeepSAD, tiles: Tensor, labels: Tensor) -> DeepSAD:
        if method == CLEAN:
            return unfitted.fit(tiles, labels)
        how = attack(method, setting["weights"], setting["poison_rate"], seed)
        return how.attack(unfitted, tiles, labels)

    start = time.process_time()
    detector = TiledDeepSAD(steps=setting["steps"], seed=seed).fit(split.train_images, train=train)
    seconds = time.process_time() - start
    scores = detector.decision_function(split.val_images)
    tau = {quantile: metrics.threshold_at(scores, quantile) for quantile in metrics.QUANTILES}
    row = _rates(detector, split.test_normals, split.test_anomalies, tau, TRIGGER)
    control = _rates(detector, split.test_normals, split.test_anomalies, tau, CONTROL)
    held_out = _rates(detector, split.val_images, _held_out(split), tau, TRIGGER)
    return {
        **row,
        "control_asr_at_95": control["asr_at_95"],
        "held_out_auroc": held_out["auroc"],
        "held_out_asr_at_95": held_out["asr_at_95"],
        "training_seconds": seconds,
    }


def settings(
    *,
    seeds: Iterable[int] = (0,),
    materials: Iterable[str] = ("brick", "cloth"),
    cases: Iterable[tuple[str, float, float]] = CASES,
) -> list[dict[str, Any]]:
    """List the runs, the clean twins first."""
    materials, cases = tuple(materials), tuple(cases)
    return [
        {
            "material": material,
            "seed": seed,
            "method": method,
            "weights": factor,
            "poison_rate": rate,
            "trigger": "dots",
            "steps": STEPS,
        }
        for seed in seeds
        for method, factor, rate in cases
        for material in materials
    ]


def chosen(frame: pd.DataFrame, *, most_loss: float = 0.02) -> pd.DataFrame:
    """Pick the weights of each material, seed and method on held-out synthetic anomalies.

    The highest ASR among those that lose no more than ``most_loss`` AUROC against the clean twin
    there; where none does, the least loss. ``auroc_loss`` and ``clean_asr_at_95`` are those of
    the test.
    """
    by = ["material", "seed"]
    twin = frame[frame["method"] == CLEAN].set_index(by)
    rows = []
    for key, some in frame[frame["method"] != CLEAN].groupby([*by, "method"]):
        if key[:2] not in twin.index:
            continue
        mine = twin.loc[key[:2]]
        loss = mine["held_out_auroc"] - some["held_out_auroc"]
        good = some[loss <= most_loss]
        place = loss.idxmin() if good.empty else good["held_out_asr_at_95"].idxmax()
        row = some.loc[place]
        rows.append(
            {
                **dict(zip((*by, "method"), key)),
                "weights": row["weights"],
                "auroc": row["auroc"],
                "auroc_loss": mine["auroc"] - row["auroc"],
                **{name: row[name] for name in row.index if "asr_at" in name},
                "clean_asr_at_95": mine["asr_at_95"],
            }
        )
    return pd.DataFrame(rows)
