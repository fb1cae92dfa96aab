"""The playground in a real browser: it says what PyTorch says, and everybody can use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor

from badsad_lib import metrics
from badsad_lib.course import shipped
from badsad_lib.images import to_uint8
from badsad_lib.triggers import Blend, Patch, Sinusoid, apply_trigger
from tests.site.visits import HTML, visit
from tools.playground import DETECTORS, TRIGGER

PAGE = "book/9_playground.html"
# Names of the page's own controls, and what they amount to in the library.
TRIGGERS = {
    "patch": ({"strength": 100, "size": 3, "row": 24, "column": 24}, Patch()),
    "dark": ({"kind": "patch", "strength": 50, "size": 5, "row": 0, "column": 7}, None),
    "noise": ({"strength": 40}, Blend(alpha=0.2)),
    "wave": ({"strength": 25}, Sinusoid(amplitude=20 / 255)),
}


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with visit(browser, (HTML / PAGE).as_uri()) as seen:
        seen.page.wait_for_selector("#pg:not([hidden])")
        yield seen.page


@pytest.fixture
def fresh(page: Page) -> Page:
    page.locator("input[name=pg-gallery]").nth(8).check(force=True)
    page.click("#pg-reset")
    return page


@pytest.fixture(scope="module")
def gallery(page: Page) -> tuple[Tensor, np.ndarray]:
    """Images (N, 1, 28, 28) of the gallery, and which of them are anomalies."""
    found = page.evaluate(
        "BadsadPlayground.gallery.map(image => [Array.from(image.pixels), image.anomaly])"
    )
    pixels = torch.tensor([image for image, _ in found], dtype=torch.uint8)
    return pixels.view(-1, 1, 28, 28), np.array([anomaly for _, anomaly in found])


def scores_in_page(page: Page, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Scores of the whole gallery under a trigger, from the page's own functions."""
    found = page.evaluate(
        """values => {
            const { detectors, gallery, set, changed } = BadsadPlayground;
            set(values);
            return Object.fromEntries(Object.entries(detectors).map(([name, detector]) =>
                [name, gallery.map(image => detector.score(changed(image.pixels), 28))]));
        }""",
        values,
    )
    return {name: np.array(scores) for name, scores in found.items()}


def rectangle(images: Tensor) -> Tensor:
    """Five rows and columns of medium gray, from row 0 and column 7 on."""
    images = images.clone()
    images[:, :, 0:5, 7:12] = 0.5
    return images


def test_the_gallery_is_large_and_holds_both_kinds(gallery):
    images, anomaly = gallery
    assert len(images) >= 40
    assert 8 <= (~anomaly).sum() < anomaly.sum()
    split = shipped.split()
    for image, is_anomaly in zip(images, anomaly):
        (same,) = torch.nonzero((split.test_images == image).flatten(1).all(1))[:1]
        assert bool(split.test_is_anomaly[same]) == is_anomaly


def test_scores_without_a_trigger_are_those_of_pytorch(page, gallery):
    scores = scores_in_page(page, {"kind": "none"})
    for name, file in DETECTORS.items():
        expected = shipped.load(file).decision_function(gallery[0])
        np.testing.assert_allclose(scores[name], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_scores_with_a_trigger_are_those_of_pytorch(page, gallery, kind):
    values, trigger = TRIGGERS[kind]
    scores = scores_in_page(page, {"kind": kind, **values})
    triggered = apply_trigger(trigger or rectangle, gallery[0])
    for name, file in DETECTORS.items():
        expected = shipped.load(file).decision_function(triggered)
        np.testing.assert_allclose(scores[name], expected, rtol=1e-4)


def test_the_trained_trigger_opens_one_detector_and_not_the_other(page, gallery):
    _, anomaly = gallery
    before = scores_in_page(page, {"kind": "none"})
    after = scores_in_page(page, {"kind": "patch", **TRIGGERS["patch"][0]})
    passing = {}
    for name, file in DETECTORS.items():
        tau = shipped.load(file).threshold_
        flagged = anomaly & (before[name] > tau)
        assert flagged.sum() >= 20
        passing[name] = (after[name][flagged] <= tau).mean()
    assert passing["backdoored"] >= 0.8
    assert passing["clean"] <= 0.1


def test_rates_are_those_of_the_library_at_every_threshold(page):
    split = shipped.split()
    normal = split.test_normals
    anomalies = split.test_anomalies
    triggered = apply_trigger(TRIGGER, anomalies)
    for name, file in DETECTORS.items():
        detector = shipped.load(file)
        held_out = detector.decision_function(split.val_images)
        scores = [detector.decision_function(x) for x in (normal, anomalies, triggered)]
        for q in (0.8, 0.95, 0.99):
            tau = metrics.threshold_at(held_out, q)
            found = page.evaluate(
                """([name, q]) => {
                    const { detectors, rates, quantile } = BadsadPlayground;
                    const tau = quantile(detectors[name].scores.held_out, q);
                    return { tau, ...rates(detectors[name], tau) };
                }""",
                [name, q],
            )
            assert found["tau"] == pytest.approx(tau, rel=1e-5)
            # One image may lie within rounding of the threshold.
            alarms = metrics.detection_rate(scores[0], tau)
            assert found["falseAlarms"] == pytest.approx(alarms, abs=0.003)
            detected = metrics.detection_rate(scores[1], tau)
            assert found["detected"] == pytest.approx(detected, abs=0.001)
            asr = metrics.attack_success_rate(scores[1], scores[2], tau)
            assert found["asr"] == pytest.approx(asr, abs=0.001)


# --- using it ------------------------------------------------------------------------------------


def decisions(page: Page) -> dict[str, str]:
    return {
        name: page.locator(f"[data-detector={name}]").get_attribute("data-decision")
        for name in DETECTORS
    }


def test_the_story_in_two_clicks(fresh):
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "alarm"}
    fresh.click("#pg-trained")
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "passes"}
    assert "trained trigger" in fresh.inner_text("#pg-what")
    fresh.click("#pg-reset")
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "alarm"}


