"""A grid survives being killed: no finished run is lost, none is repeated."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from hypothesis import example, given, settings
from hypothesis import strategies as st

from badsad_lib.experiments import GridError, cached, merge, run_grid, run_key

ROOT = Path(__file__).parent.parent

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["L", "N", "P", "S"]))
)
settings_dicts = st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=5), scalars, max_size=5)


class Runs:
    """A function to run that remembers for which x it was called, and fails where told."""

    def __init__(self, *fails: int) -> None:
        self.calls: list[int] = []
        self.fails = fails

    def __call__(self, settings: dict) -> dict:
        self.calls.append(settings["x"])
        if settings["x"] in self.fails:
            raise ArithmeticError(f"no result for {settings['x']}")
        return {"square": settings["x"] ** 2}


def grid(n: int) -> list[dict]:
    return [{"x": x, "kind": "patch, 3x3"} for x in range(n)]


def run(function, settings_list, path, **options) -> pd.DataFrame:
    return run_grid(function, settings_list, path, **{"n_jobs": 1, "progress": False} | options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results" / "table.csv"


# --- the table ----------------------------------------------------------------------------------


def test_a_row_holds_key_settings_results_and_what_was_measured(path):
    table = run(Runs(), grid(3), path)
    measured = ["seconds", "device", "versions", "check"]
    assert list(table.columns) == ["run", "x", "kind", "square", *measured]
    assert list(table["square"]) == [0, 1, 4]
    assert list(table["run"]) == [run_key(settings) for settings in grid(3)]
    assert set(table["kind"]) == {"patch, 3x3"}
    assert table["seconds"].between(0, 5).all()
    assert table["device"].str.len().gt(3).all()
    assert f"torch {torch.__version__.split('+')[0]}, python 3." in table["versions"][0]
    assert "+" not in table["versions"][0]


def test_the_file_and_what_is_returned_agree_and_nothing_else_is_left_behind(path):
    table = run(Runs(), grid(3), path)
    pd.testing.assert_frame_equal(table, merge([path]))
    assert len(path.read_text().splitlines()) == 4
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


def test_the_table_is_in_the_order_of_the_grid_whatever_finished_first(path):
    run(Runs(), [grid(4)[2]], path)
    run(Runs(), grid(4), path)
    assert list(merge([path])["x"]) == [0, 1, 2, 3]


def test_rows_of_other_grids_stay_in_the_file_but_are_not_returned(path):
    run(Runs(), grid(4), path)
    assert list(run(Runs(), grid(4)[2:], path)["x"]) == [2, 3]
    assert list(merge([path])["x"]) == [2, 3, 0, 1]


def test_an_empty_grid_writes_nothing(path):
    assert len(run(Runs(), [], path)) == 0
    assert not path.exists()


def test_a_later_function_may_add_columns(path):
    run(Runs(), grid(2), path)
    table = run(lambda s: {"cube": s["x"] ** 3, "square": s["x"] ** 2}, grid(3), path)
    assert list(table["square"]) == [0, 1, 4]
    assert table["cube"].isna().tolist() == [True, True, False]
    assert list(table.columns)[-4:] == ["seconds", "device", "versions", "check"]


def test_runs_may_differ_in_their_settings(path):
    table = run(lambda s: {"n": len(s)}, [{"a": 1}, {"b": "x", "a": 2}, {"c": None}], path)
    assert list(table.columns[:5]) == ["run", "a", "b", "c", "n"]
    assert list(table["n"]) == [1, 2, 1]


def test_a_run_may_measure_better_itself(path):
    table = run(lambda s: {"seconds": 0.25, "device": "abacus"}, grid(1), path)
    assert (table["seconds"][0], table["device"][0]) == (0.25, "abacus")


def test_numpy_and_torch_numbers_are_written_as_plain_ones(path):
    third = {"a": np.float64(1 / 3), "b": torch.tensor(2), "c": np.bool_(True), "d": math.nan}
    table = run(lambda s: third, [{"x": np.int64(5), "inf": 0}], path)
    assert table["a"][0] == 1 / 3
    assert (table["b"][0], table["c"][0], table["x"][0]) == (2, True, 5)
    assert math.isnan(table["d"][0])
    assert "np." not in path.read_text()


@given(value=st.floats() | st.booleans() | st.integers(-(2**53), 2**53))
@example(value=math.inf)
def test_numbers_come_back_exactly(value):
    with tempfile.TemporaryDirectory() as folder:
        back = run(lambda s: {"y": value}, [{"x": 0}], Path(folder) / "t.csv")["y"][0]
    assert back == value or (math.isnan(back) and math.isnan(value))


# --- resuming -----------------------------------------------------------------------------------


def test_a_second_call_runs_nothing_and_changes_nothing(path):
    first = run(Runs(), grid(3), path)
    before = path.read_bytes()
    again = Runs()
    pd.testing.assert_frame_equal(first, run(again, grid(3), path))
    assert again.calls == []
    assert path.read_bytes() == before


def test_only_what_is_missing_runs(path):
    run(Runs(), grid(2), path)
    more = Runs()
    assert list(run(more, grid(5), path)["square"]) == [0, 1, 4, 9, 16]
    assert more.calls == [2, 3, 4]


def test_equal_settings_run_once(path):
    runs = Runs()
    table = run(runs, [{"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 2, "y": 1}], path)
    assert runs.calls == [1, 2]
    assert list(table["x"]) == [1, 2]


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=40)
def test_a_file_cut_anywhere_loses_only_the_row_that_was_cut(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        names = [{"x": x, "name": f"größe {x}"} for x in range(3)]
        whole = run(lambda s: {"double": 2 * s["x"], "seconds": 0.5}, names, path)
        content = path.read_bytes()
        ends = [i for i, byte in enumerate(content) if byte == ord("\n")]
        near_an_end = st.builds(sum, st.tuples(st.sampled_from(ends), st.integers(-1, 1)))
        cut = data.draw(st.integers(0, len(content)) | near_an_end)
        path.write_bytes(content[:cut])
        again, held = [], []

        def once_more(settings):
            held.append(len(merge([path])) if path.exists() else 0)
            again.append(settings["x"])
            return {"double": 2 * settings["x"], "seconds": 0.5}

        pd.testing.assert_frame_equal(run(once_more, names, path), whole)
        complete_rows = max(content[:cut].count(b"\n") - 1, 0)
        assert again == [0, 1, 2][complete_rows:]
        assert held == again  # whole rows at any moment: it may be killed once more
        assert path.read_bytes() == content


def test_each_row_is_in_the_file_before_the_next_run_starts(path):
    seen = []

    def look(settings):
        seen.append(len(merge([path])) if path.exists() else 0)
        return {"y": 0}

    run(look, grid(4), path)
    assert seen == [0, 1, 2, 3]


def test_a_failed_rewrite_keeps_the_table(path, monkeypatch):
    run(Runs(), grid(2), path)
    before = path.read_bytes()

    def wider(settings):
        monkeypatch.setattr(os, "fsync", fail)
        return {"square": 0, "another": 1}  # a new column: the file has to be written anew

    def fail(descriptor):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(wider, grid(3), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


RUNS = 40
# Run as a script: folder, number of processes, seconds a run takes.
SCRIPT = """
import os, sys, time, uuid
from pathlib import Path
from badsad_lib.experiments import run_grid

