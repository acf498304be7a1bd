"""Who must not get in: each test is one who tries, at a real server."""

import contextlib
import dataclasses
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import small_loop
from browser_session import TOKEN, chromium, served, wait_until_served, window
from radloop import settings
from radloop.dashboard import tokens
from radloop.dashboard.gate import HEADERS, Access

pytestmark = pytest.mark.slow

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NOBODY = 65_534


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return small_loop.run(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def address(inputs, tmp_path_factory):
    with served(inputs, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="module")
def picture(inputs):
    images = inputs.dataset_folder / "test" / "images"
    image_id = sorted(path.name for path in images.iterdir())[0].rpartition("_")[0]
    return f"/radloop/picture/{image_id}.png"


def ask(address: str, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """The answer to one request, whatever it is; a header twice is given as one with a line break."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        for one in value.split("\n"):
            connection.putheader(name, one)
    connection.endheaders()
    answer = connection.getresponse()
    if answer.status != 101:
        answer.body = answer.read()
    connection.close()
    return answer


def cookie(address: str) -> str:
    """The cookie of a browser that was let in, name and value."""
    answer = ask(address, f"/?token={TOKEN}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    return answer.headers["Set-Cookie"].partition(";")[0]


ROUTES = {
    "page": "/review",
    "picture": None,
    "desk": "/radloop/desk/desk.js",
    "media": "/media/0123.png",
    "upload": "/_stcore/upload_file/a/b",
    "component": "/component/any/index.html",
    "module of a component": "/_stcore/bidi-components/any/index.js",
    "settings of the host": "/_stcore/host-config",
    "figures of the server": "/_stcore/metrics",
    "script of the page": "/static/js/index.js",
    "nothing": "/no/such/page",
}


@pytest.mark.parametrize("given", ["nothing", "a wrong token", "a wrong bearer"])
@pytest.mark.parametrize("route", ROUTES)
def test_route_is_closed_to_who_has_no_token(address, picture, route, given):
    path = ROUTES[route] or picture
    headers = {"Authorization": f"Bearer {TOKEN[:-1]}x"} if given == "a wrong bearer" else {}
    path += f"?token={TOKEN[:-1]}x" if given == "a wrong token" else ""
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        answer = ask(address, path, method, **headers)
        assert (answer.status, answer.body[:8]) == (403, b"radloop:")
        assert "Set-Cookie" not in answer.headers


def test_websocket_is_closed_to_who_has_no_token(address):
    assert ask(address, "/_stcore/stream", **UPGRADE).status == 403
    assert ask(address, f"/_stcore/stream?token={TOKEN}", **UPGRADE).status == 403
    assert ask(address, "/_stcore/stream", **UPGRADE, **BEARER).status == 101


def test_health_alone_answers_everybody_and_tells_nothing(address):
    answer = ask(address, "/_stcore/health")
    assert (answer.status, answer.body) == (200, b"ok")
    assert ask(address, "/_stcore/health/../../review").status == 403
    answer = ask(address, "/radloop/health")
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert ask(address, "/radloop/health/../desk/desk.js").status == 403


def test_token_opens_and_goes_out_of_sight(address, picture):
    answer = ask(address, f"/images?image=a1&token={TOKEN}")
    assert (answer.status, answer.headers["Location"]) == (303, "/images?image=a1")
    assert {"HttpOnly", "SameSite=lax"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert TOKEN not in str(answer.headers)
    over_tls = ask(address, f"/?token={TOKEN}", **{"X-Forwarded-Proto": "https"})  # as a proxy on this machine says
    assert "Secure" in over_tls.headers["Set-Cookie"].split("; ")
    assert ask(address, picture, Cookie=cookie(address)).status == 200
    assert ask(address, picture, **BEARER).status == 200


def test_address_of_another_site_behind_the_token_is_not_followed(address):
    assert ask(address, f"//evil.example/?token={TOKEN}").headers["Location"] == "/evil.example/"


def test_cookie_of_another_port_opens_nothing(address, picture):
    other = Access(token=TOKEN).cookie("radloop-1")
    mine = cookie(address).partition("=")[0]
    assert ask(address, picture, Cookie=f"radloop-1={other}").status == 403
    assert ask(address, picture, Cookie=f"{mine}={other}").status == 403
    assert ask(address, picture, Cookie=f"{mine}={TOKEN}").status == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.7", "", "127.0.0.1\nevil.example"])
def test_name_that_somebody_has_point_here_is_refused(address, picture, host):
    port = urlsplit(address).port
    named = f"{host}:{port}" if host else ""
    for headers in ({}, UPGRADE):
        assert ask(address, picture, Host=named, **headers, **BEARER).status in (400, 403)
    assert ask(address, "/_stcore/health", Host=named).status in (400, 403)


def test_cookie_of_another_program_of_the_machine_does_not_keep_the_reader_out(address, picture):
    mine = cookie(address)
    name = mine.partition("=")[0]
    for others in ('a={"b": 1}', "a[1]=2", "no name", f"{name}=of an older token", "=;;", 'a="'):
        assert ask(address, picture, Cookie=f"{others}; {mine}").status == 200
        assert ask(address, picture, Cookie=f"{mine}; {others}").status == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1.evil.example", "http://[", "", "http://"],
)
def test_page_of_another_site_opens_no_websocket_and_sends_no_file(address, origin):
    let_in = cookie(address)
    assert ask(address, "/_stcore/stream", **UPGRADE, Origin=origin, Cookie=let_in).status == 403
    assert ask(address, "/_stcore/upload_file/a/b", "PUT", Origin=origin, Cookie=let_in).status == 403
    assert ask(address, "/_stcore/stream", **UPGRADE, Origin=address, Cookie=let_in).status == 101


def test_page_of_the_public_name_alone_opens_a_websocket_through_a_proxy_that_rewrites_the_host(inputs, tmp_path):
    with served(dataclasses.replace(inputs, public_name="reads.org"), tmp_path / "log") as address:

        def opens(host: str, origin: str) -> bool:
            return ask(address, "/_stcore/stream", **UPGRADE, **BEARER, Host=host, Origin=origin).status == 101

        assert opens("127.0.0.1:8501", "https://reads.org")
        assert opens("reads.org", "https://reads.org")
        assert opens("reads.org:8443", "https://reads.org:8443")
        assert not opens("127.0.0.1:8501", "https://reads.org:9999")
        assert not opens("reads.org:8443", "https://reads.org")
        assert not opens("reads.org", "https://a.reads.org")


def test_every_answer_forbids_frames_guesses_and_other_sites(address, picture):
    for path in ("/", "/_stcore/health", "/_stcore/host-config", "/radloop/desk/desk.js", picture, "/no/such/page"):
        for headers in ({}, BEARER):
            answer = ask(address, path, **headers)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fsummary.json",
        "%2e%2e/%2e%2e/summary.json",
        "..%5csummary.png",
        "%2fetc%2fpasswd.png",
        "a%00.png",
        f"{'a' * 300}.js",
    ],
)
def test_name_of_a_picture_that_is_a_way_out_finds_nothing(address, name):
    for room in ("picture", "desk"):
        answer = ask(address, f"/radloop/{room}/{name}", **BEARER)
        assert (answer.status, len(answer.body) < 200) in ((400, True), (404, True))


def test_link_out_of_the_folder_of_pictures_is_refused(inputs, tmp_path):
    (tmp_path / "pictures").mkdir()
    images = inputs.dataset_folder / "test" / "images"
    shutil.copy(sorted(images.iterdir())[0], tmp_path / "secret.png")
    (tmp_path / "pictures" / "a1.png").symlink_to("../secret.png")
    shutil.copy(tmp_path / "secret.png", tmp_path / "pictures" / "a2.png")
    with served(dataclasses.replace(inputs, images=tmp_path / "pictures"), tmp_path / "log") as address:
        answer = ask(address, "/radloop/picture/a1.png", **BEARER)
        assert (answer.status, b"link out of its folder" in answer.body) == (404, True)
        assert ask(address, "/radloop/picture/a2.png", **BEARER).status == 200


# ---- from a page of another site, in a real browser ----------------------------------------------------------------

EVIL = """<!doctype html><title>loading</title><iframe src="ADDRESS/review"></iframe><script>
const image = new Promise((done) => {
  const one = new Image(); one.onload = () => done("image"); one.onerror = () => done(""); one.src = "ADDRESSPICTURE";
});
const stream = new Promise((done) => {
  const one = new WebSocket("ws" + "ADDRESS".slice(4) + "/_stcore/stream", ["streamlit"]);
  one.onopen = () => done("websocket"); one.onerror = () => done("");
});
const text = fetch("ADDRESS/review", {credentials: "include"}).then(() => "text", () => "");
const blind = fetch("ADDRESSPICTURE", {credentials: "include", mode: "no-cors"}).then((x) => x.type, () => "");
const script = new Promise((done) => {
  const one = document.createElement("script"); one.onload = () => done("script"); one.onerror = () => done("");
  one.src = "ADDRESS/radloop/desk/desk.js"; document.head.append(one);
});
Promise.all([image, stream, text, blind, script]).then((got) => { document.title = "got " + got.join("") });
</script>"""


@contextmanager
def site(page: str) -> Iterator[int]:
    """The port of a site that has one page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another site", "another port of this machine"])
def test_page_of_another_site_gets_nothing_in_the_browser_of_somebody_who_is_let_in(address, picture, host):
    chromium()
    with (
        site(EVIL.replace("ADDRESS", address).replace("PICTURE", picture)) as port,
        window(address) as browser,
    ):
        page = browser.page
        page.unroute("**/*")
        assert page.evaluate(f"fetch('{picture}').then((answer) => answer.status)") == 200  # who is let in
        page.goto(f"http://{host}:{port}/")
        page.wait_for_function("document.title.startsWith('got')")
        assert page.title() == "got"
        frame = next(frame for frame in page.frames if frame != page.main_frame)
        assert frame.url.startswith("chrome-error")


def test_name_that_is_made_to_point_here_shows_no_page_in_a_browser(address):
    chromium()
    from playwright.sync_api import sync_playwright

    port = urlsplit(address).port
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--host-resolver-rules=MAP evil.example 127.0.0.1"]
        )
        try:
            page = program.new_page()
            answer = page.goto(f"http://evil.example:{port}/?token={TOKEN}")
            assert answer.status == 403
            assert "is no name of this dashboard" in page.locator("body").inner_text()
        finally:
            program.close()


# ---- other users of this machine -----------------------------------------------------------------------------------


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_other_user_of_the_machine_reads_no_token_no_review_and_writes_none(inputs, tmp_path):
    open_to_all = Path(tempfile.mkdtemp())
    try:
        open_to_all.chmod(0o755)
        shutil.copytree(inputs.dataset_folder, open_to_all / "organized")
        told = dataclasses.replace(inputs, out=open_to_all, dataset=None, feedback=None, reviews=None)
        with own_token(told, tmp_path / "log") as (address, process):
            reviews = told.reviews_folder
            token = (reviews / tokens.NAME).read_text().strip()
            assert f"{address}/?token={token}" in (tmp_path / "log").read_text()
            assert oct((reviews / tokens.NAME).stat().st_mode & 0o777) == "0o600"
            assert token not in as_nobody("ps", "-eo", "args").stdout
            for path in (reviews / tokens.NAME, f"/proc/{process}/environ", f"/proc/{process}/mem"):
                assert "Permission denied" in as_nobody("cat", str(path)).stderr
            assert "Permission denied" in as_nobody("touch", str(reviews / "forged.json")).stderr
            assert "Permission denied" in as_nobody("ls", str(reviews)).stderr
            assert ask(address, "/", Authorization=f"Bearer {token}").status == 200
        log = (tmp_path / "log").read_text()
        assert log.count(token) == 1
        with own_token(told, tmp_path / "log"):
            assert token in (tmp_path / "log").read_text()  # a restart keeps it
    finally:
        shutil.rmtree(open_to_all)


@contextmanager
def own_token(inputs, log: Path) -> Iterator[tuple[str, int]]:
    """A dashboard that makes its own token; its address and process."""
    with served(inputs, log, token="") as address:
        port = urlsplit(address).port
        (process,) = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"--server.port={port}".encode() in _read(path)
        ]
        yield address, process


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_dashboard_that_asks_nobody_says_so_and_still_refuses_other_sites(inputs, picture, tmp_path):
    with served(dataclasses.replace(inputs, auth="none"), tmp_path / "log", token="") as address:
        assert ask(address, picture).status == 200
        assert ask(address, picture, Host="evil.example").status == 403
        assert ask(address, "/_stcore/stream", **UPGRADE, Origin="http://evil.example").status == 403
        log = (tmp_path / "log").read_text()
    assert "anybody who reaches this address can read everything" in log
    assert "token=" not in log


