"""Charts from tables of measures. Colours are Okabe and Ito's (2008), which the colour-blind can tell apart."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import plotly.graph_objects as go
import polars as pl

from radloop.dashboard import axes
from radloop.dashboard.layout import label
from radloop.dashboard.links import Opens, address
from radloop.tables import SPLITS

ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#999999"
CYCLE: Final = (SKY, ORANGE, GREEN, PURPLE, VERMILION, BLUE, YELLOW, GREY)
SPLIT_COLOURS: Final[Mapping[str, str]] = {"all": SKY, **dict(zip(SPLITS, CYCLE, strict=False))}
SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon")

MOST_ROWS: Final = 40  # in a chart: it stays readable, and no page grows without end
LONGEST_TICK: Final = 30  # of a name beside an axis: in two columns the chart needs the rest
_MANY_NAMES: Final = 20  # below an axis: more lie across each other unless they stand upright
_LONG_PX: Final = 520  # of a chart whose lower end may be below the window's
_ROW_PX: Final = 26

# Plotly looks for pandas among the loaded modules; half of it, while another session is loading it, is an error.
_WHOLE: Final = pd.Series


def empty(*, height: int = 360, x: str = "", y: str = "", legend: bool = True) -> go.Figure:
    """Axes with their titles."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 30 if legend else 10, "b": 10},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        xaxis={"title": x, "automargin": True},
        yaxis={"title": y, "automargin": True},
        hoverlabel={"namelength": -1},
    )
    return figure


def most(data: pl.DataFrame, *, of: str, size: str, what: str, besides: Sequence[str] = ()) -> tuple[pl.DataFrame, str]:
    """The rows of the 40 values of `of` whose `size` sums to most, in their order; and the sentence that says so.

    Where there are no more all rows and no sentence. `what` names them: "classes". Values that are none of these
    stand in `besides`: they stay and are not counted.
    """
    counted = data.filter(~pl.col(of).is_in(besides))
    sums = counted.group_by(of, maintain_order=True).agg(pl.col(size).sum())
    if sums.height <= MOST_ROWS:
        return data, ""
    kept = sums.sort(size, descending=True, nulls_last=True, maintain_order=True).head(MOST_ROWS)[of].to_list()
    shown = data.filter(pl.col(of).is_in([*kept, *besides]))
    return shown, f"The {MOST_ROWS} most frequent of {sums.height:,} {what}; the data below has all."


def bars(
    data: pl.DataFrame,
    *,
    of: str,
    value: str,
    by: str | None = None,
    title: str,
    percent: bool = False,
    opens: Opens | None = None,
) -> go.Figure:
    """Lying bars of `value` for each `of`, the first on top; side by side for each `by`. opens: see `layout.chart`."""
    names = data[of].unique(maintain_order=True).to_list()
    groups = data.partition_by(by, as_dict=True, maintain_order=True) if by else {("",): data}
    figure = empty(height=_height(len(names) * (1 + 0.4 * (len(groups) - 1))), x=title, legend=by is not None)
    for place, ((group,), part) in enumerate(groups.items()):
        figure.add_bar(
            y=[label(name) for name in part[of]],
            x=part[value].to_list(),
            name=label(group),
            orientation="h",
            marker_color=SPLIT_COLOURS.get(str(group), CYCLE[place % len(CYCLE)]),
            customdata=addresses(part, opens),
        )
    figure.update_layout(barmode="group")
    figure.update_yaxes(autorange="reversed", **_named(names))
    figure.update_xaxes(**axes.linear(data[value], whole=data[value].dtype.is_integer(), percent=percent))
    return _read_from_the_top(figure)