folder, n_jobs, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
(folder / "imported").write_text(" ".join(sys.modules))

def one_run(settings):
    import torch
    (folder / f"{settings['x']}_{uuid.uuid4().hex}.started").touch()
    time.sleep(seconds)
    return {"double": 2 * settings["x"], "pid": os.getpid(), "threads": torch.get_num_threads()}

grid = [{"x": x} for x in range(40)]
run_grid(one_run, grid, folder / "t.csv", n_jobs=n_jobs, progress=False)
"""


@dataclass(frozen=True)
class Killed:
    folder: Path
    pid: int
    rows: pd.DataFrame  # what the table held after the kill
    imported: frozenset[str]  # modules that importing badsad_lib.experiments had loaded


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A grid on two processes, killed with all its workers after a few rows."""
    if os.name == "nt":
        pytest.skip("process groups are killed by POSIX means")
    folder = tmp_path_factory.mktemp("killed")
    script, table = folder / "grid.py", folder / "t.csv"
    script.write_text(SCRIPT)
    environment = {
        "PYTHONPATH": str(ROOT),
        "JOBLIB_TEMP_FOLDER": str(folder),
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
    }
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder), "2", "0.2"],
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not table.exists() or table.read_bytes().count(b"\n") < 4:
            assert process.poll() is None, "the grid ended before it could be killed"
            assert time.monotonic() < deadline, "the grid wrote no rows"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for leaked in Path("/dev/shm").glob(f"sem.loky-{process.pid}-*"):
            leaked.unlink()
    imported = frozenset((folder / "imported").read_text().split())
    return Killed(folder, process.pid, merge([table]), imported)


