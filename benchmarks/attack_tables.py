"""Tables of the detector and of the attacks on it, from the committed results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from cells import (
    ASR,
    RESULTS,
    average,
    between,
    compared,
    mean,
    number,
    ranged,
    same_pairs,
    size,
    table,
)

from badsad_lib.grids.attack import chosen
from badsad_lib.triggers import KINDS

# Name in the results -> name in the table, and the protocol that differs in one thing only.
PROTOCOLS = {
    "full": ("all of Fashion-MNIST", None),
    "course": ("course subset", None),
    "course pretrained": ("course subset, pretrained", "course"),
    "hard": ("one known anomaly class", None),
    "hard tuned": ("one known anomaly class, tuned", "hard"),
    "hard pretrained": ("one known anomaly class, pretrained", "hard"),
}

TRIGGERS = {
    **{name: kind.label for name, kind in KINDS.items()},
    "sinusoid 40/255": "sinusoid, 40/255",
}
CONTROLS = ("turned", "noise", "rings")  # control_triggers
OTHER_DATA = {
    "hard": "patch, one known anomaly class",
    "mnist": "patch, MNIST",
    "color": "patch, in color",
}
NETWORKS = {"fashion_mnist": "encoder for clothes", "mnist": "encoder for digits"}
# What the rows of the ablation are called where their name in the results says less.
METHODS = {
    "both": "alignment mean, concentration",
    "both mmd": "alignment MMD, concentration",
    "alignment mmd": "alignment MMD",
    "alignment gaussian": "alignment Gaussian",
}
SIZE = "classes x seeds"
ASR_HEADS = [f"ASR at {quantile} (classes)" for quantile in ASR]
LOST = "AUROC lost (classes)"


def read(name: str, results: Path = RESULTS) -> pd.DataFrame:
    return pd.read_csv(results / f"{name}.csv")


# --- the detector -------------------------------------------------------------------------------


def protocol_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of each protocol that has all ten classes, of the seeds that all protocols have."""
    runs = read("detector", results)
    rows = {name: runs[runs["protocol"] == name] for name in PROTOCOLS}
    return same_pairs({n: own for n, own in rows.items() if own["normal_class"].nunique() == 10})


def detector_table(results: Path = RESULTS) -> str:
    """AUROC of the clean detector, a row a protocol."""
    rows = protocol_rows(results)
    lines = []
    for protocol, runs in rows.items():
        name, baseline = PROTOCOLS[protocol]
        paired = compared(runs, rows[baseline], "auroc") if baseline else "–"
        epochs = f"{runs['epochs'].iloc[0]}"
        lines.append([name, epochs, size(runs), ranged(runs, "auroc"), paired])
    heads = ["detector", "epochs", SIZE, "AUROC, mean (classes)", "less the row above (95 %)"]
    return table(heads, lines)


def detector_classes_table(results: Path = RESULTS) -> str:
    """AUROC of the clean detector, a column a normal class."""
    lines = []
    for protocol, runs in protocol_rows(results).items():
        of_class = runs.groupby("normal_class")["auroc"].mean()
        cells = [f"{auroc:.3f}" for auroc in of_class]
        lines.append([PROTOCOLS[protocol][0], size(runs), *cells])
    return table(["AUROC, normal class", SIZE, *map(str, range(10))], lines)


def speed_table(results: Path = RESULTS) -> str:
    """Images per second, this library against a plain loop, processor by processor."""
    rows = read("speed", results)
    lines = [
        [
            row["device"],
            row["stage"],
            f"{row['plain']:,.0f}/s",
            f"{row['library']:,.0f}/s",
            f"{row['ratio']:.2f}",
            "–" if pd.isna(row["floor"]) else f"{row['floor']:.0%}",
            "–" if pd.isna(row["auroc_loss"]) else number(row["auroc_loss"], 4),
            f"{row['plain_mb']:,.0f}, {row['library_mb']:,.0f}",
        ]
        for row in rows.to_dict("records")
    ]
    heads = ["processor", "stage", "plain loop", "this library", "ratio", "of the floor"]
    versions = "; ".join(rows["versions"].unique())
    note = f"{versions}. Best of the repeats."
    return table([*heads, "AUROC lost", "peak MB, each"], lines, note)


# --- the attack ---------------------------------------------------------------------------------


