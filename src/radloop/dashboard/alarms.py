"""What `radloop monitor` found, on the pages: alarms, figures that are watched, and whether a round is due.

An alarm is red: the test gives so many false ones a year as were accepted, and no more. That there is none is gray:
it proves nothing. That a round is due is a count against its limit.
"""

from typing import Final

import msgspec
import polars as pl
import streamlit as st

from radloop.catalog import monitor
from radloop.catalog.monitor import Alarm, Report
from radloop.dashboard import axes, figures, layout
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.tables import TIME
from radloop.words import several

COMMAND: Final = "radloop monitor"
_MOST_NAMED: Final = 5  # figures for which there is too little; the table has all
_TIME: Final = "%Y-%m-%d %H:%M"
_FIGURES: Final = pl.Schema(
    {
        **dict.fromkeys(("figure", "kind"), pl.String()),
        "n": pl.Int64(),
        **dict.fromkeys(("statistic", "threshold"), pl.Float64()),
        "alarm_at": TIME,
        **dict.fromkeys(("direction", "says"), pl.String()),
    }
)
_DUE: Final = pl.Schema(
    {"rule": pl.String(), "value": pl.Float64(), "limit": pl.Float64(), "due": pl.Boolean(), "says": pl.String()}
)


def read(inputs: Dashboard) -> Report | None:
    """The last report; None where there is none. One that cannot be used is shown as refused."""
    try:
        return monitor.read(inputs.monitor_folder)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return None


def tile(report: Report | None) -> tuple[str, str]:
    """The state in two words, and the sentence below (Markdown)."""
    if report is None:
        return ":gray[nobody has looked]", f"`{COMMAND}` looks"
    due = ":orange[a round is due]" if any(rule.due for rule in report.due) else ""
    tested = sum(is_tested(report))
    looked = f"looked {report.looked_at:{_TIME}} UTC; {tested:,} of {several(len(report.figures), 'figure')} tested"
    if not tested:
        return _joined(":gray[too few to say]", due), f"{looked}: there are too few images and reviews"
    if not report.alarms:
        says = f"{looked}, none is proven to have changed; false alarms accepted a year: {report.rate:g}"
        return _joined(":gray[no alarm]", due), says
    last = max(report.alarms, key=lambda alarm: alarm.at)
    figure = layout.plain(layout.shortened(last.figure, 60))
    return _joined(f":red[{several(len(report.alarms), 'alarm')}]", due), f"the last {_when(last)}, {figure}; {looked}"


def is_tested(report: Report) -> list[bool]:
    """Of each figure whether there are images or reviews enough."""
    return [figure.statistic is not None for figure in report.figures]


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def _when(alarm: Alarm) -> str:
    return f"{alarm.at:{_TIME}} UTC"


def notes(report: Report | None) -> list[str]:
    """A line for each alarm, the newest first, and each reason for which a round is due (Markdown)."""
    if report is None:
        return []
    newest = sorted(report.alarms, key=lambda alarm: alarm.at, reverse=True)
    red = [f":red[**ALARM**] {_when(one)}, {layout.plain(one.figure)}: {layout.plain(one.says)}" for one in newest]
    due = [
        f":orange[**A round is due**] ({layout.plain(rule.rule)}): {layout.plain(rule.says)}"
        for rule in report.due
        if rule.due
    ]
    return red + due


def remind(inputs: Dashboard) -> None:
    """What is proven and what is due, on a page about something else; nothing where there is nothing to say."""
    for note in notes(read(inputs)):
        st.markdown(f":small[{note}]")


def show(inputs: Dashboard) -> None:
    """All of the report: alarms, what is due, every figure that is watched."""
    report = read(inputs)
    if report is None:
        path = inputs.monitor_folder / monitor.NAME
        if not path.exists():
            layout.missing(layout.absent("report of changes over time", path), COMMAND)
        return
    reference = report.reference
    since = "no feedback yet" if reference.since is None else f"since {reference.since:{_TIME}} UTC"
    st.caption(
        f"Looked {report.looked_at:{_TIME}} UTC at the feedback of {layout.plain(reference.model)} {since} "
        f"({layout.plain(reference.why)}); the first {several(reference.images, 'image')} or more of each figure "
        f"taught what is usual. False alarms accepted a year, over all figures together: {report.rate:g}."
    )
    for note in notes(report):
        st.markdown(f"- {note}")
    if not report.alarms:
        layout.cannot_tell("whether anything changed: no figure is proven to have, which is no proof that none has.")
    few = [layout.plain(figure.figure) for figure in report.figures if figure.statistic is None]
    if few:
        told = f"{several(len(few), 'figure')} ({layout.listed(few, _MOST_NAMED)})"
        layout.cannot_tell(f"of {told}: too few images, or reviews, so far.")
    _figures(report)
    _due(report)


def _figures(report: Report) -> None:
    told = [msgspec.structs.asdict(figure) for figure in report.figures]
    table = pl.DataFrame(told, schema=_FIGURES)
    state = pl.when(pl.col("alarm_at").is_not_null()).then(pl.lit("alarm")).otherwise(pl.lit("no alarm"))
    share = pl.col("statistic") / pl.col("threshold")
    drawn = table.with_columns(state=state, share=share).drop_nulls("share").sort("share", descending=True)
    if drawn.height:
        shown = drawn.head(figures.MOST_ROWS)
        figure = figures.dots(shown, of="figure", value="share", by="state", title="statistic ÷ threshold")
        for trace in figure.data:
            trace.marker.color = figures.VERMILION if trace.name == "alarm" else figures.GREY
        figure.update_xaxes(**axes.logarithmic([*shown["share"], 1.0]))
        figure.add_vline(x=1, line_width=1, line_color=figures.GREY)
        layout.chart(
            "How near each figure is to an alarm",
            figure,
            table,
            key="watched",
            units="An alarm where the statistic reached its threshold (1), once; as it was then. Evidence grows by "
            "factors, so the axis is logarithmic.",
        )
    elif table.height:
        layout.table(table, key="watched")


def _due(report: Report) -> None:
    st.markdown("**Is a round due?**")
    table = pl.DataFrame([msgspec.structs.asdict(rule) for rule in report.due], schema=_DUE)
    st.dataframe(table, hide_index=True, key="due")
