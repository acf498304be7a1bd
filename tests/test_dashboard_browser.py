"""The dashboard in a real Chromium: every page opens, nothing leaves the machine, a review ends in a file."""

import os
from pathlib import Path

import pytest

import small_loop
from browser_session import Browser, beside, chromium, served, window
from radloop.feedback import reviews
from taxonomies import SPINE, VINDR

pytestmark = pytest.mark.slow

PAGES = ("", "labels", "readers", "drift", "heatmaps", "images", "feedback", "detector", "review", "re-training")
SHOTS = os.environ.get("SCREENSHOTS")  # a folder to keep them in, such as docs/screenshots


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    chromium()
    return small_loop.run(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def address(inputs, tmp_path_factory):
    with served(inputs, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def browser(address):
    with window(address) as found:
        yield found


@pytest.fixture(scope="module")
def spine(browser, tmp_path_factory):
    """A window on the loop of another dataset: seven findings of the spine."""
    inputs = small_loop.run(tmp_path_factory.mktemp("spine"), SPINE)
    with served(inputs, tmp_path_factory.mktemp("server") / "log") as address, beside(browser, address) as found:
        yield found


def begin_review(browser: Browser, reviewer: str) -> None:
    browser.open("review")
    browser.page.get_by_placeholder("reader-7").fill(reviewer)
    browser.page.locator("h1").click()  # out of the field: from here on a key is a command
    browser.page.get_by_text("Give a pseudonym").wait_for(state="hidden")
    browser.settle()


def await_button(browser: Browser, name: str) -> None:
    """Until a button can be used: it is enabled, and no run of the page is under way that would swallow its key."""
    browser.page.wait_for_function(
        """(name) => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'
        && [...document.querySelectorAll('button')].some((b) => b.innerText.startsWith(name) && !b.disabled)""",
        arg=name,
    )


def wait_for_new(folder: Path, before: set[str], browser: Browser) -> str:
    """The name of the one file more."""
    for _ in range(100):
        new = {name for name in os.listdir(folder) if name.endswith(".json")} - before
        if new:
            (name,) = new
            return name
        browser.page.wait_for_timeout(100)
    raise AssertionError("no review was written")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "overview")
def test_page_opens_without_an_error_and_asks_no_other_host(page, browser, tmp_path):
    browser.open(page)
    assert browser.page.locator("[data-testid=stException]").count() == 0
    assert browser.page.locator("[data-testid=stAlertContentError]").count() == 0
    assert browser.page.locator("h1").count() == 1
    assert browser.outside == []
    shot = Path(SHOTS or tmp_path) / f"{page or 'overview'}.jpg"
    browser.shot(shot)
    assert shot.stat().st_size > 10_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page or "overview")
def test_page_of_seven_classes_opens_and_names_no_other(page, spine):
    spine.open(page)
    assert spine.page.locator("[data-testid=stException]").count() == 0
    assert spine.page.locator("[data-testid=stAlertContentError]").count() == 0
    text = spine.page.locator("body").inner_text() + spine.page.locator("body").evaluate(
        "body => [...body.querySelectorAll('svg text')].map(text => text.textContent).join()"
    )
    others = [name for name in VINDR.names if name not in "\n".join(SPINE.names)]
    assert [name for name in others if name in text] == []
    if page in ("", "labels", "readers", "heatmaps", "re-training"):
        assert SPINE.names[0] in text
    assert spine.outside == []


def test_dark_is_the_default_and_light_a_choice(browser):
    browser.open("labels")
    colour = "getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    assert browser.page.evaluate(colour) == "rgb(14, 16, 19)"
    browser.page.locator("[data-testid=stMainMenu] button").click()
    browser.page.get_by_role("menuitemradio", name="Light").click()
    browser.page.wait_for_function(f"{colour} === 'rgb(255, 255, 255)'")
    browser.page.get_by_role("menuitemradio", name="Dark").click()
    browser.page.wait_for_function(f"{colour} === 'rgb(14, 16, 19)'")
    browser.page.keyboard.press("Escape")


def test_picture_keeps_the_proportions_of_the_film(browser):
    browser.open("images")
    browser.page.wait_for_function("document.querySelector('.js-plotly-plot image')")
    drawn, film = browser.page.evaluate(
        """() => {
            const figure = document.querySelector('.js-plotly-plot')
            const box = figure.querySelector('image').getBoundingClientRect()
            const image = figure._fullLayout.images[0]
            return [box.width / box.height, image.sizex / image.sizey]
        }"""
    )
    assert drawn == pytest.approx(film, rel=0.02)


def test_every_box_on_a_picture_has_its_name(spine):
    spine.open("images")
    spine.page.wait_for_function("document.querySelector('.js-plotly-plot .textpoint')")
    legend, names = spine.page.evaluate(
        """() => {
            const texts = (selector) => [...document.querySelectorAll(selector)].map((text) => text.textContent)
            return [texts('.js-plotly-plot .legendtext'), texts('.js-plotly-plot .textpoint')]
        }"""
    )
    assert len(names) == sum(int(entry.rpartition("(")[2].rstrip(")")) for entry in legend)
    assert len(names) > len(legend)


def test_review_by_mouse_and_keyboard_ends_in_a_valid_file(browser, inputs):
    before = {name for name in os.listdir(inputs.reviews) if name.endswith(".json")}
    begin_review(browser, "reader-7")
    layer = browser.page.locator(".js-plotly-plot .nsewdrag").first
    layer.scroll_into_view_if_needed()
    area = layer.bounding_box()
    left, top = area["x"] + 0.3 * area["width"], area["y"] + 0.3 * area["height"]
    browser.page.mouse.move(left, top)
    browser.page.mouse.down()
    browser.page.mouse.move(left + 0.2 * area["width"], top + 0.1 * area["height"], steps=8)
    browser.page.mouse.up()
    add = browser.page.get_by_role("button", name="Add this box")
    await_button(browser, "Add this box")
    add.click()
    browser.page.get_by_text("Boxes: 1").wait_for()
    browser.page.keyboard.press("v")
    browser.page.get_by_text("2. Compare.").wait_for()
    await_button(browser, "Correct")
    browser.page.keyboard.press("e")
    name = wait_for_new(inputs.reviews, before, browser)
    review = reviews.decode((inputs.reviews / name).read_bytes(), VINDR, name=name)
    assert (review.verdict, review.reviewer, review.simulated) == ("correct", "reader-7", False)
    drawn = review.findings[0]
    assert drawn.bbox == pytest.approx((0.4, 0.35, 0.2, 0.1), abs=0.02)
    assert browser.outside == []


def test_two_radiologists_at_once_lose_nothing(address, browser, inputs):
    before = {name for name in os.listdir(inputs.reviews) if name.endswith(".json")}
    begin_review(browser, "first")
    with_second = browser.page.context.browser.new_context().new_page()
    second = Browser(with_second, address)
    begin_review(second, "second")
    for one in (browser, second):
        one.page.keyboard.press("v")
        one.page.get_by_text("2. Compare.").wait_for()
    written = []
    for one in (browser, second):
        await_button(one, "Normal")
        one.page.keyboard.press("n")
        written.append(wait_for_new(inputs.reviews, before | set(written), one))
    assert {name.split(".")[1] for name in written} == {"first", "second"}
    assert reviews.read(inputs.reviews, VINDR).refused.is_empty()
    with_second.close()
