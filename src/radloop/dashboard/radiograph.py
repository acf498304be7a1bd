"""A radiograph in its true proportions with boxes on it, to zoom into."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from radloop.dashboard import figures
from radloop.dashboard.layout import label, shortened
from radloop.dashboard.samples import CONSENSUS, MODEL, Layer
from radloop.taxonomy import Taxonomy

HEIGHT_PX: Final = 760
LOOKING: Final = {"displaylogo": False, "scrollZoom": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
_READERS: Final = (figures.SKY, figures.ORANGE, figures.GREEN, figures.PURPLE, figures.BLUE)
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")


def draw(
    source: str,
    frame: tuple[int, int],
    layers: Sequence[Layer],
    classes: Taxonomy,
    *,
    view: str,
    height: int = HEIGHT_PX,
) -> go.Figure:
    """The picture at the address `source` under the boxes of `layers`; zoom is kept while `view` stays the same."""
    width, high = frame
    figure = go.Figure()
    figure.add_layout_image(
        source=source, xref="x", yref="y", x=0, y=0, sizex=width, sizey=high, sizing="stretch", layer="below"
    )
    # A point in each corner gives the axes their extent.
    figure.add_scatter(
        x=[0, width], y=[0, high], mode="markers", marker={"opacity": 0}, hoverinfo="skip", showlegend=False
    )
    for place, layer in enumerate(layers):
        figure.add_traces(_traces(layer, frame, classes, *_style(layer.name, place)))
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 28, "b": 0, "pad": 0},
        plot_bgcolor="black",
        dragmode="pan",
        uirevision=view,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(range=[0, width], visible=False, constrain="domain")
    figure.update_yaxes(range=[high, 0], visible=False, scaleanchor="x", constrain="domain")
    return figure


def _style(name: str, place: int) -> tuple[str, str]:
    if name == MODEL:
        return figures.VERMILION, "dash"
    if name == CONSENSUS:
        return figures.YELLOW, "solid"
    return _READERS[place % len(_READERS)], _DASHES[place // len(_READERS) % len(_DASHES)]


def _traces(layer: Layer, frame: tuple[int, int], classes: Taxonomy, colour: str, dash: str) -> list[go.Scatter]:
    """The boxes, and their names: of points with gaps between them Plotly writes the first name only."""
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str] = []
    width, high = frame
    for class_id, confidence, left, top, right, bottom in layer.boxes.iter_rows():
        x += [left * width, right * width, right * width, left * width, left * width, None]
        y += [top * high, top * high, bottom * high, bottom * high, top * high, None]
        name = label(shortened(classes.name(class_id)))
        names.append(name if confidence is None else f"{name} {confidence:.2f}")
    boxes = go.Scatter(
        x=x,
        y=y,
        name=f"{label(layer.name)} ({layer.boxes.height})",
        legendgroup=label(layer.name),
        mode="lines",
        line={"color": colour, "width": 2, "dash": dash, "simplify": False},
        hoverinfo="name",
        showlegend=True,
    )
    written = go.Scatter(
        x=x[::6],
        y=y[::6],
        text=names,
        legendgroup=label(layer.name),
        mode="text",
        textposition="top right",
        textfont={"color": colour, "size": 12},
        hoverinfo="skip",
        showlegend=False,
    )
    return [boxes, written]
