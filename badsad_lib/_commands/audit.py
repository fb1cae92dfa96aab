"""``audit``: examine a detector of any make with images of one's own."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

from badsad_lib import detectors
from badsad_lib._commands import shared
from badsad_lib.audit import audit
from badsad_lib.networks import SIZES


def run(args: argparse.Namespace) -> int:
    """Wrap the detector, read the images, audit, write the report; 1 where it has findings."""
    shared.writable_folder(args.out)
    if args.out.exists() and not args.out.is_dir():
        raise NotADirectoryError(f"{args.out} is a file; name a folder with --out")
    shared.prepare_torch(args)
    try:
        detector = detectors.wrap(
            args.detector,
            sign=args.sign,
            scale=args.scale,
            output=args.output,
            batch_size=args.batch_size,
            allow_code=args.allow_code,
        )
    except (ImportError, TypeError) as error:  # what a file of one's own holds, say
        raise ValueError(str(error)) from error
    size, color = _images_for(detector, args)
    folder = shared.read_folder(args, args.images, size=size, color=color)
    print(folder.describe(), file=sys.stderr)
    anomalies = folder.anomalies if len(folder.anomalies) else None
    report = audit(
        detector,
        folder.normals,
        anomalies,
        kinds=None if anomalies is None else folder.kind[folder.is_anomaly],
        out=args.out,
        name=_named(args.detector),
        own=args.own,
        minutes=args.minutes,
        seed=args.seed,
        device=args.device,
        progress=True,
    )
    if args.json:
        print(json.dumps(report.to_dict(), indent=2, allow_nan=False))
    else:
        print(f"\n{report}\n\nNot looked at:")
        print("\n".join(f"- {one}" for one in report.not_looked_at))
        print(f"\n{args.out / 'report.html'} has it with pictures, report.json for programs")
    return report.status


def _named(detector: str) -> str:
    """Name a file by its contents as well: the report is about these alone."""
    path = Path(detector)
    if not path.is_file():
        return detector
    with path.open("rb") as file:
        return f"{detector} (SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()})"


def _images_for(
    detector: Any, args: argparse.Namespace
) -> tuple[int | tuple[int, int] | None, str]:
    """Return size and color in which the detector takes images, where it says."""
    shape = detector.shape_
    features = getattr(detector, "features", None)
    if shape is None and features is not None:
        # Pixels of a gray or a color square: no number is both.
        for count in (1, 3):
            side = math.isqrt(features // count)
            if count * side * side == features:
                shape = (count, side, side)
    channels = getattr(detector, "channels_", None) if shape is None else shape[0]
    color = {1: "gray", 3: "rgb"}.get(channels or 0)
    if shape is None or args.size is not None:
        return args.size, color if color and args.color == "auto" else args.color
    if color is None:
        raise ValueError(
            f"this detector takes images of {'x'.join(map(str, shape))}, read as channels, height "
            "and width; pictures have 1 or 3 channels: export it with channels first, (N, C, H, W)"
        )
    if not all(SIZES[0] <= side <= SIZES[1] for side in shape[1:]):
        raise ValueError(
            f"this detector takes images of {shape[1]}x{shape[2]} pixels, detectors of your own to "
            f"compare it with {SIZES[0]} to {SIZES[1]} a side: in a file of your own let it get "
            f"its size from others, detector = wrap({args.detector!r}, size=({shape[1]}, "
            f"{shape[2]})), and audit my_detector.py:detector with --allow-code"
        )
    return (shape[1], shape[2]), color if args.color == "auto" else args.color


def _scale(text: str) -> Any:
    if text in ("unit", "255"):
        return text
    try:
        mean, std = (
            [float(number) for number in part.split(",")] for part in text.split("/", maxsplit=1)
        )
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be unit, 255 or MEAN/STD such as 0.5/0.25 or 0.5,0.4,0.4/0.2,0.2,0.2, got {text}"
        ) from None
    return mean, std


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = shared.add_subcommand(
        subcommands,
        run,
        "audit",
        "examine a detector of any make with images of your own; status 1 where it has findings",
        "python -m badsad_lib audit bought.onnx --images photographs/ --out report",
    )
    parser.set_defaults(bug_status=2)  # 1 says that there are findings
    parser.add_argument(
        "detector",
        metavar="DETECTOR",
        help="a file: .safetensors (DeepSAD), .onnx, TorchScript (.pt, .pth, .ts), or "
        "my_detector.py:NAME, an object in a file of your own, say one of scikit-learn or PyOD",
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="normal images that you took yourself, or a folder 'good' beside anomalies",
    )
    shared.add_folder(parser.add_argument_group("images"))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("audit"),
        metavar="FOLDER",
        help="for the report; an audit that was cut off goes on there (default: %(default)s)",
    )
    model = parser.add_argument_group("detector")
    model.add_argument(
        "--allow-code",
        action="store_true",
        help="open TorchScript and Python files, which run what their author wrote",
    )
    model.add_argument(
        "--sign",
        choices=tuple(detectors.SIGNS),
        help="which scores are anomalous (default: as the library has it, higher for files)",
    )
    model.add_argument(
        "--output",
        metavar="NAME",
        help="of an ONNX file: the output that holds the scores (default: the first of floats, if "
        "possible of one number an image)",
    )
    model.add_argument(
        "--batch-size",
        type=_count,
        default=detectors.BATCH_SIZE,
        metavar="N",
        help="images that it gets at a time: 1 for one that takes no more, or ranks a batch "
        "(default: %(default)s)",
    )
    model.add_argument(
        "--scale",
        type=_scale,
        default="unit",
        metavar="SCALE",
        help="what the detector wants of pixels: unit (0 to 1), 255, or MEAN/STD, numbers "
        "separated by commas for channels (default: %(default)s)",
    )
    parser.add_argument(
        "--own",
        type=_count,
        default=3,
        metavar="N",
        help="detectors of your own that are trained to compare with (default: %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=_positive,
        default=60.0,
        metavar="N",
        help="leave out steps that would end after these, and say so (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="deals the images out (default: 0)"
    )
    shared.add_common(parser)
