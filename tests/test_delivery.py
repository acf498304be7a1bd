"""Streamlit's files on their way to a browser: compressed once, and a document with the desk's wants in its head."""

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any

from radloop.dashboard.entry import Entry
from radloop.dashboard.packing import Packed

SCRIPT = b"export const answer = 42;" * 100
PAGE = b'<html><head><link rel="preload" href="a.woff2" as="font"></head><body></body></html>'


class Origin:
    """An app that answers with one file, and counts how often it is asked."""

    def __init__(self, body: bytes, kind: str, caching: str = "public, immutable", status: int = 200) -> None:
        self.body, self.status, self.asked = body, status, 0
        self.headers = {"content-type": kind, "cache-control": caching, "etag": '"1"', "content-length": str(len(body))}

    async def __call__(self, scope, receive, send) -> None:
        self.asked += 1
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        half = len(self.body) // 2
        await send({"type": "http.response.body", "body": self.body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[half:]})


def ask(app: Any, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    messages: list[dict] = []

    async def send(message: dict) -> None:
        messages.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(app({"type": "http", "method": "GET", "path": path, "headers": raw}, None, send))
    start, *rest = messages
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(part["body"] for part in rest)


def test_script_is_compressed_once_for_all_browsers():
    origin = Origin(SCRIPT, "text/javascript")
    app = Packed(origin)
    answers = [ask(app, "/static/js/a.js", {"accept-encoding": "br, gzip"}) for _ in range(3)]

    for status, headers, body in answers:
        assert (status, gzip.decompress(body)) == (200, SCRIPT)
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(headers["content-length"]) == len(body) < len(SCRIPT) / 10
    assert origin.asked == 1


def test_who_takes_no_gzip_and_what_is_no_script_gets_the_file_as_it_is():
    origin = Origin(SCRIPT, "text/javascript")
    app = Packed(origin, "/reads")

    assert ask(app, "/reads/static/js/a.js", {})[2] == SCRIPT
    assert ask(app, "/reads/static/media/a.woff2", {"accept-encoding": "gzip"})[2] == SCRIPT
    assert ask(app, "/static/js/a.js", {"accept-encoding": "gzip"})[2] == SCRIPT
    assert origin.asked == 3


def test_refusal_and_what_may_change_are_not_kept():
    for origin in (Origin(b"no", "text/plain", status=404), Origin(SCRIPT, "text/javascript", "no-cache")):
        app = Packed(origin)
        for _ in range(2):
            status, headers, body = ask(app, "/static/js/a.js", {"accept-encoding": "gzip"})
            assert (status, body, headers.get("content-encoding")) == (origin.status, origin.body, None)
        assert origin.asked == 2


def entry(origin: Origin) -> Entry:
    return Entry(origin, "", lambda: ["/radloop/desk/1/desk.js?a&b"])


def test_document_chooses_the_dark_theme_before_anything_is_drawn():
    status, headers, body = ask(entry(Origin(PAGE, "text/html; charset=utf-8")), "/labels", {"accept": "text/html"})

    head, _, rest = body.partition(b"</head>")
    assert (status, rest) == (200, b"<body></body></html>")
    assert b"Dark" in head
    assert b"a.woff2" in head
    assert b"modulepreload" not in head
    assert "etag" not in headers
    assert int(headers["content-length"]) == len(body)


def test_desk_asks_for_its_modules_with_the_document():
    packed = {"accept": "text/html", "accept-encoding": "gzip"}
    _, headers, body = ask(entry(Origin(PAGE, "text/html")), "/review", packed)

    text = gzip.decompress(body).decode()
    assert headers["content-encoding"] == "gzip"
    assert '<link rel="modulepreload" href="/radloop/desk/1/desk.js?a&amp;b"></head>' in text
    assert "/static/js/BidiComponent." in text
    assert "a.woff2" not in text


def test_what_is_no_document_passes_unchanged():
    for headers, origin in (
        ({"accept": "text/html"}, Origin(b"{}", "application/json")),
        ({"accept": "text/html"}, Origin(PAGE, "text/html", status=404)),
        ({"accept": "*/*"}, Origin(PAGE, "text/html")),
    ):
        status, found, body = ask(entry(origin), "/review", headers)
        assert (status, body, found["etag"]) == (origin.status, origin.body, '"1"')
