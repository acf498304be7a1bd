"""The dashboard in a real Chromium: every page opens, and nothing leaves the machine."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

import small_loop
from browser_session import beside, chromium, served, window
from taxonomies import SPINE, VINDR

pytestmark = pytest.mark.slow

PAGES = (
    "",
    "labels",
    "readers",
    "drift",
    "heatmaps",
    "images",
    "feedback",
    "detector",
    "review",
    "my-reads",
    "re-training",
    "versions",
)
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
    if page == "":
        expect(spine.page.get_by_role("link", name=f"all images with {SPINE.names[0]}")).to_be_visible()
    text = spine.page.locator("body").inner_text() + spine.page.locator("body").evaluate(
        """body => [...body.querySelectorAll('svg text')].map(text => text.textContent).join()
        + [...body.querySelectorAll('*')].map(part => part.shadowRoot?.textContent ?? '').join()"""
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
