"""Tables of the site: from the lessons, the record of their runs, and the build."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from tools import site_tables
from tools.lessons import lessons, read_timings
from tools.site_tables import SESSIONS


def test_every_exercise_is_found_with_its_minutes():
    found = site_tables.exercises()
    text = "".join(path.read_text(encoding="utf-8") for path in lessons())
    assert len(found) == text.count("{exercise} ") >= 20
    assert len({exercise.label for exercise in found}) == len(found)
    assert {exercise.difficulty for exercise in found} == {"easy", "medium", "hard"}


def test_the_lessons_table_has_all_lessons_and_all_exercises():
    table = site_tables.lessons_table()
    for path in lessons():
        assert f"{{doc}}`{path.stem}`" in table
    for exercise in site_tables.exercises():
        assert f"{exercise.title} ({exercise.difficulty}, {exercise.minutes} min)" in table


@pytest.mark.parametrize("minutes", SESSIONS)
def test_a_plan_fits_its_session_and_fills_most_of_it(minutes):
    table = site_tables.sessions_table()
    plan = table[table.index(f"**{minutes} minutes**") :]
    together = int(re.search(r"together \| (\d+)", plan)[1])
    assert 0.8 * minutes <= together <= minutes


def test_the_effort_is_that_of_the_exercises():
    line = site_tables.effort_line()
    found = site_tables.exercises()
    hours = round(sum(exercise.minutes for exercise in found) / 60)
    assert f"{len(lessons())} lessons" in line
    assert f"{len(found)} exercises" in line
    assert f"about {hours} hours" in line


def test_the_run_table_is_the_record():
    table = site_tables.run_table()
    records = read_timings()
    assert set(records) == {path.stem for path in lessons()}
    for name, record in records.items():
        assert f"| {{doc}}`{name}` | {record['seconds']:.0f} | {record['cores']} |" in table


def test_the_environment_is_this_one():
    table = site_tables.environment_table()
    for name in ("torch", "jupyter-book", "umap-learn"):
        assert f"| {name} | {version(name)} |" in table


def test_a_configured_repository_is_named_and_otherwise_none(tmp_path):
    config = tmp_path / "_config.yml"
    config.write_text('repository: {url: ""}', encoding="utf-8")
    alone = site_tables.take_away_line(tmp_path)
    assert '<a href="../course.zip" download>' in alone
    assert "http" not in alone
    config.write_text("repository: {url: https://github.com/owner/name}", encoding="utf-8")
    assert '<a href="https://github.com/owner/name">' in site_tables.take_away_line(tmp_path)