@pytest.mark.slow
def test_workers_end_when_their_client_was_killed(tmp_path):
    """With kill -9, which lets it tell nobody. They hold its standard output until they end."""
    if os.name == "nt":
        pytest.skip("processes are killed by POSIX means")
    script = tmp_path / "grid.py"
    script.write_text(SCRIPT)
    client = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), "2", "0.2"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JOBLIB_TEMP_FOLDER": str(tmp_path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        table, deadline = tmp_path / "t.csv", time.monotonic() + 120
        while not table.exists() or table.read_bytes().count(b"\n") < 4:
            assert client.poll() is None, "the grid ended before it could be killed"
            assert time.monotonic() < deadline, "the grid wrote no rows"
            time.sleep(0.01)
        client.kill()
        assert client.stdout is not None
        closed = threading.Thread(target=client.stdout.read, daemon=True)
        closed.start()
        closed.join(timeout=30)  # they would hold it for 300 seconds
        assert not closed.is_alive()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        client.wait()
    held = list(merge([table])["x"])
    again = Runs()
    run(again, [{"x": x} for x in range(RUNS)], table)
    assert sorted(again.calls + held) == list(range(RUNS))


def executions(folder: Path) -> Counter[int]:
    return Counter(int(p.name.split("_")[0]) for p in folder.glob("*.started"))


@pytest.mark.slow
def test_a_killed_grid_goes_on_where_it_stopped(killed, monkeypatch):
    recorded = list(killed.rows["x"])
    assert 3 <= len(recorded) < RUNS
    started = executions(killed.folder)
    with (killed.folder / "t.csv").open("a") as file:
        file.write("r0123456789ab,99")  # as if the kill had come in the middle of one more row

    script = str(killed.folder / "grid.py")
    monkeypatch.setattr(sys, "argv", [script, str(killed.folder), "1", "0"])
    runpy.run_path(script)

    rows = merge([killed.folder / "t.csv"])
    assert list(rows["x"]) == list(range(RUNS))
    assert list(rows["double"]) == [2 * x for x in range(RUNS)]
    again = executions(killed.folder) - started
    assert sorted(again.elements()) == sorted(set(range(RUNS)) - set(recorded))
    assert set(recorded) <= set(started)


@pytest.mark.slow
def test_processes_take_one_thread_each(killed):
    assert len(set(killed.rows["pid"])) <= 2
    assert killed.pid not in set(killed.rows["pid"])
    assert set(killed.rows["threads"]) == {1}


def test_importing_it_loads_no_heavy_optional_package(killed):
    assert "torch" in killed.imported
    assert not {"matplotlib", "seaborn", "umap", "torchvision"} & killed.imported


# --- workers ------------------------------------------------------------------------------------


