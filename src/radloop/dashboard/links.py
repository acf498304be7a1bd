"""From a number to the images behind it: clicks on charts and choices of rows lead to the page Images."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs, urlencode

import polars as pl
import streamlit as st

KEPT: Final = "images-address"  # in the session: the filters of the last look at the page Images
_HERE: Final = "page"  # in the session: the page that is looked at,
_BEFORE: Final = "page-before"  # and the one at the run before

Opens = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]  # of a row, the filters of its images; None: of none


def arrive(title: str) -> None:
    """Remember which page is looked at, and which was before."""
    st.session_state[_BEFORE] = st.session_state.get(_HERE)
    st.session_state[_HERE] = title


def came_from_another() -> bool:
    """Whether another page was looked at before this one."""
    return bool(st.session_state.get(_BEFORE) != st.session_state.get(_HERE))


def address(asked: Mapping[str, Any] | None) -> str:
    """The filters of images (`filters.NAMES`, or an `image`) as the end of an address; empty where there are none.

    >>> address({"class": ["a/b", "c"], "split": None, "low": 0.1})
    'class=a%2Fb&class=c&low=0.1'
    """
    told = {name: value for name, value in (asked or {}).items() if value is not None}
    return urlencode({name: written(value) for name, value in told.items()}, doseq=True)


def follow(told: object) -> None:
    """Go to the images that something on a chart stands for."""
    first = told[0] if isinstance(told, list) and told else told
    if isinstance(first, str) and first:
        open_images(**parse_qs(first, keep_blank_values=True))


def image_of(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The image that a row of a table is about."""
    return {"image": row["image_id"]} if row["image_id"] is not None else None


def choose(data: pl.DataFrame, *, key: str, opens: Opens, **looks: Any) -> None:
    """A table of which a row leads to its images, by a click on its box or by the keyboard."""
    event: Any = st.dataframe(data, hide_index=True, key=key, on_select="rerun", selection_mode="single-row", **looks)
    for row in event["selection"]["rows"]:
        asked = opens(data.row(row, named=True))
        if asked is not None:
            open_images(**asked)


def open_image(image_id: str) -> NoReturn:
    """Go to the image on its own page."""
    open_images(image=image_id)


def open_images(**asked: Any) -> NoReturn:
    """Go to the images that have this in common, by the names of `filters.NAMES`; None asks for nothing."""
    query = {name: written(value) for name, value in asked.items() if value is not None}
    # no widget may be bound to one of these names, or Streamlit would refuse
    st.switch_page(st.Page(_nowhere, url_path="images"), query_params=query)


def open_page(told: str) -> NoReturn:
    """Go to a page by the end of its address, such as `versions?view=Two+versions`."""
    path, _, query = told.partition("?")
    st.switch_page(st.Page(_nowhere, url_path=path), query_params=parse_qs(query))


def written(value: object) -> str | list[str]:
    """As an address has it.

    >>> written(0.5), written(("a", 3)), written(1 / 3)
    ('0.5', ['a', '3'], '0.3333333333333333')
    """
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _nowhere() -> None:
    """Stands for a page that is known by its address."""
