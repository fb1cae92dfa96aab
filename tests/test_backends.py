"""One table whatever runs it: processes of this machine, Dask's, Ray's."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import pandas as pd
import pytest

import badsad_lib
from badsad_lib.experiments import run_grid
from badsad_lib.grids import attack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """What a worker finds: one thread, and of this course nothing but the library."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "badsad_lib").symlink_to(Path(badsad_lib.__file__).parent)
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def table(path: Path, n_jobs: int | None = None) -> pd.DataFrame:
    """Measure rows of the attack, on few images and for one epoch, and leave out what is timed."""
    grid = attack.settings("mnist", subset="course", classes=(3, 5, 7), epochs=1)
    grid = [{**s, "method": "data only"} for s in grid if s["network"] == "mnist"]
    run = partial(attack.run, kept=path.parent / "kept")
    rows = run_grid(run, grid, path, n_jobs=n_jobs, progress=False)
    assert len(rows) == 3
    return rows.drop(columns=["seconds", "check"])


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> pd.DataFrame:
    return table(tmp_path_factory.mktemp("here") / "t.csv", n_jobs=2)


def test_dask_workers_that_were_started_elsewhere(environment, here, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    empty = tmp_path / "empty"
    empty.mkdir()
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        worker = [sys.executable, "-P", "-m", "distributed.cli.dask_worker"]
        options = [cluster.scheduler_address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        processes = [
            subprocess.Popen([*worker, *options], cwd=empty, env=environment) for _ in range(2)
        ]
        try:
            client.wait_for_workers(2, timeout=120)
            with joblib.parallel_config(backend="dask"):
                there = table(tmp_path / "t.csv")
        finally:
            for process in processes:
                process.kill()
                process.wait()
    pd.testing.assert_frame_equal(there, here, check_exact=True)