def test_another_joblib_backend_serves_as_well(path):
    threads = torch.get_num_threads()
    with joblib.parallel_config(backend="threading"):
        table = run(lambda s: {"pid": os.getpid()}, grid(6), path, n_jobs=3)
    assert set(table["pid"]) == {os.getpid()}
    assert list(table["x"]) == list(range(6))
    assert torch.get_num_threads() == threads


def look(settings: dict) -> dict:
    """How many rows the table held when this run started."""
    table = Path(settings["table"])
    return {"held": len(merge([table])) if table.exists() else 0, "pid": os.getpid()}


@pytest.mark.slow
def test_a_backend_that_gives_results_at_the_end_only_is_served_in_rounds(path):
    """As multiprocessing is, and Ray's that is made from it: no row waits for the last one."""
    several = [{"x": x, "table": str(path)} for x in range(5)]
    with joblib.parallel_config(backend="multiprocessing"):
        assert not joblib.parallel.get_active_backend()[0].supports_return_generator
        table = run(look, several, path, n_jobs=2)
    assert list(table["x"]) == list(range(5))
    assert list(table["held"]) == [0, 0, 2, 2, 4]
    assert os.getpid() not in set(table["pid"])


def test_one_process_a_core_by_default(path, monkeypatch):
    asked = []
    monkeypatch.setattr(joblib, "effective_n_jobs", lambda n_jobs: asked.append(n_jobs) or 1)
    run(Runs(), grid(1), path, n_jobs=None)
    assert asked == [-1]


def test_progress_counts_the_runs_that_were_there(path, capsys):
    run(Runs(), grid(2), path)
    assert capsys.readouterr().err == ""
    run(Runs(), grid(4), path, progress=True)
    assert "4/4" in capsys.readouterr().err


# --- failures -----------------------------------------------------------------------------------


def test_a_failing_run_is_named_the_others_go_on_and_it_is_retried(path, capsys):
    with pytest.raises(GridError, match=r"2 of 4 runs failed") as caught:
        run(Runs(1, 2), grid(4), path)
    assert "{'x': 1, 'kind': 'patch, 3x3'}: ArithmeticError: no result for 1" in str(caught.value)
    assert [settings["x"] for settings, _ in caught.value.failures] == [1, 2]
    assert "Traceback" in caught.value.failures[0][1]
    assert "run failed: {'x': 2" in capsys.readouterr().err
    assert list(merge([path])["x"]) == [0, 3]

    again = Runs()
    assert list(run(again, grid(4), path)["square"]) == [0, 1, 4, 9]
    assert again.calls == [1, 2]


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({"y": [1, 2]}, "'y' must be a string, number, bool or None, got list"),
        ({"y": torch.zeros(2)}, "got Tensor"),
        ({"y": "two\nlines"}, "one line of printable text"),
        ({"x": 3}, r"results must have names of their own, got \['x'\]"),
        ({"run": 3}, r"names of their own, got \['run'\]"),
        ({"versions": "9"}, r"names of their own, got \['versions'\]"),
        ({"check": "9"}, r"names of their own, got \['check'\]"),
        (None, "AttributeError"),
    ],
)
def test_results_that_fit_no_row_are_failures(path, results, reason):
    with pytest.raises(GridError, match=reason):
        run(lambda s: results, grid(1), path)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"x": [1]}, TypeError, "'x' must be a string, number, bool or None, got list"),
        ({"x": math.nan}, ValueError, "not JSON compliant"),
        ({"x": "a\rb"}, ValueError, "one line of printable text"),
        ({"seconds": 1}, ValueError, r"must not be named \['seconds'\]"),
        ({"run": 1, "device": "cpu"}, ValueError, r"\['device', 'run'\]"),
        ({"": 1}, ValueError, r"\[''\]"),
    ],
)
def test_settings_that_fit_no_row_are_refused_before_anything_runs(path, settings, error, reason):
    runs = Runs()
    with pytest.raises(error, match=reason):
        run(runs, [{"x": 1}, settings], path)
    assert runs.calls == []
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a,b\n1,2\n", "no column 'run'.*file of its own"),
        ("run,x\nr1,2\nr2\nr3,4\n", r"line 3: got 1 cells for 2 columns"),
    ],
)
def test_a_file_that_is_no_table_is_refused_and_kept(path, content, reason):
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ValueError, match=reason):
        run(Runs(), grid(1), path)
    assert path.read_text() == content


