"""The playground in a real browser: it says what PyTorch says, and everybody can use it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor

from badsad_lib import DeepSAD, metrics
from badsad_lib.course import shipped
from badsad_lib.defenses import Purification
from badsad_lib.images import to_uint8
from badsad_lib.triggers import Blend, Patch, Sinusoid, apply_trigger
from tests.site.visits import HTML, visit
from tools.playground import DETECTORS, QUANTILES, TRIGGER, everywhere

PAGE = "book/playground.html"
# Names of the page's own controls, and what they amount to in the library.
TRIGGERS = {
    "patch": ({"strength": 100, "size": 3, "row": 24, "column": 24}, Patch()),
    "dark": ({"kind": "patch", "strength": 50, "size": 5, "row": 0, "column": 7}, None),
    "noise": ({"strength": 40}, Blend(alpha=0.2)),
    "wave": ({"strength": 25}, Sinusoid(amplitude=20 / 255)),
}
LOADED = """() => window.BadsadPlayground
    && ['clean', 'backdoored'].every(name => BadsadPlayground.detectors[name].score)"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with visit(browser, (HTML / PAGE).as_uri()) as seen:
        seen.page.wait_for_function(LOADED)
        yield seen.page
        assert seen.errors == []


@pytest.fixture
def fresh(page: Page) -> Page:
    """As after the first visit: the first sneaker, and nothing on it."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto((HTML / PAGE).as_uri() + "#")
    page.evaluate("history.pushState(null, '', '#'); dispatchEvent(new Event('popstate'))")
    return page


@pytest.fixture(scope="module")
def gallery(page: Page) -> tuple[Tensor, np.ndarray]:
    """Images (N, 1, 28, 28) of the gallery, and which of them are anomalies."""
    found = page.evaluate(
        "BadsadPlayground.gallery.map(image => [Array.from(image.pixels), image.anomaly])"
    )
    pixels = torch.tensor([image for image, _ in found], dtype=torch.uint8)
    return pixels.view(-1, 1, 28, 28), np.array([anomaly for _, anomaly in found])


@pytest.fixture(scope="module")
def known() -> dict[str, DeepSAD]:
    return {name: shipped.load(file) for name, file in DETECTORS.items()}


def scores_in_page(page: Page, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Scores of the whole gallery under a trigger, from the page's own functions."""
    found = page.evaluate(
        """([values, names]) => {
            const { detectors, gallery, set, changed } = BadsadPlayground;
            set(values);
            return Object.fromEntries(names.map(name =>
                [name, gallery.map(image => detectors[name].score(changed(image.pixels), 28))]));
        }""",
        [values, list(DETECTORS)],
    )
    return {name: np.array(scores) for name, scores in found.items()}


def rectangle(images: Tensor) -> Tensor:
    """Five rows and columns of medium gray, from row 0 and column 7 on."""
    images = images.clone()
    images[:, :, 0:5, 7:12] = 0.5
    return images


# --- what it says ---------------------------------------------------------------------------------


def test_the_gallery_is_large_and_holds_both_kinds(gallery):
    images, anomaly = gallery
    assert len(images) >= 40
    assert 8 <= (~anomaly).sum() < anomaly.sum()
    split = shipped.split()
    for image, is_anomaly in zip(images, anomaly):
        (same,) = torch.nonzero((split.test_images == image).flatten(1).all(1))[:1]
        assert bool(split.test_is_anomaly[same]) == is_anomaly


def hold_to_pytorch(scores: dict[str, np.ndarray], images: Tensor, known: dict[str, DeepSAD]):
    """Weights travel in 16 bits: within 1 %, and no verdict may change by it."""
    for name, detector in known.items():
        expected = detector.decision_function(images)
        np.testing.assert_allclose(scores[name], expected, rtol=0.01)
        np.testing.assert_array_equal(
            scores[name] > detector.threshold_, expected > detector.threshold_
        )


def test_scores_without_a_trigger_are_those_of_pytorch(page, gallery, known):
    hold_to_pytorch(scores_in_page(page, {"kind": "none"}), gallery[0], known)
    for kind, images in (
        ("plain", gallery[0]),
        ("triggered", apply_trigger(Patch(), gallery[0])),
    ):  # shown before the weights are there
        shown = page.evaluate(
            """([kind, names]) => names.map(
                name => Array.from(BadsadPlayground.detectors[name][kind].scores))""",
            [kind, list(known)],
        )
        for given, detector in zip(shown, known.values()):
            np.testing.assert_allclose(given, detector.decision_function(images), rtol=1e-5)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_scores_with_a_trigger_are_those_of_pytorch(page, gallery, known, kind):
    values, trigger = TRIGGERS[kind]
    scores = scores_in_page(page, {"kind": kind, **values})
    hold_to_pytorch(scores, apply_trigger(trigger or rectangle, gallery[0]), known)


