"""Tables and numbers of the pages: the committed results, all of them, compared as they may be."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import attack_tables  # noqa: E402
import cells  # noqa: E402
import defense_tables  # noqa: E402
import tables  # noqa: E402

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in tables.PAGES}
QUICK = {"resamples": 50, "seed": 0}
# Decimal numbers that no run measured: versions, papers, licenses, thresholds, settings.
NOT_MEASURED = {"3.11", "3.14", "1906.02694", "2412.13324", "4.0", "0.8", "0.90", "0.95", "0.99"}


def runs(*pairs: tuple[int, int], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=cells.PAIR).assign(**columns)


# --- the pages ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("page", tables.PAGES)
def test_a_page_shows_the_committed_results(page):
    assert tables.filled(TEXTS[page]) == TEXTS[page]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "file", "column"),
    [
        ("detector", "detector", "auroc"),
        ("detector_classes", "detector", "auroc"),
        ("speed", "speed", "ratio"),
        ("attack", "attack_main", "asr_at_99"),
        ("controls", "attack_main", "sham_asr"),
        ("faint", "attack_faint", "asr_at_99"),
        ("faint", "attack_main", "asr_at_99"),
        ("faint_search", "attack_faint_search", "val_asr"),
        ("other_data", "attack_hard", "asr_at_90"),
        ("other_data", "attack_mnist", "auroc_drop"),
        ("other_data", "attack_color", "asr_at_90"),
        ("ablation", "attack_ablation", "asr_at_95"),
        ("basic", "attack_basic", "asr_at_99"),
        ("elsewhere", "attack_basic_course", "asr_at_90"),
        ("elsewhere", "attack_basic_mnist", "asr_at_90"),
        ("visibility", "attack_search", "asr_at_95"),
        ("parts", "attack_basic_parts", "asr_inset"),
        ("rates", "attack_rates", "auroc_drop"),
        ("bases", "attack_bases", "auroc_drop"),
        ("carry_over", "carry_over", "asr_at_95"),
        ("extra_images", "attack_extra_images", "asr_at_95"),
        ("sensitivity", "attack_sensitivity", "auroc_drop"),
        ("data_only", "attack_data_only", "auroc_drop"),
        ("data_only_all", "attack_data_only", "asr_at_99"),
        ("data", "defense_data", "separation"),
        ("inputs", "defense_inputs", "separation"),
        ("inputs_caught", "defense_inputs", "true_positives_at_5"),
        ("model", "defense_model", "size"),
        ("inspection", "inspection", "value"),
        ("chain", "inspection", "value"),
        ("chain", "repair", "asr_at_99"),
        ("guards", "defense_guards", "separation"),
        ("repairs", "defense_repair", "asr_after"),
        ("repairs_cost", "defense_repair", "detection_rate_after"),
        ("buyer", "repair", "asr_at_99"),
        ("excess", "repair", "asr_at_95"),
        ("surfaces", "surfaces", "auroc"),
        ("surfaces_attack", "surfaces_attack", "control_asr_at_95"),
        ("audits", "audits", "in_doors"),
    ],
)
def test_a_changed_result_would_change_its_table(tmp_path, monkeypatch, table, file, column):
    monkeypatch.setattr(cells, "DRAWS", QUICK)
    for source in cells.RESULTS.glob("*.csv"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    before = tables.TABLES[table](tmp_path)
    changed = pd.read_csv(tmp_path / f"{file}.csv")
    changed[column] = 1 - changed[column]
    changed.to_csv(tmp_path / f"{file}.csv", index=False)
    assert tables.TABLES[table](tmp_path) != before


# `data_only` is a part of `data_only_all`; what the tables cost is no result.
ELSEWHERE = {"data_only", "costs"}


def test_every_table_and_every_number_has_a_place():
    text = "".join(TEXTS.values())
    assert {name for _, name, _ in tables.TABLE.findall(text)} == set(tables.TABLES)
    assert {name for _, name, _ in tables.VALUE.findall(text)} == set(tables.VALUES)
    shown = [name for _, name, _ in tables.TABLE.findall(TEXTS["book/results.md"])]
    assert sorted(shown) == sorted(set(tables.TABLES) - ELSEWHERE)


@pytest.mark.parametrize("name", sorted(set(tables.TABLES) - {"speed", "costs", "audits"}))
def test_a_table_says_classes_and_seeds_in_every_row_and_asr_at_three_thresholds(name, monkeypatch):
    monkeypatch.setattr(cells, "DRAWS", QUICK)
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in tables.TABLES[name](cells.RESULTS).splitlines()
        if line.startswith("|")
    ]
    (column,) = [place for place, heading in enumerate(head) if heading.endswith(" x seeds")]
    assert rows
    assert all(re.fullmatch(r"\d+ x \d+", row[column]) for row in rows)
    assert all(head)
    assert all(len(row) == len(head) for row in rows)
    stated = {heading[7:11] for heading in head if heading.startswith("ASR at ")}
    assert stated in (set(), set(cells.ASR))


@pytest.mark.parametrize("page", [*tables.PAGES, "book/checklist.md", "book/teaching.md"])
def test_no_result_is_typed_into_a_page(page):
    """What is measured stands between marks, or in a block that a test runs."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    text = tables.VALUE.sub("", tables.TABLE.sub("", text))
    assert set(re.findall(r"(?<![\w.])\d*\.\d+(?!\w)", text)) <= NOT_MEASURED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a <!--=nothing-->1<!--/-->", "no value is called 'nothing'; there are tuned"),
        ("<!-- table:nothing -->\n<!-- /table:nothing -->", "no table is called 'nothing'"),
        ("a <!--=tuned-->1", "a value is not closed"),
        ("<!-- table:detector -->\n<!-- /table:data -->", "a table is not closed"),
        ("a\n  <!--=tuned-->1<!--/-->", "begins a line, move a word before it"),
    ],
)
def test_a_mark_that_says_nothing_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        tables.filled(text)


