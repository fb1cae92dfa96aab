"""Tables of runs on disk: read whole or refused, written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from badsad_lib.experiments.keys import Scalar

Row = dict[str, str]  # column to cell, as text

MEASURED = ("seconds", "device", "versions")
LAST = (*MEASURED, "check")  # the last columns of every table


class GridError(RuntimeError):
    """A grid is not complete; ``failures`` holds (settings, traceback) of each run that raised."""

    def __init__(self, message: str, failures: Iterable[tuple[dict[str, Scalar], str]] = ()):
        super().__init__(message)
        self.failures = tuple(failures)


# --- one row ------------------------------------------------------------------------------------


def as_row(values: Mapping[str, Scalar]) -> Row:
    """Return the cells of a row, and in ``check`` the seal that tells whether one was changed."""
    row = {name: _cell(value) for name, value in values.items()}
    return row | {"check": _seal(row)}


def _cell(value: Scalar) -> str:
    return "" if value is None else str(value)


def _meaning(cell: str) -> str:
    """A cell in one form of many: programs that edit tables write 1 as 1.0, and NaN as nothing."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return "" if math.isnan(number) else repr(number)


def _seal(row: Row) -> str:
    """Digest of the cells that are not empty: a column that others brought changes nothing."""
    cells = {name: _meaning(cell) for name, cell in row.items() if name != "check"}
    text = json.dumps({name: cell for name, cell in cells.items() if cell}, sort_keys=True)
    return "c" + hashlib.sha256(text.encode()).hexdigest()[:12]


def require_settings(path: Path, row: Row, settings: Mapping[str, Scalar]) -> None:
    """Refuse a row that stands under the key of ``settings`` and tells of others."""
    for name, value in settings.items():
        if name not in row or _meaning(row[name]) != _meaning(_cell(value)):
            got = repr(row[name]) if name in row else "no such column"
            raise ValueError(
                f"{path}, run {row['run']}: its key stands for {name}={value!r}, but the table has "
                f"{got}; restore it, or remove the line, and the run will be repeated"
            )


# --- reading ------------------------------------------------------------------------------------


def read(path: Path) -> tuple[list[str], dict[str, Row]]:
    """Columns, and rows by key. What follows the last line end was cut off as it was written.

    Raises
    ------
    ValueError
        The file is no table of runs, or a row of it is not as it was written.
    """
    data = path.read_bytes()
    whole, torn = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
    try:
        if b"\r" in torn:
            raise csv.Error("its lines end as on an old Macintosh")
        text = whole.decode("utf-8-sig")  # spreadsheets put a mark in front
        columns, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [["run"]]
    except UnicodeDecodeError as error:
        line, strange = whole.count(b"\n", 0, error.start) + 1, whole[error.start : error.end]
        raise ValueError(
            f"{path}, line {line}: got {strange!r}, which is no UTF-8; save it as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV as a grid writes it: {error}") from error
    if "run" not in columns:
        raise ValueError(
            f"{path} is no table of runs: it has no column 'run', but {columns}; "
            "give the grid a file of its own"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"{path} names the columns {twice} twice; remove or rename one of each")
    rows: dict[str, Row] = {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {number}: got {len(cells)} cells for {len(columns)} columns; "
                "remove the line, and its run will be repeated"
            )
        row = dict(zip(columns, cells))
        if row.get("check") and row["check"] != _seal(row):
            raise ValueError(
                f"{path}, line {number}: run {row['run']} is not as it was written, a cell or a "
                "column was changed since; restore it, or remove the line, and the run will be "
                "repeated"
            )
        rows.setdefault(row["run"], row)
    lost = [name for name in MEASURED if name not in columns]
    if rows and lost:
        raise ValueError(
            f"{path} has lost its columns {lost}; restore them, or remove the file, and all runs "
            "will be repeated"
        )
    return columns, rows


def in_order(rows: Iterable[Row], settings: Iterable[str] = ()) -> list[str]:
    """Every column of ``rows``: the key, ``settings``, results, what was measured."""
    names = dict.fromkeys(["run", *settings, *(name for row in rows for name in row)])
    return [*(n for n in names if n not in LAST), *(n for n in LAST if n in names)]


def as_text(columns: list[str], rows: Iterable[Row], *, header: bool = True) -> str:
    """Return the lines of a table."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_frame(columns: list[str], rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows with numbers as numbers."""
    return pd.read_csv(
        io.StringIO(as_text(columns, rows)),
        dtype=dict.fromkeys(("run", "device", "versions", "check"), str),
        keep_default_na=False,
        na_values=["", "nan"],
    )


# --- writing ------------------------------------------------------------------------------------


def _write(path: Path, mode: str, text: str) -> None:
    with path.open(mode, encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error}; its rows so far are whole. Mend that, and call again: "
            "the grid goes on from there"
        ) from error


def append(path: Path, text: str) -> None:
    """Add whole lines to the file, or leave it as it was."""
    size = path.stat().st_size
    with _told(path):
        try:
            _write(path, "a", text)
        except OSError:
            os.truncate(path, size)
            raise


def rewrite(path: Path, text: str) -> None:
    """Replace the file, all or nothing. Under the lock, a fixed name collides with no one."""
    partial = path.with_name(f".{path.name}.partial")
    with _told(path):
        try:
            _write(partial, "w", text)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
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


def merge(paths: Iterable[str | Path], into: str | Path | None = None) -> pd.DataFrame:
    """Put tables that were run in parts (on other machines, say) one below the other.

    Parameters
    ----------
    paths
        Tables written by :func:`run_grid`. Of a run that occurs twice the first row counts.
    into
        Where to write the whole, if anywhere; :func:`run_grid` can go on from there.

    Raises
    ------
    ValueError
        A file that is no table of runs, or a row that was changed since it was written.
    """
    rows: dict[str, Row] = {}
    for path in paths:
        for key, row in read(Path(path))[1].items():
            rows.setdefault(key, row)
    columns = in_order(rows.values())
    if into is not None:
        with only_writer(Path(into)):
            rewrite(Path(into), as_text(columns, rows.values()))
    return as_frame(columns, rows.values())
