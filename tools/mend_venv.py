"""Mend the environment whose Python runs this, in place. For tools/setup.sh; standard library only.

.venv/bin/python tools/mend_venv.py forget-half-installed
.venv/bin/python tools/mend_venv.py renew-paths OLD NEW
"""

from __future__ import annotations

import csv
import shutil
import sys
import sysconfig
from pathlib import Path


def half_installed(site: Path) -> list[Path]:
    """Return the metadata folders of packages that an interrupted installer left in ``site``.

    Installers write the list of files last, with the note of who installed them in it. pip takes
    a package for installed as soon as it has metadata, and would not touch these again.
    """
    half = []
    for info in sorted(site.glob("*.dist-info")):
        record = info / "RECORD"
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        hashed = [row[0] for row in csv.reader(lines) if len(row) == 3 and row[1]]
        finished = f"{info.name}/INSTALLER" in hashed
        if not finished or not all((site / file).exists() for file in hashed):
            half.append(info)
    return half


def renew_paths(scripts: Path, old: str, new: str) -> None:
    """Let the scripts of a moved environment name where it is now."""
    for script in scripts.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!") or script.name.lower().startswith("activate"):
            script.write_bytes(content.replace(old.encode(), new.encode()))


def main(job: str, *arguments: str) -> None:
    """Do one of the two jobs, and say which packages will be installed again."""
    if job == "renew-paths":
        renew_paths(Path(sysconfig.get_path("scripts")), *arguments)
        return
    for site in {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}:
        for info in half_installed(site):
            print(f"Half installed, once more: {info.stem}", file=sys.stderr)
            shutil.rmtree(info)


if __name__ == "__main__":
    main(*sys.argv[1:])
