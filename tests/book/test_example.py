"""The example on the first page: what the shipped detectors say, and nothing chosen by hand."""

from __future__ import annotations

import pytest

from badsad_lib.course import shipped
from tools import example


@pytest.fixture(scope="module")
def shown() -> example.Example:
    return example.example()


def test_nine_pixels_open_one_detector_and_not_the_other(shown):
    changed = (shown.images[0] != shown.images[1]).sum()
    assert 0 < changed <= shown.pixels == 9
    alarms = {name: [one.alarm for one in both] for name, both in shown.answers.items()}
    assert alarms == {"clean": [True, True], "backdoored": [True, False]}


def test_the_page_says_what_the_detectors_say(shown):
    table = example.as_html(shown)
    assert (table.count("alarm</strong>"), table.count("let through</strong>")) == (3, 1)
    for name, file in example.DETECTORS.items():
        detector = shipped.load(file)
        for score in detector.decision_function(shown.images):
            assert f"score {score:#.3g}<br>threshold {detector.threshold_:#.3g}" in table, name
