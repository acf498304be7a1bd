"""The dashboard behind a real Caddy that knows people: the configuration is the one in docs/dashboard.md."""

import base64
import dataclasses
import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

import written_loop
from browser_session import QUIET, TOKEN, chromium, served
from desk_window import Window, written
from taxonomies import VINDR

pytestmark = pytest.mark.slow

NAME = "reads.localhost"  # a browser takes it for this machine
PAGE = Path(__file__).parent.parent / "docs" / "dashboard.md"
PEOPLE = {"anna": "of-anna", "ben": "of-ben"}


def caddy() -> str:
    """The program; the test is skipped where there is none, and fails where CI says that there must be."""
    found = shutil.which("caddy")
    if found is None:
        how = "no caddy: tests/caddy/install.sh installs it"
        pytest.fail(how) if os.environ.get("CI") == "true" else pytest.skip(how)
    return found


@dataclass
class Proxied:
    """A dashboard, and the proxy before it."""

    inputs: object
    behind: str  # the dashboard's own address
    port: int  # of the proxy
    log: Path

    def ask(self, path: str, user: str | None = None, **headers: str) -> http.client.HTTPResponse:
        """The answer of the proxy."""
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{PEOPLE[user]}".encode()).decode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path, headers={"Host": f"{NAME}:{self.port}"} | headers)
            answer = connection.getresponse()
            answer.body = answer.read()
        return answer


def configuration(behind: str, port: int) -> str:
    """The Caddyfile of the page, for names and ports of this machine."""
    (block,) = re.findall(r"^```caddyfile\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert "reads.hospital.org {" in block
    assert "127.0.0.1:8501" in block
    site = block.replace("reads.hospital.org {", f"http://{NAME}:{port} {{\n\tbind 127.0.0.1")
    return "{\n\tadmin off\n\tauto_https off\n}\n" + site.replace("127.0.0.1:8501", urlsplit(behind).netloc)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory) -> Iterator[Proxied]:
    program = caddy()
    folder = tmp_path_factory.mktemp("caddy")
    inputs = written_loop.run(tmp_path_factory.mktemp("loop"), VINDR, images=240)
    told = dataclasses.replace(inputs, auth="header:X-Remote-User", public_name=NAME)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hashes = {
        f"{user.upper()}_HASH": subprocess.run(
            [program, "hash-password", "--plaintext", word], capture_output=True, text=True, check=True
        ).stdout.strip()
        for user, word in PEOPLE.items()
    }
    environment = os.environ | hashes | {"RADLOOP_TOKEN": TOKEN, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with served(told, folder / "dashboard.log") as behind, (folder / "caddy.log").open("wb") as log:
        (folder / "Caddyfile").write_text(configuration(behind, port))
        command = [program, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait(process, port, folder / "caddy.log")
            yield Proxied(told, behind, port, folder / "dashboard.log")
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the proxy did not start:\n{log.read_text()}")


def test_proxy_lets_in_whom_it_knows_and_the_dashboard_nobody_else(proxied):
    assert proxied.ask("/").status == 401
    assert proxied.ask("/", "anna").status == 200
    with closing(http.client.HTTPConnection(urlsplit(proxied.behind).netloc, timeout=30)) as round_it:
        round_it.request("GET", "/", headers={"X-Remote-User": "anna"})
        answer = round_it.getresponse()
        assert (answer.status, b"reached by its proxy only" in answer.read()) == (403, True)


def test_token_of_the_proxy_is_in_no_log_and_in_no_answer(proxied):
    answer = proxied.ask("/", "anna")
    assert TOKEN not in proxied.log.read_text() + str(answer.headers) + answer.body.decode()


def test_review_is_signed_by_whom_the_proxy_knows_whatever_the_browser_says(proxied):
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        try:
            for user, word in PEOPLE.items():
                context = program.new_context(
                    http_credentials={"username": user, "password": word},
                    extra_http_headers={"X-Remote-User": "somebody-else"},
                )
                window = Window(context.new_page(), f"http://{NAME}:{proxied.port}", reader=user)
                window.page.goto(f"{window.address}/review")
                window.await_picture()
                expect(window.page.get_by_label("Reader ID", exact=True)).to_have_count(0)
                window.press("v", "n")
                window.await_saved()
                (review,) = written(proxied.inputs.reviews, VINDR, user)
                assert (review.reviewer, review.verdict) == (user, "normal")
                context.close()
        finally:
            program.close()
