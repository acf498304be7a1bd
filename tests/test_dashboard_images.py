"""From a number to its images in a real Chromium: charts, tables, the gallery and the viewer, with hostile names."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, expect

import written_loop
from browser_session import Browser, chromium, served, window
from radloop.dashboard import filters, loading, selection
from radloop.options import Dashboard
from radloop.taxonomy import Taxonomy

pytestmark = pytest.mark.slow

HOSTILE = Taxonomy(
    (
        "<script>window.hacked = true</script>",
        "<img src=x onerror='window.hacked = true'>",
        "a \"quoted\" & 'twice' %2F?class=x#y",
        "تضخم القلب",
        "x" * 200,
        "[link](http://elsewhere.example) **bold**",
        "plain",
    )
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Dashboard:
    chromium()
    return written_loop.run(tmp_path_factory.mktemp("loop"), HOSTILE)


@pytest.fixture(scope="module")
def browser(inputs, tmp_path_factory) -> Iterator[Browser]:
    log = tmp_path_factory.mktemp("server") / "log"
    with served(inputs, log) as address, window(address, width=1440, height=900) as found:
        yield found


def asked_for(browser: Browser, inputs: Dashboard) -> tuple[dict[str, list[str]], list[str]]:
    """What the address asks for, and the ids that it should show first."""
    query = parse_qs(urlsplit(browser.page.url).query)
    found = loading.dataset(inputs.dataset)
    said = loading.feedback(inputs.feedback, found.taxonomy)
    asked, problems = filters.read(query, filters.choices(found, said))
    assert problems == []
    return query, selection.images(found, said, asked)["image_id"].head(12).to_list()


def tiles(browser: Browser) -> list[dict[str, Any]]:
    """What stands in the gallery, once all of its pictures are there."""
    browser.page.wait_for_url("**/images?*")
    browser.settle()
    pictures = browser.page.locator(".tiles img")
    expect(pictures.first).to_be_visible()
    for picture in pictures.all():
        expect(picture).to_have_js_property("complete", value=True)
        assert picture.evaluate("(one) => one.naturalWidth") > 0
    return browser.page.locator(".tiles a").evaluate_all(
        """(links) => links.map((link) => ({
            id: new URLSearchParams(link.getAttribute('href')).get('image'),
            drawn: link.querySelectorAll('rect:not(.halo)').length,
            texts: [...link.querySelectorAll('text')].map((one) => one.textContent),
            alt: link.querySelector('img').alt,
            shape: link.querySelector('.picture').getBoundingClientRect().width
                / link.querySelector('.picture').getBoundingClientRect().height,
        }))"""
    )


def click(browser: Browser, mark: Locator) -> None:
    """On the middle of what a chart draws."""
    browser.settle()
    mark.scroll_into_view_if_needed()
    area = mark.bounding_box()
    assert area is not None
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    browser.page.mouse.move(*middle)
    browser.page.mouse.click(*middle)


def test_bar_leads_to_the_images_of_its_class_with_their_boxes(browser, inputs):
    browser.open("labels")
    bars = browser.page.locator(".js-plotly-plot").nth(1).locator(".barlayer .trace").first.locator(".point path")
    expect(bars).to_have_count(len(HOSTILE))
    for place in (0, 3, 4):
        browser.open("labels")
        click(browser, bars.nth(place))
        shown = tiles(browser)
        query, ids = asked_for(browser, inputs)
        assert query == {"class": [HOSTILE.names[place]]}
        assert [tile["id"] for tile in shown] == ids
        assert all(tile["drawn"] for tile in shown)
        assert all(tile["shape"] == pytest.approx(1, abs=0.02) for tile in shown)
    assert browser.page.evaluate("window.hacked") is None
    assert browser.outside == []


def test_dot_of_average_precision_leads_to_what_was_found_and_missed(browser, inputs):
    browser.open("detector?of_split=production")
    dots = browser.page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace").first.locator(".point")
    click(browser, dots.first)
    shown = tiles(browser)
    query, ids = asked_for(browser, inputs)
    assert (query["split"], query["model"], query["version"]) == (["production"], ["oracle"], ["1"])
    assert query["class"][0] in HOSTILE.names
    assert [tile["id"] for tile in shown] == ids
    marks = [text for tile in shown for text in tile["texts"]]
    assert any(text.startswith("✓ ") for text in marks)
    assert browser.page.evaluate("window.hacked") is None


def test_numbers_of_overview_are_links_for_the_keyboard(browser, inputs):
    browser.open("")
    link = browser.page.get_by_role("link", name="images in test").first
    link.focus()
    browser.page.keyboard.press("Enter")
    assert len(tiles(browser)) == 4
    assert asked_for(browser, inputs)[0] == {"split": ["test"]}


def test_gallery_by_keyboard_next_and_back_keep_the_filters(browser, inputs):
    browser.open("images?split=test&order=id")
    ids = [tile["id"] for tile in tiles(browser)]
    browser.page.locator(".tiles a").nth(1).focus()
    browser.page.keyboard.press("Enter")
    browser.page.wait_for_url(f"**/images?*image={ids[1]}*")
    browser.settle()
    browser.page.get_by_role("button", name="Next").click()
    browser.page.wait_for_url(f"**/images?*image={ids[2]}*")
    browser.page.get_by_role("link", name="Labels").click()
    browser.page.wait_for_url("**/labels")
    expect(browser.page).to_have_title("Labels · radloop")
    browser.settle()
    browser.page.get_by_role("link", name="Images").click()
    browser.page.wait_for_url(f"**/images?*split=test*image={ids[2]}*")
    expect(browser.page).to_have_title("Images · radloop")


def test_viewer_shows_the_picture_and_the_name_of_every_box(browser, inputs):
    found = loading.dataset(inputs.dataset)
    drawn = found.labels.filter(split="production").drop_nulls("class_id")
    image_id = drawn["image_id"][0]
    browser.open(f"images?image={image_id}")
    expect(browser.page.locator(".viewer .loading")).to_have_text("")
    expect(browser.page.locator(".viewer .window")).to_have_text("W 255 L 128")
    texts = [text for text in browser.page.locator(".viewer .stage text").all_text_contents() if text]
    counts = browser.page.locator(".viewer .legend li").all_text_contents()
    named = sum(int(entry.rpartition("(")[2].rstrip(")")) for entry in counts if "consensus" not in entry)
    assert len(texts) == named > 0
    canvas = browser.page.locator(".viewer canvas")
    bright = canvas.evaluate(
        "(one) => Math.max(...one.getContext('2d').getImageData(one.width / 2 - 20, one.height / 2 - 20, 40, 40).data)"
    )
    assert bright > 100
    stage = browser.page.locator(".viewer .stage")
    stage.focus()
    before = browser.page.locator(".viewer rect").first.get_attribute("width")
    browser.page.keyboard.press("+")
    expect(browser.page.locator(".viewer rect").first).not_to_have_attribute("width", before)
    browser.page.keyboard.press("0")
    expect(browser.page.locator(".viewer rect").first).to_have_attribute("width", before)


def test_gallery_fits_a_window_of_twice_the_zoom(browser):
    browser.page.set_viewport_size({"width": 720, "height": 450})
    try:
        browser.open("images?split=training")
        tiles(browser)
        wide = browser.page.locator(".gallery").evaluate("(one) => [one.scrollWidth, one.clientWidth]")
        assert wide[0] <= wide[1]
    finally:
        browser.page.set_viewport_size({"width": 1440, "height": 900})