def test_the_trained_trigger_opens_one_detector_and_not_the_other(page, gallery, known):
    _, anomaly = gallery
    before = scores_in_page(page, {"kind": "none"})
    after = scores_in_page(page, {"kind": "patch", **TRIGGERS["patch"][0]})
    passing = {}
    for name, detector in known.items():
        flagged = anomaly & (before[name] > detector.threshold_)
        assert flagged.sum() >= 20
        passing[name] = (after[name][flagged] <= detector.threshold_).mean()
    assert passing["backdoored"] >= 0.8
    assert passing["clean"] <= 0.1


def test_rates_are_those_of_the_library_at_every_threshold(fresh, known):
    split = shipped.split()
    triggered = apply_trigger(TRIGGER, split.test_anomalies)
    images = (split.test_normals, split.test_anomalies, triggered)
    for name, detector in known.items():
        held_out = detector.decision_function(split.val_images)
        normal, anomaly, hidden = (detector.decision_function(x) for x in images)
        for q in (0.8, 0.95, 0.99):
            tau = metrics.threshold_at(held_out, q)
            fresh.locator("#pg-quantile").fill(f"{100 * q:g}")
            cells = fresh.locator(f"[data-rates={name}] td").all_inner_texts()
            expected = [
                metrics.detection_rate(normal, tau),
                metrics.detection_rate(anomaly, tau),
                metrics.attack_success_rate(anomaly, hidden, tau),
            ]
            for cell, rate in zip(cells, expected):
                # One image may lie within rounding of the threshold.
                assert float(cell.rstrip(" %")) == pytest.approx(100 * rate, abs=0.31)
            step = int(np.argmin(abs(QUANTILES - q)))
            shown = fresh.evaluate(f"BadsadPlayground.detectors.{name}.thresholds[{step}]")
            assert shown == pytest.approx(tau, rel=1e-5)


# --- why ------------------------------------------------------------------------------------------


def open_places(page: Page, slot: str) -> set[int]:
    text = page.locator(f"[data-why={slot}] .pg-doors").get_attribute("data-open")
    return {int(place) for place in text.split()}


@pytest.mark.parametrize("image", [0, 8])
def test_the_map_of_doors_is_that_of_pytorch(fresh, gallery, known, image):
    """At all 676 places of a T-shirt and an anomaly, and at the threshold that the slider says."""
    fresh.evaluate("image => BadsadPlayground.set({ image })", image)
    views, held_out = everywhere(gallery[0][image]), shipped.split().val_images
    for name, detector in known.items():
        scores, normal = detector.decision_function(views), detector.decision_function(held_out)
        for quantile in (0.95, 0.8, 0.99):
            fresh.locator("#pg-quantile").fill(f"{100 * quantile:g}")
            tau = metrics.threshold_at(normal, quantile)
            shown = open_places(fresh, name)
            clear = np.flatnonzero(abs(scores / tau - 1) > 1e-4)  # the rest is within rounding
            assert len(clear) >= 0.98 * len(views)
            assert shown & set(clear) == set(np.flatnonzero(scores <= tau)) & set(clear)
        if image:
            assert_drawn(fresh, name, shown)


def assert_drawn(page: Page, slot: str, open_cells: set[int]) -> None:
    """The canvas shows what the map says, at 20 places with every open one among them."""
    places = [*sorted(open_cells)[:10], *range(100, 110)]
    colors = page.evaluate(
        """([slot, places]) => {
            const canvas = document.querySelector(`[data-why=${slot}] .pg-doors`);
            const context = canvas.getContext('2d'), cell = canvas.width / 26;
            return places.map(i => Array.from(context.getImageData(
                (i % 26) * cell + 1, Math.floor(i / 26) * cell + 1, 1, 1).data).join());
        }""",
        [slot, places],
    )
    alarm = colors[-1]
    for place, color in zip(places, colors):
        assert (color != alarm) == (place in open_cells)


