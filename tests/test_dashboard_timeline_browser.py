"""The page Time line in a real Chromium: a click on a mark leads to what tells more of it."""

import pytest
from playwright.sync_api import expect

import course_files
from browser_session import served, window
from radloop.options import Dashboard

pytestmark = pytest.mark.slow

# Where in the window the first mark of a kind is drawn.
_MARK = """(kind) => {
  const figure = document.querySelector('.js-plotly-plot')
  figure.scrollIntoView({block: 'center'})
  const {xaxis, yaxis} = figure._fullLayout, told = figure._fullData.find(({name}) => name === kind)
  const box = figure.getBoundingClientRect()
  return [box.x + xaxis._offset + xaxis.d2p(told.x[0]), box.y + yaxis._offset + yaxis.d2p(told.y[0])]
}"""


def click(browser, kind):
    browser.page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullData")
    browser.page.mouse.click(*browser.page.evaluate(_MARK, kind))


def test_mark_leads_to_the_page_or_the_view_that_tells_more_of_it(tmp_path):
    course_files.whole(tmp_path / "out")
    inputs = Dashboard(out=tmp_path / "out")
    with served(inputs, tmp_path / "log") as address, window(address, width=1440, height=900) as browser:
        browser.open("time-line")
        click(browser, "gate missed")
        expect(browser.page.get_by_text("How often each held-out split was asked")).to_be_visible()
        browser.page.get_by_role("radio", name="What happened").click(force=True)
        browser.settle()
        click(browser, "alarm")
        expect(browser.page).to_have_title("Drift · radloop")
        expect(browser.page.get_by_text("How near each figure is to an alarm")).to_be_visible()
