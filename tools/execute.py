"""Run lessons one after the other and store their outputs and seconds in place.

``python -m tools.execute [NOTEBOOK ...]``; without arguments, every lesson. A
lesson that fails stays as it was. Each one runs on two cores, so that its time
means the same on every machine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tools.lessons import (
    TIME_SPAN,
    TIMINGS,
    code_digest,
    lessons,
    measured_time,
    read_timings,
    write_atomically,
)

CORES = 2
CELL_TIMEOUT = 300


def use_cores(wanted: int = CORES) -> int:
    """Confine this process and its kernels to ``wanted`` cores; return how many they get."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))[:wanted]
        os.sched_setaffinity(0, allowed)
        available = len(allowed)
    else:
        available = min(wanted, os.cpu_count() or 1)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(available)
    return available


def use_this_environment() -> None:
    """Make ``python3`` mean the kernel of this environment, whatever else is installed."""
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ.pop("JUPYTER_PATH", None)


def run(path: Path) -> NotebookNode:
    """Return the notebook with fresh outputs; the file is not touched."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    # What the kernel's own process says on starting is of no use; a cell's stderr is an output.
    client.execute(stderr=subprocess.DEVNULL)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                # The full traceback is colored, long, and full of this machine's paths.
                output.traceback = [f"{output.ename}: {output.evalue}"]
    # Versions of the machine that ran it last would only make noise in the history.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    return notebook


def with_time(notebook: NotebookNode, record: dict[str, Any]) -> NotebookNode:
    """Put the measured time between the time marks of the lesson's first cell."""
    first = notebook.cells[0]
    first.source = TIME_SPAN.sub(rf"\g<1>{measured_time(record)}\g<3>", first.source)
    return notebook


def execute(path: Path, timings: Path = TIMINGS, cores: int = CORES) -> dict[str, Any]:
    """Run one lesson, store it with its outputs, and return the record of the run.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed without the tag ``raises-exception``.
    """
    start = time.perf_counter()
    notebook = run(path)
    record = {
        "seconds": round(time.perf_counter() - start, 1),
        "cores": cores,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "torch": version("torch").split("+")[0],
        "code": code_digest(notebook),
    }
    write_atomically(path, nbformat.writes(with_time(notebook, record)) + "\n")
    records = read_timings(timings) | {path.stem: record}
    write_atomically(timings, as_json(records))
    return record


def as_json(records: dict[str, dict[str, Any]]) -> str:
    """Return the records as JSON, one lesson a line, so that a change reads well."""
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(records.items()))
    return f"{{\n{lines}\n}}\n"


def main(arguments: list[str]) -> int:
    """Execute the lessons named, or all; return the exit status."""
    use_this_environment()
    cores = use_cores()
    paths = [Path(name).resolve() for name in arguments] or lessons()
    failed = []
    for path in paths:
        print(f"{path.stem} ...", flush=True)
        try:
            record = execute(path, cores=cores)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{error}\n{path.stem}: failed, left as it was", flush=True)
            failed.append(path.stem)
        else:
            print(f"{path.stem}: {record['seconds']} s", flush=True)
    if failed:
        print(f"{len(failed)} of {len(paths)} lessons failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
