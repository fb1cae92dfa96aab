"""Lessons on services that run notebooks: nothing while no repository is configured."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from tools.colab import launch_links, main, repository, with_install_cell
from tools.guards import guard_compared, guard_executed
from tools.lessons import ROOT, code_digest, lessons

PAGE = "book/2_small.ipynb"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of one lesson, without a configured repository."""
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/2_small", encoding="utf-8")
    configure(tmp_path, "")
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Small"), v4.new_code_cell("1 + 1")])
    nbformat.write(notebook, tmp_path / PAGE)
    return tmp_path


def configure(root: Path, url: str, branch: str = "main") -> None:
    text = f"repository:\n  url: {url!r}\n  branch: {branch}\n"
    (root / "_config.yml").write_text(text, encoding="utf-8")


def read(root: Path) -> nbformat.NotebookNode:
    return nbformat.read(root / PAGE, as_version=4)


def test_without_a_repository_there_is_no_link_and_no_cell(course):
    before = (course / PAGE).read_bytes()
    main(course)
    assert repository(course) is None
    assert launch_links(PAGE, course) == {}
    assert (course / PAGE).read_bytes() == before


def test_with_a_repository_links_name_it_its_branch_and_the_page(course):
    configure(course, "https://github.com/someone/a-course", "trunk")
    links = launch_links(PAGE, course)
    assert set(links) == {"Colab", "Binder", "edit on GitHub"}
    for address in links.values():
        assert address.startswith("https://")
        assert "someone/a-course/" in address
        assert "trunk" in address
        assert address.endswith(PAGE)


def test_the_cell_comes_once_goes_again_and_does_nothing_where_the_course_is(course, monkeypatch):
    plain = read(course)
    configure(course, "https://github.com/someone/a-course")
    main(course)
    main(course)
    cells = read(course).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "code"]
    assert "https://github.com/someone/a-course" in cells[1].source
    # Where badsad_lib can be imported nothing follows the try: what does is for IPython alone.
    head, _, rest = cells[1].source.partition("except ModuleNotFoundError:")
    assert rest
    exec(head + "except ModuleNotFoundError:\n    raise")
    configure(course, "")
    main(course)
    assert read(course) == plain


def test_the_cell_is_neither_run_nor_compared_nor_counted(course):
    configure(course, "https://github.com/someone/a-course")
    plain = read(course)
    notebook = with_install_cell(plain, course)
    assert code_digest(notebook) == code_digest(plain)
    assert len(guard_executed(notebook)) == len(guard_executed(plain))
    assert not [problem for problem in guard_compared(notebook) if "unknown tag" in problem]


@pytest.mark.parametrize(
    "url", ["https://example.org/a/b", "github.com/a/b", "https://github.com/a"]
)
def test_another_kind_of_address_is_refused(course, url):
    configure(course, url)
    with pytest.raises(ValueError, match=r"must be https://github\.com/OWNER/NAME, or empty, got"):
        repository(course)


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_the_lessons_agree_with_the_configuration(path):
    notebook = nbformat.read(path, as_version=4)
    assert with_install_cell(notebook, ROOT).cells == notebook.cells, "run python -m tools.colab"
