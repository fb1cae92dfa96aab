"""Learning rate and batch size where one anomaly class is known: ``results/detector_choice.csv``.

    python benchmarks/detector_choice.py [--jobs 2]

With one kind of labeled anomaly and few epochs a detector easily learns that kind by heart.
How large its steps are (``lr``) and how many (``batch_size``) is chosen here: on images held out
of the training data, never on test images. The best mean AUROC over all ten normal classes is
what the ``hard tuned`` protocol of ``detector_grid.py`` takes for every class.

Needs the whole of Fashion-MNIST. A grid that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

import detector_grid

from badsad_lib import DeepSAD, datasets, metrics, splits
from badsad_lib.experiments import run_grid

LEARNING_RATES = (3e-4, 1e-3)
BATCH_SIZES = (128, 512)
SEED = 0
EPOCHS = detector_grid.PARAMETERS["hard"]["epochs"]


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
    normal = detector.decision_function(split.val_images)
    anomalies = detector.decision_function(split.val_anomalies)
    return {
        "n_train": len(split.train_images),
        "epochs": EPOCHS,
        "val_auroc": metrics.auroc(normal, anomalies),
    }


def best(table: pd.DataFrame) -> dict[str, Any]:
    """Learning rate and batch size of the best mean validation AUROC."""
    lr, batch_size = table.groupby(["lr", "batch_size"])["val_auroc"].mean().idxmax()
    return {"lr": float(lr), "batch_size": int(batch_size)}


def main() -> None:
    """Run what is missing, print the means and the choice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, default=detector_grid.RESULTS / "detector_choice.csv")
    args = parser.parse_args()
    table = run_grid(run, settings(), args.out, n_jobs=args.jobs)
    print(table.pivot_table(index="lr", columns="batch_size", values="val_auroc").round(4))
    print(best(table))


if __name__ == "__main__":
    main()
