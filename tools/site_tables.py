"""Tables of the site that are made from the lessons and from the build itself.

:func:`write` puts them into ``_build/tables``, from where pages include them:

``take_away``    where to get the course
``lessons``      what there is, how long it runs, its exercises with their minutes
``sessions``     which of it fits a lab session of 50, 90 or 180 minutes
``run``          seconds of each lesson, and what it was run with
``environment``  what this site was built with
"""

from __future__ import annotations

import math
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import nbformat

from tools.colab import repository
from tools.lessons import ROOT, lessons, measured_time, read_timings, write_atomically

EXERCISE = re.compile(
    r"\{exercise\} (.+)\n:label: (\S+)\n+\*Difficulty: (\w+)\. Time: (\d+) minutes"
)
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)

# Opens without the answer; see the teaching page.
CLASSROOM = '<a href="playground.html#class=1">The playground in classroom mode</a>'
# Plans for a session, by minutes: what is done, and its minutes or the exercise that says them.
SESSIONS: dict[int, list[tuple[str, int | str]]] = {
    50: [
        ("The story, from the picture on the first page", 10),
        (f"{CLASSROOM}: which is backdoored, and why? Reveal, then the challenge", 15),
        ("{doc}`6_evaluation`, up to the controls, in the browser", 15),
        ("Exercise", "ex-triggered-auroc"),
    ],
    90: [
        (f"{CLASSROOM}: what would you test before you buy? Reveal at the end of the session", 10),
        ("{doc}`3_triggers`, run, with its predictions", 25),
        ("Exercise", "ex-wave"),
        ("{doc}`5_latent_manipulation`, run, up to the full attack", 30),
        ("Exercise", "ex-concentration"),
    ],
    180: [
        ("{doc}`playground`", 10),
        ("{doc}`3_triggers`, run, with its predictions", 25),
        ("Exercise", "ex-audit"),
        ("{doc}`5_latent_manipulation`, run", 40),
        ("Exercise", "ex-alignment"),
        ("Break", 10),
        ("{doc}`6_evaluation`, the controls", 20),
        ("Exercise", "ex-is-backdoor"),
        ("{doc}`9_inspecting_detectors`, up to your own detectors, and the {doc}`checklist`", 25),
    ],
}


@dataclass(frozen=True)
class Exercise:
    """One exercise, as its lesson announces it."""

    lesson: str
    title: str
    label: str
    difficulty: str
    minutes: int


def exercises(root: Path = ROOT) -> list[Exercise]:
    """Return all exercises of the lessons, in reading order."""
    found = []
    for file in lessons(root):
        for cell in nbformat.read(file, as_version=4).cells:
            if match := EXERCISE.search(cell.source):
                title, label, difficulty, minutes = match.groups()
                found.append(Exercise(file.stem, title, label, difficulty, int(minutes)))
    return found


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def lessons_table(root: Path = ROOT) -> str:
    """List the lessons: seconds, and exercises with difficulty and minutes."""
    timings, rows = read_timings(root / "book" / "_timings.json"), []
    found = exercises(root)
    for file in lessons(root):
        own = [e for e in found if e.lesson == file.stem]
        listed = [f"{e.title} ({e.difficulty}, {e.minutes} min)" for e in own]
        listed.append(f"*together {sum(e.minutes for e in own)} min*")
        record = timings.get(file.stem)
        runs = measured_time(record).removeprefix("about ").split(" on ")[0] if record else "–"
        rows.append([f"{{doc}}`{file.stem}`<br>{runs}", "<br>".join(listed)])
    return _table(["lesson, runs in about", "exercises"], rows)


def sessions_table(root: Path = ROOT) -> str:
    """Lay out the plans of :data:`SESSIONS`, with their sums."""
    by_label = {e.label: e for e in exercises(root)}
    parts = []
    for minutes, plan in SESSIONS.items():
        rows = []
        for what, duration in plan:
            if isinstance(duration, str):
                exercise = by_label[duration]
                what = f"{what}: {exercise.title} ({{doc}}`{exercise.lesson}`)"
                duration = exercise.minutes
            rows.append([what, str(duration)])
        total = sum(int(row[1]) for row in rows)
        rows.append(["together", str(total)])
        parts.append(f"**{minutes} minutes**\n\n" + _table(["what", "minutes"], rows))
    return "\n".join(parts)


def run_table(root: Path = ROOT) -> str:
    """List how long each lesson took when its outputs were made, and on what."""
    rows = []
    for name, record in read_timings(root / "book" / "_timings.json").items():
        cells = [f"{record['seconds']:.0f}", str(record["cores"]), record["processor"]]
        rows.append([f"{{doc}}`{name}`", *cells, record["python"], record["torch"]])
    return _table(["lesson", "seconds", "cores", "processor", "Python", "torch"], rows)


def environment_table(root: Path = ROOT) -> str:
    """List the versions that this site was built with."""
    names = REQUIREMENT.findall((root / "requirements.txt").read_text(encoding="utf-8"))
    rows = [["Python", platform.python_version()], ["system", platform.system()]]
    rows += [[name, version(name)] for name in names]
    return _table(["what", "version"], rows)


def effort_line(root: Path = ROOT) -> str:
    """Say how long the course takes and how hard it is, from its exercises and recorded runs."""
    found = exercises(root)
    hours = sum(e.minutes for e in found) / 60
    runs = sum(r["seconds"] for r in read_timings(root / "book" / "_timings.json").values()) / 60
    counts = [
        f"{sum(e.difficulty == difficulty for e in found)} {difficulty}"
        for difficulty in ("easy", "medium", "hard")
    ]
    return (
        f"**How long, how hard.** {len(lessons(root))} lessons. All of them together run in "
        f"{math.ceil(runs)} minutes on two processor cores; their {len(found)} exercises "
        f"({', '.join(counts)}) take about {round(hours)} hours.\n"
    )


def take_away_line(root: Path = ROOT) -> str:
    """Say where to get the course; its repository, too, once its address is configured."""
    found = repository(root)
    clone = (
        f', or clone <a href="https://github.com/{found[0]}">its repository</a>' if found else ""
    )
    return (
        "```{raw} html\n"
        '<p><strong>Take it away.</strong> <a href="../course.zip" download>The whole course</a> '
        "(zip: library, data, notebooks with\nand without solutions). Unpack it"
        f"{clone}, and run <code>make book</code>; what that takes stands\n"
        '<a href="#five-minute-start">below</a>.</p>\n```\n'
    )


TABLES = {
    "effort": effort_line,
    "take_away": take_away_line,
    "lessons": lessons_table,
    "sessions": sessions_table,
    "run": run_table,
    "environment": environment_table,
}


def write(root: Path = ROOT) -> None:
    """Write all tables into ``_build/tables``."""
    for name, make in TABLES.items():
        write_atomically(root / "_build" / "tables" / f"{name}.md", make(root))
