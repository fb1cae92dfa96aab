"""What happens in a worker: one run, and an end when whoever asked for it has gone."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import badsad_lib
from badsad_lib.deepsad import resolve_device
from badsad_lib.experiments.keys import Scalar, scalars
from badsad_lib.experiments.tables import Row, as_row

Run = Callable[[dict[str, Any]], Mapping[str, Any]]
_LOOKS = 2.0  # seconds between two looks at the parent


def device_in_words() -> str:
    """Model of the GPU that ``device="auto"`` means, or of the CPU, with torch's threads."""
    kind = resolve_device("auto").type
    if kind != "cpu":
        return torch.cuda.get_device_name() if kind == "cuda" else "Apple GPU (MPS)"
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux only
        named = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = named[1].strip() if named else model
    threads = torch.get_num_threads()
    return f"{model} ({threads} thread{'s' if threads > 1 else ''})"


def versions_in_words() -> str:
    """Versions of badsad_lib, torch and Python, the same on any platform."""
    build = torch.__version__.partition("+")[0]
    python = platform.python_version()
    return f"badsad_lib {badsad_lib.__version__}, torch {build}, python {python}"


def end_with(parent: int) -> None:
    """End this process soon after its parent, the process ``parent``, has ended.

    A client that is killed cannot tell its workers, and those wait for work for minutes, their
    hands on its standard output.
    """
    if os.getppid() != parent:
        os._exit(1)  # gone before this worker was up
    _watch(parent)


def _watch(parent: int) -> None:
    name = f"end with {parent}"
    if any(thread.name == name for thread in threading.enumerate()):
        return

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS)
        os._exit(1)  # whatever it was doing: there is nobody to hand it to

    threading.Thread(target=look, name=name, daemon=True).start()


def execute(
    function: Run, key: str, settings: dict[str, Scalar], parent: int, one_thread: bool
) -> tuple[str, Row | None, str]:
    """Run once, in a worker: key, row (None after an exception), traceback."""
    if os.getppid() == parent:  # in a process of the client's own, not on another machine
        _watch(parent)
    if one_thread and os.getpid() != parent:
        torch.set_num_threads(1)  # processes that share the cores would fight for them
    try:
        start = time.perf_counter()
        results = scalars(function(dict(settings)))
        measured: dict[str, Scalar] = {
            "seconds": round(time.perf_counter() - start, 3),
            "device": device_in_words(),
            "versions": versions_in_words(),
        }
        taken = sorted(set(results) & {*settings, "run", "versions", "check"})
        if taken:
            raise ValueError(f"results must have names of their own, got {taken} once more")
    except Exception:
        return key, None, traceback.format_exc()
    return key, as_row({"run": key, **settings, **measured, **results}), ""
