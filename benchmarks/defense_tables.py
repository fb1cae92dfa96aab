"""Tables of the defenses, from the committed results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from cells import PAIR, RESULTS, between, compared, ranged, size, table

from badsad_lib import metrics

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
# Those of the table on guards; see badsad_lib.grids.defense.
COMBINED = {
    "basic, border": ("basic", "border", "none"),
    "extended, border": ("extended", "border", "none"),
    "border, knows the inspections": ("extended", "border", "inspections"),
    "blend 0.3, knows the inspections": ("extended", "blend 0.3", "inspections"),
}
# Data-only poisoning opens no door worth guarding or closing at this rate.
ON_INPUTS = [v for v in VICTIMS if v not in ("data only, patch", "patch, knows the search")]
ON_DATA = ["data only, patch", "patch", "blend", "sinusoid", "learned"]
REPAIRED = [v for v in VICTIMS if v != "data only, patch"]
# The attacker with the patch who knows a defense on inputs.
KNOWN = {"strip": "patch, knows STRIP", "purification": "patch, knows purification"}
SIZE = "classes x seeds"
# What defenses are called where their name in the results is not the text's.
DEFENSES = {"gram": "Gram", "strip": "STRIP"}


def read(name: str, results: Path = RESULTS) -> pd.DataFrame:
    return pd.read_csv(results / f"defense_{name}.csv")


def of_victim(runs: pd.DataFrame, victim: str) -> pd.DataFrame:
    """Return the rows of one kind of victim."""
    method, trigger, adaptation = {**VICTIMS, **COMBINED}[victim]
    chosen = (runs["method"] == method) & (runs["trigger"] == trigger)
    return runs[chosen & (runs["adaptation"] == adaptation)]


def clean(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of clean detectors."""
    return runs[runs["method"] == "clean"]


def defense_table(
    runs: pd.DataFrame,
    columns: dict[str, Callable[[pd.DataFrame], str]],
) -> str:
    """Lay out one row a defense: its size, and each column's cell made from its runs."""
    lines = [
        [DEFENSES.get(defense, defense), size(own), *(make(own) for make in columns.values())]
        for defense, own in runs.groupby("defense", sort=False)
    ]
    return table(["defense", SIZE, *columns], lines)


def victim_columns(victims: list[str], column: str) -> dict[str, Callable[[pd.DataFrame], str]]:
    """A column a victim: the mean over classes, and their range."""

    def cell(victim: str) -> Callable[[pd.DataFrame], str]:
        return lambda own: ranged(of_victim(own, victim), column)

    return {victim: cell(victim) for victim in victims}


def mean_of_victims(runs: pd.DataFrame, victims: list[str], column: str) -> pd.DataFrame:
    """Average the victims of each class and seed, so that each pair counts once."""
    chosen = pd.concat([of_victim(runs, victim) for victim in victims])
    return chosen.groupby(PAIR, as_index=False)[column].mean()


def against_first(
    runs: pd.DataFrame, victims: list[str], column: str
) -> dict[str, Callable[[pd.DataFrame], str]]:
    """A column that holds each defense's mean over the victims against the first one's."""
    first = runs["defense"].iloc[0]
    baseline = mean_of_victims(runs[runs["defense"] == first], victims, column)

    def cell(own: pd.DataFrame) -> str:
        if own["defense"].iloc[0] == first:
            return "–"
        return compared(mean_of_victims(own, victims, column), baseline, column)

    return {f"mean of all, less {DEFENSES.get(first, first)}'s (95 %)": cell}


def seconds(runs: pd.DataFrame) -> str:
    """Median seconds on one thread."""
    return f"{runs['defense_seconds'].median():.0f}"


def separations(runs: pd.DataFrame, victims: list[str]) -> dict[str, Callable[..., str]]:
    """A column a victim, how well it is told apart, and the defenses one against the other."""
    return {
        **victim_columns(victims, "separation"),
        **against_first(runs, victims, "separation"),
    }


def against_the_unaware(runs: pd.DataFrame) -> str:
    """What an attacker who knows a defense takes from it, against the one who does not."""
    aware = KNOWN.get(runs["defense"].iloc[0])
    if aware is None:
        return "–"
    return compared(of_victim(runs, aware), of_victim(runs, "patch"), "separation")


