"""One table whatever runs it: processes of this machine, threads, a cluster of Dask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

import badsad_lib
from badsad_lib.experiments import GridError, backend, run_grid
from badsad_lib.grids import attack, registry
from badsad_lib.grids.registry import Grid

ROOT = Path(__file__).parent.parent
CLASSES = (3, 5, 7, 8)


def few(seeds: int) -> list[dict]:
    """List rows of the attack, on few images and for one epoch."""
    runs = attack.settings("mnist", subset="course", classes=CLASSES, seeds=seeds, epochs=1)
    return [{**run, "method": "data only"} for run in runs if run["network"] == "mnist"]


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry.GRIDS, "small", Grid(few, attack.run))
        yield


def measured(out: Path, kept: Path | None = None, **on) -> pd.DataFrame:
    """Have the rows, and leave out what is timed."""
    rows = registry.execute("small", out, kept=kept, progress=False, **on)
    assert len(rows) == len(CLASSES)
    return rows.drop(columns=["seconds", "device", "check"])


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("here")
    return measured(out, kept=out / "kept", jobs=2)


@contextmanager
def dask(
    workers: int, folder: Path
) -> Iterator[tuple[str, list[subprocess.Popen], Callable[[], None]]]:
    """Yield a scheduler, workers that were started elsewhere, and what starts another."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    (folder / "library").mkdir()
    (folder / "library" / "badsad_lib").symlink_to(Path(badsad_lib.__file__).parent)
    (folder / "empty").mkdir()
    # What a worker finds: one thread, and of this course nothing but the library. Where Dask
    # itself lies on the path, it must find that, too.
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [path for path in before if path and Path(path).resolve() != ROOT]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "library"), *others]),
        "OMP_NUM_THREADS": "1",
    }
    with distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster:
        started: list[subprocess.Popen] = []

        def start() -> None:
            command = [sys.executable, "-P", "-m", "distributed.cli.dask_worker"]
            options = [cluster.scheduler_address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
            started.append(
                subprocess.Popen([*command, *options], cwd=folder / "empty", env=environment)
            )

        for _ in range(workers):
            start()
        try:
            yield cluster.scheduler_address, started, start
        finally:
            for process in started:
                process.kill()
                process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threading", "multiprocessing"])
def test_a_table_is_the_same_on_every_backend_of_this_machine(name, here, tmp_path):
    there = measured(tmp_path, backend_name=name, jobs=2)
    pd.testing.assert_frame_equal(there, here, check_exact=True)


@pytest.mark.slow
def test_dask_starts_workers_of_its_own_where_no_scheduler_is_named(here, tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    there = measured(tmp_path, backend_name="dask", jobs=2)
    pd.testing.assert_frame_equal(there, here, check_exact=True)


@pytest.mark.slow
def test_dask_workers_elsewhere_may_join_late_and_be_killed(here, tmp_path):
    """One is killed after the first row and one joins: nothing is lost, nothing twice."""
    with dask(1, tmp_path) as (address, workers, start):
        path = tmp_path / "out" / "small.csv"

        def disturb() -> None:
            while not path.exists() or len(path.read_text().splitlines()) < 2:
                time.sleep(0.1)
            start()
            workers[0].kill()

        disturber = threading.Thread(target=disturb, daemon=True)
        disturber.start()
        there = measured(
            tmp_path / "out", tmp_path / "kept", backend_name="dask", scheduler=address
        )
        disturber.join(timeout=60)
        assert len(workers) == 2
    pd.testing.assert_frame_equal(there, here, check_exact=True)
    assert len(path.read_text().splitlines()) == len(CLASSES) + 1


def square(settings: dict) -> dict:
    time.sleep(settings["wait"])
    return {"y": settings["x"] ** 2, "pid": os.getpid()}


def once_joined(settings: dict) -> dict:
    while not Path(settings["flag"]).exists():
        time.sleep(0.05)
    return square(settings)


@pytest.mark.slow
def test_a_single_worker_does_the_work_and_one_that_joins_gets_some(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    flag = tmp_path / "joined"
    runs = [{"x": x, "wait": 0.2, "flag": str(flag)} for x in range(10)]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as cluster:

        def join() -> None:
            cluster.scale(2)
            while len(cluster.scheduler.workers) < 2:
                time.sleep(0.05)
            flag.touch()

        with backend("dask", scheduler=cluster.scheduler_address) as n_jobs:
            threading.Thread(target=join, daemon=True).start()
            rows = run_grid(once_joined, runs, tmp_path / "table.csv", n_jobs=n_jobs)
    assert rows["y"].tolist() == [x**2 for x in range(10)]
    assert os.getpid() not in set(rows["pid"])
    assert rows["pid"].nunique() == 2


def deadly(settings: dict) -> dict:
    with (Path(settings["log"]) / str(settings["x"])).open("a") as log:
        log.write("begun ")
    time.sleep(0.5)
    if settings["x"] in (2, 5):
        os._exit(1)  # as when all memory is taken, or a job's time is over
    return {"y": settings["x"] ** 2}


@pytest.mark.slow
def test_runs_that_kill_their_workers_are_told_from_those_that_waited_behind_them(tmp_path):
    """These get through, and none that has ended is done again when its worker dies."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    config = pytest.importorskip("dask.config")
    runs = [{"x": x, "log": str(tmp_path)} for x in range(8)]
    with (
        config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as here,
        backend("dask", scheduler=here.scheduler_address) as n_jobs,
        pytest.raises(GridError, match="2 of 8 runs failed") as raised,
    ):
        run_grid(deadly, runs, tmp_path / "table.csv", n_jobs=n_jobs, progress=False)
    for x in (2, 5):
        assert f"'x': {x}" in str(raised.value)
    assert str(raised.value).count("give each more memory, or more time") == 2
    rows = pd.read_csv(tmp_path / "table.csv").set_index("x")
    assert rows["y"].to_dict() == {x: x**2 for x in range(8) if x not in (2, 5)}
    begun = {x: (tmp_path / str(x)).read_text().count("begun") for x in range(8)}
    assert {begun[x] for x in rows.index} == {1}
    assert {begun[x] for x in (2, 5)} <= {2, 3, 4}  # twice alone, and at most twice among others


@pytest.mark.slow
def test_when_the_scheduler_is_killed_the_rows_so_far_are_there_and_the_grid_goes_on(tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    runs = [{"x": x, "wait": 1.0} for x in range(6)]
    path, file = tmp_path / "table.csv", tmp_path / "scheduler.json"
    here = {"cwd": tmp_path, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    start = [sys.executable, "-m"]
    common = ["--scheduler-file", str(file)]
    scheduler = subprocess.Popen(
        [*start, "distributed.cli.dask_scheduler", *common, "--port", "0", "--no-dashboard"], **here
    )
    while not file.exists():
        time.sleep(0.1)
    worker = subprocess.Popen(
        [*start, "distributed.cli.dask_worker", *common, "--nthreads", "1", "--no-nanny"], **here
    )

    def kill() -> None:
        while not path.exists() or len(path.read_text().splitlines()) < 2:
            time.sleep(0.05)
        scheduler.kill()

    killer = threading.Thread(target=kill, daemon=True)
    try:
        address = json.loads(file.read_text())["address"]
        with backend("dask", scheduler=address) as n_jobs:
            killer.start()
            with pytest.raises(ConnectionError, match=r"scheduler is gone.* call again"):
                run_grid(square, runs, path, n_jobs=n_jobs, progress=False)
        done = len(path.read_text().splitlines()) - 1
        assert 1 <= done < 6
        before = path.read_text().splitlines()[1:]
        again = run_grid(square, runs, path, n_jobs=1, progress=False)
        assert again["y"].tolist() == [x**2 for x in range(6)]
        assert set(before) <= set(path.read_text().splitlines())
        assert worker.wait(timeout=60) is not None  # it ends by itself
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def test_what_no_backend_takes_is_refused_at_the_door(monkeypatch):
    with pytest.raises(ValueError, match=r"name must be one of .*'dask'.*, got 'ray'"):
        backend("ray")
    with pytest.raises(ValueError, match="a scheduler is for backend 'dask', got one for 'loky'"):
        backend("loky", scheduler="tcp://127.0.0.1:1").__enter__()
    with pytest.raises(ValueError, match="jobs must be an integer of at least 1, got 0"):
        backend("loky", 0)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"install badsad_lib\[cluster\]"):
        backend("dask").__enter__()


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_or_has_no_worker_is_said(monkeypatch, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr("badsad_lib.experiments.backends.WAIT", 1.0)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        backend("dask", scheduler="tcp://127.0.0.1:9").__enter__()
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        pytest.raises(OSError, match="has no worker after 1 s; start some with `dask worker tcp"),
    ):
        backend("dask", scheduler=cluster.scheduler_address).__enter__()