def test_a_sneaker_has_a_small_door_at_the_trained_place_and_none_in_the_clean_detector(fresh):
    opened = open_places(fresh, "backdoored")
    trained = 24 * 26 + 24
    assert trained in opened
    assert 1 <= len(opened) <= 9
    assert all(abs(i // 26 - 24) <= 1 and abs(i % 26 - 24) <= 1 for i in opened)
    assert open_places(fresh, "clean") == set()
    assert f"{len(opened)} of 676 places" in fresh.inner_text("[data-why=backdoored] .pg-count")


def test_the_dot_jumps_into_the_circle_of_one_detector_only(fresh):
    def inside(slot: str) -> bool:
        return fresh.evaluate(
            """slot => {
                const picture = document.querySelector(`[data-why=${slot}] .pg-latents`);
                const dot = picture.querySelector('.pg-now');
                const circle = picture.querySelector('.pg-threshold');
                return Math.hypot(dot.getAttribute('cx'), dot.getAttribute('cy'))
                    < Number(circle.getAttribute('r'));
            }""",
            slot,
        )

    assert (inside("clean"), inside("backdoored")) == (False, False)
    fresh.click("#pg-trained")
    assert (inside("clean"), inside("backdoored")) == (False, True)
    assert "two dimensions" in fresh.inner_text("[aria-labelledby=pg-h-why]").lower()


def test_the_guard_is_the_one_of_the_library(page, gallery, known):
    split = shipped.split()
    guard = Purification().fit(known["backdoored"], split.trusted_images)
    for values, images in (
        ({"kind": "none"}, gallery[0][::6]),
        ({"kind": "patch", **TRIGGERS["patch"][0]}, apply_trigger(Patch(), gallery[0][::6])),
    ):
        found = page.evaluate(
            """values => {
                const { detectors, gallery, set, changed, suspicion, guards } = BadsadPlayground;
                set(values);
                return gallery.filter((_, i) => i % 6 === 0).map(image => suspicion(
                    detectors.backdoored, changed(image.pixels), 28, guards.backdoored));
            }""",
            values,
        )
        np.testing.assert_allclose(found, guard.suspicion(images), rtol=0.02, atol=0.1)
    shown = page.evaluate("BadsadPlayground.guards.backdoored.threshold")
    assert shown == pytest.approx(guard.threshold_, rel=1e-5)


def test_a_repair_closes_the_door_and_a_guard_looks_at_what_comes(fresh):
    fresh.click("#pg-trained")
    assert decisions(fresh)["backdoored"] == "passes"
    fresh.check("#pg-repaired")
    card = fresh.locator("[data-detector=backdoored]")
    fresh.wait_for_selector("[data-detector=backdoored][data-decision=alarm]")
    assert "Repaired detector" in card.inner_text()
    assert open_places(fresh, "backdoored") == set()
    fresh.uncheck("#pg-repaired")
    assert decisions(fresh)["backdoored"] == "passes"
    fresh.check("#pg-guard")
    fresh.wait_for_function(
        """() => ['stops', 'passes'].includes(
            document.querySelector('[data-detector=backdoored]').dataset.guard)"""
    )
    stopped = card.get_attribute("data-guard") == "stops"
    assert decisions(fresh)["backdoored"] == ("guarded" if stopped else "passes")


# --- using it -------------------------------------------------------------------------------------


def decisions(page: Page) -> dict[str, str]:
    return {
        name: page.locator(f"[data-detector={name}]").get_attribute("data-decision")
        for name in DETECTORS
    }


def test_the_story_in_one_click(fresh):
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "alarm"}
    fresh.click("#pg-trained")
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "passes"}
    card = fresh.locator("[data-detector=backdoored]")
    assert "an anomaly got in" in card.inner_text()
    assert card.get_attribute("data-right") == "false"
    looks = [
        fresh.locator(f"[data-detector={name}]").evaluate(
            "e => [getComputedStyle(e).borderTopColor, e.querySelector('.pg-icon').textContent]"
        )
        for name in DETECTORS
    ]
    assert looks[0][0] != looks[1][0], "told apart by color"
    assert looks[0][1] != looks[1][1], "and by the icon"
    assert "trained trigger" in fresh.inner_text("#pg-what")
    fresh.click("#pg-reset")
    assert decisions(fresh) == {"clean": "alarm", "backdoored": "alarm"}


WHOLE = """selectors => selectors.filter(selector =>
    Array.from(document.querySelectorAll(selector)).some(element => {
        const box = element.getBoundingClientRect();
        return !box.height || box.top < 0 || box.left < 0 || box.right > innerWidth
            || box.bottom > innerHeight;
    }))"""