def dots(
    data: pl.DataFrame,
    *,
    of: str,
    value: str,
    by: str,
    title: str,
    expected: str | None = None,
    percent: bool = False,
    opens: Opens | None = None,
) -> go.Figure:
    """A dot of `value` for each `of` and `by`, with its interval if the table has one; a line where `expected` lies.

    A dot is hollow where the table has intervals and this row has too few to tell one.
    """
    names = data[of].unique(maintain_order=True).to_list()
    groups = data.partition_by(by, as_dict=True, maintain_order=True)
    figure = empty(height=_height(len(names) * (0.9 + 0.25 * len(groups))), x=title)
    if expected:
        first = data.unique(of, keep="first", maintain_order=True)
        figure.add_scatter(
            y=[label(name) for name in first[of]],
            x=first[expected].to_list(),
            name="expected",
            mode="markers",
            orientation="h",
            offsetgroup="0",
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 2, "color": GREY}},
        )
    for place, ((group,), part) in enumerate(groups.items()):
        colour = SPLIT_COLOURS.get(str(group), CYCLE[place % len(CYCLE)])
        figure.add_scatter(
            y=[label(name) for name in part[of]],
            x=part[value].to_list(),
            error_x=_interval(part, value, colour),
            name=label(group),
            mode="markers",
            orientation="h",
            offsetgroup=str(place + 1),
            customdata=addresses(part, opens),
            cliponaxis=False,  # a dot at 0 or 1 is a whole one
            marker={"symbol": _symbols(part, value, place), "size": 9, "color": colour, "opacity": 0.9},
        )
    shown = [label(name) for name in names]
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=shown, **_named(names))
    figure.update_layout(scattermode="group", scattergap=0.3)
    drawn = [data[name] for name in (value, f"{value}_low", f"{value}_high", expected) if name in data.columns]
    figure.update_xaxes(**axes.linear(pl.concat(drawn), percent=percent))
    return _read_from_the_top(figure)


def lines(
    data: pl.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    x_title: str,
    y_title: str,
    percent: bool = False,
    log: bool = False,
    opens: Opens | None = None,
) -> go.Figure:
    """A line for each `by`."""
    figure = empty(x=x_title, y=y_title)
    groups = data.partition_by(by, as_dict=True, maintain_order=True)
    for place, ((group,), part) in enumerate(groups.items()):
        figure.add_scatter(
            x=part[x].to_list(),
            y=part[y].to_list(),
            name=label(group),
            mode="lines+markers",
            line={"color": SPLIT_COLOURS.get(str(group), CYCLE[place % len(CYCLE)])},
            marker={"symbol": SYMBOLS[place % len(SYMBOLS)]},
            customdata=addresses(part, opens),
        )
    figure.update_xaxes(**axes.linear(data[x], whole=data[x].dtype.is_integer()))
    figure.update_yaxes(**(axes.logarithmic(data[y]) if log else axes.linear(data[y], percent=percent)))
    return figure


def matrix(
    data: pl.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    names: Sequence[str],
    title: str,
    hover: str | None = None,
    opens: Opens | None = None,
) -> go.Figure:
    """A cell of `value` for each pair of `names`; what the table does not hold stays empty."""
    places = {name: place for place, name in enumerate(names)}
    cells = np.full((len(names), len(names)), np.nan)
    said = np.full((len(names), len(names)), "", dtype=object)
    for name_x, name_y, number, text in data.select(x, y, value, hover or pl.lit("")).iter_rows():
        cells[places[name_y], places[name_x]] = np.nan if number is None else number
        said[places[name_y], places[name_x]] = label(text)
    figure = empty(height=max(420, _height(len(names))), legend=False)
    shown = [label(name) for name in names]
    figure.add_heatmap(
        x=shown,
        y=shown,
        z=cells,
        customdata=said,
        colorscale="Cividis",
        colorbar={"title": {"text": title, "side": "right"}},
        hovertemplate="%{y}<br>%{x}<br>" + title + " %{z:.3~g}<br>%{customdata}<extra></extra>",
        xgap=1,
        ygap=1,
        hoverongaps=False,
    )
    if opens is not None:
        held = data.filter(pl.col(value).is_not_null())
        figure.update_traces(hoverinfo="skip", hovertemplate=None)
        figure.add_trace(
            clickable(held, x=x, y=y, told=held.select(_told(title, value, hover)).to_series(), opens=opens)
        )
    figure.update_xaxes(**_named(names), tickangle=-90 if len(names) > _MANY_NAMES else -45, showgrid=False)
    figure.update_yaxes(autorange="reversed", **_named(names), showgrid=False)
    return figure


