"""Streamlit's own scripts and style sheets, compressed: a middleware.

Streamlit leaves that to a proxy, because it would compress them anew for every browser. Here each is compressed once:
its name holds a hash of its content, so what was packed is right as long as the server runs. Over a slow line the first
page comes in half the time.
"""

import asyncio
import gzip
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KINDS: Final = (".js", ".css")
_LEVEL: Final = 6


class Packed:
    """ASGI middleware before Streamlit; what a browser may not have has been refused before it."""

    def __init__(self, app: ASGIApp, base: str = "") -> None:
        self._app, self._folder = app, f"{base}/static/"
        self._kept: dict[str, tuple[Message, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the packed file where the browser takes it."""
        if not self._is_for(scope):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._kept:
            parts: list[Message] = []

            async def keep(message: Message) -> None:
                parts.append(message)

            whole = [(name, value) for name, value in scope["headers"] if name not in (b"range", b"if-none-match")]
            await self._app({**scope, "headers": whole, "extensions": {}}, receive, keep)
            start, body = parts[0], b"".join(part.get("body", b"") for part in parts[1:])
            if start["status"] != 200 or "immutable" not in Headers(raw=start["headers"]).get("cache-control", ""):
                for part in parts:
                    await send(part)
                return
            body = await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
            headers = MutableHeaders(raw=start["headers"])
            headers.update({"Content-Encoding": "gzip", "Content-Length": str(len(body)), "Vary": "Accept-Encoding"})
            self._kept[path] = {**start, "headers": headers.raw}, body
        start, body = self._kept[path]
        await send({**start, "headers": list(start["headers"])})  # what is around this adds its own
        await send({"type": "http.response.body", "body": body})

    def _is_for(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"].startswith(self._folder)
            and scope["path"].endswith(_KINDS)
            and "gzip" in Headers(scope=scope).get("accept-encoding", "")
        )