# Same content, other bytes.
AS_OTHERS_SAVE_IT = {
    "with a mark in front": lambda text: "\ufeff" + text,
    "with line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "with numbers as pandas writes them": lambda text: text.replace(",1,", ",1.0,"),
}


@pytest.mark.parametrize("how", AS_OTHERS_SAVE_IT)
def test_a_table_that_another_program_saved_is_gone_on_from(path, how):
    whole = run(Runs(), grid(3), path)
    changed = AS_OTHERS_SAVE_IT[how](path.read_text())
    assert changed != path.read_text()
    path.write_bytes(changed.encode())
    again = Runs()
    table = run(again, grid(3), path)
    assert again.calls == []
    assert list(table["square"]) == list(whole["square"])


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [("latin-1", r"line 2: got b'\\xf6', which is no UTF-8"), ("utf-16", r"line 1: .* no UTF-8")],
)
def test_a_table_in_another_encoding_is_refused_and_kept(path, encoding, reason):
    run(lambda s: {"y": 1}, [{"name": "größe"}], path)
    content = path.read_text(encoding="utf-8").encode(encoding)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        run(Runs(), grid(1), path)
    assert path.read_bytes() == content


def test_line_ends_of_an_old_macintosh_are_not_taken_for_an_empty_table(path):
    run(Runs(), grid(2), path)
    content = path.read_bytes().replace(b"\n", b"\r")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Macintosh"):
        run(Runs(), grid(2), path)
    assert path.read_bytes() == content


# --- rows that were changed -----------------------------------------------------------------------


def edited(path: Path, edit) -> bytes:
    """Edit the table's rows, the header among them, and write them back."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(edit(rows))
    return path.read_bytes()


def column(rows: list[list[str]], name: str) -> int:
    return rows[0].index(name)


def without(name: str):
    return lambda rows: [[c for i, c in enumerate(r) if i != column(rows, name)] for r in rows]


def with_cell(name: str, cell: str):
    def edit(rows):
        rows[2][column(rows, name)] = cell
        return rows

    return edit


def renamed(name: str, other: str):
    return lambda rows: [[other if c == name else c for c in rows[0]], *rows[1:]]


CHANGES = {
    "a setting removed": (without("x"), "x=0.*no such column|line 2: .*not as it was written"),
    "a setting edited": (with_cell("x", "7"), "x=1.*'7'|line 3: run r.* not as it was written"),
    "a column twice": (renamed("kind", "x"), r"columns \['x'\] twice"),
    "a column of time removed": (without("seconds"), "'seconds'|not as it was written"),
}
OF_RESULTS = {
    "a result removed": (without("square"), "line 2: run r.* not as it was written"),
    "a result edited": (with_cell("square", "5"), "line 3: run r.* not as it was written"),
    "a result renamed": (renamed("square", "cube"), "line 2: run r.* not as it was written"),
    "a key edited": (with_cell("run", "r0123456789ab"), "line 3: run r.* not as it was"),
}


@pytest.mark.parametrize("what", CHANGES | OF_RESULTS)
def test_a_row_that_was_changed_is_refused_by_name_and_kept(path, what):
    several = [{"x": x, "kind": "patch"} for x in range(3)]
    run(Runs(), several, path)
    edit, reason = (CHANGES | OF_RESULTS)[what]
    content = edited(path, edit)
    again = Runs()
    with pytest.raises(ValueError, match=reason):
        run(again, several, path)
    assert again.calls == []
    assert path.read_bytes() == content
    with pytest.raises(ValueError, match=r"not as it was written|twice"):
        merge([path])


@pytest.mark.parametrize("what", CHANGES)
def test_a_row_without_a_seal_is_held_to_its_key(path, what):
    """As in tables that are older than the seal."""
    several = [{"x": x, "kind": "patch"} for x in range(3)]
    run(Runs(), several, path)
    edited(path, without("check"))
    assert run(Runs(), several, path)["square"].tolist() == [0, 1, 4]
    edit, reason = CHANGES[what]
    edited(path, edit)
    with pytest.raises(ValueError, match=reason):
        run(Runs(), several, path)


# --- a disk that is full --------------------------------------------------------------------------

FULL = """
import resource, sys
from badsad_lib.experiments import run_grid