def test_all_that_matters_is_on_the_first_screen(fresh):
    parts = ["#pg-image", "#pg-trained", "[data-detector]", ".pg-strip label", "#pg-kind"]
    assert fresh.evaluate(WHOLE, parts) == []
    assert 6 <= fresh.locator(".pg-strip label").count() <= 10


def test_on_a_phone_the_verdicts_stay_beside_the_picture(fresh):
    fresh.set_viewport_size({"width": 360, "height": 740})
    fresh.evaluate("scrollTo(0, 0)")
    assert fresh.evaluate(WHOLE, ["#pg-image", "[data-detector]"]) == []
    fresh.evaluate("document.getElementById('pg-kind').scrollIntoView({ block: 'end' })")
    assert fresh.evaluate("scrollY") > 50
    assert fresh.evaluate(WHOLE, ["[data-detector]"]) == []
    assert fresh.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("width", [1280, 360])
def test_words_in_the_pictures_are_large_enough(fresh, width):
    fresh.set_viewport_size({"width": width, "height": 740})
    sizes = fresh.locator(".pg-tick").evaluate_all(
        """all => all.map(text => parseFloat(getComputedStyle(text).fontSize)
            * text.ownerSVGElement.getBoundingClientRect().width
            / text.ownerSVGElement.viewBox.baseVal.width)"""
    )
    assert sizes
    assert min(sizes) >= 12


def test_the_keyboard_alone_is_enough(fresh):
    """Choose an image, put the square on, move it away and back, with keys only."""
    first = fresh.evaluate("BadsadPlayground.state().image")
    radios = fresh.locator(".pg-strip input")
    place = radios.evaluate_all("all => all.findIndex(one => one.checked)")
    radios.nth(place).focus()
    fresh.keyboard.press("ArrowLeft")
    assert radios.nth(place - 1).is_checked()
    fresh.keyboard.press("ArrowRight")
    assert fresh.evaluate("BadsadPlayground.state().image") == first
    fresh.locator("#pg-image").focus()
    fresh.keyboard.press("ArrowRight")  # the square appears, as far right as it goes
    assert (fresh.input_value("#pg-row"), fresh.input_value("#pg-column")) == ("24", "25")
    fresh.keyboard.press("ArrowLeft")
    assert decisions(fresh)["backdoored"] == "passes"
    for _ in range(12):
        fresh.keyboard.press("ArrowUp")
    assert fresh.input_value("#pg-row") == "12"
    assert "control" in fresh.inner_text("#pg-what")
    fresh.locator("#pg-trained").focus()
    fresh.keyboard.press("Enter")
    assert decisions(fresh)["backdoored"] == "passes"
    fresh.wait_for_function(
        "() => document.getElementById('pg-live').textContent.includes('an anomaly got in')"
    )


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


def test_a_click_in_the_map_puts_the_square_there(fresh):
    box = fresh.locator("[data-why=backdoored] .pg-doors")
    box.scroll_into_view_if_needed()
    cell = box.bounding_box()["width"] / 26
    box.click(position={"x": 3.5 * cell, "y": 7.5 * cell})
    assert (fresh.input_value("#pg-row"), fresh.input_value("#pg-column")) == ("7", "3")


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


def test_the_challenge_locks_the_threshold_and_a_reset_keeps_its_records(fresh):
    fresh.evaluate("for (const slot in BadsadPlayground.best) delete BadsadPlayground.best[slot]")
    best = fresh.locator("[data-best=backdoored]")
    fresh.click("#pg-trained")
    fresh.click("#pg-reset")
    fresh.locator("#pg-quantile").fill("80")
    fresh.click("#pg-challenge")
    assert best.inner_text() == "none yet"
    assert fresh.input_value("#pg-quantile") == "95"
    assert fresh.locator("#pg-quantile").is_disabled()
    fresh.click("#pg-trained")
    first = float(best.inner_text().split()[0])
    assert 0 < first <= 9
    picture, score = fresh.locator("#pg-image").bounding_box(), best.bounding_box()
    assert score["y"] - (picture["y"] + picture["height"]) < 200, "the score is beside the canvas"
    fresh.locator("#pg-size").fill("6")
    assert float(best.inner_text().split()[0]) == first
    assert fresh.inner_text("[data-best=clean]") == "none yet"
    fresh.click("#pg-reset")
    assert float(best.inner_text().split()[0]) == first
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
    image = fresh.evaluate("BadsadPlayground.state().image")
    expected = to_uint8(Patch()(gallery[0][image : image + 1] / 255))
    assert shown == expected.flatten().tolist()