def trigger_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of ``extended`` under each trigger and rate, on the pairs that all of them have."""
    runs = read("attack_main", results)
    runs = runs[runs["method"] == "extended"]
    rows = {}
    for rate in sorted(runs["poison_rate"].unique(), reverse=True):
        for trigger, label in TRIGGERS.items():
            own = runs[(runs["trigger"] == trigger) & (runs["poison_rate"] == rate)]
            name = label if rate == 0.1 else f"{label}, poison rate {percent(rate)}"
            if len(own):
                rows[name] = own
    return same_pairs(rows)


def percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"


def fading(fade: float) -> str:
    """Say from how many times its strength a trigger fades."""
    return f"from {fade:g} times" if fade > 1 else "no"


def asr_cells(runs: pd.DataFrame) -> list[str]:
    """ASR at the three thresholds."""
    return [ranged(runs, column) for column in ASR.values()]


def attack_table(results: Path = RESULTS) -> str:
    """BadSAD.extended under every trigger: what it reaches and what it costs."""
    rows = trigger_rows(results)
    patch = TRIGGERS["patch"]
    lines = [
        [
            name,
            size(runs),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            "–" if name == patch else compared(runs, rows[patch], ASR["0.95"]),
        ]
        for name, runs in rows.items()
    ]
    heads = ["trigger", SIZE, *ASR_HEADS, LOST, "ASR at 0.95, less the first row's (95 %)"]
    return table(heads, lines)


def others(runs: pd.DataFrame) -> float:
    """Largest mean ASR, at 0.95, of triggers that the victim was not trained on.

    The controls depend on the trigger: rings are none for rings, which cannot be turned either,
    and neither can a learned pattern that has become flat: such runs are left out.
    """
    flat = (runs.get("trigger") == "universal") & runs["asr_turned"].isna()
    measured = {f"asr_{control}": runs for control in CONTROLS} | {"asr_turned": runs[~flat]}
    return max(average(own, c) for c, own in measured.items() if own[c].notna().any())


def control_cells(runs: pd.DataFrame) -> list[str]:
    """What should stay small, all at the 0.95 quantile."""
    return [
        ranged(runs, "detection_drop", 3),
        f"{mean(runs, 'triggered_false_alarms')} ({mean(runs, 'false_alarms')})",
        ranged(runs, "control_asr"),
        number(others(runs)),
        ranged(runs, "sham_asr"),
    ]


CONTROL_HEADS = [
    "detection lost (classes)",
    "false alarms, triggered (clean) normals",
    "ASR on clean twin (classes)",
    "ASR of other triggers",
    "ASR on sham twin (classes)",
]


def controls_table(results: Path = RESULTS) -> str:
    """Render the controls of :func:`attack_table`'s rows."""
    rows = trigger_rows(results)
    lines = [[name, size(runs), *control_cells(runs)] for name, runs in rows.items()]
    return table(["trigger", SIZE, *CONTROL_HEADS], lines)


def other_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs on other data, of one encoder each. They share no data, so they are not compared."""
    rows = {}
    for name, label in OTHER_DATA.items():
        if not (results / f"attack_{name}.csv").exists():
            continue
        runs = read(f"attack_{name}", results)
        label += " (course subset)" if runs["subset"].iloc[0] == "course" else ""
        if "network" in runs:
            for (network, method), own in runs.groupby(["network", "method"], sort=False):
                softer = f", {method.removeprefix('extended, ')}" if method != "extended" else ""
                rows[f"{label}, {NETWORKS[network]}{softer}"] = own
            for network, own in runs.groupby("network", sort=False):
                if own["method"].nunique() > 1:
                    # A sham twin stands beside the usual weights alone.
                    kept = chosen(own).assign(sham_asr=float("nan"))
                    rows[f"{label}, {NETWORKS[network]}, the best on validation images"] = kept
        else:
            rows[label] = runs
    return rows


def other_data_table(results: Path = RESULTS) -> str:
    """BadSAD.extended on other data and labels."""
    lines = [
        [name, size(runs), *asr_cells(runs), ranged(runs, "auroc_drop", 3), *control_cells(runs)]
        for name, runs in other_rows(results).items()
    ]
    return table(["attack", SIZE, *ASR_HEADS, LOST, *CONTROL_HEADS], lines)


def by_method(name: str, results: Path) -> dict[str, pd.DataFrame]:
    """Runs of each method of a table, ``extended`` first."""
    runs = read(name, results)
    methods = sorted(runs["method"].unique(), key=lambda method: method != "extended")
    return same_pairs({method: runs[runs["method"] == method] for method in methods})


def ablation_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of each method of the ablation."""
    return by_method("attack_ablation", results)


