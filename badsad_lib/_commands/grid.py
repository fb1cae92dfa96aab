"""``grid``: measure a table of the course anew, on the cores of this machine or on a cluster."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from badsad_lib._commands import shared
from badsad_lib.experiments import BACKENDS, GridError
from badsad_lib.grids import registry

NAMES = tuple(sorted(registry.GRIDS))


def run(args: argparse.Namespace) -> None:
    """Run what is missing in the table, and say where it is."""
    only: dict[str, list[str]] = {}
    for column, value in args.only:
        only.setdefault(column, []).append(value)
    if args.list:
        runs = registry.settings(args.name, args.seeds, only)
        print(json.dumps(runs, indent=2) if args.json else f"{args.name}: {len(runs)} runs")
        return
    if args.summary:
        found = registry.summary(args.name, args.out).round(4)
        print(found.reset_index().to_json(orient="records") if args.json else found.to_string())
        return
    shared.writable_folder(args.out)
    try:
        table = registry.execute(
            args.name,
            args.out,
            seeds=args.seeds,
            only=only,
            backend_name=args.backend,
            jobs=args.jobs,
            scheduler=args.scheduler,
            kept=args.kept,
        )
    except (GridError, ImportError) as error:
        raise ValueError(str(error)) from error
    path = args.out / f"{args.name}.csv"
    hours = table["seconds"].sum() / 3600
    about = {"table": str(path), "runs": len(table), "core_hours": round(hours, 3)}
    print(json.dumps(about) if args.json else f"{path}: {len(table)} runs, {hours:.2f} hours")


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not (column and equals and value):
        raise argparse.ArgumentTypeError(f"must be SETTING=VALUE, got {text!r}")
    return column, value


def add(subcommands: Any) -> None:
    """Declare the subcommand."""
    parser = shared.add_subcommand(
        subcommands,
        run,
        "grid",
        "measure a table of the course anew; a grid that was interrupted goes on where it stopped",
        "python -m badsad_lib grid attack_ablation --only normal_class=0 --out results",
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="they count from 0 (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        type=_pair,
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="only runs with this setting; may be given several times, also for several values "
        "of one setting (default: all runs)",
    )
    parser.add_argument("--list", action="store_true", help="say which runs these are, run none")
    parser.add_argument(
        "--summary",
        action="store_true",
        help="say in short what the table in --out says so far, run none",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="folder of the table NAME.csv (default: %(default)s)",
    )
    parser.add_argument(
        "--kept",
        type=Path,
        metavar="FOLDER",
        help="where runs leave trained detectors for others, seen by all workers "
        "(default: each run trains all that it needs)",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="loky", help="(default: %(default)s, processes)"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="runs at a time (default: one a core or worker)"
    )
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="of a Dask cluster, tcp://host:port (default: a cluster on this machine)",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
