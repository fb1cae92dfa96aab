"""The lessons that are here keep the rules, and the table of contents matches the folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tools.guards import lesson_problems
from tools.lessons import ROOT, lessons, page_file, read_timings, toc_pages


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_lesson_keeps_the_rules(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    problems = lesson_problems(notebook, read_timings().get(path.stem))
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize("page", toc_pages())
def test_page_of_the_contents_exists_and_says_something(page: str) -> None:
    file = page_file(page)
    assert file is not None, f"_toc.yml names {page}, which does not exist"
    assert file.stat().st_size > 0


def test_every_page_is_in_the_contents_once() -> None:
    pages = sorted(
        f"book/{file.stem}"
        for file in (ROOT / "book").iterdir()
        if file.suffix in (".md", ".ipynb") and not file.name.startswith((".", "_"))
    )
    assert pages == sorted(toc_pages())


def test_no_record_outlives_its_lesson() -> None:
    assert set(read_timings()) <= {path.stem for path in lessons()}


def test_there_are_lessons() -> None:
    assert lessons()
