"""The Streamlit app: the menu, and the page that the address names."""

from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Final

import streamlit as st

from radloop import __version__
from radloop.dashboard import layout, links, serving
from radloop.dashboard.pages import (
    detector,
    drift,
    feedback,
    heatmaps,
    images,
    labels,
    overview,
    readers,
    reads,
    retraining,
    review,
    timeline,
    versions,
)
from radloop.options import Dashboard

PAGES: Final[Mapping[str, Mapping[str, ModuleType]]] = {
    "Dataset": {
        "Overview": overview,
        "Labels": labels,
        "Readers": readers,
        "Drift": drift,
        "Heatmaps": heatmaps,
        "Images": images,
        "Versions": versions,
    },
    "Loop": {
        "Time line": timeline,
        "Feedback": feedback,
        "Detector": detector,
        "Review": review,
        "My reads": reads,
        "Re-training": retraining,
    },
}

# Streamlit leaves six lines of nothing above a title and wide margins; a radiograph needs the room.
_STYLE: Final = """<style>
.stMainBlockContainer {padding: 1.75rem 2.5rem 4rem}
.stMainBlockContainer h1 {font-size: 1.75rem; padding: 0}
[data-testid=stMetricValue] {font-size: 1.6rem}
.stAppHeader, [data-testid=stHeader] {background: transparent; pointer-events: none; height: 2.75rem; min-height: 0}
.stAppHeader button, .stAppHeader a, [data-testid=stHeader] button {pointer-events: auto}
</style>"""


def main(inputs: Dashboard) -> None:
    """Draw the page that the address names."""
    st.set_page_config(layout="wide", initial_sidebar_state="expanded")
    st.html(_STYLE)
    menu = {
        section: [_page(title, module, inputs) for title, module in pages.items()] for section, pages in PAGES.items()
    }
    chosen = st.navigation(menu, expanded=True)
    layout.page_title(chosen.title)
    links.arrive(chosen.title)
    with st.sidebar:
        if inputs.exposed:
            st.caption(f":orange[Open to the network:] {serving.exposure(inputs)}.")
        st.caption(f"radloop {__version__} · light theme: menu at the top right")
    chosen.run()


def _page(title: str, module: ModuleType, inputs: Dashboard) -> st.Page:
    draw = partial(module.page, inputs)
    return st.Page(draw, title=title, url_path=_path(title), default=module is overview)


def _path(title: str) -> str:
    """The address of a page.

    >>> _path("My reads")
    'my-reads'
    """
    return title.lower().replace(" ", "-")