def _read_from_the_top(figure: go.Figure) -> go.Figure:
    """Put the axis of a long chart above it, where its first rows are looked at."""
    if figure.layout.height > _LONG_PX:
        figure.update_xaxes(side="top")
        figure.update_layout(margin={"t": 100 if figure.layout.showlegend else 60})
        figure.update_layout(legend={"yref": "container", "y": 1.0, "yanchor": "top"})
    return figure


def addresses(part: pl.DataFrame, opens: Opens | None) -> list[str] | None:
    """Where a click on each row leads, as `layout.chart` follows it."""
    return None if opens is None else [address(opens(row)) for row in part.iter_rows(named=True)]


def clickable(held: pl.DataFrame, *, x: str, y: str, told: pl.Series, opens: Opens) -> go.Scatter:
    """Points that nobody sees in the middle of cells, one a row: Plotly takes no click on a heatmap for a choice."""
    return go.Scatter(
        x=[label(one) if isinstance(one, str) else one for one in held[x]],
        y=[label(one) if isinstance(one, str) else one for one in held[y]],
        text=[label(one) for one in told],
        customdata=addresses(held, opens),
        mode="markers",
        marker={"size": 24, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hovertemplate="%{y}<br>%{x}<br>%{text}<extra></extra>",
        showlegend=False,
    )


def _told(title: str, value: str, hover: str | None) -> pl.Expr:
    number = pl.format(f"{title} {{}}", pl.col(value).round_sig_figs(3))
    return number if hover is None else pl.format("{}; {}", number, pl.col(hover))


def ranges(data: pl.DataFrame, *, of: str, measure: str, title: str, percent: bool = False) -> go.Figure:
    """Boxes from the quantiles p05, p25, p50, p75 and p95 of `measure`, on a logarithmic axis."""
    figure = empty(height=_height(data.height), x=title, legend=False)
    quantile = {name: data[f"{measure}_{name}"].to_list() for name in ("p05", "p25", "p50", "p75", "p95")}
    figure.add_box(
        y=[label(name) for name in data[of]],
        lowerfence=quantile["p05"],
        q1=quantile["p25"],
        median=quantile["p50"],
        q3=quantile["p75"],
        upperfence=quantile["p95"],
        orientation="h",
        marker_color=SKY,
    )
    figure.update_yaxes(autorange="reversed", **_named(data[of].to_list()))
    drawn = [value for name in ("p05", "p95") for value in quantile[name]]
    figure.update_xaxes(**axes.logarithmic(drawn, percent=percent))
    return _read_from_the_top(figure)


def _symbols(part: pl.DataFrame, value: str, place: int) -> list[str]:
    filled = SYMBOLS[place % len(SYMBOLS)]
    if f"{value}_low" not in part.columns:
        return [filled] * part.height
    return [f"{filled}-open" if few else filled for few in part[f"{value}_low"].is_null()]


def _interval(part: pl.DataFrame, value: str, colour: str) -> dict[str, Any] | None:
    low, high = f"{value}_low", f"{value}_high"
    if low not in part.columns:
        return None
    above = (part[high] - part[value]).fill_null(0).to_list()
    below = (part[value] - part[low]).fill_null(0).to_list()
    return {"type": "data", "array": above, "arrayminus": below, "color": colour, "thickness": 1, "width": 0}


def _named(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names: also those that look like numbers, each one written, long ones shortened."""
    axis: dict[str, Any] = {"type": "category"}
    if any(len(name) > LONGEST_TICK for name in names):
        axis["tickvals"] = [label(name) for name in names]
        axis["ticktext"] = [label(_without_middle(name)) for name in names]
    else:
        axis["dtick"] = 1
    return axis


def _without_middle(name: str) -> str:
    """A name of at most LONGEST_TICK characters: names that begin alike are told apart by their ends.

    >>> _without_middle("picture: mean gray value (images of one alone)")
    'picture: mean g… of one alone)'
    """
    if len(name) <= LONGEST_TICK:
        return name
    half = LONGEST_TICK // 2
    return f"{name[:half].rstrip()}…{name[half + 1 - LONGEST_TICK :]}"


def _height(rows: float) -> int:
    return int(90 + _ROW_PX * max(rows, 3))