def one_run(settings):
    if settings["x"] == 3:  # from now on no file may grow beyond what the table has, and a bit
        size = len(open(sys.argv[1], "rb").read()) + 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return {"square": settings["x"] ** 2}

try:
    run_grid(one_run, [{"x": x} for x in range(5)], sys.argv[1], n_jobs=1, progress=False)
except OSError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.slow
def test_a_full_disk_ends_a_script_with_a_message_and_leaves_whole_rows(path):
    pytest.importorskip("resource", reason="limits are set by POSIX means")
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot write {path}: ")
    assert "Traceback" not in done.stderr
    assert path.read_bytes().endswith(b"\n")
    assert list(merge([path])["x"]) == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]
    again = Runs()
    assert len(run(again, [{"x": x} for x in range(5)], path)) == 5
    assert again.calls == [3, 4]


# --- one writer ---------------------------------------------------------------------------------


def test_a_table_that_is_being_written_is_left_alone(path):
    inner = Runs()
    refusals = []

    def nested(settings):
        with pytest.raises(GridError, match=r"another process is writing .*table\.csv") as caught:
            run(inner, grid(1), path)
        refusals.append(caught)
        return {"y": 1}

    run(nested, grid(2), path)
    assert len(refusals) == 2
    assert inner.calls == []


