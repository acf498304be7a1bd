"""Where on this server something lies."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import streamlit as st

ROOM: Final = "/radloop"  # under which the server answers for itself, behind the base path

DESK: Final = Path(__file__).parent / "desk"  # its modules and style sheets are served, nothing else of it


def base() -> str:
    """The path that every address of this server begins with: empty, or as /reads."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def desk() -> str:
    """The address of the folder of the desk's modules: another one for another version, so that a browser keeps it."""
    return f"{base()}{ROOM}/desk/{desk_version()}"


@cache
def desk_version() -> str:
    """What tells these modules from those of another release."""
    return hashlib.md5(b"\0".join(path.read_bytes() for path in desk_parts().values())).hexdigest()[:12]


def desk_parts() -> dict[str, Path]:
    """The desk's modules and style sheets by name."""
    return {path.name: path for path in sorted(DESK.iterdir()) if path.suffix in (".js", ".css")}
