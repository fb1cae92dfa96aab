"""AUROC of the clean detector on ten normal classes, into ``results/detector.csv``.

    python benchmarks/detector_grid.py [--jobs 2] [--seeds 1] [--protocol course full hard ...]

``course`` and ``full``: 5 % labeled anomalies drawn from all other classes, on the
embedded subset and on all of Fashion-MNIST, with the library's defaults.
``hard``: labeled anomalies from the one class after the normal class, all 6,000
normals in training, 15 epochs: the protocol on which the reference was measured.
``hard tuned``: the same with the learning rate and the batch size that
``detector_choice.py`` chose on validation images.
``course pretrained`` and ``hard pretrained``: after 10 and 8 epochs of autoencoder
pretraining.

All but the ``course`` protocols need the whole of Fashion-MNIST; see ``data/README.md``.
A grid that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from badsad_lib import DeepSAD, datasets, metrics, splits
from badsad_lib.experiments import run_grid

RESULTS = Path(__file__).parent / "results"
# What a protocol changes of the detector's defaults.
PARAMETERS: dict[str, dict[str, Any]] = {
    "course": {},
    "course pretrained": {"pretrain_epochs": 10},
    "full": {},
    "hard": {"epochs": 15},
    "hard tuned": {"epochs": 15, "lr": 1e-3, "batch_size": 512},
    "hard pretrained": {"epochs": 15, "pretrain_epochs": 8},
}
PROTOCOLS = tuple(PARAMETERS)


def settings(protocols: tuple[str, ...] = PROTOCOLS, seeds: int = 1) -> list[dict[str, Any]]:
    """List the runs of the table."""
    return [
        {"protocol": protocol, "normal_class": normal_class, "seed": seed}
        for protocol in protocols
        for seed in range(seeds)
        for normal_class in range(10)
    ]


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Train and score one detector."""
    protocol, normal_class, seed = (setting[k] for k in ("protocol", "normal_class", "seed"))
    subset = "course" if protocol.startswith("course") else "full"
    data = datasets.load("fashion_mnist", subset)
    if protocol.startswith("hard"):
        split = splits.one_vs_rest(
            data,
            normal_class,
            known_anomaly_classes=[(normal_class + 1) % 10],
            val_size=0,
            trusted_size=0,
            val_anomaly_size=0,
            seed=seed,
        )
    else:
        split = splits.one_vs_rest(data, normal_class, seed=seed)
    detector = DeepSAD(**PARAMETERS[protocol], seed=seed)
    detector.fit(split.train_images, split.train_labels)
    scores, is_anomaly = detector.decision_function(split.test_images), split.test_is_anomaly
    results: dict[str, Any] = {
        "n_train": len(split.train_images),
        "epochs": detector.epochs,
        "pretrain_epochs": detector.pretrain_epochs,
        "lr": detector.lr,
        "batch_size": detector.batch_size,
        "auroc": metrics.auroc(scores[~is_anomaly], scores[is_anomaly]),
    }
    if len(split.val_images):
        tau = metrics.threshold_at(detector.decision_function(split.val_images), 0.95)
        results["detection_rate"] = metrics.detection_rate(scores[is_anomaly], tau)
        results["false_alarms"] = metrics.detection_rate(scores[~is_anomaly], tau)
    return results


def main() -> None:
    """Run what is missing and print the mean of each protocol."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--out", type=Path, default=RESULTS / "detector.csv")
    args = parser.parse_args()
    table = run_grid(run, settings(tuple(args.protocol), args.seeds), args.out, n_jobs=args.jobs)
    print(table.groupby("protocol")["auroc"].agg(["mean", "min", "max", "count"]).round(4))


if __name__ == "__main__":
    main()
