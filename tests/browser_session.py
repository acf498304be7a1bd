"""A dashboard and a real Chromium that looks at it; what is asked of any other host is refused and noted."""

import dataclasses
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Error, Page, Request, Route, expect, sync_playwright

from radloop import settings
from radloop.options import Dashboard

QUIET = (
    "--no-sandbox",  # root has no namespace of its own to run it in
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
)
TOKEN = secrets.token_urlsafe()  # of every dashboard that is served here
expect.set_options(timeout=30_000)  # ms: the machine may have other work
_START_SECONDS = 60
_TRIES = 5


def chromium() -> str:
    """The program; the test is skipped where there is none, and fails where CI says that there must be."""
    found = shutil.which("chromium")
    if found is None:
        how = "no chromium: tests/browser/install.sh installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(how)
        pytest.skip(how)
    return found


@contextmanager
def served(inputs: Dashboard, log: Path, *, token: str = TOKEN, port: int | None = None) -> Iterator[str]:
    """A dashboard of its own; its address. Without a token it makes one itself."""
    port = port or free_port()
    words = settings.words(dataclasses.replace(inputs, port=port))
    command = [sys.executable, "-m", "radloop.cli", "dashboard", *words]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | {"RADLOOP_TOKEN": token}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_served(server, address, log)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until_served(server: subprocess.Popen, address: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise RuntimeError(f"the dashboard did not start:\n{log.read_text()}")


@dataclass
class Browser:
    """One window on one dashboard."""

    page: Page
    address: str
    outside: list[str] = field(default_factory=list)  # what was asked of other hosts
    broken: list[str] = field(default_factory=list)  # what Chromium dropped because an interface came or went

    def guard(self, route: Route) -> None:
        """Let only the dashboard be asked."""
        url = route.request.url
        if urlsplit(url).hostname == "127.0.0.1" or urlsplit(url).scheme in ("data", "blob"):
            route.continue_()
        else:
            self.outside.append(url)
            route.abort()

    def __post_init__(self) -> None:
        """Open the dashboard by its token, and watch what fails."""
        self.page.request.get(f"{self.address}/?token={TOKEN}")  # of the window's own cookies
        self.page.on("requestfailed", self._failed)

    def _failed(self, request: Request) -> None:
        if request.failure and "ERR_NETWORK_CHANGED" in request.failure:
            self.broken.append(request.url)

    def open(self, path: str) -> None:
        """Go to a page and wait until all of it is there.

        Chromium drops all requests where a network interface of the machine comes or goes (a container does that).
        """
        for _ in range(_TRIES):
            self.broken.clear()
            try:
                self.page.goto(f"{self.address}/{path}")
                self.settle()
            except Error:
                if not self.broken:
                    raise
            if not self.broken:
                return

    def settle(self) -> None:
        """Wait until the page has been drawn and nothing runs."""
        self.page.wait_for_selector("h1")
        self.page.wait_for_function(
            "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
        )
        self.page.wait_for_function(
            "!document.querySelector('[data-stale=true], [data-testid=stSkeleton], [data-testid=stSpinner]')"
        )

    def shot(self, path: Path) -> None:
        """A small picture of what is seen."""
        self.page.wait_for_timeout(700)  # a chart grows into its place; nothing says when it is done
        self.page.screenshot(path=path, type="jpeg", quality=72)


@contextmanager
def window(address: str, *, width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A window on the dashboard at `address`."""
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        try:
            yield _visit(program.new_page(viewport={"width": width, "height": height}), address)
        finally:
            program.close()


@contextmanager
def beside(browser: Browser, address: str) -> Iterator[Browser]:
    """A window of the same Chromium on another dashboard: two of them cannot be driven at once."""
    program = browser.page.context.browser
    assert program is not None
    page = program.new_page(viewport=browser.page.viewport_size)
    try:
        yield _visit(page, address)
    finally:
        page.close()


def _visit(page: Page, address: str) -> Browser:
    page.set_default_timeout(60_000)
    browser = Browser(page, address)
    page.route("**/*", browser.guard)
    browser.open("")
    return browser
