"""The command line: ``python -m badsad_lib data | train | attack | evaluate | audit | grid``.

A result goes to stdout, progress bars and errors to stderr. Exit status: 0, 2 after an error that
the user can do something about, 1 after a bug, which says that it is one, 130 after Ctrl-C, 143
after SIGTERM, 141 where nobody reads the output any more. ``audit`` ends with 1 where it has
findings, so there a bug is 2, too. ``--traceback`` after the subcommand, or BADSAD_DEBUG=1, shows
where an error arose. A figure of ``attack`` that cannot be drawn is an error,
too, but all that was measured is written before.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from badsad_lib import __version__

# What a user can do something about: wrong values, files, a training that diverges. Anything else
# is a bug, says so and shows its traceback.
EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
BUG = "this is a bug in badsad_lib, not a mistake of yours: please report it with the lines above"


class Terminated(BaseException):
    """SIGTERM, as an exception: what is half written is cleared away on the way out."""


def _quit(number: int, _: Any) -> NoReturn:
    # While modules are imported nothing is open. An exception here would end in one of them.
    os.write(2, b"interrupted\n" if number == signal.SIGINT else b"terminated\n")
    os._exit(128 + number)


def _terminate(number: int, _: Any) -> NoReturn:
    raise Terminated


@contextmanager
def _on_signals(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals in another way meanwhile, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Under nohup or in the background of a script, a signal that is ignored stays so.
    default = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in handlers}
    before = {number: old for number, old in before.items() if old in default}
    for number in before:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand with the arguments ``argv`` (by default the shell's).

    Returns
    -------
    int
        Exit status, see the top of this module.

    Raises
    ------
    SystemExit
        After ``--help`` and ``--version`` (status 0) and wrong arguments (status 2).
    """
    with _on_signals({signal.SIGINT: _quit, signal.SIGTERM: _quit}):
        parser = _parser()
    with _on_signals({signal.SIGTERM: _terminate}):
        args = parser.parse_args(argv)
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    trace = ""
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return int(status)
    except KeyboardInterrupt:
        message, status = "interrupted", 130
    except Terminated:
        message, status = "terminated", 143
    except BrokenPipeError:
        # `| head` has seen enough. Python flushes once more at its end: into nothing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED_ERRORS as error:
        message, status = f"error: {error}", 2
        if args.traceback or os.environ.get("BADSAD_DEBUG"):
            trace = traceback.format_exc()
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, a RuntimeError
            message, status = f"error: {error}", 2
        else:
            message, status = f"error: {type(error).__name__}: {error}\n{BUG}", args.bug_status
            trace = traceback.format_exc()
    # Out here the failed frames are gone, and with them a progress bar that had no line break.
    print(f"{trace}{message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    from badsad_lib._commands import attack, audit, data, evaluate, grid, train  # torch, seconds

    parser = argparse.ArgumentParser(
        prog="python -m badsad_lib",
        description="Train, attack and evaluate DeepSAD, a semi-supervised anomaly detector for "
        "images; audit a detector of any make.",
        epilog="Each subcommand explains itself: python -m badsad_lib train --help",
    )
    parser.add_argument("--version", action="version", version=f"badsad_lib {__version__}")
    subcommands = parser.add_subparsers(metavar="SUBCOMMAND", required=True)
    for command in (data, train, attack, evaluate, audit, grid):
        command.add(subcommands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
