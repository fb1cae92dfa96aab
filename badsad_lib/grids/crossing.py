"""When a delivered detector is worth having: a buyer's own, over what he has to train it on.

One row a number of trusted normals, a number of anomalies, a normal class and a seed. The
delivered one is the clean twin of the other grids, trained on the whole training set.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from badsad_lib import defenses, report
from badsad_lib.grids import buyer

TRUSTED = (20, 50, 100, 150)
ANOMALIES = (0, 5, 20, 80)
SYNTHETIC = 150  # made from the trusted normals, beside those that are held


def run(setting: dict[str, Any], *, kept: str | Path | None = None) -> dict[str, Any]:
    """Train the buyer's own detector of a row and measure it beside the delivered one."""
    task = buyer.Task({**setting, **buyer.CLEAN}, kept)
    delivered = task.clean()
    trusted = task.split.trusted_images[: setting["trusted"]]
    anomalies = task.split.trusted_anomalies[: setting["anomalies"]]
    if (len(trusted), len(anomalies)) != (setting["trusted"], setting["anomalies"]):
        raise ValueError(f"the split holds {len(trusted)} normals and {len(anomalies)} anomalies")
    how = defenses.TrainYourOwn(synthetic=setting["synthetic"], seed=setting["seed"])
    own = how.repair(delivered, trusted, anomalies if len(anomalies) else None)
    mine, theirs = (report.measure(each, task.split) for each in (own, delivered))
    return {
        "own_auroc": mine.auroc,
        "own_detection_rate": mine.detection_rate,
        "delivered_auroc": theirs.auroc,
        "delivered_detection_rate": theirs.detection_rate,
    }


def settings(
    *, seeds: Iterable[int] = (0, 1), classes: Iterable[int] = (2, 3, 8)
) -> list[dict[str, Any]]:
    """List the runs, from the least to the most that is held."""
    classes = tuple(classes)
    about = {k: v for k, v in buyer.base().items() if k in ("data", "subset", "known", "epochs")}
    return [
        {
            **about,
            "normal_class": normal_class,
            "seed": seed,
            "trusted": trusted,
            "anomalies": anomalies,
            "synthetic": SYNTHETIC,
        }
        for seed in seeds
        for anomalies in ANOMALIES
        for trusted in TRUSTED
        for normal_class in classes
    ]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean AUROC of both detectors, by what is held."""
    return frame.groupby(["trusted", "anomalies"])[["own_auroc", "delivered_auroc"]].mean()
