"""Tables of what a buyer can do with a delivered detector, from the committed results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from cells import ASR, PAIR, RESULTS, number, ranged, size, table

from badsad_lib.grids import buyer, inspection, repair
from badsad_lib.metrics import rate_interval

# What tells a kind of detector from others, in the order of the keys below.
KIND = ["method", "data", "trigger", "adaptation"]
# What is inspected, as the grid names it: method, data, trigger, adaptation.
INSPECTED = {
    "clean": ("clean", "fashion_mnist", "border", "none"),
    "clean, digits": ("clean", "mnist", "border", "none"),
    "clean, mirrored and shifted copies": ("clean, augmented", "fashion_mnist", "border", "none"),
    "clean, more labels": ("clean, more labels", "fashion_mnist", "border", "none"),
    "clean, a tenth of unnoticed anomalies": ("clean, polluted", "fashion_mnist", "border", "none"),
    "basic, border": ("basic", "fashion_mnist", "border", "none"),
    "patch": ("extended", "fashion_mnist", "patch", "none"),
    "blend": ("extended", "fashion_mnist", "blend", "none"),
    "border": ("extended", "fashion_mnist", "border", "none"),
    "sinusoid": ("extended", "fashion_mnist", "sinusoid", "none"),
    "learned": ("extended", "fashion_mnist", "universal", "none"),
    "warp": ("extended", "fashion_mnist", "warp", "none"),
    "patch, knows the search": ("extended", "fashion_mnist", "patch", "search"),
    "border, knows the relative search": ("extended", "fashion_mnist", "border", "relative search"),
    "patch, knows the variances": ("extended", "fashion_mnist", "patch", "batch statistics"),
    "border, knows the inspections": ("extended", "fashion_mnist", "border", "inspections"),
    "blend 0.3, knows the inspections": ("extended", "fashion_mnist", "blend 0.3", "inspections"),
    "border, knows shrink and perturb": (
        "extended",
        "fashion_mnist",
        "border",
        "shrink and perturb",
    ),
    "border, knows the high rate": ("extended", "fashion_mnist", "border", "high learning rate"),
    "patch, knows fine-tuning": ("extended", "fashion_mnist", "patch", "learning rate"),
    "learned, knows the second opinion": (
        "extended",
        "fashion_mnist",
        "universal 32/255",
        "second opinion",
    ),
    "basic, border, digits": ("basic", "mnist", "border", "none"),
    "patch, digits": ("extended", "mnist", "patch", "none"),
}
# Of these the table shows all that may be done.
DELIVERED = (
    "clean",
    "basic, border",
    "patch",
    "border, knows shrink and perturb",
    "border, knows the inspections",
    "learned, knows the second opinion",
    "border, knows the high rate",
    "clean, digits",
    "basic, border, digits",
    "patch, digits",
)
# Without an own detector there is nothing to call natural.
BASELINE = "own"
RICHEST = buyer.HOLDS["fashion_mnist"]


def runs(results: Path = RESULTS) -> pd.DataFrame:
    """Return all rows, with what stands above clean twin and own detector, and what was lost."""
    frame = repair.excess(pd.read_csv(results / "repair.csv"))
    frame[PAIR] = frame[PAIR].astype(int)
    return frame


def of_kind(frame: pd.DataFrame, key: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of one kind of detector."""
    return frame[(frame[KIND] == list(key)).all(axis=1)]


