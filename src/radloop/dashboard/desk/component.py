"""The desk as a part of a page: a few lines that load its modules from this server, and what they are told."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from radloop.dashboard import addresses

KEY: Final = "desk"  # of its last message, in st.session_state
FOLDER: Final = Path(__file__).parent

# Streamlit calls it on every run of the page; the modules keep their state by the element that they are in.
_LOADER: Final = """
export default function ({ data, parentElement, setTriggerValue }) {
  const part = (name) => new URL(`${data.parts}/${name}`, document.baseURI).href;
  let desk = null;
  if (!parentElement.querySelector("link")) {
    const link = (more) => parentElement.append(Object.assign(document.createElement("link"), more));
    link({ rel: "stylesheet", href: part("desk.css") });
    data.modules.forEach((name) => link({ rel: "modulepreload", href: part(name) }));
  }
  import(part("desk.js")).then(
    ({ mount }) => { desk = mount({ data, parentElement, setTriggerValue }); },
    (error) => { parentElement.append(`The desk cannot be loaded: ${error.message}. Reload the page.`); },
  );
  return () => setTimeout(() => parentElement.isConnected || desk?.stop());
}
"""


def modules() -> list[str]:
    """The names of the desk's modules."""
    return sorted(path.name for path in FOLDER.glob("*.js"))


@cache
def _component() -> ComponentRenderer:
    return st.components.v2.component("radloop.desk", js=_LOADER)


def show(data: Mapping[str, Any], heard: Callable[[], None]) -> None:
    """Put the desk on the page; `heard` is called when it says something, which is in `message()` then."""
    parts = addresses.desk()
    _component()(key=KEY, data={"parts": parts, "modules": modules(), **data}, on_message_change=heard)


def message() -> Mapping[str, Any]:
    """What the desk said last."""
    said = st.session_state[KEY]["message"]
    return said if isinstance(said, Mapping) else {}