# --- the address ----------------------------------------------------------------------------------


def test_the_back_button_takes_back_state_and_picture_together(fresh):
    first = fresh.evaluate("BadsadPlayground.state()")
    picture = "document.getElementById('pg-image').toDataURL()"
    plain = fresh.evaluate(picture)
    fresh.click("#pg-trained")
    triggered = fresh.evaluate(picture)
    assert triggered != plain
    fresh.go_back()
    fresh.wait_for_function("() => BadsadPlayground.state().kind === 'none'")
    assert fresh.evaluate("BadsadPlayground.state()") == first
    assert fresh.evaluate(picture) == plain
    assert fresh.input_value("#pg-kind") == "none"
    assert decisions(fresh)["backdoored"] == "alarm"
    fresh.go_forward()
    fresh.wait_for_function("() => BadsadPlayground.state().kind === 'patch'")
    assert fresh.evaluate(picture) == triggered
    assert decisions(fresh)["backdoored"] == "passes"


def test_an_address_opens_in_its_state_and_nonsense_in_it_is_left_out(fresh):
    asked = "#kind=patch&row=24&column=999&image=-5&size=x&strength=1e99&guard=2&victim=no"
    fresh.evaluate("asked => { location.hash = asked; }", asked)
    fresh.wait_for_function("() => BadsadPlayground.state().kind === 'patch'")
    state = fresh.evaluate("BadsadPlayground.state()")
    assert (state["row"], state["column"], state["size"], state["image"]) == (24, 25, 3, 0)


# Words that would tell a class what it is to find.
SPOILERS = ("backdoored", "clean detector", "trained trigger", "corner", "asr", "places let it")


def test_a_class_is_told_nothing_until_the_reveal(browser, server):
    with visit(browser, f"{server}/{PAGE}#class=1") as seen:
        page = seen.page
        page.wait_for_function(LOADED)
        assert page.locator(".pg-card .pg-name").all_inner_texts() == ["Detector A", "Detector B"]
        state = page.evaluate("BadsadPlayground.state()")
        assert (state["kind"], state["row"], state["column"]) == ("patch", 12, 12)
        assert set(decisions(page).values()) == {"alarm"}
        page.wait_for_function("() => document.getElementById('pg-live').textContent")
        told = page.inner_text("main").lower()
        told += page.inner_text("#pg-live").lower()
        told += " ".join(
            page.locator("#pg [aria-label]:visible").evaluate_all(
                "all => all.map(one => one.getAttribute('aria-label'))"
            )
        ).lower()
        assert [word for word in SPOILERS if word in told] == []
        assert not page.locator("#pg-quantile").is_visible()
        page.evaluate("BadsadPlayground.set({ step: 0, repaired: 1 })")  # as by the address
        assert page.evaluate("BadsadPlayground.state().repaired") == 0
        assert page.evaluate("BadsadPlayground.state().step") != 0
        page.click("#pg-reveal")
        told = page.inner_text("main").lower()
        assert "backdoored" in told
        assert "put the trigger on" in told
        assert "places let it through" in told
        page.go_back()
        page.wait_for_function("() => !BadsadPlayground.state().revealed")
        assert "backdoored" not in page.inner_text("main").lower()
        # Another number in the address may exchange A and B, and the same one never does.
        orders = [order_of_class(page, number) for number in (1, 2, 3, 4, 1)]
        assert len(set(orders)) == 2
        assert orders[0] == orders[-1]


def order_of_class(page: Page, number: int) -> tuple[str, ...]:
    """Which detector is A and which B, in the class of a number."""
    page.evaluate("number => { location.hash = `#class=${number}`; }", number)
    page.wait_for_function("number => BadsadPlayground.state().class === number", arg=number)
    cards = page.locator("[data-detector]")
    return tuple(cards.evaluate_all("all => all.map(one => one.dataset.detector)"))


def test_the_plans_send_a_class_to_a_page_that_tells_nothing(browser):
    teaching = (HTML / "book/teaching.html").read_text(encoding="utf-8")
    assert teaching.count('href="playground.html#class=1"') >= 3


# --- loading, failing, printing, budgets ----------------------------------------------------------


