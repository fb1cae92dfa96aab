"""What a worker runs is found wherever the library is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import badsad_lib

pytestmark = pytest.mark.slow

RUNS = """
import pickle
from badsad_lib.grids import attack, defense, detector, detector_choice, latents

for grid in (attack, defense, detector, detector_choice, latents):
    assert pickle.loads(pickle.dumps(grid.run)) is grid.run
    assert grid.run.__module__ == grid.settings.__module__ == grid.__name__
"""


def test_a_run_needs_nothing_but_the_library(tmp_path):
    """In a folder that holds nothing but the package, with no script on the path."""
    (tmp_path / "badsad_lib").symlink_to(Path(badsad_lib.__file__).parent)
    subprocess.run(
        [sys.executable, "-P", "-c", RUNS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=True,
    )
