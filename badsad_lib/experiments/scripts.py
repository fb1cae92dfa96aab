"""For scripts that run a grid: an error ends them with what it says, not with a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from badsad_lib.experiments.tables import GridError


def told(main: Callable[[], None]) -> None:
    """Run a script; an error that says what to do ends it with its message and status 1."""
    try:
        main()
    except (GridError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
