"""Learning rate and batch size where one anomaly class is known.

With one kind of labeled anomaly and few epochs a detector easily learns that kind by heart.
How large its steps are (``lr``) and how many (``batch_size``) is chosen here: on images held out
of the training data, never on test images. The best mean AUROC over all ten normal classes is
what the ``hard tuned`` protocol of :mod:`badsad_lib.grids.detector` takes for every class.

Needs the whole of Fashion-MNIST.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pandas as pd

from badsad_lib import datasets, report, splits
from badsad_lib.deepsad import DeepSAD
from badsad_lib.grids import detector as grid

LEARNING_RATES = (3e-4, 1e-3)
BATCH_SIZES = (128, 512)
SEED = 0
EPOCHS = grid.PARAMETERS["hard"]["epochs"]


def settings() -> list[dict[str, Any]]:
    """List the runs of the table."""
    return [
        {"lr": lr, "batch_size": batch_size, "normal_class": normal_class, "seed": SEED}
        for lr, batch_size, normal_class in product(LEARNING_RATES, BATCH_SIZES, range(10))
    ]


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train one detector and score the validation images."""
    normal_class, seed = setting["normal_class"], setting["seed"]
    split = splits.one_vs_rest(
        datasets.load("fashion_mnist", "full"),
        normal_class,
        known_anomaly_classes=[(normal_class + 1) % 10],
        seed=seed,
    )
    steps = {"lr": setting["lr"], "batch_size": setting["batch_size"]}
    detector = DeepSAD(epochs=EPOCHS, **steps, seed=seed)
    detector.fit(split.train_images, split.train_labels)
    return {
        "n_train": len(split.train_images),
        "epochs": EPOCHS,
        "val_auroc": report.measure(detector, split, validation=True).auroc,
    }


def best(table: pd.DataFrame) -> dict[str, Any]:
    """Learning rate and batch size of the best mean validation AUROC."""
    lr, batch_size = table.groupby(["lr", "batch_size"])["val_auroc"].mean().idxmax()
    return {"lr": float(lr), "batch_size": int(batch_size)}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean validation AUROC over the classes."""
    return frame.pivot_table(index="lr", columns="batch_size", values="val_auroc")
