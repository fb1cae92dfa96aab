"""Build the site into _build/html with warnings as errors, and check that it is all there.

``python -m tools.build_book``. Always from scratch: an incremental build warns
only about the pages that changed, and so ends well the second time. Each lesson's
page then gets a link to the student version of the lesson, and the playground
what it runs on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import playground
from tools.labs import write_archives
from tools.lessons import ROOT, lessons, page_file, toc_pages, write_atomically
from tools.plain_markdown import LabError

TITLE_END = re.compile(r'<a class="headerlink"[^>]*>[^<]*</a></h1>')
STUDENT_VERSION = (
    '<p class="student-version d-print-none"><a href="{}" download>Student version</a> (zip): '
    "this lesson as a notebook, with its exercises, without their solutions.</p>"
)


def missing_pages(root: Path) -> list[str]:
    """Return the pages of the table of contents that are not in the built site, or empty."""
    html = root / "_build" / "html"
    files = ["index.html", *(f"{page}.html" for page in toc_pages(root / "_toc.yml"))]
    return [f for f in files if not (html / f).is_file() or (html / f).stat().st_size == 0]


def offer_labs(root: Path) -> None:
    """Put the student versions into the built site, and a link to each under its lesson's title.

    Raises :class:`LabError` where a lesson has no student version or its page not one title.
    """
    html = root / "_build" / "html"
    write_archives(html / "labs", root)
    for lesson in lessons(root):
        page = (html / lesson.relative_to(root)).with_suffix(".html")
        target = os.path.relpath(html / "labs" / f"{lesson.stem}.zip", page.parent)
        link = STUDENT_VERSION.format(Path(target).as_posix())
        text = page.read_text(encoding="utf-8")
        text, titles = TITLE_END.subn(rf"\g<0>\n{link}", text)
        if titles != 1:
            raise LabError(f"{page.name}: found {titles} titles to put a link under, expected one")
        write_atomically(page, text)


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
    try:
        offer_labs(root)
    except LabError as error:
        print(f"No student version: {error}", file=sys.stderr)
        return 1
    html = root / "_build" / "html"
    if (html / "_static" / "playground").is_dir():
        playground.write(html / "_static" / "playground" / "data.js")
    (html / ".nojekyll").touch()  # GitHub Pages drops folders that start with _ otherwise
    print(f"\nThe book is built. Open {(html / 'index.html').as_uri()}\nor run: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(build())
