"""Time line: what happened in the loop, when and why; which model is in use, and what let it through."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.dashboard import alarms, course, landmarks, layout, links, model_tables, timeline_chart
from radloop.dashboard.course import Course, Row
from radloop.dashboard.landmarks import ALARMS, MODELS, ROUNDS, VERSIONS, Lane
from radloop.options import Dashboard
from radloop.words import several

_VIEWS: Final = ("What happened", landmarks.GATES_VIEW)
_WANTED: Final = "time-line-view"  # in the session: the view that a mark of this page led to
_TILE_PX: Final = 250
_TIME: Final = "%Y-%m-%d %H:%M"
_COMMANDS: Final[Mapping[Lane, tuple[str, str]]] = {
    ROUNDS: ("No round of re-training yet", "radloop retrain"),
    VERSIONS: ("No version was published yet", "radloop load"),
    MODELS: ("No model was compared or promoted yet", "radloop compare CHAMPION CHALLENGER --splits staging"),
    ALARMS: ("Nobody has looked for changes yet", "radloop monitor"),
}


def page(inputs: Dashboard) -> None:
    """The state in a line of four, then the chart and its table, or the models."""
    read = course.read(inputs)
    found, said = layout.quiet_dataset(inputs), layout.quiet_feedback(inputs)
    layout.head(
        "Time line",
        "What happened in the loop, when and why? Which model is in use, and what let it through?",
        simulated=layout.marks(found, said),
    )
    for lane in landmarks.LANES:
        if lane in read.refused:
            st.error(f"**Refused, {lane.lower()}:** {layout.plain(read.refused[lane])}")
    _state(read)
    if _WANTED in st.session_state:
        st.session_state["view"] = st.session_state.pop(_WANTED)
    view = st.segmented_control("View", _VIEWS, default=_VIEWS[0], required=True, key="view", bind="query-params")
    if view == _VIEWS[0]:
        _happened(read)
    else:
        model_tables.show(read, inputs.models_folder)


def _state(read: Course) -> None:
    """Four boxes: the model and the version in use, the last round, the alarms."""
    tiles = (
        ("Model in use", *_model(read.champion)),
        ("Dataset version", *_version(read.version)),
        ("Last round", *_round(read.round)),
        ("Watched over time", *alarms.tile(read.report)),
    )
    with st.container(horizontal=True, gap="small"):  # they wrap where there is no room for four
        for title, value, says in tiles:
            with st.container(border=True, width=_TILE_PX, height="stretch", gap=None):
                st.markdown(f":small[:gray[{title}]]")
                st.markdown(f"**{value}**")
                st.caption(says)


def _model(row: Row | None) -> tuple[str, str]:
    if row is None:
        return ":gray[none is named]", "`radloop promote` names one"
    by = "without a comparison" if row["comparison"] is None else f"by comparison {row['comparison']}"
    return layout.plain(row["model"]), layout.plain(f"since {row['at']:{_TIME}} UTC, {by}")


def _version(row: Row | None) -> tuple[str, str]:
    if row is None:
        return ":gray[none was published]", "`radloop load` publishes one"
    when = f"{row['action']} {row['published_at']:{_TIME}} UTC"
    return layout.plain(row["version"]), layout.plain(f"{when}: {landmarks.holds(row)}")


def _round(row: Row | None) -> tuple[str, str]:
    if row is None:
        return ":gray[none yet]", "`radloop retrain` makes one"
    when = "the time is unknown" if row["newest"] is None else f"knew feedback until {row['newest']:{_TIME}} UTC"
    return f"{several(row['rows_that_train'] or 0, 'row')} that train", layout.plain(f"round {row['round']}: {when}")


def _happened(read: Course) -> None:
    """The chart, what its empty lanes lack, and the same rows as a table."""
    events = read.events
    empty = _empty(read, events)
    if events["at"].count():
        figure = timeline_chart.draw(events, read.reigns, empty)
        st.markdown("**Rounds, dataset versions, models and alarms on one axis of time**")
        st.caption(
            "Point at a mark: what happened, and why. Lines: what was in use. A round stands at the newest feedback or "
            "review that it knew. Click: the page that tells more; or choose a row below."
        )
        alt = "Time line of the loop: the table below has the same rows"
        looks: Any = {"key": "time-line", "config": layout.CHART, "alt": alt, "selection_mode": "points"}
        event: Any = st.plotly_chart(figure, on_select="rerun", **looks)
        for point in event["selection"]["points"]:
            _follow(point.get("customdata"), events)
    for lane, why in empty.items():
        _lack(read, lane, why)
    if events.height:
        _table(events)


def _empty(read: Course, events: pl.DataFrame) -> dict[Lane, str]:
    """By lane without an event, why."""
    empty = {lane: _COMMANDS[lane][0] for lane in landmarks.LANES if not (events["lane"] == lane).any()}
    if ALARMS in empty and read.report is not None:
        found = "No alarm" if any(alarms.is_tested(read.report)) else "Too few images and reviews to say"
        empty[ALARMS] = f"{found} until {read.report.looked_at:{_TIME}} UTC"
    return {lane: "Refused: see above" if lane in read.refused else why for lane, why in empty.items()}


def _lack(read: Course, lane: Lane, why: str) -> None:
    """The command that fills an empty lane; nothing to fill where the monitor has looked and found nothing."""
    if lane not in read.refused and not (lane == ALARMS and read.report is not None):
        layout.missing(f"{why}.", _COMMANDS[lane][1])


def _follow(told: object, events: pl.DataFrame) -> None:
    """Go where a mark leads; what a browser makes up is not followed."""
    asked = told[0] if isinstance(told, list) and told else told
    if isinstance(asked, str) and asked in events["opens"]:
        _open(asked)


def _open(address: str) -> None:
    """Go there; Streamlit does not go to the page that it is on."""
    if address == landmarks.OPENS_GATES:
        st.session_state[_WANTED] = landmarks.GATES_VIEW
        st.rerun()
    links.open_page(address)


def _table(events: pl.DataFrame) -> None:
    """The rows of the chart; the choice of one leads to the page that tells more."""
    time = pl.col("at").dt.strftime(_TIME).fill_null("unknown").alias("time (UTC)")
    shown = events.select(time, "lane", "kind", "what", "why")
    if shown.height > layout.MOST_SHOWN:
        st.caption(f"The newest {layout.MOST_SHOWN:,} rows; the CSV has all.")
    event: Any = st.dataframe(
        shown.head(layout.MOST_SHOWN), hide_index=True, key="events", on_select="rerun", selection_mode="single-row"
    )
    layout.download(events.drop("opens"), key="events")
    for row in event["selection"]["rows"]:
        _open(events["opens"][row])
