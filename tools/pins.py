"""Resolve the pins for every Python and platform that the README promises.

    python -m tools.pins    (or: make pins)

Asks the package index through uv, whose resolver can pose as another Python, patch release
included, on another platform. Downloads metadata only and installs nothing. Ends with 1 where
some pin does not fit, and with 2 where the index did not answer, so that nothing is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lessons import ROOT

# The oldest patch release of each that a supported system brings: Debian 12 has 3.11.2.
PYTHONS = ("3.11.2", "3.12.0", "3.13.0", "3.14.0")
PLATFORMS = {
    "Linux x86_64": "x86_64-manylinux_2_28",
    "Linux aarch64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
}
MACOS = "14.0"  # the oldest that torch has wheels for

NO_SOLUTION = "No solution found"


def pins(name: str) -> dict[str, str]:
    """Versions by canonical package name, from ``requirements.txt`` or ``constraints.txt``."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    bare = [line.partition("#")[0].strip() for line in lines]
    required = [Requirement(line) for line in bare if line]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in required}


def resolve(python: str, platform: str) -> subprocess.CompletedProcess[str]:
    """Have uv resolve the pins for one Python, such as "3.11.2", and one of its platforms.

    Only wheels count: nobody should need a compiler for this course.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    command += ["--no-annotate", "--no-header", "--only-binary", ":all:"]
    command += ["--python-version", python, "--python-platform", platform]
    command += ["requirements.txt", "-c", "constraints.txt"]
    env = os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, encoding="utf-8", check=False
    )


def main() -> int:
    """Print one line for each Python and platform, with uv's reasons where it finds no way."""
    pairs = list(product(PYTHONS, PLATFORMS))
    pinned = pins("constraints.txt").keys()
    status, loose = 0, set()
    with ThreadPoolExecutor(4) as pool:
        runs = pool.map(lambda pair: resolve(pair[0], PLATFORMS[pair[1]]), pairs)
        for (python, platform), run in zip(pairs, runs):
            where = f"Python {python} on {platform}"
            if run.returncode == 0:
                names = {canonicalize_name(line.split("==")[0]) for line in run.stdout.split()}
                loose |= names - pinned
                print(f"{where}: {len(names)} packages resolve", flush=True)
            elif NO_SOLUTION in run.stderr:
                print(f"{where}: FAILS\n{run.stderr}", flush=True)
                status = 1
            else:
                print(f"{where}: not known, uv could not ask the index\n{run.stderr}", flush=True)
                status = status or 2
    if loose:
        print("Not in constraints.txt, as only some machines get them:", ", ".join(sorted(loose)))
    return status


if __name__ == "__main__":
    sys.exit(main())
