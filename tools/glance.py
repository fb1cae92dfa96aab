"""The main results at a glance: figures and tables from the committed results, for one page.

:func:`write` puts them into ``_build/tables``, each as a file that the page includes. A mark in a
figure is one normal class, its mean over the seeds, so that it shows how far classes differ.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from matplotlib import rc_context

from badsad_lib import plots, surfaces
from badsad_lib.course import shipped
from tools.lessons import ROOT, write_atomically

sys.path.insert(0, str(ROOT / "benchmarks"))

import attack_tables as attacks
import cells
import defense_tables as defenses
import glance_tables as tables

Rows = Mapping[str, Mapping[str, pd.Series]]

# Whom a defense meets: somebody who does not know it, or who trained against one of the guards.
AGAINST_GUARDS = ("patch", "patch, knows purification", "patch, knows STRIP")
AGAINST_REPAIRS = ("patch", "blend", "sinusoid")


@dataclass(frozen=True)
class Glance:
    """One figure: what it asks, what it shows, and where its table stands."""

    question: str
    make: Callable[[Path], tuple[Rows, pd.DataFrame]]
    axis: str
    reading: str
    grid: str
    table: str


def _attack(results: Path) -> tuple[Rows, pd.DataFrame]:
    """ASR of ``extended`` at three thresholds, a row a trigger."""
    rows = attacks.trigger_rows(results)
    shown = {
        name: {
            f"threshold at {quantile}": cells.by_class(runs, column)
            for quantile, column in cells.ASR.items()
        }
        for name, runs in rows.items()
    }
    return shown, pd.concat(rows.values())


def _parts(results: Path) -> tuple[Rows, pd.DataFrame]:
    """ASR with parts left out or alone, at the 0.95 quantile."""
    rows = attacks.ablation_rows(results)
    column = cells.ASR["0.95"]
    shown = {
        attacks.METHODS.get(method, method): {"ASR": cells.by_class(runs, column)}
        for method, runs in rows.items()
    }
    return shown, pd.concat(rows.values())


def _defenses(
    runs: pd.DataFrame, victims: tuple[str, ...], column: str
) -> dict[str, dict[str, pd.Series]]:
    """A row a defense, a series a victim."""
    return {
        defenses.DEFENSES.get(str(defense), str(defense)): {
            victim: cells.by_class(defenses.of_victim(own, victim), column) for victim in victims
        }
        for defense, own in runs.groupby("defense", sort=False)
    }


def _guards(results: Path) -> tuple[Rows, pd.DataFrame]:
    """Share of triggered anomalies that a guard catches."""
    runs = defenses.read("inputs", results)
    return _defenses(runs, AGAINST_GUARDS, "true_positives_at_5"), runs


def _repairs(results: Path) -> tuple[Rows, pd.DataFrame]:
    """ASR that is left after a repair, the first row without one."""
    runs = defenses.repair_runs(results)
    once = runs[runs["defense"] == runs["defense"].iloc[0]].assign(defense="no repair")
    before = _defenses(once, AGAINST_REPAIRS, "asr_before")
    return before | _defenses(runs, AGAINST_REPAIRS, "asr_after"), runs


GLANCES = {
    "attack": Glance(
        "What does the attack reach?",
        _attack,
        "ASR",
        "The share of anomalies that pass with the trigger, among those that raised the alarm "
        "without it. `BadSAD.extended`, all of Fashion-MNIST, at three thresholds.",
        "attack_main",
        "results.html#the-attack",
    ),
    "parts": Glance(
        "What does each part do?",
        _parts,
        "ASR at the 0.95 threshold",
        "One working point, a patch at a poison rate of 10 %: the paper's two ideas alone and "
        "together, and `extended` with a part left out. Other triggers: all results.",
        "attack_ablation",
        "results.html#what-each-part-does",
    ),
    "guards": Glance(
        "What does a guard at the door catch?",
        _guards,
        "share of triggered anomalies caught, at 5 % false alarms",
        "A patch, from an attacker who does not know the guard, and from two who trained against "
        "one of them.",
        "defense_inputs",
        "results.html#on-inputs",
    ),
    "repairs": Glance(
        "What does a repair leave?",
        _repairs,
        "ASR at a threshold of the repaired detector's own",
        "Each repair had 150 trusted images and anomalies of all kinds. Three triggers.",
        "defense_repair",
        "results.html#repair",
    ),
}


def drawn(rows: Rows, axis: str) -> bytes:
    """Draw one figure as SVG, the same bytes each time."""
    figure = plots.value_rows(rows, x_label=axis, x_limits=(0, 1))
    packed = io.BytesIO()
    with rc_context({"svg.hashsalt": axis}):
        figure.savefig(packed, format="svg", metadata={"Date": None})
    return packed.getvalue()


def described(rows: Rows) -> str:
    """Say in words what a figure shows: every row with the means of its series."""
    return "; ".join(
        f"{row}: " + ", ".join(f"{name} {cells.number(some.mean())}" for name, some in of.items())
        for row, of in rows.items()
    )


def section(name: str, glance: Glance, rows: Rows, runs: pd.DataFrame) -> str:
    """Lay out one figure with its question, and under it what it stands on."""
    machines = ", ".join(sorted(runs["device"].unique()))
    alt = f"{glance.question} Means over classes. {described(rows)}."
    return "\n".join(
        [
            f"**{glance.question}** {glance.reading}",
            "",
            f"```{{figure}} ../_build/tables/glance_{name}.svg",
            f":alt: {alt}",
            ":width: 100%",
            f"{cells.size(runs)} classes x seeds. A mark is one class, the line their mean. "
            f"{machines}; grid `{glance.grid}`. "
            f'<a href="{glance.table}">All rows</a>.',
            "```",
            "",
        ]
    )


@dataclass(frozen=True)
class Table:
    """One table: which committed results, each of the grid of this name, it is made of."""

    files: tuple[str, ...]
    more: str


TABLES = {
    "attack": Table(
        ("attack_main", "attack_basic", "attack_data_only"),
        "results.html#the-attack",
    ),
    "defenses": Table(
        ("defense_inputs", "defense_model", "defense_repair", "repair"),
        "results.html#defenses",
    ),
    "own": Table(("surfaces",), ""),
}
# What stands above a table whose results may be missing, so that nothing is announced in vain.
OWN = """## Your own images

