"""The pages Detector and Versions in a real Chromium: a click on a number leads to its images."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from browser_session import served, window
from radloop.vindr.classes import TAXONOMY as VINDR
from test_dashboard_detector import inputs  # noqa: F401  a fixture

pytestmark = pytest.mark.slow

# Where in the window the n-th point of a trace is drawn.
_POINT = """([chart, trace, point]) => {
  const figure = document.querySelectorAll('.js-plotly-plot')[chart]
  figure.scrollIntoView({block: 'center'})
  const {xaxis, yaxis} = figure._fullLayout, told = figure._fullData[trace]
  const box = figure.getBoundingClientRect()
  return [box.x + xaxis._offset + xaxis.d2p(told.x[point]), box.y + yaxis._offset + yaxis.d2p(told.y[point])]
}"""


@pytest.fixture(scope="module")
def browser(inputs, tmp_path_factory):  # noqa: F811
    log = tmp_path_factory.mktemp("log") / "server.log"
    with served(inputs, log) as address, window(address, width=1440, height=900) as looked:
        yield looked


def click(browser, chart, trace, point):
    browser.page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot')[{chart}]?._fullData")
    browser.page.mouse.click(*browser.page.evaluate(_POINT, [chart, trace, point]))


def asked(browser):
    return {name: values[-1] for name, values in parse_qs(urlsplit(browser.page.url).query).items()}


def test_cell_of_the_confusion_lists_its_images(browser):
    browser.open("detector?view=Confusion&of_split=production")
    told = browser.page.evaluate("document.querySelector('.js-plotly-plot')._fullData[1].text")
    number, said = next(pair for pair in enumerate(told) if "missed" not in pair[1] and "nothing" not in pair[1])
    click(browser, 0, 1, number)
    names, counted = said.split("<br>")
    expect(browser.page.get_by_text(f"{names}: {counted.split(' of ')[0]} box")).to_be_visible()
    assert asked(browser) == {"view": "Confusion", "of_split": "production"}


def test_threshold_of_the_froc_leads_to_its_images_and_back_in_one_step(browser):
    query = f"detector?view=Curves&of_split=production&of_class={VINDR.names[4].replace(' ', '+')}"
    browser.open(query)
    expect(browser.page.get_by_role("combobox", name="Class")).to_have_value(VINDR.names[4])
    browser.page.reload()
    browser.settle()
    last = browser.page.evaluate("document.querySelectorAll('.js-plotly-plot')[1]._fullData[0].x.length - 1")
    click(browser, 1, 0, last)
    browser.page.wait_for_url("**/images?**")
    browser.settle()
    told = asked(browser)
    assert (told["class"], told["outcome"], told["split"]) == (VINDR.names[4], "false", "production")
    browser.page.go_back()
    expect(browser.page).to_have_title("Detector · radloop")
