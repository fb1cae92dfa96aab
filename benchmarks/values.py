"""Numbers that stand in sentences of the pages, from the committed results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attack_tables as attacks
import basic_tables as basic
import buyer_tables as buyer
import cost_tables as costs
import defense_tables as defenses
import pandas as pd
from cells import ASR, PAIR, average, by_class, compared, judged, mean, number, over_seeds, size
from defense_tables import of_victim

from badsad_lib.grids.attack import chosen

Value = Callable[[Path], str]


def listed(numbers: list[str]) -> str:
    """Write numbers as a sentence has them: ``a, b and c``."""
    return f"{', '.join(numbers[:-1])} and {numbers[-1]}"


def _patch(results: Path) -> pd.DataFrame:
    """Every run of ``extended`` with the patch at a poison rate of 10 %."""
    runs = attacks.read("attack_main", results)
    own = (runs["method"] == "extended") & (runs["trigger"] == "patch")
    return runs[own & (runs["poison_rate"] == 0.1)]


def _tuned(results: Path) -> pd.DataFrame:
    runs = attacks.read("detector", results)
    return runs[runs["protocol"] == "hard tuned"]


def _tuned_judged(results: Path) -> str:
    rows = attacks.protocol_rows(results)
    return judged(rows["hard tuned"], rows["hard"], "auroc")


def _triggers(column: str) -> Value:
    """Largest mean of a control over the triggers that have it, all at the 0.95 quantile."""

    def value(results: Path) -> str:
        rows = attacks.trigger_rows(results).values()
        return number(max(average(runs, column) for runs in rows if runs[column].notna().any()))

    return value


def _learned(column: str) -> Value:
    label = attacks.TRIGGERS["universal"]
    return lambda results: over_seeds(attacks.trigger_rows(results)[label], column)


def _others(*, warp: bool) -> Value:
    """Largest mean of the triggers not trained on: on victims of the warp, or of all others."""
    label = attacks.TRIGGERS["warp"]

    def value(results: Path) -> str:
        rows = attacks.trigger_rows(results)
        return number(max(attacks.others(rows[name]) for name in rows if (name == label) == warp))

    return value


def _digits_rows(results: Path, method: str) -> pd.DataFrame:
    """Of MNIST with its own small encoder."""
    runs = attacks.read("attack_mnist", results)
    return runs[(runs["network"] == "mnist") & (runs["method"] == method)]


HALVED = "extended, all halved"


def _digits(column: str, method: str = "extended", seed: int | None = None) -> Value:
    """Mean over all seeds, or of one of them."""

    def value(results: Path) -> str:
        runs = _digits_rows(results, method)
        return mean(runs if seed is None else runs[runs["seed"] == seed], column)

    return value


def _digits_kept(column: str) -> Value:
    """Of three settings of the weights, the best on validation images."""

    def value(results: Path) -> str:
        runs = attacks.read("attack_mnist", results)
        return mean(chosen(runs[runs["network"] == "mnist"]), column)

    return value


def _digits_judged(results: Path) -> str:
    """ASR at half of the weights against that at the usual ones."""
    halved, usual = (_digits_rows(results, method) for method in (HALVED, "extended"))
    return judged(halved, usual, ASR["0.95"])


def _color(column: str, of: Callable[[pd.Series], float]) -> Value:
    """One number of the class means in color."""
    return lambda results: number(of(by_class(attacks.read("attack_color", results), column)))


def _color_first(results: Path) -> str:
    """What the first run in color said, of one class and one seed."""
    runs = attacks.read("attack_color", results).query("normal_class == 0 and seed == 0")
    return mean(runs, ASR["0.95"])


def _ablation(method: str) -> Value:
    """ASR at the three thresholds."""

    def value(results: Path) -> str:
        runs = attacks.ablation_rows(results)[method]
        return listed([mean(runs, column) for column in ASR.values()])

    return value


def _data_only_best(rate: float, randomized: bool) -> Value:
    """Largest mean ASR over the triggers, at the 0.95 quantile."""
    return lambda results: number(
        max(
            average(runs, ASR["0.95"])
            for (_, of_rate, of_content), runs in attacks.data_only_rows(results).items()
            if of_rate == rate and of_content == randomized
        )
    )


def _border(method: str, rate: float) -> Value:
    """ASR on the course subset, with control of the training or by poison alone."""
    key = "course subset", "border", rate, method
    return lambda results: mean(basic.elsewhere_rows(results)[key], ASR["0.95"])


def _faint(rate: float) -> Value:
    """``basic`` with the faint border, which fades."""
    key = "faint-border", rate, 4.0
    return lambda results: mean(basic.basic_rows(results=results)[key], ASR["0.95"])


def _basic_sham(seed: int | None = None) -> Value:
    """A border that half of the images carry, on a detector that was attacked with a sinusoid."""

    def value(results: Path) -> str:
        runs = basic.basic_rows("basic_sham", results)["border", 0.5, 1.0]
        return mean(runs if seed is None else runs[runs["seed"] == seed], "sham_asr")

    return value


def _wandered(column: str, edge: str) -> Value:
    """Of the run had again that wanders furthest: where it ends, lowest or highest."""

    def value(results: Path) -> str:
        kind = ["trigger", "poison_rate", "normal_class"]
        ends = attacks.read("attack_rounding", results).groupby(kind)[column].agg(["min", "max"])
        ends["apart"] = ends["max"] - ends["min"]
        return number(ends.loc[ends["apart"].idxmax(), edge])

    return value


def _processors(results: Path) -> str:
    """Largest difference in ASR of rows of the main table to the same on another processor."""
    again = attacks.read("attack_rounding", results).query("trigger == 'patch' and nudge == 0")
    main = attacks.trigger_rows(results)[attacks.TRIGGERS["patch"]]
    both = again.merge(main, on=PAIR)
    if (both["device_x"] == both["device_y"]).any():
        raise ValueError("the rows to compare were made on the same processor")
    return number((both["asr_x"] - both["asr_y"]).abs().max())


def _views(rate: float) -> Value:
    """What 128 views in a batch change against 8, in views that are not scrambled."""

    def value(results: Path) -> str:
        runs = basic.bases_rows(results)
        return compared(runs[rate, False, 128], runs[rate, False, 8], ASR["0.95"])

    return value


def _border_size(results: Path) -> str:
    return size(basic.elsewhere_rows(results)["course subset", "border", 0.5, "data only"])


def _input(defense: str, victim: str) -> Value:
    def value(results: Path) -> str:
        runs = defenses.read("inputs", results)
        return mean(of_victim(runs[runs["defense"] == defense], victim), "separation")

    return value


def _data_best(results: Path) -> str:
    """Largest mean AUROC of any look through the training data, against the patch."""
    runs = of_victim(defenses.read("data", results), "patch")
    return number(max(average(own, "separation") for _, own in runs.groupby("defense")))


def _search_clean(results: Path) -> str:
    return str(len(defenses.clean(defenses.read("model", results))))


def _repair(defense: str, column: str) -> Value:
    """Mean over all repaired victims."""

    def value(results: Path) -> str:
        runs = defenses.repair_runs(results)
        own = runs[runs["defense"] == defense]
        return mean(defenses.mean_of_victims(own, defenses.REPAIRED, column), column)

    return value


def _size(name: str) -> Value:
    """Classes x seeds of a table of defenses."""
    return lambda results: size(defenses.read(name, results))


def _faint_rows(results: Path, trigger: str, which: str) -> pd.DataFrame:
    return attacks.faint_rows(results)[attacks.TRIGGERS[trigger]][which]


def _found(trigger: str, which: str = "found") -> Value:
    """What is gained over the usual settings for a trigger, in words and as a paired difference."""
    return lambda results: judged(
        _faint_rows(results, trigger, which), _faint_rows(results, trigger, "usual"), ASR["0.95"]
    )


def _found_mean(trigger: str, column: str) -> Value:
    """What the best of all tries comes to, as validation images tell it."""
    return lambda results: mean(_faint_rows(results, trigger, "kept"), column)


def _found_lost(trigger: str, over: Callable[[pd.DataFrame], float], which: str = "found") -> Value:
    """What a setting costs in AUROC, over all runs or in the worst of something."""
    return lambda results: number(over(_faint_rows(results, trigger, which)))


def _ruined(*tries: str) -> Value:
    """How many runs of a learned pattern cost the detector itself, in each of these tries."""

    def value(results: Path) -> str:
        rows = [_faint_rows(results, "universal", which).sort_values(PAIR) for which in tries]
        lost = [runs["auroc_drop"].to_numpy() > 0.1 for runs in rows]
        return f"{sum(map(all, zip(*lost, strict=True)))} of {len(rows[0])}"

    return value


def _speed(stage: str) -> Value:
    """Range over the processors that were tried."""

    def value(results: Path) -> str:
        rows = attacks.read("speed", results)
        ratios = rows.loc[rows["stage"] == stage, "ratio"]
        ends = (f"{end:.1f}" for end in (ratios.min(), ratios.max()))
        return " to ".join(dict.fromkeys(ends))

    return value


def _thousand(results: Path) -> float:
    """Hours of a thousand runs of the attack on all of Fashion-MNIST, on one core."""
    return costs.costs(results).set_index("table").loc["attack_basic", "seconds"] * 1000 / 3600


def _basic_digits(rate: float, column: str = "asr_at_95") -> Value:
    """``basic`` with its border on MNIST."""

    def value(results: Path) -> str:
        runs = attacks.read("attack_basic_mnist", results)
        return mean(runs[runs["poison_rate"] == rate], column)

    return value


# Who does not know the search, and who does.
UNAWARE = ("patch", "blend", "border", "sinusoid", "learned")
AWARE = (
    "border, knows the relative search",
    "border, knows the inspections",
    "blend 0.3, knows the inspections",
)


def _inspected(results: Path, statistic: str) -> dict[str, float]:
    """AUROC of a statistic by what is inspected."""
    found = buyer.verdicts(results).set_index([*buyer.KIND, "statistic"])["auroc"]
    return {
        name: found[(*key, statistic)]
        for name, key in buyer.INSPECTED.items()
        if (*key, statistic) in found
    }


def _relative(*names: str) -> Value:
    """AUROC of the relative search: the range over some victims, or the one of one."""

    def value(results: Path) -> str:
        found = _inspected(results, "relative search")
        areas = sorted(found[name] for name in names)
        return " to ".join(dict.fromkeys(number(area, 2) for area in (areas[0], areas[-1])))

    return value


def _chain_clean(results: Path) -> str:
    """Share of the clean detectors that the two inspections send back."""
    looked = buyer.sent_back(results)
    share = looked.loc[looked["method"].str.startswith("clean"), "sent_back"].mean()
    return attacks.percent(share)


def _second_leaves(regime: str) -> Value:
    """What a second opinion leaves of the table's victims of clothes, with so much in hand."""

    def value(results: Path) -> str:
        done = pd.concat(
            runs
            for (_, held, defense), runs in buyer.groups(buyer.runs(results)).items()
            if (held, defense) == (regime, "second opinion")
        )
        done = done[(done["data"] == "fashion_mnist") & (done["method"] != "clean")]
        return mean(done, "asr_at_95")

    return value


