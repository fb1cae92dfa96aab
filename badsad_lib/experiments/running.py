"""The runs of a grid that its table does not hold yet, one after the other or many at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from tqdm import tqdm

from badsad_lib.experiments import tables
from badsad_lib.experiments.keys import run_key, scalars
from badsad_lib.experiments.tables import GridError, Row
from badsad_lib.experiments.workers import Run, end_with, execute


def _as_they_finish(calls: Iterable[Any], workers: int) -> Iterator[tuple[str, Row | None, str]]:
    """Hand out what the calls return, each as soon as the backend lets us have it."""
    backend, _ = joblib.parallel.get_active_backend()
    if (client := getattr(backend, "client", None)) is not None:
        yield from _from_dask(client, calls)
        return
    options: dict[str, Any] = {"batch_size": 1}  # a finished run must not wait for others
    if isinstance(backend, joblib.parallel.LokyBackend):
        options |= {"initializer": end_with, "initargs": (os.getpid(),)}
    if backend.supports_return_generator:
        parallel = joblib.Parallel(workers, return_as="generator_unordered", **options)
        yield from parallel(calls)
        return
    # It gives results at the end only: as many calls at a time as it has workers.
    pending = iter(calls)
    parallel = joblib.Parallel(workers, **options)
    while some := list(islice(pending, workers)):
        yield from parallel(some)


def _from_dask(client: Any, calls: Iterable[Any]) -> Iterator[tuple[str, Row | None, str]]:
    """Hand all calls to the scheduler, so that workers that join later get some of them.

    Not through joblib: it counts the workers once, has a single one wait while the client works,
    and gives results at the end only.
    """
    killed: list[tuple[Any, str]] = []
    any_ended = False
    for result in _handed_out(client, calls, killed):
        any_ended = True
        yield result
    for call, address in killed:
        again = [(call, address)]
        if any_ended:  # a worker can do some of them, so ask of each alone whether it is to blame
            again = []
            yield from _handed_out(client, [call], again)
        for (_, arguments, _), last in again:
            yield (
                arguments[1],  # the key of the run
                None,
                f"worker after worker died at it, the last at {last}: give each more memory, or "
                "more time than a run takes",
            )


def _handed_out(
    client: Any, calls: Iterable[Any], killed: list[tuple[Any, str]]
) -> Iterator[tuple[str, Row | None, str]]:
    """Give results as they come, and add those calls to ``killed`` at which workers died.

    At them, or at others that they waited behind: to Dask it is the same.
    """
    from distributed import CancelledError, as_completed
    from distributed.scheduler import KilledWorker

    futures = {
        client.submit(function, *arguments, pure=False): (function, arguments, options)
        for function, arguments, options in calls
    }
    ended = as_completed(futures)
    try:
        for future in ended:
            if future.status == "pending":  # its worker ended, and with it the result: begun again
                ended.add(future)
                continue
            call = futures.pop(future)
            try:
                result = future.result()
            except KilledWorker as error:
                killed.append((call, error.last_worker.address))
            except CancelledError as error:
                raise ConnectionError(
                    "the Dask scheduler is gone, and the runs that it had; those that had ended "
                    "are in the table. Start a scheduler and call again"
                ) from error
            except Exception as error:  # no run's own, which comes as a result: a worker's
                yield call[1][1], None, f"the worker failed: {error}"
            else:
                # Or the cluster would do the run again when the worker that holds it ends.
                future.release()
                yield result
    finally:
        client.cancel(list(futures))


def run_grid(
    function: Run,
    settings_list: Iterable[Mapping[str, Any]],
    path: str | Path,
    *,
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Execute the runs that the table at ``path`` does not hold yet, and return the grid's rows.

    Parameters
    ----------
    function
        Maps settings to results, a dict of scalars each. Results named ``seconds`` and
        ``device`` replace those measured here. A run that raises is reported, the others go on.
    settings_list
        One dict a run. Settings that occur twice are run once.
    path
        CSV file. Rows of runs outside this grid stay in it, after those of the grid.
    n_jobs
        Runs at a time, as joblib counts. By default one process a core; inside
        ``joblib.parallel_config(backend=...)`` all workers of that backend. Where there are
        several worker processes, each uses one torch thread.
    progress
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row a run, in the order of ``settings_list``: ``run`` (the key of its settings),
        settings, results, ``seconds``, ``device``, ``versions``, and ``check``, a digest of
        the row. A complete table is stored in this order, too.

    Raises
    ------
    TypeError, ValueError
        Settings or a file that cannot be used: no table, or rows that were changed.
    OSError
        The table cannot be written; what it held is still there.
    GridError
        Runs failed (call again to retry those), or another process writes this file.
    """
    path = Path(path)
    grid = {run_key(settings): scalars(settings) for settings in settings_list}
    names = list(dict.fromkeys(name for settings in grid.values() for name in settings))
    reserved = sorted({"", "run", *tables.LAST} & set(names))
    if reserved:
        raise ValueError(f"settings must not be named {reserved}: the table needs these names")
    workers = joblib.effective_n_jobs(-1 if n_jobs is None else n_jobs)
    elsewhere = hasattr(joblib.parallel.get_active_backend()[0], "client")  # of Dask
    failures = []
    with tables.only_writer(path):
        columns = ["run"]
        rows: dict[str, Row] = {}
        if path.exists():
            columns, rows = tables.read(path)
            for key, row in rows.items():
                if key in grid:
                    tables.require_settings(path, row, grid[key])
            tables.rewrite(path, tables.as_text(columns, rows.values()))
        todo = [key for key in grid if key not in rows]
        calls = (
            joblib.delayed(execute)(function, key, grid[key], os.getpid(), elsewhere or workers > 1)
            for key in todo
        )
        for key, result, trouble in tqdm(
            _as_they_finish(calls, workers),
            desc=path.name,
            initial=len(grid) - len(todo),
            total=len(grid),
            disable=not progress,
        ):
            if result is None:
                failures.append((grid[key], trouble))
                tqdm.write(f"run failed: {grid[key]}\n{trouble}", file=sys.stderr)
                continue
            rows[key] = result
            if set(result) <= set(columns):
                tables.append(path, tables.as_text(columns, [result], header=False))
            else:
                columns = tables.in_order(rows.values(), names)
                tables.rewrite(path, tables.as_text(columns, rows.values()))
        if failures:
            reasons = "\n".join(f"  {s}: {t.strip().splitlines()[-1]}" for s, t in failures)
            raise GridError(
                f"{len(failures)} of {len(grid)} runs failed; the others are in {path}. "
                f"Call again to retry:\n{reasons}",
                failures,
            )
        ordered = {key: rows[key] for key in grid} | rows
        columns = tables.in_order(ordered.values(), names)
        if rows:
            tables.rewrite(path, tables.as_text(columns, ordered.values()))
    return tables.as_frame(columns, [rows[key] for key in grid])