def test_it_says_that_it_loads_and_that_it_failed(browser, server):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/_static/playground/*.js*", lambda route: None)  # on their way for ever
    page.goto(f"{server}/{PAGE}", wait_until="commit")
    page.get_by_text("are being loaded").wait_for()
    for broken in ("gallery.js", "playground.js", "clean.js"):
        page.unroute_all()
        page.route(f"**/_static/playground/{broken}", lambda route: route.abort())
        page.goto(f"{server}/{PAGE}?{broken}", wait_until="commit")
        page.locator("#pg-status", has_text="could not be loaded").wait_for()
    context.close()


def test_the_story_needs_no_weights(browser, server):
    """On a slow line they take seconds: what is asked first is answered before."""
    context = browser.new_context()
    page = context.new_page()
    for name in DETECTORS:
        page.route(f"**/_static/playground/{name}.js", lambda route: None)
    page.goto(f"{server}/{PAGE}", wait_until="commit")
    page.wait_for_selector("#pg[data-state=ready]")
    assert decisions(page) == {"clean": "alarm", "backdoored": "alarm"}
    page.click("#pg-trained")
    assert decisions(page) == {"clean": "alarm", "backdoored": "passes"}
    assert "one pixel" in page.inner_text("#pg-next")
    page.locator("#pg-column").press("ArrowLeft")
    assert decisions(page) == {"clean": "pending", "backdoored": "pending"}
    context.close()


def test_on_paper_there_are_a_picture_and_a_sentence(fresh):
    fresh.click("#pg-trained")
    fresh.emulate_media(media="print")
    try:
        assert fresh.locator("#pg-image").is_visible()
        sentence = fresh.inner_text("#pg-sentence")
        assert "Sneaker, with a square of 3 x 3" in sentence
        assert "Backdoored detector: let through, an anomaly got in." in sentence
        for part in ("#pg-kind", "#what-to-try", "#jb-print-toc"):
            assert not fresh.locator(part).is_visible()
    finally:
        fresh.emulate_media(media="screen")


def test_forced_colors_show_what_is_chosen_and_what_is_said(fresh):
    fresh.click("#pg-trained")
    fresh.emulate_media(forced_colors="active")
    try:
        chosen, other = (
            fresh.locator(f".pg-strip input{kind} + canvas").first.evaluate(
                "e => getComputedStyle(e).outlineStyle"
            )
            for kind in (":checked", ":not(:checked)")
        )
        assert (chosen, other) == ("solid", "none")
        borders = fresh.locator(".pg-card").evaluate_all(
            "all => all.map(e => getComputedStyle(e).borderTopStyle)"
        )
        assert borders == ["solid", "double"]
    finally:
        fresh.emulate_media(forced_colors="none")


def test_it_keeps_to_its_budgets(browser, server):
    """What is transferred with compression, and how much of it before the first score."""
    with visit(browser, f"{server}/{PAGE}") as seen:
        seen.page.wait_for_function(LOADED)
        files = {urlsplit(request).path for request in seen.requests if "data:" not in request}
        assert len([file for file in files if "/_static/playground/" in file]) == 7
        sizes = {file: transferred(file) for file in files}
        assert sum(sizes.values()) <= 1.5e6
        weights = sum(sizes[f"/_static/playground/{name}.js"] for name in DETECTORS)
        # 1.6 Mbit/s for four seconds, so that there is a score within five.
        assert sum(sizes.values()) - weights <= 0.8e6
        # A score is arithmetic: two million products, some milliseconds. Compared with that of
        # a plain loop over as many, so that a busy machine slows down both.
        ratio = seen.page.evaluate(
            """() => {
                const { detectors, gallery } = BadsadPlayground;
                const time = run => {
                    const began = performance.now();
                    run();
                    return performance.now() - began;
                };
                const best = run => Math.min(...Array.from({ length: 15 }, () => time(run)));
                const x = new Float32Array(1 << 16).fill(0.5);
                const loop = () => {
                    let sum = 0;
                    for (let n = 0; n < 64; n++)
                        for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
                    return sum;
                };
                return best(() => detectors.clean.score(gallery[0].pixels, 28)) / best(loop);
            }"""
        )
        assert ratio <= 10


def transferred(path: str) -> int:
    """Size of a file of the site as a host sends it."""
    data = (HTML / path.lstrip("/")).read_bytes()
    return len(data) if path.endswith((".woff2", ".png")) else len(gzip.compress(data, 6))
