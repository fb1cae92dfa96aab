"""A grid of runs to a resumable table, on joblib (and so on any joblib backend, Dask included).

A run is a dict of settings and a function that turns it into a dict of results.
:func:`run_grid` executes the runs that a CSV file does not hold yet and appends
each as it finishes, so that a grid that was killed goes on where it stopped::

    def one_run(settings):
        ...
        return {"auroc": auroc, "asr": asr}

    grid = [{"normal_class": c, "seed": s} for c in range(10) for s in range(3)]
    table = run_grid(one_run, grid, "results.csv")

Only the calling process writes; workers hand their rows back. One file belongs to
one function: the key of a run tells its settings, not the code that ran.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

import badsad_lib
from badsad_lib import checkpoints
from badsad_lib.deepsad import resolve_device

Scalar = str | int | float | bool | None
Run = Callable[[dict[str, Any]], Mapping[str, Any]]
Row = dict[str, str]  # column to cell, as text

MEASURED = ("seconds", "device", "versions")  # the last columns of every table


class GridError(RuntimeError):
    """A grid is not complete; ``failures`` holds (settings, traceback) of each run that raised."""

    def __init__(self, message: str, failures: Iterable[tuple[dict[str, Scalar], str]] = ()):
        super().__init__(message)
        self.failures = tuple(failures)


# --- one run ------------------------------------------------------------------------------------


def run_key(settings: Mapping[str, Any]) -> str:
    """Short name of ``settings``, whatever their order: ``r`` and 12 hexadecimal digits.

    Values are JSON scalars; 1, 1.0, True and "1" are four different ones. The letter
    keeps other programs from reading a key as a number.

    Raises
    ------
    TypeError, ValueError
        A value that is no scalar, not finite, or not one line of printable text.
    """
    text = json.dumps(_scalars(settings), sort_keys=True, allow_nan=False)
    return "r" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _scalars(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Copy ``values`` with numpy and torch scalars as Python's own, or say which one is none."""
    plain: dict[str, Scalar] = {}
    for name, value in values.items():
        if isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"{name!r} must be a string, number, bool or None, got {type(value).__name__}; "
                "name complex things by a string, and reduce arrays to numbers"
            )
        # A line break within a cell could pass for the end of a row.
        if not (name.isprintable() and (not isinstance(value, str) or value.isprintable())):
            raise ValueError(f"{name!r} must be one line of printable text, got {value!r}")
        plain[name] = value
    return plain


def device_in_words() -> str:
    """Model of the GPU that ``device="auto"`` means, or of the CPU, with torch's threads."""
    kind = resolve_device("auto").type
    if kind != "cpu":
        return torch.cuda.get_device_name() if kind == "cuda" else "Apple GPU (MPS)"
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux only
        named = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = named[1].strip() if named else model
    threads = torch.get_num_threads()
    return f"{model} ({threads} thread{'s' if threads > 1 else ''})"


def versions_in_words() -> str:
    """Versions of badsad_lib, torch and Python, the same on any platform."""
    build = torch.__version__.partition("+")[0]
    python = platform.python_version()
    return f"badsad_lib {badsad_lib.__version__}, torch {build}, python {python}"


def _execute(
    function: Run, key: str, settings: dict[str, Scalar], parent: int, one_thread: bool
) -> tuple[str, Row | None, str]:
    """Run once, in a worker: key, row (None after an exception), traceback."""
    if one_thread and os.getpid() != parent:
        torch.set_num_threads(1)  # processes that share the cores would fight for them
    try:
        start = time.perf_counter()
        results = _scalars(function(dict(settings)))
        measured = {
            "seconds": round(time.perf_counter() - start, 3),
            "device": device_in_words(),
            "versions": versions_in_words(),
        }
        taken = sorted(set(results) & {*settings, "run", "versions"})
        if taken:
            raise ValueError(f"results must have names of their own, got {taken} once more")
    except Exception:
        return key, None, traceback.format_exc()
    row = {"run": key, **settings, **measured, **results}
    return key, {name: "" if cell is None else str(cell) for name, cell in row.items()}, ""


# --- the table ----------------------------------------------------------------------------------


