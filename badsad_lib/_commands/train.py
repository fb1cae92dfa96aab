"""``train``: train a detector on one normal class, save it and report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from badsad_lib._commands import shared
from badsad_lib._commands.evaluate import print_report, report
from badsad_lib._commands.shared import SUFFIX


def run(args: argparse.Namespace) -> None:
    """Train a detector, set its threshold, save it, and report on the test images."""
    _check_out(args.out, args.force)
    shared.prepare_torch(args)
    detector = shared.new_detector(args)
    about = shared.record_of(args)
    split = shared.rebuild_split(about)
    start = time.perf_counter()
    detector.fit(split.train_images, split.train_labels)
    seconds = time.perf_counter() - start
    detector.calibrate(split.val_images, args.quantile)
    path = detector.save(args.out, about=about)
    result = report(path, detector, split, about)
    print_report(result | {"training_seconds": round(seconds, 2)}, args.json)


def _check_out(out: Path, force: bool) -> None:
    """Refuse before the training what the saving would refuse after it."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name a file in it with --out")
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists already; overwrite it with --force or name another")
    shared.writable_folder(out.parent)


def _detector_path(text: str) -> Path:
    path = Path(text)
    if path.suffix != SUFFIX:
        raise argparse.ArgumentTypeError(f"must end in {SUFFIX}, got {text}")
    return path


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = shared.add_subcommand(
        subcommands,
        run,
        "train",
        "train a detector on one normal class, save it and report",
        "python -m badsad_lib train --normal-class Sneaker --out sneaker.safetensors",
    )
    shared.add_split(parser)
    shared.add_training(parser)
    parser.add_argument(
        "--out",
        type=_detector_path,
        default=Path(f"detector{SUFFIX}"),
        metavar="PATH",
        help="file to write (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    shared.add_common(parser)