# --- what is compared ---------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.sets(st.sampled_from([(c, s) for c in range(4) for s in range(3)]), min_size=4))
def test_rows_are_compared_on_the_pairs_that_they_share(pairs):
    """A run that one side has alone changes nothing, however extreme."""
    shared = [(0, 0), (1, 0), (2, 0)]
    one = runs(*shared, auroc=[0.9, 0.8, 0.7])
    other = runs(*shared, auroc=[0.5, 0.6, 0.7])
    alone = [pair for pair in pairs if pair not in shared]
    more = pd.concat([other, runs(*alone, auroc=[99.0] * len(alone))])
    assert cells.difference(one, more, "auroc") == cells.difference(one, other, "auroc")
    kept = cells.same_pairs({"one": one, "more": more})
    assert {name: len(own) for name, own in kept.items()} == {"one": 3, "more": 3}


def test_seeds_of_one_class_count_as_one_in_an_interval():
    one = runs((0, 0), (0, 1), (1, 0), (1, 1), auroc=[0.9, 0.7, 0.6, 0.4])
    other = runs((0, 0), (0, 1), (1, 0), (1, 1), auroc=[0.5, 0.5, 0.5, 0.5])
    found = cells.difference(one, other, "auroc")
    assert (found.mean, found.low, found.high) == pytest.approx((0.15, 0.0, 0.3))


def test_rows_without_a_run_in_common_are_not_compared():
    with pytest.raises(ValueError, match="one, other: no class and seed in common"):
        cells.same_pairs({"one": runs((0, 0)), "other": runs((0, 1))})


def test_a_grid_with_gaps_has_no_size_and_a_mean_hides_no_gap():
    with pytest.raises(ValueError, match="3 runs of 2 classes and 2 seeds: finish the grid"):
        cells.size(runs((0, 0), (0, 1), (1, 0)))
    assert cells.size(runs((0, 0), (0, 1), (1, 0), (1, 1))) == "2 x 2"
    gap = runs((0, 0), (1, 0), asr=[0.5, float("nan")])
    with pytest.raises(ValueError, match="asr was not measured in every run"):
        cells.ranged(gap, "asr")
    assert cells.mean(gap.assign(asr=float("nan")), "asr") == "–"


def test_cells_of_a_table():
    three = runs((0, 0), (0, 1), (1, 0), (1, 1), asr=[0.2, 0.4, 0.6, 0.8])
    assert cells.ranged(three, "asr") == "0.500 (0.30 to 0.70)"
    assert cells.ranged(three[:2], "asr") == "0.300"  # one class has no range
    assert cells.over_seeds(three, "asr") == "0.500 ± 0.141"
    assert cells.over_seeds(three[::2], "asr") == "0.400"
    assert cells.number(-0.0004) == "0.000"
    assert cells.number(-0.0006) == "-0.001"


def test_rates_of_poison_are_not_averaged():
    rows = attack_tables.data_only_rows()
    rates = {rate for _, rate, _ in rows}
    assert len(rates) >= 3
    assert all(own["poison_rate"].nunique() == 1 for own in rows.values())
    assert attack_tables.data_only_all_table().count("\n") == len(rows) + 1