Crops of brick, gravel, grass and cloth, in color, with painted defects; no detector was trained on
a label. None of them is backdoored: the table says how well they find what you would like to find,
and at what price.

"""


def table_section(name: str, about: Table, results: Path = cells.RESULTS) -> str:
    """Lay out one table, and under it what it stands on; empty where its results are missing."""
    if not all((results / f"{file}.csv").is_file() for file in about.files):
        return ""
    frames = [pd.read_csv(results / f"{file}.csv") for file in about.files]
    machines = ", ".join(sorted({device for frame in frames for device in frame["device"]}))
    grids = ", ".join(f"`{file}`" for file in about.files)
    above, kinds = (OWN, "materials") if name == "own" else ("", "classes")
    return above + "\n".join(
        [
            tables.TABLES[name](results),
            "",
            f"Means over {kinds}, in parentheses their range. "
            f"{machines}; grids {grids}."
            + (f' <a href="{about.more}">All rows</a>.' if about.more else ""),
            "",
        ]
    )


def own_images() -> tuple[bytes, str]:
    """Draw a crop of each kind before its defect, with it, and its heat map; and say what it is.

    The first of each kind in the test region, so that none was chosen; the shipped detector of
    tiles, so that nothing is trained when the page is built.
    """
    surface, detector = shipped.surface(), shipped.tiles()
    kinds = range(1, len(surfaces.KINDS))
    first = torch.stack([surface.where("test", kind)[0] for kind in kinds])
    images = surface.images[first]
    heat = torch.from_numpy(detector.heat_map(images))[:, None]
    low, high = heat.amin((2, 3), keepdim=True), heat.amax((2, 3), keepdim=True)
    rows = (surface.undamaged(first) / 255, images / 255, (heat - low) / (high - low))
    names = [surfaces.KINDS[kind] for kind in kinds]
    blank = [""] * len(names)
    figure = plots.image_grid(torch.cat(rows), titles=[*names, *blank, *blank], columns=len(names))
    packed = io.BytesIO()
    with rc_context({"svg.hashsalt": "own"}):
        figure.savefig(packed, format="svg", metadata={"Date": None})
    missed = [name for name, passes in zip(names, detector.predict(images) == 0) if passes]
    alarms = f"all raise the alarm but {', '.join(missed)}" if missed else "all raise the alarm"
    text = [
        "**Where does it look?** Above the photograph, in the middle the same with a defect, below "
        "the heat map of a detector of tiles that was trained on good bricks alone: the whiter, "
        "the more anomalous, each map from its lowest to its highest.",
        "",
        "```{figure} ../_build/tables/glance_own.svg",
        f":alt: Six crops of a brick wall in three rows: as photographed; with {', '.join(names)}; "
        "and heat maps, which are bright about where the defect is.",
        ":width: 100%",
        "Brick, the first test image of each kind, none chosen; at the threshold for 5 % false "
        f"alarms {alarms}. Mean AUROC over the six kinds "
        f"{cells.number(detector.about_['auroc'])}. {{doc}}`11_your_own` trains it.",
        "```",
        "",
    ]
    return packed.getvalue(), "\n".join(text)


def write(root: Path = ROOT) -> None:
    """Write each figure and each table, with the text that goes with it."""
    folder = root / "_build" / "tables"
    for name, glance in GLANCES.items():
        rows, runs = glance.make(cells.RESULTS)
        write_atomically(folder / f"glance_{name}.svg", drawn(rows, glance.axis))
        write_atomically(folder / f"glance_{name}.md", section(name, glance, rows, runs))
    drawing, text = own_images()
    write_atomically(folder / "glance_own.svg", drawing)
    write_atomically(folder / "glance_own.md", text)
    for name, about in TABLES.items():
        write_atomically(folder / f"glance_table_{name}.md", table_section(name, about))
