"""What the server serves beside Streamlit's own: the gate, pictures by their address, the desk's modules."""

import logging
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from radloop import settings
from radloop.dashboard import addresses, tokens
from radloop.dashboard.entry import Entry
from radloop.dashboard.gate import Access, Gate
from radloop.dashboard.packing import Packed
from radloop.errors import DatasetError, RadloopError
from radloop.options import Dashboard

if TYPE_CHECKING:
    from radloop.dashboard.loading import Dataset

PAGE: Final = Path(__file__).parent / "server" / "page.py"  # what is run for every look at a page
_DESK_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}
_EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104  what one listens on, not what is listened on here
_OF_RUNS: Final = "streamlit.runtime.scriptrunner_utils.script_run_context"  # warns that a picture is no page's
_FOR_EVER: Final = "private, max-age=31536000, immutable"


@cache
def options() -> Dashboard:
    """What the command line and the environment of this server say."""
    return settings.parse(Dashboard, sys.argv[1:])


@cache
def access() -> Access:
    """Who gets in."""
    return _access(options())


def _access(chosen: Dashboard) -> Access:
    token, kept = tokens.of(chosen)
    return Access(
        token=token,
        header=chosen.auth_header,
        address=str(st.get_option("server.address") or "0.0.0.0"),  # noqa: S104  Streamlit's own default
        public_name=chosen.public_name,
        base=addresses.base(),
        token_file=kept,
    )


@asynccontextmanager
async def announce(_: object) -> AsyncIterator[None]:
    """Say where the dashboard is, with the token; nothing else ever prints it."""
    logging.getLogger(_OF_RUNS).setLevel(logging.ERROR)
    found = access()
    host = "127.0.0.1" if found.address in _EVERYWHERE else found.address
    here = f"http://{f'[{host}]' if ':' in host else host}:{st.get_option('server.port')}{found.base}/"
    if options().exposed:
        tokens.say(exposure(options()))
    if found.token is None:
        tokens.say("anybody who reaches this address can read everything and write reviews (--auth none)")
        tokens.say(here)
    elif found.header is not None:
        tokens.say(f"{here} is for the proxy alone, which sends {found.header} and the token ({found.token_file})")
    else:
        tokens.say(f"{here}?token={quote(found.token, safe='')}")
    threading.Thread(target=_prepare, daemon=True).start()
    yield


def exposure(chosen: Dashboard) -> str:
    """What it means that other machines reach the dashboard."""
    address = f"it listens on {chosen.published or chosen.host}, so that other machines reach it"
    if chosen.auth == "none":
        return f"{address}, and asks nobody who he is: everybody there reads and reviews (--auth token ends that)"
    return f"{address}: its token and the images travel unencrypted. A proxy with TLS, or `ssh -L`, keeps them"


def middleware() -> Sequence[Middleware]:
    """The gate, and behind it what makes Streamlit's own files come fast over a slow line."""
    base = addresses.base()
    return [Middleware(Gate, access=access), Middleware(Entry, base=base, desk=_modules), Middleware(Packed, base=base)]


def routes() -> Sequence[BaseRoute]:
    """Pictures and the desk's modules, under the base path."""
    under = addresses.base() + addresses.ROOM
    return [
        Route(f"{under}/picture/{{name:path}}", picture),
        Route(f"{under}/mean.jpg", mean),
        Route(f"{under}/health", health),
        Route(f"{under}/desk/{{name:path}}", module),
    ]


def picture(request: Request) -> Response:
    """`<image_id>.jpg?px=256|1600` or `<image_id>.png`; not in the event loop, because it may have to be made."""
    from radloop.dashboard import pictures  # what is kept for all sessions asks for a server that runs

    name, query = request.path_params["name"], request.query_params
    image_id, _, kind = name.rpartition(".")
    try:
        px = int(query.get("px", "0")) or None
        window = int(query.get("low", "0")), int(query.get("high", "255"))
        if kind not in ("jpg", "png") or (px is None) != (kind == "png") or not 0 <= window[0] < window[1] <= 255:
            raise ValueError
        found = pictures.prepare(_dataset(), options().images, image_id, px=px, window=window)
        headers = {"ETag": f'"{found.version}"', "Cache-Control": "private, no-cache"}
        if query.get("v") == found.version:
            headers["Cache-Control"] = _FOR_EVER
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        data, more = found.render()
        return Response(data, media_type="image/png" if px is None else "image/jpeg", headers=headers | more)
    except ValueError:
        return PlainTextResponse("An address is ID.png, ID.jpg?px=256 or ID.jpg?px=1600.\n", 404)
    except (RadloopError, OSError) as missing:
        return PlainTextResponse(f"{missing if isinstance(missing, RadloopError) else missing.strerror}\n", 404)


def mean(request: Request) -> Response:
    """The mean of some pictures of a split, `mean.jpg?split=…&v=…`: what boxes of a class are drawn over."""
    from radloop.dashboard import pictures

    try:
        found = _dataset()
        split = request.query_params.get("split") or None
        data = None if found is None else pictures.mean(found, options().images, split)
    except RadloopError as missing:
        return PlainTextResponse(f"{missing}\n", 404)
    if data is None:
        return PlainTextResponse("No picture of that split can be read.\n", 404)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": _FOR_EVER})


def health(_: Request) -> Response:
    """200 where the dataset can be read, or none is there yet; 503 where it is there and cannot be, or was to be there.

    Asked without a token: it tells nothing else.
    """
    path = options().dataset_folder
    try:
        if not path.exists():
            expected = not path.suffix and path.parent.is_dir()  # a folder that a first load makes, not a named file
            return PlainTextResponse("no dataset yet\n" if expected else "no dataset\n", 200 if expected else 503)
        found = _dataset()
    except (RadloopError, OSError):
        return PlainTextResponse("the dataset cannot be read\n", 503)
    return PlainTextResponse("no dataset, pictures alone\n" if found is None else "ok\n")


def _dataset() -> "Dataset | None":
    from radloop.dashboard import loading

    try:
        return loading.dataset(options().dataset_folder)
    except DatasetError:
        if options().images is None:
            raise
        return None


def _modules() -> list[str]:
    return [f"{addresses.desk()}/{name}" for name in addresses.desk_parts() if name.endswith(".js")]


def module(request: Request) -> Response:
    """A module or a style sheet of the desk: of the package's own files, those of one folder."""
    version, _, name = request.path_params["name"].rpartition("/")
    path = addresses.desk_parts().get(name)
    if path is None or version not in ("", addresses.desk_version()):
        return PlainTextResponse("The desk has no such part: reload the page.\n", 404)
    headers = {"Cache-Control": _FOR_EVER if version else "no-cache"}
    return FileResponse(path, media_type=_DESK_TYPES[path.suffix], headers=headers)


def _prepare() -> None:
    """Read what the first page will need before somebody asks for it."""
    with suppress(RadloopError, OSError):  # the page will say so
        import_module("radloop.dashboard.app")
        found = _dataset()
        if found is not None and options().feedback_folder.is_dir():
            from radloop.dashboard import loading

            loading.feedback(options().feedback_folder, found.taxonomy, options().convention)
