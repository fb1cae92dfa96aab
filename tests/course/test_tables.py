"""Tables of the lessons: the same cells as HTML and as text."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badsad_lib.course.tables import table

ROWS = [
    {"detector": "clean", "AUROC": 0.93124, "images": 1550, "flagged": True},
    {"detector": "victim", "AUROC": np.float32(0.9), "images": np.int64(7), "flagged": np.False_},
    {"detector": "a < b & c", "AUROC": float("nan"), "images": None, "flagged": False},
]


def cells(markup: str) -> list[str]:
    return re.findall(r"<(?:td|th)[^>]*>([^<]*)</t[dh]>", markup)


def test_numbers_are_written_for_readers() -> None:
    text = repr(table(ROWS))
    assert text.splitlines() == [
        "detector   AUROC  images  flagged",
        "clean      0.931   1,550  yes",
        "victim     0.900       7  no",
        "a < b & c      –       –  no",
    ]
    assert "0.93 " in repr(table(ROWS, digits=2))


def test_numbers_that_come_as_text_stand_to_the_right() -> None:
    text = repr(table([{"a": "x", "b": "3.4%", "c": "–"}, {"a": "y", "b": "12.0%", "c": "7 dB"}]))
    assert text.splitlines() == ["a      b     c", "x   3.4%     –", "y  12.0%  7 dB"]


def test_html_has_a_head_names_its_rows_and_is_escaped() -> None:
    markup = table(ROWS, caption="Three & more")._repr_html_()
    assert markup.count('scope="col"') == 4
    assert markup.count('scope="row"') == 3
    assert "<caption>Three &amp; more</caption>" in markup
    assert "a &lt; b &amp; c" in cells(markup)
    assert "1,550" in cells(markup)
    assert 'style="text-align: right">0.931<' in markup


def test_an_empty_corner_is_no_header() -> None:
    markup = table([{"": "clean", "AUROC": 0.93}])._repr_html_()
    assert markup.count('scope="col"') == 1
    assert '<tr><td style="text-align: left"></td><th scope="col"' in markup


def test_a_data_frame_is_taken_as_it_is() -> None:
    frame = pd.DataFrame(ROWS[:1])
    assert repr(table(frame)) == repr(table(ROWS[:1]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_text_and_html_hold_the_same_cells(values: list[float]) -> None:
    shown = table([{"name": f"r{i}", "value": value} for i, value in enumerate(values)])
    assert list(cells(shown._repr_html_())) == repr(shown).split()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [([], "at least one row"), ([{"a": 1}, {"b": 2}], "row 1 has the columns b; the first row")],
)
def test_what_is_no_table_is_refused(rows: list[dict[str, int]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        table(rows)
