"""``evaluate``: load a saved detector and report on its test images, or on others."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from badsad_lib import datasets, metrics, splits
from badsad_lib._commands import shared
from badsad_lib._commands.shared import Record
from badsad_lib.checkpoints import CheckpointError
from badsad_lib.deepsad import DeepSAD


def run(args: argparse.Namespace) -> None:
    """Load a detector and report on the test images that belong to it, or on others."""
    shared.prepare_torch(args)
    detector = DeepSAD.load(args.detector, device=args.device)
    about = dict(detector.about_)
    if args.quantile is not None:
        # Only the recorded split knows which normals the detector has not been trained on.
        detector.calibrate(shared.rebuild_split(about).val_images, args.quantile)
    if detector.threshold_ is None:
        raise CheckpointError(f"{args.detector} has no threshold; set one with --quantile 0.95")
    wanted = {
        name: about.get(name) if value is None else value
        for name, value in (
            ("data", args.data),
            ("subset", args.subset),
            ("normal_class", args.normal_class),
        )
    }
    if None in wanted.values():
        raise CheckpointError(
            f"{args.detector} does not record its data; "
            "name them with --data, --subset and --normal-class"
        )
    # The test part depends on nothing but these three.
    split = shared.rebuild_split({**wanted, "labeled_anomaly_ratio": 0.0})
    for conflict in splits.conflicts(about, split):
        print(f"note: this detector was {conflict}", file=sys.stderr)
    print_report(report(args.detector, detector, split, about | wanted), args.json)


def report(path: Path, detector: DeepSAD, split: splits.Split, about: Record) -> dict[str, Any]:
    """Score the test images once; everything that is printed, as JSON can hold it."""
    threshold = detector.threshold_
    assert threshold is not None
    normals, anomalies = split.test_normals, split.test_anomalies
    found = metrics.rates(
        detector.decision_function(normals),
        detector.decision_function(anomalies),
        threshold=threshold,
    )
    return {
        "detector": str(path),
        "data": about["data"],
        "subset": about["subset"],
        "normal_class": split.normal_class,
        "class_name": split.class_name,
        "test_normals": len(normals),
        "test_anomalies": len(anomalies),
        "auroc": found.auroc,
        "threshold": threshold,
        "quantile": detector.quantile_,
        "false_alarms": found.false_alarms,
        "detection_rate": found.detection_rate,
    }


def print_report(report: Record, as_json: bool) -> None:
    """Print what :func:`report` returned, for people or for programs."""
    if as_json:
        print(json.dumps(report, indent=2))
        return
    r = report
    quantile = f" ({r['quantile']:g} quantile of held-out normals)" if r["quantile"] else ""
    print(f"detector        {r['detector']}")
    print(f"normal class    {r['normal_class']} ({r['class_name']}) of {r['data']}, {r['subset']}")
    print(f"AUROC           {r['auroc']:.3f}")
    print(f"threshold       {r['threshold']:.4g}{quantile}")
    print(f"false alarms    {r['false_alarms']:.1%} of {r['test_normals']:,} normal test images")
    print(f"detection rate  {r['detection_rate']:.1%} of {r['test_anomalies']:,} test anomalies")


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = shared.add_subcommand(
        subcommands,
        run,
        "evaluate",
        "load a saved detector and report on its test images",
        "python -m badsad_lib evaluate detector.safetensors --quantile 0.99",
    )
    parser.add_argument(
        "detector", type=Path, metavar="PATH", help="file that `train` or `attack` wrote"
    )
    recorded = "(default: as recorded in the file)"
    parser.add_argument("--data", choices=datasets.NAMES, help=f"test on these data {recorded}")
    parser.add_argument("--subset", choices=datasets.SUBSETS, help=f"test on this one {recorded}")
    parser.add_argument(
        "--normal-class",
        type=shared.number_or_name,
        metavar="CLASS",
        help=f"take this class for normal {recorded}",
    )
    parser.add_argument(
        "--quantile",
        type=shared.quantile,
        metavar="Q",
        help="set the threshold anew, on the normals held out in training "
        "(default: the threshold in the file)",
    )
    shared.add_common(parser)
