"""The grids behind the committed tables, by the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from badsad_lib._rules import Count, checked
from badsad_lib.experiments import backend, run_grid
from badsad_lib.experiments.backends import Backend
from badsad_lib.grids import (
    attack,
    attack_search,
    audits,
    carry_over,
    crossing,
    defense,
    detector,
    detector_choice,
    inspection,
    latents,
    repair,
    surfaces,
    surfaces_attack,
)

Settings = list[dict[str, Any]]


def described(runs: pd.DataFrame) -> pd.DataFrame:
    """Say of each column of numbers how it is spread over the runs."""
    return runs.describe()


@dataclass(frozen=True)
class Grid:
    """What a grid runs.

    Parameters
    ----------
    settings
        Takes a number of seeds, which count from 0, and lists the runs.
    run
        Does one of them.
    summary
        What its table says in short, by default its columns'.
    keeps
        Whether ``run`` takes a folder ``kept`` of trained detectors that its runs share.
    """

    settings: Callable[[int], Settings]
    run: Callable[..., Mapping[str, Any]]
    summary: Callable[[pd.DataFrame], pd.DataFrame] = described
    keeps: bool = True


def _once(module: Any) -> Grid:
    def list_runs(seeds: int) -> Settings:
        if seeds != 1:
            raise ValueError(f"this grid was made with one seed and has no others, got {seeds}")
        return module.settings()

    return Grid(list_runs, module.run, module.summary, keeps=False)


def _seeded(module: Any, summary: Any = None, *, keeps: bool = True) -> Grid:
    """Return the grid of a module that takes the seeds one by one."""
    return Grid(
        lambda seeds: module.settings(seeds=range(seeds)),
        module.run,
        summary or module.summary,
        keeps,
    )


def _counted(module: Any) -> Grid:
    """Return the grid of a module that takes how many seeds there are."""
    return Grid(lambda seeds: module.settings(seeds=seeds), module.run, module.summary, False)


def _table(module: Any, table: str) -> Grid:
    """Return the grid of one of several tables of a module."""
    return Grid(lambda seeds: module.settings(table, seeds=seeds), module.run, module.summary)


GRIDS: dict[str, Grid] = {
    **{f"attack_{table}": _table(attack, table) for table in attack.TABLES},
    **{f"defense_{table}": _table(defense, table) for table in defense.DEFENSES},
    "attack_search": _once(attack_search),
    "audits": _seeded(audits),
    "carry_over": _seeded(carry_over),
    "crossing": _seeded(crossing),
    "detector": _counted(detector),
    "detector_choice": _once(detector_choice),
    "inspection": _seeded(inspection, inspection.judged),
    "latents": _counted(latents),
    "repair": _seeded(repair),
    "surfaces": _seeded(surfaces, keeps=False),
    "surfaces_attack": _seeded(surfaces_attack, surfaces_attack.chosen, keeps=False),
}
"""Every grid, by the name of its table in ``benchmarks/results``."""


@checked
def settings(name: str, seeds: Count = 1, only: Mapping[str, Collection[Any]] = {}) -> Settings:
    """List the runs of a grid.

    Parameters
    ----------
    name
        One of :data:`GRIDS`.
    seeds
        How many; they count from 0.
    only
        Settings and the values that runs must have of them, as ``{"trigger": ["border"]}``.
        Values are compared as they are written, so ``"0.1"`` is 0.1.

    Raises
    ------
    ValueError
        There is no such grid, or none of its runs has those values.
    """
    if name not in GRIDS:
        raise ValueError(f"there is no grid {name!r}; there are {', '.join(sorted(GRIDS))}")
    runs = GRIDS[name].settings(seeds)
    for column, values in only.items():
        there = list(dict.fromkeys(str(run[column]) for run in runs if column in run))
        wanted = {str(value) for value in values}
        if not wanted <= set(there):
            known = f"{column} is one of {', '.join(there)}" if there else "has no such setting"
            raise ValueError(
                f"no run of grid {name} has {column} = {', '.join(sorted(wanted - set(there)))}: "
                f"{known if there else known + ', only ' + ', '.join(runs[0])}"
            )
        runs = [run for run in runs if str(run.get(column)) in wanted]
    return runs


def summary(name: str, out: str | Path) -> pd.DataFrame:
    """What the table of a grid says in short, as far as it has come.

    Parameters
    ----------
    name
        One of :data:`GRIDS`.
    out
        Folder of the table.

    Raises
    ------
    ValueError
        There is no such grid, or no table of it in the folder.
    """
    settings(name)
    path = Path(out) / f"{name}.csv"
    if not path.is_file():
        raise ValueError(f"there is no table {path}: run the grid first, or name another folder")
    return GRIDS[name].summary(pd.read_csv(path))


def execute(
    name: str,
    out: str | Path,
    *,
    seeds: Count = 1,
    only: Mapping[str, Collection[Any]] = {},
    backend_name: Backend = "loky",
    jobs: Count | None = None,
    scheduler: str = "",
    kept: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run what the table of a grid does not hold yet, on a backend, and return its rows.

    The table is the same whatever executes it, but for the columns that tell how long and on
    which processor.

    Parameters
    ----------
    name, seeds, only
        See :func:`settings`.
    out
        Folder of the table, a file ``NAME.csv``; made where it is missing.
    backend_name, jobs, scheduler
        See :func:`~badsad_lib.experiments.backend`.
    kept
        Folder of trained detectors that runs share; all workers must see it. Without one each
        run trains what it needs.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError, OSError, ImportError
        As :func:`settings`, :func:`~badsad_lib.experiments.backend` and
        :func:`~badsad_lib.experiments.run_grid`.
    GridError
        Runs failed; the others are in the table, and calling again retries those.
    """
    runs = settings(name, seeds, only)
    run = GRIDS[name].run
    if GRIDS[name].keeps and kept is not None:
        run = partial(run, kept=Path(kept).resolve())
    Path(out).mkdir(parents=True, exist_ok=True)
    with backend(backend_name, jobs, scheduler) as n_jobs:
        path = Path(out) / f"{name}.csv"
        return run_grid(run, runs, path, n_jobs=n_jobs, progress=progress)
