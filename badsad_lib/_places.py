"""Where files lie: what ships with the library, and what is fetched.

One rule for all that ships (course images, detectors, tables of results): a wheel carries it
inside the package, and a clone has it beside the package, under the same names. It is read from
there and from nowhere else, whatever ``BADSAD_DATA`` says. ``BADSAD_DATA`` names the folder of
what is fetched, which is never a folder among installed packages.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_shipped"  # pyproject.toml puts it there

IN_CLONE = not _IN_WHEEL.is_dir()
SHIPPED = _PACKAGE.parent if IN_CLONE else _IN_WHEEL
DATA = SHIPPED / "data"
DETECTORS = DATA / "detectors"
RESULTS = SHIPPED / "benchmarks" / "results"


def fetched() -> Path:
    """Folder of full data sets: ``BADSAD_DATA``, else the clone's ``data``, else the user's own.

    The last is ``badsad`` in ``XDG_DATA_HOME``, or in ``~/.local/share`` where that is not set.

    Raises
    ------
    OSError
        There is no clone, no home, and neither variable is set.
    """
    if override := os.environ.get("BADSAD_DATA"):
        return Path(override).expanduser()
    if IN_CLONE:
        return DATA
    if users := os.environ.get("XDG_DATA_HOME"):
        return Path(users) / "badsad"
    try:
        return Path.home() / ".local" / "share" / "badsad"
    except RuntimeError as error:
        raise OSError(
            "you have no home folder to keep data in; set BADSAD_DATA to a folder"
        ) from error


def how_to_restore(path: Path) -> str:
    """Say how a shipped file is brought back."""
    if IN_CLONE:
        return f"restore it with `git checkout -- {path.relative_to(SHIPPED).as_posix()}`"
    return "install badsad-lib again"