def test_command_that_users_know_has_the_same_gate(inputs, tmp_path):
    script = Path(__file__).parent.parent / "data-pipeline" / "streamlit-dashboard" / "data_dashboard.py"
    words = settings.words(dataclasses.replace(inputs, reviews=tmp_path / "reviews"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}", "--", *words]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=script.parent)
    try:
        wait_until_served(process, f"http://127.0.0.1:{port}", tmp_path / "log")
        opened = (tmp_path / "log").read_text().splitlines()[-1].removeprefix("radloop: ")
        assert opened.startswith(f"http://127.0.0.1:{port}/?token=")
        assert ask(opened, "/").status == 403
        assert ask(opened, opened.partition(str(port))[2]).status == 303
    finally:
        process.terminate()
        process.wait(timeout=30)


# ---- a forged word of who somebody is ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind_proxy(inputs, tmp_path_factory):
    told = dataclasses.replace(inputs, auth="header:X-Remote-User")
    with served(told, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


def test_neighbour_who_reaches_the_port_cannot_say_who_he_is(behind_proxy, picture):
    name = {"X-Remote-User": "anna"}
    assert ask(behind_proxy, picture, **name).status == 403
    assert ask(behind_proxy, "/_stcore/stream", **UPGRADE, **name).status == 403
    assert ask(behind_proxy, f"/?token={TOKEN}", **name).status == 403
    mine = f"radloop-{urlsplit(behind_proxy).port}"
    assert ask(behind_proxy, picture, **name, Cookie=f"{mine}={Access(token=TOKEN).cookie(mine)}").status == 403
    assert ask(behind_proxy, picture, **name, **BEARER).status == 200


@pytest.mark.parametrize("name", [None, "", "anna\nben"], ids=["none", "empty", "two"])
def test_proxy_that_does_not_name_one_reader_is_refused(behind_proxy, picture, name):
    named = {} if name is None else {"X-Remote-User": name}
    assert ask(behind_proxy, picture, **named, **BEARER).status == 403
