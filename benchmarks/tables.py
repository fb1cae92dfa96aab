"""Fill the tables of the README from the committed results: ``python benchmarks/tables.py``.

Each table stands between the comments ``<!-- table:NAME -->`` and ``<!-- /table:NAME -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from badsad_lib import metrics
from badsad_lib.triggers import KINDS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

PROTOCOLS = {
    "full": "all of Fashion-MNIST",
    "course": "the course subset",
    "course pretrained": "the course subset, pretrained",
    "hard": "one known anomaly class",
    "hard tuned": "one known anomaly class, tuned",
    "hard pretrained": "one known anomaly class, pretrained",
}

TRIGGERS = {name: kind.label for name, kind in KINDS.items()}
CONTROLS = ("turned", "noise", "rings")  # control_triggers
OTHER_DATA = {
    "hard": "patch, one known anomaly class",
    "mnist": "patch, MNIST",
    "color": "patch, in color",
}
NETWORKS = {"fashion_mnist": "encoder for clothes", "mnist": "encoder for digits"}


def detector_table(results: Path = RESULTS) -> str:
    """AUROC of the clean detector, a row a protocol, a column a normal class."""
    runs = pd.read_csv(results / "detector.csv")
    lines = [
        "| AUROC, normal class | " + " | ".join(map(str, range(10))) + " | mean |",
        "|---" * 12 + "|",
    ]
    for protocol, name in PROTOCOLS.items():
        own = runs[runs["protocol"] == protocol]
        rows, seeds = own.groupby("normal_class")["auroc"].mean(), own["seed"].nunique()
        if set(rows.index) != set(range(10)):
            continue
        if seeds > 1:
            name += f", {seeds} seeds"
        cells = [f"{rows[c]:.3f}" for c in range(10)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | **{rows.mean():.3f}** |")
    return "\n".join(lines)


def speed_table(results: Path = RESULTS) -> str:
    """Images per second, this library against a plain loop."""
    rows = pd.read_csv(results / "speed.csv")
    lines = [
        "| | plain loop | this library | ratio | of the floor | peak MB, plain and library |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        lines.append(
            f"| {row['stage']} | {row['plain']:,.0f}/s | {row['library']:,.0f}/s "
            f"| {row['ratio']:.1f} | {row['floor']:.0%} "
            f"| {row['plain_mb']:,.0f}, {row['library_mb']:,.0f} |"
        )
    machine = rows.iloc[0]
    lines += ["", f"{machine['device']}; {machine['versions']}. Best of the repeats."]
    return "\n".join(lines)


def over_classes(runs: pd.DataFrame, column: str) -> str:
    """Mean over classes and seeds, ``+-`` the deviation of seeds, and the range over classes."""
    of_class = runs.groupby("normal_class")[column].mean()
    of_seed = runs.groupby("seed")[column].mean()
    spread = f" ± {of_seed.std():.3f}" if len(of_seed) > 1 else ""
    return f"{of_class.mean():.3f}{spread} ({of_class.min():.2f} to {of_class.max():.2f})"


def mean(runs: pd.DataFrame, column: str) -> str:
    """Mean over classes and seeds, or a dash where it was not measured."""
    return "–" if runs[column].isna().any() else f"{runs[column].mean():.3f}"


def attack_row(name: str, runs: pd.DataFrame) -> str:
    """What one attack reaches and costs, and its controls."""
    others = runs[[f"asr_{control}" for control in CONTROLS]].mean().max()
    cells = [
        name,
        f"{runs['normal_class'].nunique()} x {runs['seed'].nunique()}",
        over_classes(runs, "asr"),
        mean(runs, "auroc_drop"),
        mean(runs, "detection_drop"),
        f"{mean(runs, 'triggered_false_alarms')} ({mean(runs, 'false_alarms')})",
        mean(runs, "control_asr"),
        f"{others:.3f}",
        mean(runs, "sham_asr"),
    ]
    return "| " + " | ".join(cells) + " |"


def other_rows(name: str, runs: pd.DataFrame) -> list[str]:
    """Rows of one other data set: one, or one an encoder."""
    if runs["subset"].iloc[0] == "course":
        name += " (course subset)"
    if "network" not in runs:
        return [attack_row(name, runs)]
    of_network = runs.groupby("network", sort=False)
    return [attack_row(f"{name}, {NETWORKS[n]}", rows) for n, rows in of_network]


def attack_head(first: str) -> list[str]:
    """Open a table of :func:`attack_row` rows."""
    return [
        f"| {first} | classes x seeds | ASR, mean (classes) | AUROC lost | detection lost "
        "| false alarms, triggered (clean) normals | ASR on clean twin "
        "| ASR of other triggers | ASR on sham twin |",
        "|---" * 9 + "|",
    ]


def attack_table(results: Path = RESULTS) -> str:
    """BadSAD under every trigger, and on other data."""
    runs = pd.read_csv(results / "attack_main.csv")
    lines = attack_head("trigger")
    for trigger, rate in [(t, 0.1) for t in TRIGGERS] + [("patch", 0.02)]:
        rows = runs[(runs["trigger"] == trigger) & (runs["poison_rate"] == rate)]
        if len(rows):
            name = TRIGGERS[trigger] + ("" if rate == 0.1 else f", poison rate {rate:.0%}")
            lines.append(attack_row(name, rows))
    for table, name in OTHER_DATA.items():
        file = results / f"attack_{table}.csv"
        if file.exists():
            lines += other_rows(name, pd.read_csv(file))
    learned = runs[runs["trigger"] == "universal"]
    if len(learned):
        lines += [
            "",
            f"The learned pattern reaches an ASR of {learned['asr'].mean():.3f}; the same budget "
            "spent on the clean twin, where there is no backdoor, "
            f"{learned['perturbation_asr'].mean():.3f}.",
        ]
    return "\n".join(lines)


def ablation_table(results: Path = RESULTS) -> str:
    """BadSAD with parts left out or exchanged, course subset."""
    runs = pd.read_csv(results / "attack_ablation.csv")
    lines = attack_head("attack")
    for method in runs["method"].unique():
        lines.append(attack_row(method, runs[runs["method"] == method]))
    return "\n".join(lines)


def data_only_table(results: Path = RESULTS) -> str:
    """Mean ASR of poisoning alone: a row a trigger, a column a rate, plain and randomized."""
    runs = pd.read_csv(results / "attack_data_only.csv")
    rates = sorted(runs["poison_rate"].unique())
    columns = [(rate, randomized) for randomized in (False, True) for rate in rates]
    heads = [f"{rate:.0%}{', randomized' if randomized else ''}" for rate, randomized in columns]
    lines = ["| ASR at poison rate | " + " | ".join(heads) + " |", "|---" * 7 + "|"]
    for trigger in runs["trigger"].unique():
        rows = runs[runs["trigger"] == trigger].groupby(["poison_rate", "randomize"])["asr"].mean()
        cells = [f"{rows[column]:.3f}" for column in columns]
        lines.append(f"| {TRIGGERS[trigger]} | " + " | ".join(cells) + " |")
    lost = runs["auroc_drop"].mean()
    classes = ", ".join(map(str, sorted(runs["normal_class"].unique())))
    lines += ["", f"Normal classes {classes}, course subset. Mean loss of AUROC: {lost:.3f}."]
    return "\n".join(lines)


# --- defenses -----------------------------------------------------------------------------------

# Detectors that the defenses meet: how each is called, and which rows they are.
VICTIMS = {
    "data only, patch": ("data only", "patch", "none"),
    "patch": ("extended", "patch", "none"),
    "blend": ("extended", "blend", "none"),
    "sinusoid": ("extended", "sinusoid", "none"),
    "learned": ("extended", "universal", "none"),
    "patch, knows purification": ("extended", "patch", "purification"),
    "patch, knows STRIP": ("extended", "patch", "strip"),
    "patch, knows the search": ("extended", "patch", "search"),
}


def of_victim(runs: pd.DataFrame, victim: str) -> pd.DataFrame:
    """Return the rows of one kind of victim."""
    method, trigger, adaptation = VICTIMS[victim]
    chosen = (runs["method"] == method) & (runs["trigger"] == trigger)
    return runs[chosen & (runs["adaptation"] == adaptation)]


def defense_table(
    runs: pd.DataFrame,
    victims: list[str],
    cell: Callable[[pd.DataFrame], str],
    extra: dict[str, Callable[[pd.DataFrame], str]],
) -> str:
    """Lay out one row a defense: a cell for each victim, then what else is asked of its rows."""
    lines = [
        "| defense | " + " | ".join([*victims, *extra]) + " |",
        "|---" * (1 + len(victims) + len(extra)) + "|",
    ]
    for defense, rows in runs.groupby("defense", sort=False):
        cells = [cell(of_victim(rows, victim)) for victim in victims]
        cells += [make(rows) for make in extra.values()]
        lines.append(f"| {defense} | " + " | ".join(cells) + " |")
    classes, seeds = runs["normal_class"].nunique(), runs["seed"].nunique()
    lines += ["", f"Course subset, {classes} normal classes x {seeds} seed(s)."]
    return "\n".join(lines)


def _seconds(rows: pd.DataFrame) -> str:
    return f"{rows['defense_seconds'].median():.0f}"


def _clean(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["method"] == "clean"]


def input_defenses_table(results: Path = RESULTS) -> str:
    """AUROC (and true positives at 5 % false alarms) of what slips through against normals."""
    return defense_table(
        pd.read_csv(results / "defense_inputs.csv"),
        [name for name in VICTIMS if name not in ("data only, patch", "patch, knows the search")],
        lambda rows: f"{rows['separation'].mean():.3f} ({rows['true_positives_at_5'].mean():.2f})",
        {
            "false alarms at a stated 0.05": lambda rows: f"{rows['false_alarms'].mean():.3f}",
            "seconds": _seconds,
        },
    )


def data_defenses_table(results: Path = RESULTS) -> str:
    """AUROC of poisoned against clean training normals."""
    return defense_table(
        pd.read_csv(results / "defense_data.csv"),
        ["data only, patch", "patch", "blend", "sinusoid", "learned"],
        lambda rows: f"{rows['separation'].mean():.3f}",
        {"seconds": _seconds},
    )


def separation_of_sizes(runs: pd.DataFrame, victim: str) -> float:
    """AUROC of backdoored against clean detectors: a smaller trigger found is more suspicious."""
    clean, backdoored = _clean(runs)["size"], of_victim(runs, victim)["size"]
    return metrics.auroc(-clean.to_numpy(), -backdoored.to_numpy())


def model_defenses_table(results: Path = RESULTS) -> str:
    """Trigger inversion: size of the trigger found, and AUROC against clean detectors."""
    runs = pd.read_csv(results / "defense_model.csv")
    lines = [
        "| detectors | number | size of the trigger found, median (range) | AUROC against clean |",
        "|---|---|---|---|",
    ]
    for name in ["clean", *VICTIMS]:
        rows = _clean(runs) if name == "clean" else of_victim(runs, name)
        size = rows["size"]
        area = "–" if name == "clean" else f"{separation_of_sizes(runs, name):.3f}"
        spread = f"{size.median():.3f} ({size.min():.3f} to {size.max():.3f})"
        lines.append(f"| {name} | {len(rows)} | {spread} | {area} |")
    seconds = runs["defense_seconds"].median()
    lines += ["", f"Size is a share of the image. {seconds:.0f} seconds a detector, on one thread."]
    return "\n".join(lines)


def repairs_table(results: Path = RESULTS) -> str:
    """ASR after a repair, and what it costs."""
    runs = pd.read_csv(results / "defense_repair.csv")
    runs["auroc_lost"] = runs["auroc_before"] - runs["auroc_after"]
    runs["detection_lost"] = runs["detection_rate_before"] - runs["detection_rate_after"]
    victims = [name for name in VICTIMS if not name.startswith("data only")]
    once = runs[runs["defense"] == runs["defense"].iloc[0]]
    before = {v: of_victim(once, v)["asr_before"].mean() for v in victims}
    table = defense_table(
        runs,
        victims,
        lambda rows: f"{rows['asr_after'].mean():.3f}",
        {
            "AUROC lost, victims": lambda rows: (
                f"{rows[rows['method'] == 'extended']['auroc_lost'].mean():.3f}"
            ),
            "AUROC lost, clean": lambda rows: f"{_clean(rows)['auroc_lost'].mean():.3f}",
            "detection lost, clean": lambda rows: f"{_clean(rows)['detection_lost'].mean():.3f}",
            "seconds": _seconds,
        },
    )
    lines = table.splitlines()
    none = [f"{asr:.3f}" for asr in before.values()] + ["–"] * 4
    lines.insert(2, "| none | " + " | ".join(none) + " |")
    return "\n".join(lines)


TABLES = {
    "inputs": input_defenses_table,
    "data": data_defenses_table,
    "model": model_defenses_table,
    "repairs": repairs_table,
    "detector": detector_table,
    "speed": speed_table,
    "attack": attack_table,
    "ablation": ablation_table,
    "data_only": data_only_table,
}


def filled(text: str, results: Path = RESULTS) -> str:
    """Return ``text`` with every marked table made anew."""
    for name, make in TABLES.items():
        marks = rf"(<!-- table:{name} -->\n).*?(<!-- /table:{name} -->)"
        table = make(results)
        text = re.sub(marks, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.DOTALL)
    return text


def main() -> None:
    """Rewrite the README in place, all or nothing."""
    readme = ROOT / "README.md"
    partial = readme.with_suffix(".md.partial")
    partial.write_text(filled(readme.read_text()))
    partial.replace(readme)


if __name__ == "__main__":
    main()
