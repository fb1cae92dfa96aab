"""What several subcommands share: arguments, a detector made of them, the split of a record."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from badsad_lib import datasets, folders, splits
from badsad_lib.checkpoints import CheckpointError
from badsad_lib.deepsad import DeepSAD, resolve_device

SUFFIX = ".safetensors"
SPLIT_ARGUMENTS = ("labeled_anomaly_ratio", "known_anomaly_classes", "pollution", "seed")

Record = Mapping[str, Any]


# --- arguments ------------------------------------------------------------------------------------


def add_subcommand(
    subcommands: Any, run: Any, name: str, text: str, example: str
) -> argparse.ArgumentParser:
    """Declare a subcommand; ``text`` says what it does, beginning with a small letter."""
    parser = subcommands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run, bug_status=1)
    parser.add_argument(
        "--traceback",
        action="store_true",
        help="after an error show where it arose (as BADSAD_DEBUG=1 does)",
    )
    return parser


def add_split(parser: argparse.ArgumentParser) -> None:
    """Declare which data to train on, and how they are split."""
    data = parser.add_argument_group("data and split")
    data.add_argument(
        "--data", choices=datasets.NAMES, default="fashion_mnist", help="(default: %(default)s)"
    )
    data.add_argument(
        "--subset", choices=datasets.SUBSETS, default="course", help="(default: %(default)s)"
    )
    data.add_argument(
        "--normal-class",
        type=number_or_name,
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
        type=number_or_name,
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


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare how a detector is trained and where its threshold lies."""
    defaults = DeepSAD().get_params()
    training = parser.add_argument_group("training")
    for name, kind, text in (
        ("epochs", int, "DeepSAD epochs"),
        ("pretrain-epochs", int, "autoencoder epochs before; 0 starts from random weights"),
        ("eta", float, "weight of labeled images in the loss"),
        ("lr", float, "learning rate"),
        ("seed", int, "of all that is drawn at random: the same seed gives the same result"),
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
        type=quantile,
        default=0.95,
        metavar="Q",
        help="share of held-out normals below the threshold (default: %(default)s)",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Declare where to compute, and in which form to report."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (CUDA, then MPS, then CPU) or a name that torch knows (default: %(default)s)",
    )
    parser.add_argument(
        "--threads", type=threads, metavar="N", help="CPU threads (default: torch's)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_folder(group: Any) -> None:
    """Declare how the images of a folder are read."""
    group.add_argument(
        "--anomalies",
        type=Path,
        metavar="FOLDER",
        help="anomalies; each folder in it is a kind (default: those in the folder of images)",
    )
    group.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="make the images N x N pixels (default: as they are, or up to 128)",
    )
    group.add_argument(
        "--color",
        choices=folders.COLORS,
        default="auto",
        help="(default: gray where all pictures are)",
    )
    group.add_argument(
        "--fit",
        choices=folders.FITS,
        default="crop",
        help="what becomes of pictures of another size (default: %(default)s, at the center)",
    )


def number_or_name(text: str) -> int | str:
    """Read a class."""
    try:
        return int(text)
    except ValueError:
        return text


def threads(text: str) -> int:
    """Read a number of threads that makes sense on this machine."""
    most = 4 * (os.cpu_count() or 1)
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= most:
        raise argparse.ArgumentTypeError(
            f"must be positive and at most {most}, four for each core here, got {text}"
        )
    return count


def quantile(text: str) -> float:
    """Read a quantile in (0, 1)."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}; 0.95 is usual")
    return value


# --- what the arguments ask for -------------------------------------------------------------------


def prepare_torch(args: argparse.Namespace) -> None:
    """Set the threads, and find out now whether the device works."""
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    try:
        torch.empty(1, device=resolve_device(args.device))
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device {args.device!r} cannot be used here: {reason}") from error


def read_folder(args: argparse.Namespace, path: Path, **settings: Any) -> folders.ImageFolder:
    """Read a folder of images as the arguments say, with a progress bar."""
    chosen = {"anomalies": args.anomalies, "size": args.size, "color": args.color, "fit": args.fit}
    return folders.load(path, **{**chosen, **settings}, progress=True)


def new_detector(args: argparse.Namespace) -> DeepSAD:
    """Return an unfitted detector that shows its progress."""
    return DeepSAD(
        eta=args.eta,
        epochs=args.epochs,
        lr=args.lr,
        pretrain_epochs=args.pretrain_epochs,
        precision=args.precision,
        device=args.device,
        seed=args.seed,
        progress=True,
    )


def record_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what a saved detector is to tell about its data and its split."""
    return {
        "data": args.data,
        "subset": args.subset,
        "normal_class": args.normal_class,
        "labeled_anomaly_ratio": args.labeled_ratio,
        "known_anomaly_classes": args.known_anomaly_classes,
        "pollution": args.pollution,
        "seed": args.seed,
    }


def rebuild_split(about: Record) -> splits.Split:
    """Make the split that ``about`` records: the same record, the same split."""
    try:
        data = datasets.load(about["data"], about["subset"])
        arguments = {name: about[name] for name in SPLIT_ARGUMENTS if name in about}
        _check_types({"normal_class": about["normal_class"], **arguments})
        return splits.one_vs_rest(data, about["normal_class"], **arguments)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            "the detector does not record the split that it was trained on, or in another form "
            f"({error!r}); train it with `python -m badsad_lib train`"
        ) from error


def _check_types(arguments: Record) -> None:
    """Raise TypeError for a record of another form; wrong values of right types are the user's."""
    kinds = {"normal_class": (int, str), "known_anomaly_classes": (list, tuple, str, int, NoneType)}
    for name, value in arguments.items():
        if not isinstance(value, kinds.get(name, (int, float))):
            raise TypeError(f"{name} is {value!r}")


def writable_folder(out: Path) -> Path:
    """Return ``out`` or the next folder above it that exists; refuse it if it is read-only."""
    out = out.absolute()
    folder = next(path for path in (out, *out.parents) if path.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise PermissionError(f"cannot write into {folder}; name another place with --out")
    return folder
