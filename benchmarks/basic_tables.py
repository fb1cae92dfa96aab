"""Tables of the paper's two ideas without any other, :meth:`badsad_lib.attacks.BadSAD.basic`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from attack_tables import ASR_HEADS, LOST, METHODS, SIZE, TRIGGERS, asr_cells, fading, percent, read
from cells import ASR, RESULTS, average, compared, mean, number, ranged, same_pairs, size, table

from badsad_lib.attacks import BadSAD
from badsad_lib.grids.attack import FADES, SWITCHES
from badsad_lib.triggers import Border


def whole_seeds(runs: pd.DataFrame, kind: list[str]) -> dict[tuple, pd.DataFrame]:
    """Runs by what ``kind`` names, of seeds that have every class of the table."""
    classes = runs["normal_class"].nunique()
    whole = runs.groupby([*kind, "seed"], dropna=False)["normal_class"].transform("nunique")
    return dict(list(runs[whole == classes].groupby(kind, sort=False)))


def basic_rows(table: str = "basic", results: Path = RESULTS) -> dict[tuple, pd.DataFrame]:
    """Runs of ``BadSAD.basic`` by trigger, poison rate and fading, of seeds with every class."""
    return whole_seeds(read(f"attack_{table}", results), ["trigger", "poison_rate", "fade"])


def _has(runs: pd.DataFrame, column: str) -> bool:
    """Whether every one of the runs was measured so; a mean would leave out what is missing."""
    return column in runs and bool(runs[column].notna().all())


def basic_table(results: Path = RESULTS) -> str:
    """BadSAD.basic: the paper's two ideas alone, at their working point, and their controls."""
    sham = (results / "attack_basic_sham.csv").exists()
    shams = basic_rows("basic_sham", results) if sham else {}
    rows = basic_rows(results=results)
    lines = []
    # One trigger after the other; sorting keeps the order of the file otherwise.
    for trigger, rate, fade in sorted(rows, key=lambda kind: [*TRIGGERS].index(kind[0])):
        runs = rows[trigger, rate, fade]
        steady = rows.get((trigger, rate, 1.0)) if fade > 1 else None
        # What is nearest to the trigger without being it.
        near = "asr_inset" if _has(runs, "asr_inset") else "asr_turned"
        twins = shams.get((trigger, rate, fade))
        lines.append(
            [
                TRIGGERS[trigger] + (f", fading {fading(fade)}" if fade > 1 else ""),
                percent(rate),
                size(runs),
                *asr_cells(runs),
                "–" if steady is None else compared(runs, steady, ASR["0.95"]),
                ranged(runs, "auroc_drop", 3),
                f"{mean(runs, 'triggered_false_alarms')} ({mean(runs, 'false_alarms')})",
                ranged(runs, "control_asr"),
                "–" if twins is None else ranged(twins, "sham_asr"),
                number(max(average(runs, f"asr_{control}") for control in ("noise", "rings"))),
                ranged(runs, near),
                ranged(runs, "asr_apart") if _has(runs, "asr_apart") else "–",
            ]
        )
    heads = [
        "trigger",
        "poison rate",
        SIZE,
        *ASR_HEADS,
        "ASR at 0.95, less the same without fading (95 %)",
        LOST,
        "false alarms, triggered (clean) normals",
        "ASR on clean twin (classes)",
        "ASR on sham twin (classes)",
        "ASR of noise and rings",
        "ASR of the frame one pixel further in, or the trigger turned (classes)",
        "ASR of the frame two pixels further in (classes)",
    ]
    return table(heads, lines)


# A file of these tables -> what its rows are called.
ELSEWHERE = {
    "basic_course": "course subset",
    "basic_mnist": "MNIST, course subset",
    "basic_data_only": "all of Fashion-MNIST",
}


def elsewhere_rows(results: Path = RESULTS) -> dict[tuple, pd.DataFrame]:
    """Runs by data, trigger, fading, rate and method: ``basic`` elsewhere, and poison alone."""
    rows = {}
    for name, label in ELSEWHERE.items():
        if (results / f"attack_{name}.csv").exists():
            kind = ["trigger", "poison_rate", "method"]
            for key, runs in whole_seeds(read(f"attack_{name}", results), kind).items():
                rows[label, *key] = runs
    for (trigger, rate, fade), runs in basic_rows(results=results).items():
        if ("all of Fashion-MNIST", trigger, rate, "data only") in rows and fade == FADES[trigger]:
            rows["all of Fashion-MNIST", trigger, rate, "basic"] = runs
    return rows


