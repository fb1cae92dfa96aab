"""``data``: list the data sets that are here, fetch those that are not."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from badsad_lib import datasets
from badsad_lib._commands.shared import add_subcommand


def run(args: argparse.Namespace) -> None:
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
        print(_row(name, subset, args.fetch), flush=True)
    print("\nclasses, for --normal-class:")
    for name in dict.fromkeys(name for name, _ in wanted):
        labels = enumerate(datasets.CLASS_NAMES[name])
        text = ", ".join(label if label == str(i) else f"{i}={label}" for i, label in labels)
        print(textwrap.fill(f"{name + ':':<14} {text}", 90, subsequent_indent=" " * 15))


def _row(name: str, subset: str, fetch: bool) -> str:
    try:
        data = datasets.load(name, subset, download=fetch)
    except datasets.DataNotFoundError:
        if fetch or subset == "course":
            raise
        return f"{name:<14} {subset:<7} {'-':>7} {'-':>7}  {'-':<8} not here; --fetch downloads it"
    image = "x".join(map(str, data.train.images.shape[1:]))
    # Loading refuses what has another digest.
    course = subset == "course"
    state = f"{'embedded' if course else 'here'}, "
    state += f"{'SHA-256' if course else datasets.VERIFIED_BY[name]} verified"
    return f"{name:<14} {subset:<7} {len(data.train):>7,} {len(data.test):>7,}  {image:<8} {state}"


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = add_subcommand(
        subcommands,
        run,
        "data",
        "list the data sets that are here, check them, fetch full ones",
        "python -m badsad_lib data --name mnist --subset full --fetch",
    )
    parser.add_argument("--name", choices=datasets.NAMES, help="only this data set (default: all)")
    parser.add_argument("--subset", choices=datasets.SUBSETS, help="only this one (default: both)")
    parser.add_argument(
        "--fetch", action="store_true", help="download the full data sets that are not here"
    )
