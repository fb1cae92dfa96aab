"""The command line: ``python -m badsad_lib data | train | evaluate``.

One function a subcommand, and one that declares its arguments. A result goes to stdout, progress
bars and errors to stderr. Exit status: 0, 2 after an error, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from badsad_lib import __version__, datasets, metrics, splits
from badsad_lib.checkpoints import CheckpointError
from badsad_lib.deepsad import DeepSAD, resolve_device

SUFFIX = ".safetensors"
# What a user can do something about. Anything else is a bug and keeps its traceback.
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ArithmeticError)
SPLIT_ARGUMENTS = ("labeled_anomaly_ratio", "known_anomaly_classes", "pollution", "seed")

Record = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand with the arguments ``argv`` (by default the shell's).

    Returns
    -------
    int
        Exit status: 0, or 2 after an error, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (status 0) and wrong arguments (status 2).
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        message, status = "interrupted", 130
    except EXPECTED_ERRORS as error:
        message, status = f"error: {error}", 2
    else:
        return 0
    # Out here the failed frames are gone, and with them a progress bar that had no line break.
    print(message, file=sys.stderr)
    return status


# --- data -----------------------------------------------------------------------------------------


def run_data(args: argparse.Namespace) -> None:
    """List the data sets that are there; with ``--fetch`` download those that are not."""
    print(f"{'data set':<14} {'subset':<7} {'train':>7} {'test':>7}  {'image':<8} state")
    wanted = [
        (name, subset)
        for name in ([args.name] if args.name else datasets.NAMES)
        for subset in ([args.subset] if args.subset else datasets.SUBSETS)
        # What does not exist is an error only where it was asked for.
        if subset == "full" or name in datasets.COURSE_FILES or (args.name and args.subset)
    ]
    for name, subset in wanted:
        print(_data_row(name, subset, args.fetch), flush=True)
    print("\nclasses, for --normal-class:")
    for name in dict.fromkeys(name for name, _ in wanted):
        labels = enumerate(datasets.CLASS_NAMES[name])
        text = ", ".join(label if label == str(i) else f"{i}={label}" for i, label in labels)
        print(textwrap.fill(f"{name + ':':<14} {text}", 90, subsequent_indent=" " * 15))


def _data_row(name: str, subset: str, fetch: bool) -> str:
    try:
        data = datasets.load(name, subset, download=fetch)
    except datasets.DataNotFoundError:
        if fetch or subset == "course":
            raise
        return f"{name:<14} {subset:<7} {'-':>7} {'-':>7}  {'-':<8} not here; --fetch downloads it"
    image = "x".join(map(str, data.train.images.shape[1:]))
    state = "embedded, SHA-256 verified" if subset == "course" else "here, format verified"
    return f"{name:<14} {subset:<7} {len(data.train):>7,} {len(data.test):>7,}  {image:<8} {state}"


def _add_data(subcommands: Any) -> None:
    parser = _subcommand(
        subcommands,
        run_data,
        "data",
        "list the data sets that are here, check them, fetch full ones",
        "python -m badsad_lib data --name mnist --subset full --fetch",
    )
    parser.add_argument("--name", choices=datasets.NAMES, help="only this data set (default: all)")
    parser.add_argument("--subset", choices=datasets.SUBSETS, help="only this one (default: both)")
    parser.add_argument(
        "--fetch", action="store_true", help="download the full data sets that are not here"
    )


# --- train ----------------------------------------------------------------------------------------


def run_train(args: argparse.Namespace) -> None:
    """Train a detector, set its threshold, save it, and report on the test images."""
    _check_out(args.out, args.force)
    _prepare_torch(args)
    detector = DeepSAD(
        eta=args.eta,
        epochs=args.epochs,
        lr=args.lr,
        pretrain_epochs=args.pretrain_epochs,
        precision=args.precision,
        device=args.device,
        seed=args.seed,
        progress=True,
    )
    about = {
        "data": args.data,
        "subset": args.subset,
        "normal_class": args.normal_class,
        "labeled_anomaly_ratio": args.labeled_ratio,
        "known_anomaly_classes": args.known_anomaly_classes,
        "pollution": args.pollution,
        "seed": args.seed,
        "quantile": args.quantile,
    }
    split = _rebuild_split(about)
    start = time.perf_counter()
    detector.fit(split.train_images, split.train_labels)
    seconds = time.perf_counter() - start
    detector.calibrate(split.val_images, args.quantile)
    path = detector.save(args.out, about=about)
    report = _report(path, detector, split, about)
    _print_report(report | {"training_seconds": round(seconds, 2)}, args.json)


def _check_out(out: Path, force: bool) -> None:
    """Refuse before the training what the saving would refuse after it."""
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name a file in it with --out")
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists already; overwrite it with --force or name another")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise PermissionError(f"cannot write into {folder}; name another place with --out")


def _add_train(subcommands: Any) -> None:
    defaults = DeepSAD().params()
    parser = _subcommand(
        subcommands,
        run_train,
        "train",
        "train a detector on one normal class, save it and report",
        "python -m badsad_lib train --normal-class Sneaker --out sneaker.safetensors",
    )
    data = parser.add_argument_group("data and split")
    data.add_argument(
        "--data", choices=datasets.NAMES, default="fashion_mnist", help="(default: %(default)s)"
    )
    data.add_argument(
        "--subset", choices=datasets.SUBSETS, default="course", help="(default: %(default)s)"
    )
    data.add_argument(
        "--normal-class",
        type=_number_or_name,
        default=0,
        metavar="CLASS",
        help="number or name of the normal class; `data` lists them (default: %(default)s)",
    )
    data.add_argument(
        "--labeled-ratio",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="labeled anomalies as a share of the training set; 0 is Deep SVDD "
        "(default: %(default)s)",
    )
    data.add_argument(
        "--known-anomaly-classes",
        type=_number_or_name,
        nargs="+",
        metavar="CLASS",
        help="classes of the labeled anomalies (default: all but the normal one)",
    )
    data.add_argument(
        "--pollution",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="anomalies hidden among the unlabeled images, as a share of these "
        "(default: %(default)s)",
    )
    training = parser.add_argument_group("training")
    for name, kind, text in (
        ("epochs", int, "DeepSAD epochs"),
        ("pretrain-epochs", int, "autoencoder epochs before; 0 starts from random weights"),
        ("eta", float, "weight of labeled images in the loss"),
        ("lr", float, "learning rate"),
        ("seed", int, "of split and training: the same seed gives the same detector"),
    ):
        default = defaults[name.replace("-", "_")]
        text += " (default: %(default)s)"
        training.add_argument(f"--{name}", type=kind, default=default, metavar="N", help=text)
    training.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default=defaults["precision"],
        help="bf16 is faster where the processor has it (default: %(default)s)",
    )
    parser.add_argument(
        "--quantile",
        type=_quantile,
        default=0.95,
        metavar="Q",
        help="share of held-out normals below the threshold (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=_detector_path,
        default=Path(f"detector{SUFFIX}"),
        metavar="PATH",
        help="file to write (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    _add_common(parser)


# --- evaluate -------------------------------------------------------------------------------------


def run_evaluate(args: argparse.Namespace) -> None:
    """Load a detector and report on the test images that belong to it, or on others."""
    _prepare_torch(args)
    detector = DeepSAD.load(args.detector, device=args.device)
    about = dict(detector.about_)
    if args.quantile is not None:
        # Only the recorded split knows which normals the detector has not been trained on.
        detector.calibrate(_rebuild_split(about).val_images, args.quantile)
        about["quantile"] = args.quantile
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
    split = _rebuild_split({**wanted, "labeled_anomaly_ratio": 0.0})
    _print_report(_report(args.detector, detector, split, about | wanted), args.json)


def _add_evaluate(subcommands: Any) -> None:
    parser = _subcommand(
        subcommands,
        run_evaluate,
        "evaluate",
        "load a saved detector and report on its test images",
        "python -m badsad_lib evaluate detector.safetensors --quantile 0.99",
    )
    parser.add_argument("detector", type=Path, metavar="PATH", help="file that `train` wrote")
    recorded = "(default: as recorded in the file)"
    parser.add_argument("--data", choices=datasets.NAMES, help=f"test on these data {recorded}")
    parser.add_argument("--subset", choices=datasets.SUBSETS, help=f"test on this one {recorded}")
    parser.add_argument(
        "--normal-class",
        type=_number_or_name,
        metavar="CLASS",
        help=f"take this class for normal {recorded}",
    )
    parser.add_argument(
        "--quantile",
        type=_quantile,
        metavar="Q",
        help="set the threshold anew, on the normals held out in training "
        "(default: the threshold in the file)",
    )
    _add_common(parser)


# --- shared by train and evaluate -----------------------------------------------------------------


def _rebuild_split(about: Record) -> splits.Split:
    """Make the split that ``about`` records: the same record, the same split."""
    try:
        data = datasets.load(about["data"], about["subset"])
        arguments = {name: about[name] for name in SPLIT_ARGUMENTS if name in about}
        return splits.one_vs_rest(data, about["normal_class"], **arguments)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "the detector does not record the split that it was trained on, or in another form "
            f"({error!r}); train it with `python -m badsad_lib train`"
        ) from error


def _report(path: Path, detector: DeepSAD, split: splits.Split, about: Record) -> dict[str, Any]:
    """Score the test images once; everything that is printed, as JSON can hold it."""
    scores = detector.decision_function(split.test_images)
    is_anomaly = split.test_is_anomaly.numpy()
    threshold = detector.threshold_
    assert threshold is not None
    return {
        "detector": str(path),
        "data": about["data"],
        "subset": about["subset"],
        "normal_class": split.normal_class,
        "class_name": split.class_name,
        "test_normals": int((~is_anomaly).sum()),
        "test_anomalies": int(is_anomaly.sum()),
        "auroc": metrics.auroc(scores[~is_anomaly], scores[is_anomaly]),
        "threshold": threshold,
        "quantile": about.get("quantile"),
        "false_alarms": metrics.detection_rate(scores[~is_anomaly], threshold),
        "detection_rate": metrics.detection_rate(scores[is_anomaly], threshold),
    }


def _print_report(report: Record, as_json: bool) -> None:
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


def _prepare_torch(args: argparse.Namespace) -> None:
    """Set the threads, and find out now whether the device works."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        torch.empty(1, device=resolve_device(args.device))
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device {args.device!r} cannot be used here: {reason}") from error


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (CUDA, then MPS, then CPU) or a name that torch knows (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


# --- arguments ------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m badsad_lib",
        description="Train and evaluate DeepSAD, a semi-supervised anomaly detector for images.",
        epilog="Each subcommand explains itself: python -m badsad_lib train --help",
    )
    parser.add_argument("--version", action="version", version=f"badsad_lib {__version__}")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    _add_data(subcommands)
    _add_train(subcommands)
    _add_evaluate(subcommands)
    return parser


def _subcommand(
    subcommands: Any, run: Any, name: str, text: str, example: str
) -> argparse.ArgumentParser:
    parser = subcommands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _number_or_name(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _quantile(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}; 0.95 is usual")
    return value


def _detector_path(text: str) -> Path:
    path = Path(text)
    if path.suffix != SUFFIX:
        raise argparse.ArgumentTypeError(f"must end in {SUFFIX}, got {text}")
    return path


if __name__ == "__main__":
    sys.exit(main())