def _read(path: Path) -> tuple[list[str], dict[str, Row]]:
    """Columns, and rows by key. What follows the last line end was cut off as it was written."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1].decode("utf-8")
    columns, *lines = list(csv.reader(io.StringIO(whole))) or [["run"]]
    if "run" not in columns:
        raise ValueError(
            f"{path} is no table of runs: it has no column 'run', but {columns}; "
            "give the grid a file of its own"
        )
    rows: dict[str, Row] = {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {number}: got {len(cells)} cells for {len(columns)} columns; "
                "remove the line, and its run will be repeated"
            )
        row = dict(zip(columns, cells))
        rows.setdefault(row["run"], row)
    return columns, rows


def _columns(rows: Iterable[Row], settings: Iterable[str] = ()) -> list[str]:
    """Every column of ``rows``: the key, ``settings``, results, what was measured."""
    names = dict.fromkeys(["run", *settings, *(name for row in rows for name in row)])
    return [*(n for n in names if n not in MEASURED), *(n for n in MEASURED if n in names)]


def _text(columns: list[str], rows: Iterable[Row], *, header: bool = True) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _frame(columns: list[str], rows: Iterable[Row]) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(_text(columns, rows)),
        dtype=dict.fromkeys(("run", "device", "versions"), str),
        keep_default_na=False,
        na_values=["", "nan"],
    )


def _write(path: Path, mode: str, text: str) -> None:
    with path.open(mode, encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _rewrite(path: Path, text: str) -> None:
    """Replace the file, all or nothing. Under the lock, a fixed name collides with no one."""
    partial = path.with_name(f".{path.name}.partial")
    _write(partial, "w", text)
    partial.replace(path)


@contextlib.contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Hold the lock of the table at ``path``; the system lets go of it when a process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise GridError(
            f"another process is writing {path}; wait until it has finished, "
            "or give this grid a file of its own and merge() the two"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            Path(lock.lock_file).unlink()
        lock.release()


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
        settings, results, ``seconds``, ``device``, ``versions``. A complete table is stored
        in this order, too.

    Raises
    ------
    TypeError, ValueError
        Settings or a file that cannot be used.
    GridError
        Runs failed (call again to retry those), or another process writes this file.
    """
    path = Path(path)
    grid = {run_key(settings): _scalars(settings) for settings in settings_list}
    names = list(dict.fromkeys(name for settings in grid.values() for name in settings))
    reserved = sorted({"", "run", *MEASURED} & set(names))
    if reserved:
        raise ValueError(f"settings must not be named {reserved}: the table needs these names")
    workers = joblib.effective_n_jobs(-1 if n_jobs is None else n_jobs)
    # Batches of one: a finished run must not wait in its worker for others.
    parallel = joblib.Parallel(workers, batch_size=1, return_as="generator_unordered")
    failures = []
    with _only_writer(path):
        columns = ["run"]
        rows: dict[str, Row] = {}
        if path.exists():
            columns, rows = _read(path)
            _rewrite(path, _text(columns, rows.values()))
        todo = [key for key in grid if key not in rows]
        finished = parallel(
            joblib.delayed(_execute)(function, key, grid[key], os.getpid(), workers > 1)
            for key in todo
        )
        for key, row, trouble in tqdm(
            finished,
            desc=path.name,
            initial=len(grid) - len(todo),
            total=len(grid),
            disable=not progress,
        ):
            if row is None:
                failures.append((grid[key], trouble))
                tqdm.write(f"run failed: {grid[key]}\n{trouble}", file=sys.stderr)
                continue
            rows[key] = row
            if set(row) <= set(columns):
                _write(path, "a", _text(columns, [row], header=False))
            else:
                columns = _columns(rows.values(), names)
                _rewrite(path, _text(columns, rows.values()))
        if failures:
            reasons = "\n".join(f"  {s}: {t.strip().splitlines()[-1]}" for s, t in failures)
            raise GridError(
                f"{len(failures)} of {len(grid)} runs failed; the others are in {path}. "
                f"Call again to retry:\n{reasons}",
                failures,
            )
        ordered = {key: rows[key] for key in grid} | rows
        columns = _columns(ordered.values(), names)
        if rows:
            _rewrite(path, _text(columns, ordered.values()))
    return _frame(columns, [rows[key] for key in grid])


def merge(paths: Iterable[str | Path], into: str | Path | None = None) -> pd.DataFrame:
    """Put tables that were run in parts (on other machines, say) one below the other.

    Parameters
    ----------
    paths
        Tables written by :func:`run_grid`. Of a run that occurs twice the first row counts.
    into
        Where to write the whole, if anywhere; :func:`run_grid` can go on from there.
    """
    rows: dict[str, Row] = {}
    for path in paths:
        for key, row in _read(Path(path))[1].items():
            rows.setdefault(key, row)
    columns = _columns(rows.values())
    if into is not None:
        with _only_writer(Path(into)):
            _rewrite(Path(into), _text(columns, rows.values()))
    return _frame(columns, rows.values())


# --- what many runs share -----------------------------------------------------------------------


def cached(
    folder: str | Path | None, key: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors that ``compute`` returns, from ``folder`` if they were computed before.

    Parameters
    ----------
    folder
        Holds one safetensors file a key; delete it when the code of ``compute`` changes.
        None: nothing is kept.
    key
        Everything that the tensors depend on, as scalars: class, seed, epochs, ...
    compute
        Called if there is no whole file for ``key``. Two processes may both come to call
        it; the one that finishes last leaves its file.

    Returns
    -------
    dict of str to Tensor
        On the CPU, contiguous, the same whether just computed or read.
    """
    path = None if folder is None else Path(folder) / f"{run_key(key)}.safetensors"
    if path is not None:
        try:
            return checkpoints.load(path)[0]
        except FileNotFoundError:
            pass
        except checkpoints.CheckpointError as error:
            warnings.warn(f"computing it again: {error}", stacklevel=2)
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in compute().items()
    }
    if path is not None:
        checkpoints.save(path, tensors, _scalars(key))
    return tensors
