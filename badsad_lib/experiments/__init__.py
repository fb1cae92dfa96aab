"""A grid of runs to a resumable table, on the cores of one machine or on a cluster.

A run is a dict of settings and a function that turns it into a dict of results.
:func:`run_grid` executes the runs that a CSV file does not hold yet and appends
each as it finishes, so that a grid that was killed goes on where it stopped::

    def one_run(settings):
        ...
        return {"auroc": auroc, "asr": asr}

    grid = [{"normal_class": c, "seed": s} for c in range(10) for s in range(3)]
    table = run_grid(one_run, grid, "results.csv")

Runs go to processes of this machine, or to threads, or to a cluster of Dask, as
:func:`backend` says. What workers elsewhere run must be importable there, as
:mod:`badsad_lib.grids` is.

Only the calling process writes; workers hand their rows back. One file belongs to
one function: the key of a run tells its settings, not the code that ran. Each row is
sealed (its column ``check``): one that was changed since is refused by name.
"""

from badsad_lib.experiments.backends import BACKENDS, backend
from badsad_lib.experiments.cache import cached
from badsad_lib.experiments.keys import run_key
from badsad_lib.experiments.running import run_grid
from badsad_lib.experiments.tables import GridError, merge
from badsad_lib.experiments.workers import device_in_words, versions_in_words

__all__ = [
    "BACKENDS",
    "GridError",
    "backend",
    "cached",
    "device_in_words",
    "merge",
    "run_grid",
    "run_key",
    "versions_in_words",
]
