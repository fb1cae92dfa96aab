"""Build the site into _build/html with warnings as errors, and check that it is all there.

``python -m tools.build_book``. Always from scratch: an incremental build warns
only about the pages that changed, and so ends well the second time. Each lesson's
page then gets a link to the student version of the lesson, the playground what
it runs on, the site one zip of the whole course, and every page its head.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from tools import example, glance, playground, site_head, site_tables, take_away
from tools.colab import launch_links
from tools.labs import write_archives
from tools.lessons import ROOT, lessons, page_file, toc_pages, write_atomically
from tools.plain_markdown import LabError

COURSE = "course.zip"
TITLE_END = re.compile(r'<a class="headerlink"[^>]*>[^<]*</a></h1>')
TAKE_AWAY = (
    '<p class="student-version d-print-none">This lesson to take away: '
    '<a href="{student}" download>student version</a> (zip, with its exercises, without their '
    'solutions), <a href="{notebook}" download>notebook</a>{elsewhere}. '
    '<a href="{course}" download>The whole course</a> (zip).</p>'
)


def missing_pages(root: Path) -> list[str]:
    """Return the pages of the table of contents that are not in the built site, or empty."""
    html = root / "_build" / "html"
    files = ["index.html", *(f"{page}.html" for page in toc_pages(root / "_toc.yml"))]
    return [f for f in files if not (html / f).is_file() or (html / f).stat().st_size == 0]


def offer_labs(root: Path) -> None:
    """Put the student versions into the built site, and links under each lesson's title.

    To the student version, to the lesson as a notebook, and, where the repository's address is
    configured, to services that run it. Raises :class:`LabError` where a lesson has no student
    version or its page not one title.
    """
    html = root / "_build" / "html"
    write_archives(html / "labs", root)
    for lesson in lessons(root):
        name = lesson.relative_to(root)
        page = (html / name).with_suffix(".html")

        def link(target: Path, page: Path = page) -> str:
            return Path(os.path.relpath(target, page.parent)).as_posix()

        elsewhere = "".join(
            f', <a href="{address}">{service}</a>'
            for service, address in launch_links(name.as_posix(), root).items()
        )
        links = TAKE_AWAY.format(
            student=link(html / "labs" / f"{lesson.stem}.zip"),
            notebook=link(html / "_sources" / name),
            course=link(html / COURSE),
            elsewhere=elsewhere,
        )
        text = page.read_text(encoding="utf-8")
        titles = TITLE_END.findall(text)
        if len(titles) != 1:
            raise LabError(
                f"{page.name}: found {len(titles)} titles to put a link under, expected one"
            )
        write_atomically(page, text.replace(titles[0], f"{titles[0]}\n{links}"))


def build(root: Path = ROOT) -> int:
    """Build the book that lies in ``root``; return the exit status."""
    absent = [page for page in toc_pages(root / "_toc.yml") if page_file(page, root) is None]
    if absent:
        print(f"_toc.yml names pages that do not exist: {', '.join(absent)}", file=sys.stderr)
        return 1
    shutil.rmtree(root / "_build" / "html", ignore_errors=True)
    shutil.rmtree(root / "_build" / ".doctrees", ignore_errors=True)
    site_tables.write(root)
    example.write(root)
    glance.write(root)
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going", "--all", "-q"]
    own = {"PYTHONPATH": str(ROOT)}  # for the extensions in tools/
    status = subprocess.run(command, cwd=root, env=os.environ | own, check=False).returncode
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
    playground.write(html / "_static" / "playground")
    example.write_card(html / site_head.CARD)
    take_away.write(html / COURSE, root)
    site_head.finish(html, root)
    (html / ".nojekyll").touch()  # GitHub Pages drops folders that start with _ otherwise
    print(f"\nThe book is built. Open {(html / 'index.html').as_uri()}\nor run: make serve")
    return 0


def main(root: Path = ROOT) -> int:
    """Build the book, once another build that is at work here has ended."""
    lock = FileLock(root / ".book.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print("Another build of the book is at work here: waiting until it is done.", flush=True)
        lock.acquire()
    try:
        return build(root)
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