def ablation_table(results: Path = RESULTS) -> str:
    """BadSAD with parts left out or exchanged, course subset."""
    rows = ablation_rows(results)
    lines = [
        [
            METHODS.get(method, method),
            size(runs),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            number(others(runs)),
            "–" if method == "extended" else compared(runs, rows["extended"], ASR["0.95"]),
        ]
        for method, runs in rows.items()
    ]
    paired = "ASR at 0.95, less `extended`'s (95 %)"
    heads = ["attack", SIZE, *ASR_HEADS, LOST, "ASR of other triggers", paired]
    return table(heads, lines)


EXTRA_IMAGES = {
    ("extended", "none"): "`extended`",
    ("extended", "batch statistics"): "`extended`, views apart from the batch",
    ("triggered anomalies", "none"): "trigger on labeled anomalies, not clean-label",
    ("extra images only", "none"): "no attack: extra images without a trigger",
}


def extra_images_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of what ``extended`` is held against, on the pairs that all of them have."""
    found = dict(list(read("attack_extra_images", results).groupby(["method", "adaptation"])))
    return same_pairs({label: found[key] for key, label in EXTRA_IMAGES.items()})


def compared_rows(rows: dict[str, pd.DataFrame], what: str) -> str:
    """Lay out rows beside their first one: ASR, AUROC lost, and both less the first row's."""
    first, *_ = rows
    lines = [
        [
            name,
            size(runs),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            *(
                "–" if name == first else compared(runs, rows[first], column)
                for column in (ASR["0.95"], "auroc_drop")
            ),
            f"{mean(runs, 'triggered_false_alarms')} ({mean(runs, 'false_alarms')})",
            number(others(runs)),
        ]
        for name, runs in rows.items()
    ]
    heads = [
        what,
        SIZE,
        *ASR_HEADS,
        LOST,
        "ASR at 0.95, less the first row's (95 %)",
        "AUROC lost, less the first row's (95 %)",
        "false alarms, triggered (clean) normals",
        "ASR of other triggers",
    ]
    return table(heads, lines)


def extra_images_table(results: Path = RESULTS) -> str:
    """What the victim's extra images do, and what the rule of clean labels costs the attacker."""
    return compared_rows(extra_images_rows(results), "training")


def faint_rows(results: Path = RESULTS) -> dict[str, dict[str, pd.DataFrame]]:
    """Runs of each trigger that is hard to see: as usual, each other try, and the best of all."""
    main = read("attack_main", results).query("method == 'extended' and poison_rate == 0.1")
    rows = {}
    for trigger, found in read("attack_faint", results).groupby("trigger", sort=False):
        tries = {
            "usual": main[main["trigger"] == trigger],
            "found": found[found["restart"].isna()],
            "anew": found[found["restart"] == 1],
        }
        tries = same_pairs({name: runs for name, runs in tries.items() if len(runs)})
        rows[TRIGGERS[str(trigger)]] = {**tries, "kept": chosen(pd.concat(tries.values()))}
    return rows


def faint_table(results: Path = RESULTS) -> str:
    """What higher weights and a fading trigger do for those that are hard to see."""
    lines = []
    for trigger, rows in faint_rows(results).items():
        weight, fade = rows["found"].iloc[0][["weight", "fade"]]
        named = {
            "usual": "as above",
            "found": f"weights of {weight:g}, fading {fading(fade)}",
            "anew": "the same from another start",
            "kept": "the best on validation images",
        }
        for name, runs in rows.items():
            paired = (
                "–" if name == "usual" else compared(runs, rows["usual"], column)
                for column in (ASR["0.95"], "auroc_drop")
            )
            cells = [*asr_cells(runs), ranged(runs, "auroc_drop", 3), *paired]
            lines.append([f"{trigger}, {named[name]}", size(runs), *cells, *control_cells(runs)])
    less = [f"{what}, less as above (95 %)" for what in ("ASR at 0.95", "AUROC lost")]
    return table(["trigger", SIZE, *ASR_HEADS, LOST, *less, *CONTROL_HEADS], lines)


def faint_search_table(results: Path = RESULTS) -> str:
    """How weights and fading were chosen: validation images of one normal class."""
    runs = read("attack_faint_search", results)
    lines = [
        [
            TRIGGERS[str(trigger)],
            size(own),
            f"{weight:g}",
            fading(fade),
        ]
        + [number(average(own, column)) for column in ("val_asr", "val_auroc")]
        for (trigger, weight, fade), own in runs.groupby(["trigger", "weight", "fade"], sort=False)
    ]
    heads = ["trigger", SIZE, "weights", "fading", "validation: ASR at 0.95", "validation: AUROC"]
    return table(heads, lines)