def groups(frame: pd.DataFrame) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Runs by what is delivered, what the buyer holds and what he does.

    Only what was done in every class and seed that the group's own detector has. What needs
    nothing stands with the most that is held.
    """
    found = {}
    for name in DELIVERED:
        here = of_kind(frame, INSPECTED[name])
        most = buyer.HOLDS[INSPECTED[name][1]]
        for regime in buyer.REGIMES:
            there = here[here["regime"] == regime]
            pairs = there[there["defense"] == BASELINE][PAIR].drop_duplicates()
            if regime == most:
                there = pd.concat([here[here["regime"] == "nothing"], there])
            for defense in (*repair.NOTHING, *repair.INSTEAD, *repair.WEIGHTS):
                done = there[there["defense"] == defense].merge(pairs)
                if len(done) == len(pairs) > 0:
                    found[name, regime, defense] = done
    return found


def buyer_table(results: Path = RESULTS) -> str:
    """What each thing that a buyer may do costs, and what it leaves."""
    lines = [
        [
            *key,
            size(done),
            ranged(done, "auroc_loss", digits=3),
            ranged(done, "detection_loss", digits=3),
            *(ranged(done, column) for column in ASR.values()),
            ranged(done, "excess_at_99"),
        ]
        for key, done in groups(runs(results)).items()
    ]
    heads = [
        *("delivered", "held", "done", "classes x seeds", "AUROC lost", "detection lost"),
        *(f"ASR at {quantile}" for quantile in ASR),
        "of it above clean twin and own, at 0.99",
    ]
    return table(heads, lines)


# What is compared over all that is delivered, and what it is called in a heading.
COMPARED = {
    "second opinion": "second opinion",
    "shrink and perturb": "shrink and perturb",
    "fine-tuning at a high rate": "fine-tuning, high rate",
}


def excess_rows(results: Path = RESULTS) -> dict[str, pd.DataFrame]:
    """Runs with 150 + 80 by what is delivered: the classes in which all of it was done."""
    frame = runs(results)
    frame = frame[frame["regime"].isin(["nothing", RICHEST])]
    found = {}
    for name, key in INSPECTED.items():
        if key[0].startswith("clean"):
            continue
        here = of_kind(frame, key)
        here = here[here["defense"].isin(["none", BASELINE, *COMPARED])]
        whole = here.groupby(PAIR)["defense"].transform("nunique") == len(COMPARED) + 2
        if whole.any():
            found[name] = here[whole]
    return found


def excess_table(results: Path = RESULTS) -> str:
    """What each defense leaves above clean twin and own detector, at two thresholds."""
    rows, lines = excess_rows(results), []
    everything = pd.concat(rows.values())

    def left(here: pd.DataFrame) -> list[str]:
        cells = []
        for defense in COMPARED:
            done = here[here["defense"] == defense]
            cells += [ranged(done, f"excess_at_{q}") for q in (95, 99)]
        return cells

    for name, here in rows.items():
        by_defense = {d: here[here["defense"] == d] for d in ("none", BASELINE)}
        natural = [ranged(done, "asr_at_99") for done in by_defense.values()]
        lines.append([name, size(here), *natural, *left(here)])
    mean, worst = [], []
    for defense in COMPARED:
        done = everything[everything["defense"] == defense]
        for quantile in (95, 99):
            mean.append(number(done[f"excess_at_{quantile}"].mean()))
            worst.append(number(done[f"excess_at_{quantile}"].max()))
    lines.append(["mean of these runs", size(everything), "–", "–", *mean])
    lines.append(["worst of these runs", size(everything), "–", "–", *worst])
    heads = ["delivered", "classes x seeds", "as delivered, at 0.99", "own detector, at 0.99"]
    heads += [f"{name}: excess at {q}" for name in COMPARED.values() for q in ("0.95", "0.99")]
    return table(heads, lines)


# --- inspections ----------------------------------------------------------------------------------

ALL_CLEAN = "all clean ones"
STATISTICS = inspection.STATISTICS


def inspected(results: Path = RESULTS) -> pd.DataFrame:
    """Return the rows of the detectors that every statistic has judged."""
    frame = pd.read_csv(results / "inspection.csv")
    judged = frame.groupby([*KIND, *PAIR])["statistic"].transform("nunique")
    return frame[judged == len(STATISTICS)]


def verdicts(results: Path = RESULTS) -> pd.DataFrame:
    """What each statistic is worth against each kind, see :func:`inspection.judged`."""
    return inspection.judged(inspected(results))


def false_alarms(found: pd.DataFrame, statistic: str) -> tuple[float, float, float, int]:
    """Share of all clean detectors that a statistic flags, its interval, and their number."""
    clean = found[(found["statistic"] == statistic) & found["method"].str.startswith("clean")]
    of = int(clean["n"].sum())
    hits = round(float((clean["flagged"] * clean["n"]).sum()))
    return (hits / of, *rate_interval(hits, of), of)


def _flagged(share: float, low: float, high: float) -> str:
    return f"{number(share, 2)} ({number(low, 2)} to {number(high, 2)})"


def inspection_table(results: Path = RESULTS) -> str:
    """AUROC of each statistic, and the share flagged at a promised 5 % with its interval."""
    frame = inspected(results)
    found = inspection.judged(frame)
    by_kind = found.set_index([*KIND, "statistic"])
    lines = []
    for name, key in INSPECTED.items():
        runs = of_kind(frame, key)
        if len(runs) == 0:
            continue
        line = [name, size(runs)]
        for statistic in STATISTICS:
            one = by_kind.loc[(*key, statistic)]
            line += [
                "–" if pd.isna(one["auroc"]) else number(one["auroc"]),
                _flagged(one["flagged"], one["low"], one["high"]),
            ]
        lines.append(line)
    clean = frame[frame["method"].str.startswith("clean")]
    pooled = [f"{ALL_CLEAN}, {len(clean) // len(STATISTICS)}", size(clean)]
    for statistic in STATISTICS:
        share, low, high, _ = false_alarms(found, statistic)
        pooled += ["–", _flagged(share, low, high)]
    lines.insert(sum(line[0].startswith("clean") for line in lines), pooled)
    heads = ["detectors", "classes x seeds"]
    for statistic in STATISTICS:
        heads += [f"{statistic}: AUROC", f"{statistic}: flagged (95 %)"]
    return table(heads, lines)


# --- both -----------------------------------------------------------------------------------------

# What a buyer who holds most looks with; the size alone accuses whole kinds of clean detectors.
LOOKS = ("relative search", "batch statistics")


def sent_back(results: Path = RESULTS) -> pd.DataFrame:
    """A row a detector: whether any of :data:`LOOKS` flags it."""
    seen = inspection.flagged(inspected(results))
    seen = seen[seen["statistic"].isin(LOOKS)]
    return seen.groupby([*KIND, *PAIR])["flagged"].any().rename("sent_back").reset_index()


def chained(results: Path = RESULTS) -> pd.DataFrame:
    """Return the second opinion on each victim, with what is left of its ASR by both together.

    ``left_at_95`` and ``left_at_99`` are 0 where an inspection sent the victim back.
    """
    frame = runs(results)
    frame = frame[(frame["regime"] == RICHEST) & (frame["defense"] == "second opinion")]
    frame = frame[frame["method"] != "clean"]
    frame = frame.merge(sent_back(results), on=[*KIND, *PAIR], validate="one_to_one")
    for q in (95, 99):
        frame[f"left_at_{q}"] = frame[f"asr_at_{q}"].where(~frame["sent_back"], 0.0)
    return frame


def chain_table(results: Path = RESULTS) -> str:
    """What gets past inspection and second opinion together."""
    frame, looked = chained(results), sent_back(results)

    def back(detectors: pd.DataFrame) -> str:
        hits = int(detectors["sent_back"].sum())
        return _flagged(hits / len(detectors), *rate_interval(hits, len(detectors)))

    clean = looked[looked["method"].str.startswith("clean")]
    lines = [[f"{ALL_CLEAN}, {len(clean)}", size(clean), back(clean), "–", "–", "–"]]
    for name, key in INSPECTED.items():
        done = of_kind(frame, key)
        if len(done):
            left = [ranged(done, f"left_at_{q}") for q in (95, 99)]
            lines.append([name, size(done), back(done), *left, number(done["left_at_99"].max())])
    heads = ["delivered", "classes x seeds", "sent back (95 %)"]
    heads += [f"ASR that is left, at {q} (classes)" for q in ("0.95", "0.99")]
    return table([*heads, "worst run, at 0.99"], lines)