def _digits_second(results: Path) -> str:
    """What a second opinion from few images leaves of the patch on digits."""
    done = buyer.groups(buyer.runs(results))["patch, digits", "50 + 20", "second opinion"]
    return mean(done, "asr_at_99")


def _chain_worst(quantile: int) -> Value:
    """The most that gets past inspections and second opinion in one run."""
    return lambda results: number(buyer.chained(results)[f"left_at_{quantile}"].max())


def _alarms(results: Path) -> str:
    share, *_ = buyer.false_alarms(buyer.verdicts(results), "relative search")
    return attacks.percent(share)


def _inspected_clean(results: Path) -> str:
    *_, count = buyer.false_alarms(buyer.verdicts(results), "relative search")
    return str(count)


VALUES: dict[str, Value] = {
    "tuned": lambda results: over_seeds(_tuned(results), "auroc"),
    "tuned size": lambda results: size(_tuned(results)),
    "tuned judged": _tuned_judged,
    "patch": lambda results: listed([over_seeds(_patch(results), c) for c in ASR.values()]),
    "patch size": lambda results: size(_patch(results)),
    "patch lost": lambda results: over_seeds(_patch(results), "auroc_drop"),
    "control": _triggers("control_asr"),
    "sham": _triggers("sham_asr"),
    "others": _others(warp=False),
    "others, warp": _others(warp=True),
    "learned": _learned(ASR["0.95"]),
    "perturbation": _learned("perturbation_asr"),
    "digits": _digits(ASR["0.95"]),
    "digits lost": _digits("auroc_drop"),
    "digits halved": _digits(ASR["0.95"], HALVED),
    "digits halved lost": _digits("auroc_drop", HALVED),
    "digits halved judged": _digits_judged,
    "digits halved ruined": lambda r: number(_digits_rows(r, HALVED)["auroc_drop"].max()),
    "digits halved first": _digits(ASR["0.95"], HALVED, seed=0),
    "digits first": _digits(ASR["0.95"], seed=0),
    "digits kept": _digits_kept(ASR["0.95"]),
    "digits kept lost": _digits_kept("auroc_drop"),
    "digits quartered": _digits(ASR["0.95"], "extended, all quartered"),
    "color": _color(ASR["0.95"], pd.Series.mean),
    "color lowest": _color(ASR["0.95"], pd.Series.min),
    "color lost": _color("auroc_drop", pd.Series.mean),
    "color lost most": _color("auroc_drop", pd.Series.max),
    "color undetected": _color("detection_drop", pd.Series.max),
    "color worst run": lambda r: number(attacks.read("attack_color", r)[ASR["0.95"]].min()),
    "color first": _color_first,
    "two ideas": _ablation("both"),
    "extended": _ablation("extended"),
    "ablation size": lambda results: size(attacks.ablation_rows(results)["both"]),
    "data only 10": _data_only_best(0.1, False),
    "data only 10 randomized": _data_only_best(0.1, True),
    "border alone": _border("data only", 0.5),
    "border alone 10": _border("data only", 0.1),
    "border alone size": _border_size,
    "border controlled": _border("basic", 0.5),
    "data best": _data_best,
    "strip": _input("strip", "patch"),
    "strip known": _input("strip", "patch, knows STRIP"),
    "search clean": _search_clean,
    "faint tenth": _faint(0.1),
    "faint half": _faint(0.5),
    "basic sham": _basic_sham(),
    "basic sham first": _basic_sham(0),
    "rounding low": _wandered("asr", "min"),
    "rounding high": _wandered("asr", "max"),
    "rounding processors": _processors,
    "rounding sham low": _wandered("sham_asr", "min"),
    "rounding sham high": _wandered("sham_asr", "max"),
    "views few": _views(0.02),
    "views some": _views(0.1),
    "views many": _views(0.5),
    "basic digits half": _basic_digits(0.5),
    "basic digits tenth": _basic_digits(0.1),
    "basic digits apart": _basic_digits(0.1, "asr_apart"),
    "relative unaware": _relative(*UNAWARE),
    "relative basic": _relative("basic, border"),
    "relative aware": _relative(*AWARE),
    "relative alarms": _alarms,
    "relative clean": _inspected_clean,
    "defense size": _size("repair"),
    "repair before": _repair("fine-tuning", "asr_before"),
    "repair fine-tuning": _repair("fine-tuning", "asr_after"),
    "repair unlearning": _repair("unlearning", "asr_after"),
    "faint sinusoid": _found("sinusoid"),
    "faint learned": _found("universal"),
    "faint sinusoid lost": _found_lost("sinusoid", lambda runs: runs["auroc_drop"].mean()),
    "faint sinusoid worst": _found_lost("sinusoid", lambda runs: runs["auroc_drop"].max()),
    **{
        f"faint {name} kept{ending}": value
        for name, trigger in {"sinusoid": "sinusoid", "learned": "universal"}.items()
        for ending, value in {
            "": _found_mean(trigger, ASR["0.95"]),
            " gain": _found(trigger, "kept"),
            " lost": _found_mean(trigger, "auroc_drop"),
            " worst": _found_lost(trigger, lambda runs: runs["auroc_drop"].max(), "kept"),
        }.items()
    },
    "faint learned ruined": _ruined("found"),
    "faint learned ruined anew": _ruined("anew"),
    "faint learned ruined twice": _ruined("found", "anew"),
    "chain clean": _chain_clean,
    "digits second": _digits_second,
    "left 50 + 20": _second_leaves("50 + 20"),
    "left 20 + 20": _second_leaves("20 + 20"),
    "left one kind": _second_leaves("150 + one kind"),
    "left synthetic": _second_leaves("150 + synthetic"),
    "chain worst": _chain_worst(99),
    "chain worst, 0.95": _chain_worst(95),
    "speed training": _speed("training"),
    "speed scoring": _speed("scoring"),
    "all runs": lambda results: f"{costs.costs(results)['runs'].sum():,}",
    "all hours": lambda results: f"{costs.costs(results)['hours'].sum():.0f}",
    "thousand hours": lambda results: f"{_thousand(results):.0f}",
}
