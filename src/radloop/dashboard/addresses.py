"""Where on this server something lies."""

from typing import Final

import streamlit as st

ROOM: Final = "/radloop"  # under which the server answers for itself, behind the base path


def base() -> str:
    """The path that every address of this server begins with: empty, or as /reads."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""
