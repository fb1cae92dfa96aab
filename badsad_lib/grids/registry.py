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


@dataclass(frozen=True)
class Grid:
    """What a grid runs.

    Parameters
    ----------
    settings
        Takes a number of seeds, which count from 0, and lists the runs.
    run
        Does one of them.
    keeps
        Whether ``run`` takes a folder ``kept`` of trained detectors that its runs share.
    """

    settings: Callable[[int], Settings]
    run: Callable[..., Mapping[str, Any]]
    keeps: bool = True


def _once(settings: Callable[[], Settings]) -> Callable[[int], Settings]:
    def list_runs(seeds: int) -> Settings:
        if seeds != 1:
            raise ValueError(f"this grid was made with one seed and has no others, got {seeds}")
        return settings()

    return list_runs


def _counted(settings: Callable[..., Settings]) -> Callable[[int], Settings]:
    return lambda seeds: settings(seeds=range(seeds))


def _attack(table: str) -> Grid:
    subset = "course" if table in ON_COURSE else "full"
    return Grid(lambda seeds: attack.settings(table, subset=subset, seeds=seeds), attack.run)


def _defense(table: str) -> Grid:
    return Grid(lambda seeds: defense.settings(table, seeds=seeds), defense.run)


# Of tables that could be run on all of a data set, those that were not.
ON_COURSE = ("ablation", "data_only", "hard", "mnist", "color")
GRIDS: dict[str, Grid] = {
    **{f"attack_{table}": _attack(table) for table in attack.TABLES},
    **{f"defense_{table}": _defense(table) for table in defense.DEFENSES},
    "attack_search": Grid(_once(attack_search.settings), attack_search.run, keeps=False),
    "audits": Grid(_counted(audits.settings), audits.run, keeps=False),
    "crossing": Grid(_counted(crossing.settings), crossing.run),
    "detector": Grid(lambda seeds: detector.settings(seeds=seeds), detector.run, keeps=False),
    "detector_choice": Grid(_once(detector_choice.settings), detector_choice.run, keeps=False),
    "inspection": Grid(_counted(inspection.settings), inspection.run),
    "latents": Grid(latents.settings, latents.run, keeps=False),
    "repair": Grid(_counted(repair.settings), repair.run),
    "surfaces": Grid(_counted(surfaces.settings), surfaces.run, keeps=False),
    "surfaces_attack": Grid(_counted(surfaces_attack.settings), surfaces_attack.run, keeps=False),
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
