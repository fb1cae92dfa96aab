"""The command line: ``python -m badsad_lib data | train | attack | evaluate``.

A result goes to stdout, progress bars and errors to stderr. Exit status: 0, 2 after an error,
130 after Ctrl-C. A figure of ``attack`` that cannot be drawn is an error, too, but all that was
measured is written before.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from badsad_lib import __version__
from badsad_lib._commands import attack, data, evaluate, train

# What a user can do something about. Anything else is a bug and keeps its traceback.
EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ArithmeticError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand with the arguments ``argv`` (by default the shell's).

    Returns
    -------
    int
        Exit status: 0, or 2 after an error, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (status 0) and wrong arguments (status 2).
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        message, status = "interrupted", 130
    except EXPECTED_ERRORS as error:
        message, status = f"error: {error}", 2
    else:
        return 0
    # Out here the failed frames are gone, and with them a progress bar that had no line break.
    print(message, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m badsad_lib",
        description="Train, attack and evaluate DeepSAD, a semi-supervised anomaly detector for "
        "images.",
        epilog="Each subcommand explains itself: python -m badsad_lib train --help",
    )
    parser.add_argument("--version", action="version", version=f"badsad_lib {__version__}")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for command in (data, train, attack, evaluate):
        command.add(subcommands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
