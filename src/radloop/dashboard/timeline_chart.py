"""The chart of the time line: a lane for each kind of thing, one axis of time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import plotly.graph_objects as go
import polars as pl

from radloop.dashboard import figures, landmarks
from radloop.dashboard.landmarks import LANES, Kind, Lane
from radloop.dashboard.layout import label, shortened

# Red is for what is proven wrong alone: an alarm. A gate that was missed may only mean too few images.
LOOKS: Final[Mapping[Kind, tuple[str, str]]] = {
    "round": (figures.PURPLE, "diamond"),
    "published": (figures.SKY, "circle"),
    "promoted": (figures.BLUE, "star"),
    "gates passed": (figures.GREEN, "triangle-up"),
    "gate missed": (figures.ORANGE, "x"),
    "rolled back": (figures.YELLOW, "triangle-left"),
    "alarm": (figures.VERMILION, "cross"),
}
_LANE_PX: Final = 82
_NEAR: Final = 0.012  # of the axis: what is nearer lies above the one before,
_STEP: Final = 0.2  # by so much of a lane,
_STEPS: Final = 4  # and so often
_BELOW: Final = 0.3  # the line of what is in use
_NAMED: Final = 0.14  # of the axis: a shorter reign is named by its hover alone
_ROOM: Final = (0.03, 0.14)  # of the axis, before the first and behind the last
_ALONE: Final = timedelta(days=1)  # each side of a single time
_LONGEST: Final = 20


def draw(events: pl.DataFrame, reigns: pl.DataFrame, empty: Mapping[Lane, str]) -> go.Figure:
    """Points of EVENTS and lines of REIGNS; `empty` says of a lane why nothing is in it."""
    figure = figures.empty(height=110 + _LANE_PX * len(LANES))
    dated = events.filter(pl.col("at").is_not_null()).sort("at", maintain_order=True)
    first, last = _axis(dated)
    _lines(figure, reigns, first, last)
    heights = _heights(dated, (last - first).total_seconds() * _NEAR)
    for kind, (colour, symbol) in LOOKS.items():
        part = dated.with_columns(y=pl.Series(heights, dtype=pl.Float64)).filter(kind=kind)
        if part.is_empty():
            continue
        figure.add_scatter(
            x=part["at"].to_list(),
            y=part["y"].to_list(),
            name=kind,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 12, "line": {"width": 1, "color": figures.GREY}},
            text=[_hover(*row) for row in part.select("what", "why").iter_rows()],
            customdata=part["opens"].to_list(),
            hovertemplate="%{x|%Y-%m-%d %H:%M} UTC<br>%{text}<extra></extra>",
            cliponaxis=False,
        )
    for lane, why in empty.items():
        figure.add_annotation(
            x=0.01, xref="paper", y=_place(lane), text=label(why), showarrow=False, xanchor="left",
            font={"color": figures.GREY},
        )  # fmt: skip
    _lanes(figure)
    figure.update_xaxes(range=[first, last], type="date", title="time (UTC)")
    return figure


def _axis(dated: pl.DataFrame) -> tuple[datetime, datetime]:
    """From when until when; a day of each side where there is one time alone."""
    ends = landmarks.span(dated)
    if ends is None:
        return datetime.fromtimestamp(0, UTC), datetime.fromtimestamp(0, UTC) + _ALONE
    first, last = ends
    if first == last:
        return first - _ALONE, last + _ALONE
    return first - (last - first) * _ROOM[0], last + (last - first) * _ROOM[1]


def _place(lane: Lane) -> float:
    """The height of a lane: the first on top."""
    return float(len(LANES) - 1 - LANES.index(lane))


def _heights(dated: pl.DataFrame, near: float) -> list[float]:
    """Where each point lies: above the one before it in its lane where that is near."""
    before: dict[str, tuple[datetime, int]] = {}
    heights = []
    for at, lane in dated.select("at", "lane").iter_rows():
        steps = 0
        if lane in before and (at - before[lane][0]).total_seconds() < near:
            steps = (before[lane][1] + 1) % _STEPS
        before[lane] = (at, steps)
        heights.append(_place(lane) - 0.12 + steps * _STEP)
    return heights


def _lines(figure: go.Figure, reigns: pl.DataFrame, first: datetime, last: datetime) -> None:
    """What was in use, by name where there is room for it."""
    for place, (lane, name, at, until) in enumerate(reigns.iter_rows()):
        end, y = until or last, _place(lane) - _BELOW
        figure.add_scatter(
            x=[at, end],
            y=[y, y],
            mode="lines",
            line={"width": 7, "color": (figures.SKY, figures.BLUE)[place % 2]},
            opacity=0.55,
            text=label(name),
            hovertemplate="%{text}<extra>in use</extra>",
            showlegend=False,
        )
        if (end - at) >= (last - first) * _NAMED or until is None:
            figure.add_annotation(
                x=at, y=y - 0.02, text=label(shortened(name, _LONGEST)), showarrow=False, xanchor="left", yanchor="top",
                font={"size": 11, "color": figures.GREY},
            )  # fmt: skip


def _lanes(figure: go.Figure) -> None:
    ticks: Sequence[float] = [_place(lane) for lane in LANES]
    figure.update_yaxes(
        tickvals=ticks, ticktext=list(LANES), range=[-0.6, len(LANES) - 0.5], showgrid=False, zeroline=False,
        fixedrange=True,
    )  # fmt: skip
    for y in ticks[:-1]:
        figure.add_hline(y=y - 0.58, line={"width": 1, "color": figures.GREY}, opacity=0.25)


def _hover(what: str, why: str) -> str:
    """Both, in lines that a hover has room for."""
    return f"<b>{label(what)}</b><br>{'<br>'.join(_wrapped(why))}"


def _wrapped(text: str, width: int = 70, most: int = 8) -> list[str]:
    import textwrap

    lines = textwrap.wrap(text, width) or [""]
    shown = [label(line) for line in lines[:most]]
    return shown if len(lines) <= most else [*shown, "…"]