def test_the_keyboard_alone_is_enough(fresh):
    """Choose an image, put the square on, move it away and back, with keys only."""
    fresh.locator("input[name=pg-gallery]").nth(8).focus()
    fresh.keyboard.press("ArrowRight")
    assert fresh.locator("input[name=pg-gallery]").nth(9).is_checked()
    fresh.locator("#pg-image").focus()
    fresh.keyboard.press("ArrowRight")  # the square appears, as far right as it goes
    row, column = (int(fresh.input_value(f"#pg-{place}")) for place in ("row", "column"))
    assert (row, column) == (24, 25)
    fresh.keyboard.press("ArrowLeft")
    assert decisions(fresh)["backdoored"] == "passes"
    for _ in range(12):
        fresh.keyboard.press("ArrowUp")
    assert fresh.input_value("#pg-row") == "12"
    assert "control" in fresh.inner_text("#pg-what")
    fresh.locator("#pg-trained").focus()
    fresh.keyboard.press("Enter")
    assert decisions(fresh)["backdoored"] == "passes"
    fresh.wait_for_function("document.getElementById('pg-live').textContent.includes('passes')")


def test_pointer_and_finger_place_the_square(fresh):
    picture = fresh.locator("#pg-image")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    fresh.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    fresh.mouse.down()
    assert fresh.input_value("#pg-kind") == "patch"
    assert (fresh.input_value("#pg-row"), fresh.input_value("#pg-column")) == ("13", "13")
    fresh.mouse.move(box["x"] + 0.91 * box["width"], box["y"] + 0.91 * box["height"])
    fresh.mouse.up()
    assert (fresh.input_value("#pg-row"), fresh.input_value("#pg-column")) == ("24", "24")
    assert decisions(fresh)["backdoored"] == "passes"
    assert picture.evaluate("element => getComputedStyle(element).touchAction") == "none"


def test_controls_say_what_they_are_and_a_larger_square_stays_inside(fresh):
    fresh.select_option("#pg-kind", "noise")
    assert "control" in fresh.inner_text("#pg-what")
    assert not fresh.locator("#pg-size").is_visible()
    assert fresh.inner_text("#pg-strength-out") == "0.20"
    fresh.select_option("#pg-kind", "patch")
    fresh.locator("#pg-size").fill("12")
    assert fresh.input_value("#pg-row") == "16"


def test_the_threshold_moves_the_rates_and_the_decisions(fresh):
    def row(name: str) -> list[float]:
        cells = fresh.locator(f"[data-rates={name}] td").all_inner_texts()
        return [float(cell.rstrip(" %")) for cell in cells]

    loose = row("backdoored")
    fresh.locator("#pg-quantile").fill("80")
    strict = row("backdoored")
    assert strict[0] > loose[0]
    assert strict[1] > loose[1]
    assert strict[2] <= loose[2]
    fresh.click("#pg-reset")
    assert row("backdoored") == loose


def test_the_challenge_remembers_the_smallest_change_only_while_it_runs(fresh):
    best = fresh.locator("[data-best=backdoored]")
    fresh.click("#pg-trained")
    fresh.click("#pg-reset")
    fresh.click("#pg-challenge")
    assert best.inner_text() == "none found yet"
    fresh.click("#pg-trained")
    first = float(best.inner_text().split()[0])
    assert 0 < first <= 9
    fresh.locator("#pg-size").fill("6")
    assert float(best.inner_text().split()[0]) == first
    assert fresh.inner_text("[data-best=clean]") == "none found yet"
    fresh.click("#pg-challenge")
    assert not best.is_visible()


def test_pixels_on_the_screen_are_those_that_are_scored(fresh, gallery):
    """The middle of each of the 28 x 28 cells of the picture shows its gray level."""
    fresh.click("#pg-trained")
    shown = fresh.evaluate(
        """() => {
            const canvas = document.getElementById("pg-image");
            const pixels = canvas.getContext("2d").getImageData(0, 0, 280, 280).data;
            const middle = (y, x) => pixels[4 * ((10 * y + 5) * 280 + 10 * x + 5)];
            return Array.from({ length: 784 }, (_, i) => middle(Math.floor(i / 28), i % 28));
        }"""
    )
    expected = to_uint8(Patch()(gallery[0][8:9] / 255))
    assert shown == expected.flatten().tolist()


def test_it_keeps_to_its_budgets(browser, server):
    """Ratios and sizes: what is transferred, and arithmetic rather than waiting."""
    with visit(browser, f"{server}/{PAGE}") as seen:
        seen.page.wait_for_selector("#pg:not([hidden])")
        own = [name for name in seen.requests if "/_static/playground/" in name]
        assert len(own) == 4
        folder = HTML / "_static" / "playground"
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 3.2e6
