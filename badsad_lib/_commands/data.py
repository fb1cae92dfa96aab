"""``data``: list the data sets that are here, fetch those that are not; look at your own images."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

from badsad_lib import datasets, folders, splits
from badsad_lib._commands.shared import add_folder, add_subcommand, read_folder, writable_folder


def run(args: argparse.Namespace) -> None:
    """List the data sets that are there, fetch those that are not; or look at a folder."""
    if args.folder is not None:
        _look(args)
        return
    if args.sheet is not None:
        raise ValueError("--sheet needs a folder of images to look at: data FOLDER --sheet x.png")
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


def _look(args: argparse.Namespace) -> None:
    if args.sheet is not None:
        writable_folder(args.sheet.parent)
    folder = read_folder(args, args.folder)
    print(folder.describe(most_skipped=len(folder.skipped) if args.all else 10))
    try:
        split = splits.from_folder(folder)
    except ValueError as error:
        print(f"\n{error}")
    else:
        print("\nsplits.from_folder deals them out as")
        print("\n".join(f"  {part:<32} {n:>6,}" for part, n in split.counts().items() if n))
        for sentence in splits.limits(split):
            print(textwrap.fill(sentence, 90, subsequent_indent="  "))
    if args.sheet is not None:
        folders.contact_sheet(folder).save(args.sheet, format="PNG")
        rows = ", ".join(f"{row}: {name}" for row, name in enumerate(folder.kinds, start=1))
        print(f"\n{args.sheet} shows some of each, row by row ({rows})", file=sys.stderr)


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
        "list the data sets that are here, check them, fetch full ones; look at your own images",
        "python -m badsad_lib data --name mnist --subset full --fetch; "
        "python -m badsad_lib data photographs/ --sheet contact.png",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="your own images: in the layout of MVTec AD, or a folder 'good' beside others",
    )
    parser.add_argument("--name", choices=datasets.NAMES, help="only this data set (default: all)")
    parser.add_argument("--subset", choices=datasets.SUBSETS, help="only this one (default: both)")
    parser.add_argument(
        "--fetch", action="store_true", help="download the full data sets that are not here"
    )
    own = parser.add_argument_group("your own images")
    add_folder(own)
    own.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="write some of each kind into one picture, a PNG (default: none)",
    )
    own.add_argument("--all", action="store_true", help="name every file that was skipped")