def sensitivity_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of ``extended``, and of it with one weight halved or doubled."""
    rows = by_method("attack_sensitivity", results)
    return {method.removeprefix("extended, "): own for method, own in rows.items()}


def sensitivity_table(results: Path = RESULTS) -> str:
    """How much hangs on each weight of ``extended``."""
    return compared_rows(sensitivity_rows(results), "weights")


# Runs that were had again from other starting weights, by trigger and rate -> where the same
# stand with several seeds.
AGAIN = {
    ("patch", 0.1): ("`extended`, patch, 10 %", "attack_main"),
    ("border", 0.1): ("`basic`, border, 10 %", "attack_basic"),
    ("border", 0.5): ("`basic`, border, 50 %", "attack_basic_sham"),
}
WANDERS = {
    "AUROC": "auroc",
    "ASR at 0.95": ASR["0.95"],
    "ASR on clean twin": "control_asr",
    "ASR on sham twin": "sham_asr",
}


def rounding_rows(results: Path = RESULTS) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Runs had again from starting weights a millionth apart, and the same with other seeds."""
    rows = {}
    again = read("attack_rounding", results)
    for (trigger, rate), (label, name) in AGAIN.items():
        own, seeds = (
            runs[(runs["trigger"] == trigger) & (runs["poison_rate"] == rate)]
            for runs in (again, read(name, results))
        )
        if "fade" in seeds:
            seeds = seeds[seeds["fade"] == 1]
        rows[label] = own, seeds[seeds["normal_class"].isin(own["normal_class"])]
    return rows


def wander(runs: pd.DataFrame, column: str) -> float:
    """Deviation within a normal class, of all classes together."""
    return float(runs.groupby("normal_class")[column].var().mean() ** 0.5)


def rounding_table(results: Path = RESULTS) -> str:
    """How far the same run wanders by rounding alone, beside how far it does over seeds."""
    lines = []
    for label, (again, seeds) in rounding_rows(results).items():
        starts = again["nudge"].nunique()
        for measured, column in WANDERS.items():
            if again[column].isna().all():
                continue
            of_class = again.groupby("normal_class")[column]
            low, high = of_class.min(), of_class.max()
            widest = (high - low).idxmax()
            digits = 4 if column == "auroc" else 3
            lines.append(
                [
                    label,
                    size(again),
                    str(starts),
                    measured,
                    mean(again, column),
                    f"{number(low[widest], digits)} to {number(high[widest], digits)}",
                    number(wander(again, column), digits),
                    f"{number(wander(seeds, column), digits)} ({size(seeds)})",
                ]
            )
    heads = [
        "run",
        SIZE,
        "starts",
        "measured",
        "mean",
        "widest range of one class",
        "deviation over starts",
        "deviation over seeds (classes x seeds)",
    ]
    return table(heads, lines)


MAKES = {"deep svdd": "Deep SVDD"}


def carry_over_table(results: Path = RESULTS) -> str:
    """Detectors of another make as victims of what corresponds to ``extended``."""
    lines = [
        [
            MAKES.get(str(detector), str(detector)),
            size(runs),
            ranged(runs, "clean_auroc"),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            between(runs, "clean_auroc", "auroc"),
            *control_cells(runs),
        ]
        for detector, runs in read("carry_over", results).groupby("detector", sort=False)
    ]
    twin, paired = "AUROC, clean twin (classes)", "AUROC lost (95 %)"
    heads = ["detector", SIZE, twin, *ASR_HEADS, LOST, paired, *CONTROL_HEADS]
    return table(heads, lines)


# --- poisoned data alone ------------------------------------------------------------------------


def data_only_rows(results: Path = RESULTS) -> dict[tuple[str, float, bool], pd.DataFrame]:
    """Runs by trigger, rate, and whether the images' content was randomized."""
    runs = read("attack_data_only", results)
    return dict(list(runs.groupby(["trigger", "poison_rate", "randomize"], sort=False)))


def data_only_table(results: Path = RESULTS, triggers: tuple[str, ...] = ("patch",)) -> str:
    """Poisoning alone: a row a rate, plain and randomized. Rates are never averaged."""
    lines = [
        [
            TRIGGERS[trigger],
            percent(rate),
            "randomized" if randomized else "as they are",
            size(runs),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
        ]
        for (trigger, rate, randomized), runs in data_only_rows(results).items()
        if trigger in triggers
    ]
    heads = ["trigger", "poison rate", "poisoned images", SIZE, *ASR_HEADS, LOST]
    return table(heads, lines)


def data_only_all_table(results: Path = RESULTS) -> str:
    """Poisoning alone under every trigger."""
    return data_only_table(results, tuple(TRIGGERS))
