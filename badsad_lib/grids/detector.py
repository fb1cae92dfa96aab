"""AUROC of the clean detector on ten normal classes, under several protocols.

``course`` and ``full``
    5 % labeled anomalies drawn from all other classes, on the embedded subset and on all of
    Fashion-MNIST, with the library's defaults.
``hard``
    Labeled anomalies from the one class after the normal class, all 6,000 normals in training,
    15 epochs: the protocol on which the reference was measured.
``hard tuned``
    The same with the learning rate and the batch size that
    :mod:`badsad_lib.grids.detector_choice` chose on validation images.
``course pretrained`` and ``hard pretrained``
    After 10 and 8 epochs of autoencoder pretraining.

All but the ``course`` protocols need the whole of Fashion-MNIST.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from badsad_lib import datasets, metrics, report, splits
from badsad_lib.deepsad import DeepSAD

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


def settings(protocols: Iterable[str] = PROTOCOLS, seeds: int = 1) -> list[dict[str, Any]]:
    """List the runs of the table; seeds count from 0."""
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
    results: dict[str, Any] = {
        "n_train": len(split.train_images),
        "epochs": detector.epochs,
        "pretrain_epochs": detector.pretrain_epochs,
        "lr": detector.lr,
        "batch_size": detector.batch_size,
    }
    if len(split.val_images) == 0:  # all normals are in training: none left for a threshold
        normal, anomalies = map(
            detector.decision_function, (split.test_normals, split.test_anomalies)
        )
        return results | {"auroc": metrics.auroc(normal, anomalies)}
    found = report.measure(detector, split)
    return results | {
        "auroc": found.auroc,
        "detection_rate": found.detection_rate,
        "false_alarms": found.false_alarms,
    }


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean and range of the AUROC under each protocol, over classes and seeds."""
    return frame.groupby("protocol")["auroc"].agg(["mean", "min", "max", "count"])
