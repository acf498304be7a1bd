"""The desk's modules in a real Chromium, without a server: they are served from the package's folder."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

from browser_session import chromium
from radloop.dashboard.desk import component

_HOST = "http://desk.test"


def _answer(route: Route) -> None:
    path = component.FOLDER / route.request.url.removeprefix(f"{_HOST}/")
    if path.suffix == ".js" and path.is_file():
        route.fulfill(body=path.read_text(), content_type="text/javascript")
    else:
        route.fulfill(body="<!doctype html><title>desk</title>", content_type="text/html")


@contextmanager
def modules() -> Iterator[Callable[[str, str], Any]]:
    """A function that runs JavaScript with the names of a module, and returns what it returns."""
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page: Page = program.new_page()
            page.route("**/*", _answer)
            page.goto(_HOST)
            yield lambda name, script: page.evaluate(
                f"async () => {{ const m = await import('/{name}.js'); {script} }}"
            )
        finally:
            program.close()
