"""The figures of the results page: from the committed tables, every class a mark."""

from __future__ import annotations

import re

import pytest

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
    assert (glance.ROOT / "benchmarks" / about.script).is_file()
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
