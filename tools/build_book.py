"""Build the site into _build/html with warnings as errors, and check that it is all there.

``python -m tools.build_book``. Always from scratch: an incremental build warns
only about the pages that changed, and so ends well the second time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.lessons import ROOT, page_file, toc_pages


def missing_pages(root: Path) -> list[str]:
    """Return the pages of the table of contents that are not in the built site, or empty."""
    html = root / "_build" / "html"
    files = ["index.html", *(f"{page}.html" for page in toc_pages(root / "_toc.yml"))]
    return [f for f in files if not (html / f).is_file() or (html / f).stat().st_size == 0]


def build(root: Path = ROOT) -> int:
    """Build the book that lies in ``root``; return the exit status."""
    absent = [page for page in toc_pages(root / "_toc.yml") if page_file(page, root) is None]
    if absent:
        print(f"_toc.yml names pages that do not exist: {', '.join(absent)}", file=sys.stderr)
        return 1
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)
    shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going", "--all", "-q"]
    status = subprocess.run(command, cwd=root, check=False).returncode
    if status:
        print("The book was not built: see the warnings above, each counts.", file=sys.stderr)
        return status
    missing = missing_pages(root)
    if missing:
        print(f"The build ended well without these pages: {', '.join(missing)}", file=sys.stderr)
        return 1
    html = root / "_build" / "html"
    (html / ".nojekyll").touch()  # GitHub Pages drops folders that start with _ otherwise
    print(f"\nThe book is built. Open {(html / 'index.html').as_uri()}\nor run: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(build())
