"""Where the runs of a grid are executed: a joblib backend, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import joblib

from badsad_lib._rules import Count, OneOf, checked

BACKENDS = ("loky", "multiprocessing", "threading", "dask")
Backend = Annotated[str, OneOf(BACKENDS)]
WAIT = 60.0  # seconds that a scheduler has until it answers and a first worker is there


@contextmanager
@checked
def backend(
    name: Backend = "loky", jobs: Count | None = None, scheduler: str = ""
) -> Iterator[int]:
    """Execute what :func:`run_grid` runs inside the ``with`` on a backend of joblib.

    Parameters
    ----------
    name
        One of :data:`BACKENDS`. ``loky``, the default, and ``multiprocessing`` are processes of
        this machine, ``threading`` threads of this process. ``dask`` needs the extra ``cluster``.
    jobs
        Runs at a time. By default one a core, or one a thread of the scheduler's workers.
    scheduler
        Only for ``dask``: address of a scheduler (``tcp://host:8786``) whose workers may be
        processes anywhere that have the library installed; workers that join later get work,
        too. Without one, ``jobs`` workers are started on this machine, and ended afterwards.

    Yields
    ------
    int
        Runs at a time; -1 means as many as there are workers, however many join.

    Raises
    ------
    ValueError
        There is no such backend, or an address where none is of use.
    OSError
        No scheduler answers at the address, or it has no worker, within a minute.
    ImportError
        Dask is not installed.
    """
    if scheduler and name != "dask":
        raise ValueError(f"a scheduler is for backend 'dask', got one for {name!r}")
    with ExitStack() as stack:
        if name == "dask":
            _connect(stack, jobs, scheduler)
        stack.enter_context(joblib.parallel_config(backend=name))
        yield -1 if jobs is None else jobs


def _connect(stack: ExitStack, jobs: int | None, scheduler: str) -> None:
    """Open a client of Dask that joblib finds, with a cluster of its own where none is named."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "backend 'dask' needs the package distributed: install badsad_lib[cluster]"
        ) from error
    if not scheduler:
        cluster = distributed.LocalCluster(
            n_workers=jobs or joblib.cpu_count(), threads_per_worker=1, dashboard_address=None
        )
        stack.enter_context(cluster)
        scheduler = cluster.scheduler_address
    try:
        client = stack.enter_context(distributed.Client(scheduler, timeout=WAIT))
    except (OSError, ValueError) as error:
        raise OSError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); start one with "
            "`dask scheduler` and give the address that it prints"
        ) from error
    try:
        client.wait_for_workers(1, timeout=WAIT)
    except TimeoutError as error:
        raise OSError(
            f"the Dask scheduler at {scheduler} has no worker after {WAIT:.0f} s; start some with "
            f"`dask worker {scheduler} --nthreads 1`"
        ) from error