def test_another_process_is_kept_out_until_the_first_one_ends(path):
    hold = (
        "import sys, time; from filelock import FileLock\n"
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    path.parent.mkdir()
    lock = path.with_name(".table.csv.lock")
    command = [sys.executable, "-c", hold, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(GridError, match="another process"):
                run(Runs(), grid(1), path)
        finally:
            other.kill()
    assert lock.exists()  # a killed process cleans up nothing, and need not
    assert len(run(Runs(), grid(1), path)) == 1


def test_the_lock_is_let_go_after_an_error(path):
    with pytest.raises(GridError):
        run(Runs(0), grid(1), path)
    with FileLock(path.with_name(".table.csv.lock"), timeout=0):
        pass


# --- keys ---------------------------------------------------------------------------------------


@given(settings=settings_dicts, data=st.data())
def test_the_order_of_settings_does_not_matter(settings, data):
    shuffled = dict(data.draw(st.permutations(list(settings.items()))))
    assert run_key(shuffled) == run_key(settings)


@given(a=settings_dicts, b=settings_dicts)
def test_different_settings_have_different_keys(a, b):
    assert (run_key(a) == run_key(b)) == (
        sorted(map(repr, a.items())) == sorted(map(repr, b.items()))
    )


def test_a_key_never_changes():
    # Tables that were published are found again by these.
    assert run_key({}) == "r44136fa355b3"
    assert run_key({"seed": 0, "alpha": 0.2, "trigger": "patch"}) == run_key(
        {"trigger": "patch", "alpha": 0.1 + 0.1, "seed": np.int64(0)}
    )
    assert len({run_key({"x": value}) for value in (1, 1.0, True, "1", None, -1, 0.1)}) == 7


# --- merging ------------------------------------------------------------------------------------


def test_parts_become_one_table_without_duplicates(tmp_path):
    parts = [tmp_path / "a.csv", tmp_path / "b.csv"]
    run(Runs(), grid(3), parts[0])
    run(lambda s: {"square": -1, "extra": 7}, grid(5)[2:], parts[1])
    table = merge(parts)
    assert list(table["x"]) == [0, 1, 2, 3, 4]
    assert list(table["square"]) == [0, 1, 4, -1, -1]
    assert table["extra"].isna().tolist() == [True, True, True, False, False]


def test_a_grid_goes_on_from_merged_parts(tmp_path, path):
    parts = [tmp_path / "a.csv", tmp_path / "b.csv"]
    run(Runs(), grid(1), parts[0])
    run(Runs(), grid(3)[1:], parts[1])
    merge(parts, path)
    rest = Runs()
    assert list(run(rest, grid(4), path)["square"]) == [0, 1, 4, 9]
    assert rest.calls == [3]


def test_merging_leaves_the_parts_alone_even_when_torn(path):
    run(Runs(), grid(2), path)
    torn = path.read_bytes() + b"r12,3"
    path.write_bytes(torn)
    assert list(merge([path])["x"]) == [0, 1]
    assert path.read_bytes() == torn


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        merge([tmp_path / "nowhere.csv"])


# --- cached -------------------------------------------------------------------------------------


class Compute:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        grid = torch.arange(6.0, requires_grad=True).view(2, 3)
        # Views of one memory, one of them transposed, as state dicts may hold them.
        return {"weight": grid.t(), "row": grid[0]}


def test_tensors_are_computed_once_and_come_back_the_same(tmp_path):
    compute = Compute()
    first = cached(tmp_path / "cache", {"seed": 0, "normal_class": 3}, compute)
    second = cached(tmp_path / "cache", {"normal_class": 3, "seed": 0}, compute)
    assert compute.calls == 1
    for tensors in (first, second):
        assert set(tensors) == {"weight", "row"}
        assert torch.equal(tensors["weight"], torch.arange(6.0).view(2, 3).t())
        assert all(t.is_contiguous() and not t.requires_grad for t in tensors.values())
    cached(tmp_path / "cache", {"normal_class": 4, "seed": 0}, compute)
    assert compute.calls == 2
    assert len(list((tmp_path / "cache").iterdir())) == 2


@given(data=st.data())
def test_a_damaged_file_is_computed_again(data):
    with tempfile.TemporaryDirectory() as folder:
        compute = Compute()
        whole = cached(folder, {"seed": 0}, compute)
        (file,) = Path(folder).iterdir()
        content = file.read_bytes()
        file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.warns(UserWarning, match="computing it again"):
            again = cached(folder, {"seed": 0}, compute)
        assert compute.calls == 2
        assert torch.equal(again["weight"], whole["weight"])
        assert list(Path(folder).iterdir()) == [file]
        cached(folder, {"seed": 0}, compute)
        assert compute.calls == 2


def test_two_that_compute_at_once_do_not_disturb_each_other(tmp_path):
    compute = Compute()

    def slower():
        cached(tmp_path, {"seed": 0}, compute)  # the other one starts later and ends earlier
        return compute()

    cached(tmp_path, {"seed": 0}, slower)
    assert compute.calls == 2
    assert len(list(tmp_path.iterdir())) == 1
    cached(tmp_path, {"seed": 0}, compute)
    assert compute.calls == 2


def test_threads_may_share_a_cache(tmp_path):
    both = threading.Barrier(2)

    def compute():
        both.wait(timeout=30)  # now two threads compute what neither has found
        return Compute()()

    results = joblib.Parallel(2, backend="threading")(
        joblib.delayed(cached)(tmp_path, {"seed": 0}, compute) for _ in range(2)
    )
    assert torch.equal(results[0]["weight"], results[1]["weight"])
    assert len(list(tmp_path.iterdir())) == 1
