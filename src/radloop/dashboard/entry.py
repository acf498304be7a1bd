"""The document that every page begins with is Streamlit's; two things are put into it: a middleware.

A reading room is dark, and Streamlit begins with the system's theme: the first visit of a page chooses the dark one
before anything is drawn. And the desk asks at once for what it will need, not only when Streamlit has run the page:
over a slow line each question and its answer take a while.
"""

import gzip
import re
from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Streamlit keeps the choice of its menu in the browser, under a name for each page that one may begin with.
_DARK: Final = """<script>
try {
  const visited = `radloop ${location.pathname}`;
  if (!localStorage.getItem(visited)) {
    localStorage.setItem(`stActiveTheme-${location.pathname}-v2`, '"Dark"');
    localStorage.setItem(visited, "yes");
  }
} catch { /* a browser that keeps nothing begins with the system's */ }
</script>"""
_PARTS: Final = ("BidiComponent", "serialization", "recordbatch", "_arrayReduce", "Html", "purify.es")  # of Streamlit
_OF_PARTS: Final = (b"accept-encoding", b"range", b"if-none-match", b"if-modified-since")  # the whole is changed here
_FONT: Final = re.compile(rb'<link\s+rel="preload"[^>]*as="font"[^>]*>')
_SCRIPTS: Final = Path(streamlit.__file__).parent / "static" / "static" / "js"


class Entry:
    """ASGI middleware before Streamlit. `desk` gives the addresses of the desk's modules."""

    def __init__(self, app: ASGIApp, base: str, desk: Callable[[], Sequence[str]]) -> None:
        self._app, self._base, self._desk = app, base, desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let everything pass but a document, which comes with more in its head."""
        if scope["type"] != "http" or scope["method"] != "GET" or not _is_of_person(scope):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        parts: list[bytes] = []

        async def more(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_document(message):
                begun = message
            elif begun is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    await self._send(scope, begun, b"".join(parts), send)

        plain = [(name, value) for name, value in scope["headers"] if name not in _OF_PARTS]
        await self._app({**scope, "headers": plain}, receive, more)

    async def _send(self, scope: Scope, begun: Message, body: bytes, send: Send) -> None:
        early = self._addresses(scope["path"])
        more = _DARK + "".join(map(_early, early))
        if early:
            body = _FONT.sub(b"", body)  # a font is not what the desk waits for
        body = body.replace(b"</head>", f"{more}</head>".encode(), 1)
        headers = MutableHeaders(raw=begun["headers"])
        for name in ("etag", "last-modified", "accept-ranges"):  # of the file as it was
            del headers[name]
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers.update({"Content-Length": str(len(body)), "Vary": "Accept-Encoding"})
        await send({**begun, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})

    def _addresses(self, path: str) -> Sequence[str]:
        if path.removeprefix(self._base).strip("/") != "review":
            return ()
        return [*(f"{self._base}/static/js/{name}" for name in _chunks()), *self._desk()]


def _is_document(begun: Message) -> bool:
    headers = Headers(raw=begun["headers"])
    is_html = headers.get("content-type", "").startswith("text/html")
    return begun["status"] == 200 and is_html


def _is_of_person(scope: Scope) -> bool:
    """Whether a browser's window asks, not a page or a program in it."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def _early(address: str) -> str:
    return f'<link rel="modulepreload" href="{escape(address)}">'


@cache
def _chunks() -> tuple[str, ...]:
    """The files of Streamlit's that a component and a line of HTML need; their names hold a hash."""
    return tuple(path.name for stem in _PARTS for path in _SCRIPTS.glob(f"{stem}.????????.js"))
