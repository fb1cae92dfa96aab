"""The results at a glance: from the committed tables, every class a mark, all said on the page."""

from __future__ import annotations

import re

import pytest

from badsad_lib.grids import registry
from tools import glance


@pytest.mark.parametrize("name", glance.GLANCES)
def test_a_figure_shows_every_class_and_says_what_it_stands_on(name):
    about = glance.GLANCES[name]
    rows, runs = about.make(glance.cells.RESULTS)
    classes = runs["normal_class"].nunique()
    series = [some for of in rows.values() for some in of.values()]
    assert len(rows) >= 5
    assert {len(some) for some in series} == {classes}
    assert all(some.between(0, 1).all() for some in series)
    text = glance.section(name, about, rows, runs)
    seeds = runs["seed"].nunique()
    assert f"{classes} x {seeds} classes x seeds" in text
    assert about.grid in registry.GRIDS
    # A mark is a `use` of a shape; ticks are some of them, too.
    assert len(re.findall(rb"<use ", glance.drawn(rows, about.axis))) >= classes * len(series)


def test_the_figures_say_what_the_tables_say():
    rows, _ = glance.GLANCES["repairs"].make(glance.cells.RESULTS)
    table = glance.defenses.repairs_table()
    for repair, of in rows.items():
        name = "none" if repair == "no repair" else repair
        line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
        for some in of.values():
            assert f"| {glance.cells.number(some.mean())} (" in line


COMMITTED = [
    name
    for name, about in glance.TABLES.items()
    if all((glance.cells.RESULTS / f"{file}.csv").is_file() for file in about.files)
]


def test_a_table_without_results_is_not_announced(tmp_path):
    assert {"attack", "defenses"} <= set(COMMITTED)
    assert glance.table_section("own", glance.TABLES["own"], tmp_path) == ""


@pytest.mark.parametrize("name", COMMITTED)
def test_a_table_says_what_it_stands_on_and_agrees_with_that_of_all_rows(name):
    text = glance.table_section(name, glance.TABLES[name])
    heads, _, *lines = [line for line in text.splitlines() if line.startswith("|")]
    assert "x seeds |" in heads
    assert all(re.search(r"\| \d+ x \d+", line) for line in lines)
    assert len(lines) >= 5
    assert "Xeon" in text or "EPYC" in text or "cuda" in text.lower()
    for grid in glance.TABLES[name].files:
        assert f"`{grid}`" in text
        assert grid in registry.GRIDS


def test_who_trained_against_a_guard_stands_in_its_row():
    text = glance.tables.defense_table()
    guards = glance.defenses.inputs_caught_table()
    for guard, column in (("STRIP", 8), ("purification", 7)):
        row = next(line for line in guards.splitlines() if line.startswith(f"| {guard} |"))
        cells = row.split(" | ")
        line = next(line for line in text.splitlines() if f"guard: {guard} |" in line)
        assert line.split(" | ")[3:] == [cells[2], f"{cells[column - 1]} |"]


def test_a_heat_map_is_brighter_where_the_defect_is():
    drawing, text = glance.own_images()
    assert drawing == glance.own_images()[0]
    assert drawing.count(b"<image ") == 18
    assert re.search(r"all raise the alarm|all raise the alarm but \w+", text)
    surface, detector = glance.shipped.surface(), glance.shipped.tiles()
    brighter = []
    for kind in range(1, len(glance.surfaces.KINDS)):
        first = surface.where("test", kind)[:1]
        painted = (surface.undamaged(first) != surface.images[first])[0].any(0).numpy()
        [heat] = detector.heat_map(surface.images[first])
        brighter.append(heat[painted].mean() > heat[~painted].mean())
    assert sum(brighter) >= 5


def test_the_page_includes_every_figure_and_table():
    page = (glance.ROOT / "book" / "glance.md").read_text(encoding="utf-8")
    for name in [*glance.GLANCES, "own", *(f"table_{name}" for name in glance.TABLES)]:
        assert f"_build/tables/glance_{name}.md" in page