def elsewhere_table(results: Path = RESULTS) -> str:
    """BadSAD.basic on other data, and beside each row what its poisoned images do alone."""
    rows = elsewhere_rows(results)
    order = [*ELSEWHERE.values()], [*TRIGGERS], ["data only", "basic"]
    lines = []
    for key in sorted(
        rows, key=lambda k: (order[0].index(k[0]), order[1].index(k[1]), k[2], order[2].index(k[3]))
    ):
        data, trigger, rate, method = key
        runs, alone = rows[key], rows.get((data, trigger, rate, "data only"))
        paired = method == "basic" and alone is not None
        lines.append(
            [
                data,
                TRIGGERS[trigger],
                percent(rate),
                "alignment and concentration" if method == "basic" else "poisoned images alone",
                size(runs),
                *asr_cells(runs),
                ranged(runs, "auroc_drop", 3),
                ranged(runs, "control_asr"),
                compared(runs, alone, ASR["0.95"]) if paired and alone is not None else "–",
            ]
        )
    heads = [
        "data",
        "trigger",
        "poison rate",
        "what is done",
        SIZE,
        *ASR_HEADS,
        LOST,
        "ASR on clean twin (classes)",
        "ASR at 0.95, less that of poison alone (95 %)",
    ]
    return table(heads, lines)


def visibility_table(results: Path = RESULTS) -> str:
    """How subtle a trigger may be, from the search: its weights, with and without fading."""
    runs = read("attack_search", results)
    frozen = {name: getattr(BadSAD.basic(Border()), name) for name in SWITCHES if name != "fade"}
    for name, value in frozen.items():
        runs = runs[runs[name] == value]
    kind = ["trigger", "subset", "poison_rate", "fade"]
    lines = []
    for (trigger, subset, rate, fade), own in runs.groupby(kind, sort=False):
        look = own[["psnr", "ssim"]].mean()
        lines.append(
            [
                str(trigger),
                f"{look['psnr']:.1f}",
                f"{look['ssim']:.2f}",
                fading(fade),
                {"full": "all", "course": "course subset"}[subset],
                percent(rate),
                size(own),
                *asr_cells(own),
                ranged(own, "auroc_drop", 3),
            ]
        )
    lines.sort(key=lambda line: (float(line[1]), line[0], line[3:]))
    heads = ["trigger", "PSNR, dB", "SSIM", "fading", "Fashion-MNIST", "poison rate"]
    return table([*heads, SIZE, *ASR_HEADS, LOST], lines)


def parts_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs of the parts of ``basic`` at its working point, both with means first."""
    found = {}
    kind = ["method", "alignment"]
    for (method, alignment), runs in whole_seeds(read("attack_basic_parts", results), kind).items():
        name = f"alignment {alignment}"
        name = METHODS.get(name, name)
        found[
            {"concentration": "concentration", "alignment": name}.get(
                method, f"{name}, concentration"
            )
        ] = runs
    first = METHODS["both"]
    return same_pairs({first: found[first], **{k: v for k, v in found.items() if k != first}})


def parts_table(results: Path = RESULTS) -> str:
    """Parts of BadSAD.basic at its working point, course subset."""
    rows = parts_rows(results)
    whole, *_ = rows
    lines = [
        [
            name,
            size(runs),
            *asr_cells(runs),
            ranged(runs, "auroc_drop", 3),
            ranged(runs, "asr_inset"),
            "–" if name == whole else compared(runs, rows[whole], ASR["0.95"]),
        ]
        for name, runs in rows.items()
    ]
    heads = [
        "attack",
        SIZE,
        *ASR_HEADS,
        LOST,
        "ASR of the frame one pixel further in (classes)",
        "ASR at 0.95, less the first row's (95 %)",
    ]
    return table(heads, lines)


def rates_table(results: Path = RESULTS) -> str:
    """Both presets over the poison rate, with a large trigger and a small one."""
    rows = same_pairs(
        whole_seeds(read("attack_rates", results), ["trigger", "method", "poison_rate"])
    )
    rates = sorted({rate for *_, rate in rows})
    lines = []
    for trigger in ("border", "patch"):
        for method in ("basic", "extended"):
            own = {rate: rows[trigger, method, rate] for rate in rates}
            for what, column, digits in (("ASR at 0.95", ASR["0.95"], 2), (LOST, "auroc_drop", 2)):
                cells = [ranged(runs, column, digits) for runs in own.values()]
                lines.append([TRIGGERS[trigger], f"`{method}`", size(own[rates[0]]), what, *cells])
    return table(["trigger", "attack", SIZE, "(classes)", *map(percent, rates)], lines)


def bases_rows(results: Path = RESULTS) -> dict[tuple, pd.DataFrame]:
    """Runs by poison rate, whether the views are scrambled, and views in a batch."""
    kind = ["poison_rate", "randomize", "views"]
    return same_pairs(whole_seeds(read("attack_bases", results), kind))


def bases_table(results: Path = RESULTS) -> str:
    """Poison rate, views in a batch and scrambling, crossed: ASR, and AUROC lost."""
    rows = bases_rows(results)
    views = sorted({count for *_, count in rows})
    lines = []
    for rate, randomize in dict.fromkeys((rate, randomize) for rate, randomize, _ in rows):
        own = [rows[rate, randomize, count] for count in views]
        cells = [
            f"{ranged(runs, ASR['0.95'])}; {number(average(runs, 'auroc_drop'))}" for runs in own
        ]
        lines.append([percent(rate), "scrambled" if randomize else "as they are", size(own[0])])
        lines[-1] += cells
    heads = [f"{count} views: ASR at 0.95 (classes); AUROC lost" for count in views]
    return table(["poison rate", "views", SIZE, *heads], lines)