def test_one_seed_does_not_stand_beside_three():
    for rows in (attack_tables.trigger_rows(), attack_tables.protocol_rows()):
        first, *rest = (set(own[cells.PAIR].itertuples(index=False)) for own in rows.values())
        assert rest
        assert all(own == first for own in rest)


def test_repairs_are_compared_class_by_class():
    """Each class and seed counts once, however many victims it has."""
    runs_ = defense_tables.repair_runs()
    unlearning = runs_[runs_["defense"] == "unlearning"]
    own = defense_tables.mean_of_victims(unlearning, defense_tables.REPAIRED, "asr_after")
    assert not own.duplicated(cells.PAIR).any()
    assert len(own) == len(runs_[cells.PAIR].drop_duplicates())


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ([0.2, 0.3, 0.25, 0.2], "a gain: +0.237"),
        ([-0.2, -0.3, -0.25, -0.2], "a loss: -0.237"),
        ([0.3, -0.2, 0.1, -0.1], "no difference was shown: +0.025"),
    ],
)
def test_a_gain_is_called_one_only_where_its_interval_says_so(gains, words):
    pairs = [(normal_class, 0) for normal_class in range(4)]
    second = runs(*pairs, auroc=[0.5] * 4)
    first = runs(*pairs, auroc=[0.5 + gain for gain in gains])
    assert cells.judged(first, second, "auroc").startswith(words)


def met(defense: str, trigger: str, adaptation: str, *separations: float) -> pd.DataFrame:
    """Runs of a defense against ``extended``, a class a run."""
    pairs = [(normal_class, 0) for normal_class in range(len(separations))]
    return runs(*pairs, separation=list(separations)).assign(
        defense=defense, method="extended", trigger=trigger, adaptation=adaptation
    )


def test_defenses_are_held_against_the_first_one_class_by_class():
    rows = pd.concat(
        [
            met("gram", "patch", "none", 0.5, 0.7),
            met("gram", "blend", "none", 0.7, 0.9),
            met("strip", "patch", "none", 0.8, 0.8),
            met("strip", "blend", "none", 1.0, 1.0),
        ]
    )
    columns = defense_tables.against_first(rows, ["patch", "blend"], "separation")
    ((head, cell),) = columns.items()
    assert head == "mean of all, less Gram's (95 %)"
    assert cell(rows[rows["defense"] == "gram"]) == "–"
    assert cell(rows[rows["defense"] == "strip"]) == "+0.200 (0.100 to 0.300)"


def test_who_knows_a_defense_is_held_against_who_does_not():
    unaware = met("strip", "patch", "none", 0.9, 0.8)
    aware = met("strip", "patch", "strip", 0.5, 0.6)
    assert defense_tables.against_the_unaware(pd.concat([unaware, aware])) == (
        "-0.300 (-0.400 to -0.200)"
    )
    assert defense_tables.against_the_unaware(met("gram", "patch", "none", 0.9)) == "–"


def test_a_loss_has_the_interval_of_before_less_after():
    own = runs((0, 0), (1, 0), auroc_before=[0.9, 0.8], auroc_after=[0.8, 0.6])
    assert defense_tables.loss(own, "auroc") == "+0.150 (0.100 to 0.200)"


def test_each_weight_is_held_against_extended_on_the_pairs_that_all_have(tmp_path):
    """However the rows of the file are ordered, and whatever one kind has beyond the others."""
    measured = ("asr_at_90", "asr_at_95", "asr_at_99", "auroc_drop", "asr_turned", "asr_noise")
    measured = (*measured, "asr_rings", "triggered_false_alarms", "false_alarms")
    pairs = [(2, 0), (3, 0)]
    kinds = {"extended, contrast doubled": [0.5, 0.7], "extended": [0.9, 0.9]}
    rows = [
        runs(*pairs, method=[method] * 2, **dict.fromkeys(measured, values))
        for method, values in kinds.items()
    ]
    alone = runs((8, 0), method=["extended"], **{name: [0.0] for name in measured})
    pd.concat([*rows, alone]).to_csv(tmp_path / "attack_sensitivity.csv", index=False)
    assert list(attack_tables.sensitivity_rows(tmp_path)) == ["extended", "contrast doubled"]
    head, _, first, second = attack_tables.sensitivity_table(tmp_path).splitlines()
    assert head.startswith("| weights | classes x seeds |")
    assert first.startswith("| extended | 2 x 1 | 0.900 (0.90 to 0.90)")
    assert "| – | – |" in first
    assert "| -0.300 (-0.400 to -0.200) | -0.300 (-0.400 to -0.200) |" in second
