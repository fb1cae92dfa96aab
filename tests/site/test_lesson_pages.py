"""Lessons in a browser: predictions are chosen, checks counted, figures enlarged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.site.visits import HTML

LESSON = HTML / "book/1_anomaly_detection.html"
NEXT = HTML / "book/2_deepsad.html"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return the first lesson as it opens from the disk, with a memory of its own."""
    assert LESSON.is_file(), "run `make book` first"
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)  # a busy machine is no error
    page = context.new_page()
    page.goto(LESSON.as_uri())
    yield page
    context.close()


def box(page: Page, kind: str = "predict", number: int = 0) -> Locator:
    return page.locator(f".admonition.{kind}").nth(number)


def test_a_prediction_is_chosen_before_it_is_told_and_is_remembered(page: Page) -> None:
    first = box(page)
    assert first.locator("label.choice").count() == 3
    assert not first.locator("details").is_visible()
    assert first.locator("button.choose").is_disabled()
    first.locator("label.choice").nth(0).click()
    first.get_by_role("button", name="That is my prediction").click()
    assert first.locator("p.verdict").inner_text() == "You chose 1. It is 3."
    assert first.locator("details").is_visible()
    assert first.locator("label.choice.is-right").inner_text().startswith("3.")

    page.reload()
    assert box(page).locator("p.verdict").inner_text() == "You chose 1. It is 3."
    box(page).get_by_role("button", name="Choose again").click()
    assert not box(page).locator("details").is_visible()
    page.reload()
    assert box(page).locator("p.verdict").inner_text() == ""


def test_the_keyboard_is_enough(page: Page) -> None:
    first = box(page)
    first.locator("input").nth(0).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert first.locator("p.verdict").inner_text() == "You chose 3, and so it is."
    assert first.locator("fieldset > legend").count() == 1
    assert first.get_by_role("status").count() == 1


def test_a_self_check_is_counted_and_the_contents_show_what_is_done(page: Page) -> None:
    checks = page.locator(".admonition.self-check")
    total = checks.count()
    assert total >= 4
    for number in range(2):
        one = checks.nth(number)
        one.locator("label.choice").nth(1).click()
        one.get_by_role("button", name="Check").click()
    assert f"of 2 answered, {total} in all" in page.locator(".lesson-end p").inner_text()

    assert page.locator(".lesson-done").count() == 0
    page.get_by_role("button", name="Mark this lesson as done").click()
    page.goto(NEXT.as_uri())
    done = page.locator("nav.bd-links a:has(.lesson-done)")
    assert done.count() == 1
    assert "1_anomaly_detection" in str(done.get_attribute("href"))
    page.goto(LESSON.as_uri())
    page.get_by_role("button", name="Done").click()
    assert page.locator(".lesson-done").count() == 0


def test_without_scripts_the_answers_are_folded_lists(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(LESSON.as_uri())
    assert box(page).locator("ol > li").count() == 3
    folded = box(page).locator("details")
    assert folded.get_attribute("open") is None
    assert folded.locator("strong").first.text_content() == "3."
    context.close()


def test_a_figure_opens_at_a_tap_and_closes_again(page: Page) -> None:
    figure = page.locator(".cell_output button.enlarge").first
    figure.click()
    dialog = page.locator("dialog.enlarged")
    assert dialog.is_visible()
    shown = dialog.locator("img").bounding_box()
    small = figure.locator("img").bounding_box()
    assert shown is not None
    assert small is not None
    assert shown["width"] > small["width"]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert figure.evaluate("one => one === document.activeElement")


def test_checks_are_folded_behind_their_name(page: Page) -> None:
    folded = page.locator("details.hide:has-text('Show the check')")
    assert folded.count() >= 4
    assert folded.first.get_attribute("open") is None
    assert not folded.first.locator("pre").first.is_visible()
