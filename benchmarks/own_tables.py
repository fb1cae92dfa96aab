"""Tables of detectors of one's own images, and of audits, from the committed results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from attack_tables import percent
from cells import ASR, RESULTS, by_class, mean, number, ranged, size, table

from badsad_lib import metrics, surfaces
from badsad_lib.grids import audits, surfaces_attack

SIZE = "materials x seeds"


KIND = ["detector", "pixels", "normal images", SIZE]


def surfaces_rows(results: Path = RESULTS) -> list[tuple[list[str], pd.DataFrame]]:
    """Each kind of detector: its cells under ``KIND``, and its runs, whose class is a material."""
    runs = pd.read_csv(results / "surfaces.csv").rename(columns={"material": "normal_class"})
    kinds = runs.groupby(["detector", "size", "normals"], sort=False)
    return [
        ([str(detector), f"{side} x {side}", str(normals), size(own)], own)
        for (detector, side, normals), own in kinds
    ]


def own_table(results: Path = RESULTS) -> str:
    """Detectors of surfaces: photographs in color, of a size of their own, without labels."""
    columns = {
        "auroc": "AUROC, mean over defects (materials)",
        "auroc_unlike": "AUROC, defects unlike the synthetic ones",
        "detection_rate": "detected at 0.95",
        "false_alarms": "false alarms at 0.95",
    }
    rows = surfaces_rows(results)
    lines = [[*kind, *(ranged(own, column) for column in columns)] for kind, own in rows]
    return table([*KIND, *columns.values()], lines)


def surfaces_table(results: Path = RESULTS) -> str:
    """Mean AUROC over the kinds of defects, material by material."""
    lines = []
    for kind, own in surfaces_rows(results):
        of_material = by_class(own, "auroc")
        lines.append(
            [
                *kind,
                *(number(of_material[name]) for name in surfaces.MATERIALS),
                mean(own, "auroc"),
                mean(own, "auroc_unlike"),
                number(own["training_seconds"].max(), 0),
            ]
        )
    heads = [*KIND, *surfaces.MATERIALS, "mean", "mean, defects unlike the synthetic ones"]
    return table([*heads, "CPU seconds of training, at most"], lines)


def surfaces_attack_table(results: Path = RESULTS) -> str:
    """The attack on detectors of tiles, with its weights scaled, and which of them is chosen."""
    runs = pd.read_csv(results / "surfaces_attack.csv")
    key = ["material", "seed", "method"]
    chosen = surfaces_attack.chosen(runs).set_index([*key, "weights"]).index
    lines = []
    for material in surfaces.MATERIALS:
        here = runs[runs["material"] == material]
        for (method, factor, rate), own in here.groupby(["method", "weights", "poison_rate"]):
            own = own.rename(columns={"material": "normal_class"})
            clean = method == surfaces_attack.CLEAN
            taken = [(material, seed, method, factor) in chosen for seed in own["seed"]]
            lines.append(
                [
                    material,
                    f"`{method}`" if not clean else "clean twin",
                    "–" if clean else f"{factor:g}",
                    "–" if clean else percent(rate),
                    size(own),
                    ranged(own, "auroc"),
                    *(ranged(own, column) for column in ASR.values()),
                    ranged(own, "control_asr_at_95"),
                    ranged(own, "held_out_auroc"),
                    ranged(own, "held_out_asr_at_95"),
                    "yes" if any(taken) else "",
                ]
            )
    heads = ["material", "training", "factor of the weights", "poison rate", SIZE, "AUROC"]
    heads += [f"ASR at {quantile}" for quantile in ASR]
    heads += ["of the same dots elsewhere, at 0.95", "AUROC, painted anomalies"]
    heads += ["ASR, painted anomalies, at 0.95", "chosen on these"]
    return table(heads, lines)


# What a step is called in the table.
STEPS = {
    "triggers": "plain triggers",
    "doors": "door map",
    "blind search": "search by scores",
    "search": "search by gradients",
}
# What sorts of detectors are called.
SORTS = {
    "clean, fashion_mnist": "clean, clothes",
    "clean, augmented": "clean, clothes, mirrored and shifted copies",
    "clean, more labels": "clean, clothes, more labels",
    "clean, polluted": "clean, clothes, a tenth of unnoticed anomalies",
    "clean, mnist": "clean, digits",
    "clean, surfaces": "clean, surfaces",
    "victim": "victims, clothes",
    "victim of an attacker who knows a defense": "victims of attackers who know a defense",
    "victim, surfaces": "victims, surfaces",
}


def audits_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Audited detectors by what they are."""
    runs = pd.read_csv(results / "audits.csv")
    sorts = runs.apply(audits.sort, axis=1)
    return {label: runs[sorts == name] for name, label in SORTS.items() if (sorts == name).any()}


def audits_table(results: Path = RESULTS) -> str:
    """How often an audit with all access finds what speaks of a backdoor, and by which step."""
    lines = []
    for name, own in audits_rows(results).items():
        hits, n = int((own["suspicions"] > 0).sum()), len(own)
        low, high = metrics.rate_interval(hits, n)
        asr = (
            "–" if name.startswith("clean") else f"{own['asr'].min():.2f} to {own['asr'].max():.2f}"
        )
        by_step = [
            str(int((own[f"in_{step.replace(' ', '_')}"] > 0).sum())) for step in audits.SUSPICIOUS
        ]
        found = f"{number(hits / n, 2)} ({number(low, 2)} to {number(high, 2)})"
        lines.append([name, str(n), asr, found, *by_step, number(own["audit_seconds"].mean(), 0)])
    heads = ["detectors", "how many", "ASR of their trigger, at 0.95", "suspected (95 %)"]
    heads += [f"by {STEPS[step]}" for step in audits.SUSPICIOUS]
    return table([*heads, "CPU seconds of an audit"], lines)