def inputs_table(results: Path = RESULTS) -> str:
    """AUROC of triggered anomalies that pass, against normals that pass."""
    runs = read("inputs", results)
    columns = {
        **separations(runs, ON_INPUTS),
        "patch: who knows this defense, less who does not (95 %)": against_the_unaware,
    }
    return defense_table(runs, columns)


def inputs_caught_table(results: Path = RESULTS) -> str:
    """Share caught at 5 % false alarms, and the false alarms at a stated rate."""
    runs = read("inputs", results)
    return defense_table(
        runs,
        {
            **victim_columns(ON_INPUTS, "true_positives_at_5"),
            **against_first(runs, ON_INPUTS, "true_positives_at_5"),
            "false alarms at a stated 0.05": lambda own: ranged(own, "false_alarms"),
            "seconds": seconds,
        },
    )


def data_table(results: Path = RESULTS) -> str:
    """AUROC of poisoned against clean training normals."""
    runs = read("data", results)
    return defense_table(runs, {**separations(runs, ON_DATA), "seconds": seconds})


def guards_table(results: Path = RESULTS) -> str:
    """As :func:`inputs_table`, for the border and for those who hide from inspections."""
    runs = read("guards", results)
    return defense_table(runs, separations(runs, [*COMBINED]))


def separation_of_sizes(runs: pd.DataFrame, victim: str) -> float:
    """AUROC of backdoored against clean detectors: a smaller trigger found is more suspicious."""
    sizes = clean(runs)["size"], of_victim(runs, victim)["size"]
    return metrics.auroc(*(-own.to_numpy() for own in sizes))


def model_table(results: Path = RESULTS) -> str:
    """Trigger inversion: size of the trigger found, and AUROC against clean detectors."""
    runs, lines = read("model", results), []
    for name in ["clean", *VICTIMS]:
        own = clean(runs) if name == "clean" else of_victim(runs, name)
        found = own["size"]
        area = "–" if name == "clean" else f"{separation_of_sizes(runs, name):.3f}"
        spread = f"{found.median():.3f} ({found.min():.3f} to {found.max():.3f})"
        lines.append([name, size(own), spread, area])
    heads = ["detectors", SIZE, "size found, median (range)", "AUROC against the clean ones"]
    note = f"Size is a share of the image. {seconds(runs)} seconds a detector, on one thread."
    return table(heads, lines, note)


def repair_runs(results: Path = RESULTS) -> pd.DataFrame:
    """Return the runs of the repairs, with what each cost."""
    runs = read("repair", results)
    lost = {
        f"{what}_lost": runs[f"{what}_before"] - runs[f"{what}_after"]
        for what in ("auroc", "detection_rate")
    }
    return runs.assign(**lost)


def loss(runs: pd.DataFrame, what: str) -> str:
    """Write what repairs took, with the interval of before less after."""
    return between(runs, f"{what}_before", f"{what}_after")


def repairs_table(results: Path = RESULTS) -> str:
    """ASR after a repair, at the 0.95 quantile of the repaired detector's own scores."""
    runs = repair_runs(results)
    once = runs[runs["defense"] == runs["defense"].iloc[0]]
    columns = {
        **victim_columns(REPAIRED, "asr_after"),
        **against_first(runs, REPAIRED, "asr_after"),
    }
    lines = defense_table(runs, columns).splitlines()
    none = [ranged(of_victim(once, victim), "asr_before") for victim in REPAIRED]
    lines.insert(2, "| " + " | ".join(["none", size(once), *none, "–"]) + " |")
    return "\n".join(lines)


def repairs_cost_table(results: Path = RESULTS) -> str:
    """What a repair costs, on victims and on clean detectors. Less than 0 is a gain."""
    runs = repair_runs(results)
    victims = [victim for victim, (method, _, _) in VICTIMS.items() if method == "extended"]

    def of_all(own: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([of_victim(own, victim) for victim in victims])

    return defense_table(
        runs,
        {
            "AUROC lost, victims (classes)": lambda own: ranged(of_all(own), "auroc_lost", 3),
            "AUROC lost, victims (95 %)": lambda own: loss(of_all(own), "auroc"),
            "AUROC lost, clean (classes)": lambda own: ranged(clean(own), "auroc_lost", 3),
            "AUROC lost, clean (95 %)": lambda own: loss(clean(own), "auroc"),
            "detection lost, clean (classes)": lambda own: ranged(
                clean(own), "detection_rate_lost", 3
            ),
            "detection lost, clean (95 %)": lambda own: loss(clean(own), "detection_rate"),
            "seconds": seconds,
        },
    )
