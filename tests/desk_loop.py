"""Fixtures of the desk's browser tests: a loop with much to read, its server, a Chromium, and a window with a read."""

import pytest
from playwright.sync_api import sync_playwright

import written_loop
from browser_session import QUIET, chromium, served
from desk_window import opened
from taxonomies import VINDR


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    chromium()
    return written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=240)


@pytest.fixture(scope="module")
def address(inputs, tmp_path_factory):
    with served(inputs, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def program():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        yield found
        found.close()


@pytest.fixture(scope="module")
def seat(program, address):
    """One reader's window for all tests of a module."""
    with opened(program, address) as found:
        found.open()
        yield found


@pytest.fixture
def window(seat):
    """The same window with the next image on it, as it comes."""
    seat.next()
    return seat
