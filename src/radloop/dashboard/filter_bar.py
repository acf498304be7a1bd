"""The filters of the page Images: the address tells them, and another choice changes the address."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import streamlit as st

from radloop.catalog import judging
from radloop.dashboard import filters, layout, links
from radloop.dashboard.filters import Choices, Filters
from radloop.words import several

_ANY: Final = "(any)"
_ORDERS: Final[Mapping[str, str]] = {"disagreement": "disagreement", "boxes": "most boxes", "id": "image id"}
_FIRST: Final = ("split", "classes", "readers", "outcome", "order")  # filters that are always seen


def restore() -> None:
    """Come back to the page as it was left: an address that tells nothing is that of the menu."""
    if links.came_from_another() and not st.query_params.to_dict() and st.session_state.get(links.KEPT):
        st.query_params.from_dict(st.session_state[links.KEPT])


def keep() -> None:
    st.session_state[links.KEPT] = {name: st.query_params.get_all(name) for name in st.query_params}


def change(**told: str | Sequence[str] | None) -> None:
    """Change the address; None takes a part away."""
    for name, value in told.items():
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = value
    keep()


def draw(asked: Filters, known: Choices) -> None:
    """The filters, as the address has them; another choice changes the address."""
    columns = st.columns([4, 6, 4, 4, 4, 3, 3], vertical_alignment="bottom")
    if known.splits:
        _select(columns[0], "Split", "split", asked.split, known.splits, disabled=False)
    _several(columns[1], "Class", "class", asked.classes, {name: name for name in known.classes})
    _several(columns[2], "Read by", "reader", asked.readers, known.readers)
    _select(columns[3], "AI findings", "outcome", asked.outcome, filters.OUTCOMES, disabled=not known.detectors)
    st.session_state["filter-order"] = asked.order or filters.ORDERS[0]
    columns[4].selectbox(
        "First",
        filters.ORDERS,
        key="filter-order",
        format_func=lambda one: _ORDERS[one],
        on_change=_changed,
        args=("order",),
    )
    told = [one.name for one in fields(Filters) if one.name not in _FIRST and getattr(asked, one.name) is not None]
    with columns[5].popover(f"More ({len(told)})" if told else "More", width="stretch", help="More filters"):
        _more(asked, known)
    columns[6].button("Clear", on_click=_clear, disabled=not asked.query(), width="stretch", help="Clear all filters")
    words = _words(asked)
    if words:
        st.caption(words)


def _more(asked: Filters, known: Choices) -> None:
    first, second, third, fourth = st.columns(4)
    named = {f"{at}": judging.name(*detector) for at, detector in enumerate(known.detectors)}
    own = (asked.model or "", asked.version or "")
    at = str(known.detectors.index(own)) if asked.model is not None and own in known.detectors else None
    key = "filter-detector"
    st.session_state[key] = at or _ANY
    first.selectbox(
        "Detector", [_ANY, *named], key=key, format_func=lambda one: named.get(one, one), disabled=not named,
        on_change=_detector, args=(known,),
    )  # fmt: skip
    low, high = asked.min_confidence or 0.0, 1.0 if asked.max_confidence is None else asked.max_confidence
    st.session_state["filter-confidence"] = (low, max(low, high))
    second.slider(
        "Confidence", 0.0, 1.0, step=0.01, key="filter-confidence", on_change=_confidence,
        disabled=not named,
    )  # fmt: skip
    _select(third, "Site", "site", asked.site, known.sites, disabled=not known.sites)
    _select(fourth, "Device", "device", asked.device, known.devices, disabled=not known.devices)
    when = "" if known.time is None else f" Feedback is from {known.time[0]:%Y-%m-%d} to {known.time[1]:%Y-%m-%d}."
    _text(first, "Since (UTC)", "since", asked, f"Time of the feedback, such as 2026-01-31 or 2026-01-31T08:00.{when}")
    _text(second, "Until (UTC)", "until", asked, f"Time of the feedback, such as 2026-01-31 or 2026-01-31T08:00.{when}")
    _text(third, "Image id contains", "contains", asked)
    _text(fourth, "Group", "group", asked)


def _select(column: Any, title: str, name: str, value: str | None, options: Sequence[str], *, disabled: bool) -> None:
    key = f"filter-{name}"
    st.session_state[key] = value or _ANY
    column.selectbox(title, [_ANY, *options], key=key, on_change=_changed, args=(name,), disabled=disabled)


def _several(column: Any, title: str, name: str, values: tuple[str, ...], options: Mapping[str, str]) -> None:
    key = f"filter-{name}"
    st.session_state[key] = list(values)
    column.multiselect(
        title, list(options), key=key, format_func=lambda one: options[one], placeholder=_ANY, on_change=_changed,
        args=(name,),
    )  # fmt: skip


def _text(column: Any, title: str, name: str, asked: Filters, explains: str | None = None) -> None:
    key = f"filter-{name}"
    st.session_state[key] = asked.query().get(name, "")
    column.text_input(title, key=key, on_change=_changed, args=(name,), help=explains)


def _changed(name: str) -> None:
    value = st.session_state[f"filter-{name}"]
    change(**{name: None if value == _ANY else value or None, "image": None, "page": None})


def _detector(known: Choices) -> None:
    at = st.session_state["filter-detector"]
    model, version = (None, None) if at == _ANY else known.detectors[int(at)]
    change(model=model, version=version, image=None, page=None)


def _confidence() -> None:
    low, high = st.session_state["filter-confidence"]
    told = {"min_confidence": f"{low:g}" if low > 0 else None, "max_confidence": f"{high:g}" if high < 1 else None}
    change(**told, image=None, page=None)


def _clear() -> None:
    st.query_params.clear()
    keep()


def _words(asked: Filters) -> str:
    """What is meant where a filter could mean two things."""
    told = []
    if asked.of_boxes:
        told.append("Classes are those of the AI's boxes and of what it missed, judged at IoU 0.4.")
    elif asked.model is not None and asked.classes:
        told.append("Images on which a label or the detector has the class.")
    if asked.boxes is not None:
        told.append(f"With {several(asked.boxes, 'box')} in labels.")
    if asked.measure is not None:
        ends = [f"from {asked.low:g}"] if asked.low is not None else []
        ends += [f"to below {asked.high:g}"] if asked.high is not None else []
        told.append(f"{layout.plain(asked.measure)} {' '.join(ends)}.")
    return " ".join(told)
