"""The Streamlit app: `streamlit run app.py -- --dataset DIR …`, or `radloop dashboard`."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Final

import streamlit as st

from radloop import __version__
from radloop.dashboard.inputs import Inputs
from radloop.dashboard.pages import labels, overview

PAGES: Final[Mapping[str, Mapping[str, ModuleType]]] = {
    "Dataset": {"Overview": overview, "Labels": labels},
}


def main(inputs: Inputs) -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="radloop", layout="wide", initial_sidebar_state="expanded")
    menu = {
        section: [
            _page(title, partial(module.page, inputs), default=module is overview) for title, module in pages.items()
        ]
        for section, pages in PAGES.items()
    }
    chosen = st.navigation(menu)
    with st.sidebar:
        st.caption(f"radloop {__version__} · light theme: menu at the top right")
    chosen.run()


def _page(title: str, draw: Callable[[], None], *, default: bool) -> st.Page:
    return st.Page(draw, title=title, url_path=title.lower(), default=default)


if __name__ == "__main__":
    main(Inputs.parse(sys.argv[1:]))
