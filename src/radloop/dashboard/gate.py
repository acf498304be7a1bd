"""The gate of the dashboard's server: every request, page, picture and websocket alike, passes it or is answered 403.

It looks at the Host (a page elsewhere that has its own name point here is refused), at the Origin and the browser's own
word on where a request comes from (another site's page is refused), and then for the token.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What a health check asks, without a token: whether the server answers, and whether it can read the dataset.
HEALTH: Final = ("/_stcore/health", "/radloop/health")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104  what one listens on, not what is listened on here
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>\d{1,5}))?")
_COOKIE_SECONDS: Final = 30 * 24 * 3600


@dataclass(frozen=True)
class Access:
    """Who gets in."""

    token: str | None = field(default=None, repr=False)  # None: everybody
    header: str | None = None  # in which a proxy names the reader, lower case
    address: str = "127.0.0.1"  # that the server listens on
    public_name: str | None = None
    base: str = ""  # the path that every address begins with, such as /radloop
    token_file: str = ""  # as the page of a refusal names it

    def knows_host(self, name: str) -> bool:
        """Whether `name` (lower case, no port) is one of this server's. A page elsewhere cannot claim an address."""
        if name in _LOOPBACK or name in (self.address.lower(), f"[{self.address.lower()}]", self.public_name):
            return True
        return self.address in _EVERYWHERE and _is_address(name)

    def cookie(self, name: str) -> str:
        """The value of the cookie `name`: it opens this server under this port only, and does not tell the token."""
        return hmac.new((self.token or "").encode(), name.encode(), hashlib.sha256).hexdigest()


class _Refused(Exception):  # noqa: N818  it is an answer
    """Why a request is answered 403, in a sentence."""


class Gate:
    """ASGI middleware around everything that is served."""

    def __init__(self, app: ASGIApp, access: Callable[[], Access]) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, with the headers that keep other sites away on its answer, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        access = self._access()
        try:
            found = _look(_Request(scope), access)
        except _Refused as why:
            found = PlainTextResponse(f"radloop: {why}\n", 403, {"Cache-Control": "no-store"})
        if found is None:
            # The Origin has been looked at; of one that it does not know Streamlit would ask an outside service.
            kept = [(name, value) for name, value in scope["headers"] if name != b"origin"]
            await self._app({**scope, "headers": kept}, receive, answer)
        elif scope["type"] == "http":
            await found(scope, receive, answer)
        else:
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: 403


class _Request:
    """What the gate reads of a request."""

    def __init__(self, scope: Scope) -> None:
        self._headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self.path: str = scope["path"]
        self.asked = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        self.method: str = scope.get("method", "GET")
        self.websocket = scope["type"] == "websocket"
        self.secure = scope.get("scheme") in ("https", "wss")
        server = scope.get("server")
        self._port = str(server[1]) if server and server[1] else ""

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value.decode("latin-1") for key, value in self._headers if key == name.encode()]

    def one(self, name: str) -> str | None:
        """A header's only value; None where it is missing or stands there twice."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None

    def host(self) -> tuple[str, str]:
        """Name and port of the Host header, lower case. Raises _Refused where it is none."""
        found = _HOST.fullmatch((self.one("host") or "").lower())
        if found is None:
            raise _Refused("the request names no host.")
        return found["name"].rstrip("."), found["port"] or self._port

    def cookies(self, name: str) -> list[str]:
        """Every value of a cookie. Other programs of the machine set cookies, too, which follow no rule."""
        pairs = (pair.partition("=") for line in self.all("cookie") for pair in line.split(";"))
        return [value.strip().strip('"') for key, _, value in pairs if key.strip() == name]


def _look(request: _Request, access: Access) -> Response | None:
    """None where the request may pass, or what it is answered. Raises _Refused where it may not."""
    host, port = request.host()
    if not access.knows_host(host):
        raise _Refused(f"{host} is no name of this dashboard. If it should be one, start it with --public-name {host}.")
    _require_own_page(request, access)
    if access.token is None or request.path in [access.base + path for path in HEALTH]:
        return None
    if access.header is not None:
        _require_proxy(request, access)
        return None
    name = f"radloop-{port}"
    bearer, asked = _bearer(request), dict(request.asked).get("token")
    known = any(_same(one, access.cookie(name)) for one in request.cookies(name))
    known = known or (bearer is not None and _same(bearer, access.token))
    if asked is not None and not request.websocket and request.method in ("GET", "HEAD"):
        if known or _same(asked, access.token):
            return _log_in(request, access, name)
    elif known:
        return None
    where = f" Without a screen: it stands in {access.token_file}." if access.token_file else ""
    raise _Refused(
        "this dashboard opens with its token. Open the address with ?token= that it printed when it started." + where
    )


def _require_proxy(request: _Request, access: Access) -> None:
    """The proxy has to prove itself by the token: a neighbour who reaches the port can set any header."""
    bearer = _bearer(request)
    if bearer is None or access.token is None or not _same(bearer, access.token):
        raise _Refused("this dashboard is reached by its proxy only, which sends Authorization: Bearer and the token.")
    if access.header is None or not request.one(access.header):
        raise _Refused(f"the proxy has to name the reader, once, in the header {access.header}.")


def _require_own_page(request: _Request, access: Access) -> None:
    """Raise _Refused for what a page of another site asks for; to follow a link from there is fine.

    A proxy that puts an address of its own in the place of the public name leaves that in the Origin.
    """
    host = (request.one("host") or "").lower()
    own = {host} if access.public_name in (None, request.host()[0]) else {host, access.public_name}
    if not {origin.lower().partition("://")[2] for origin in request.all("origin")} <= own:
        raise _Refused("the request comes from a page of another site.")
    follows = request.method == "GET" and request.one("sec-fetch-mode") == "navigate"
    follows = follows and request.one("sec-fetch-dest") == "document"
    if request.one("sec-fetch-site") in ("cross-site", "same-site") and not follows:
        raise _Refused("the request comes from a page of another site.")


def _log_in(request: _Request, access: Access, name: str) -> Response:
    """The same address without the token, and the cookie that stands for it from here on."""
    rest = urlencode([(key, value) for key, value in request.asked if key != "token"])
    path = "/" + request.path.lstrip("/")
    answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303, {"Cache-Control": "no-store"})
    answer.set_cookie(
        name,
        access.cookie(name),
        max_age=_COOKIE_SECONDS,
        path=access.base or "/",
        secure=request.secure,
        httponly=True,
        samesite="lax",  # strict: who follows a link from a mail or a wiki page would be asked again
    )
    return answer


def _bearer(request: _Request) -> str | None:
    kind, _, token = (request.one("authorization") or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _same(given: str, kept: str) -> bool:
    """Compare without telling by the time how much of it was right."""
    return hmac.compare_digest(given.encode(), kept.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
