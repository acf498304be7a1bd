"""The view of the Detector page that shows what is taken for what, and the images of each cell."""

from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.dashboard import figures, layout
from radloop.measures.confusion import MISSED, NOTHING_THERE
from radloop.taxonomy import Taxonomy
from radloop.words import several

_COLUMNS: Final = ("truth", "predicted", "boxes", "of", "share", "share_low", "share_high")

_PLAIN: Final = {"showgrid": False, "zeroline": False}


def show(pairs: pl.DataFrame, cells: pl.DataFrame, classes: Taxonomy, *, least: float) -> None:
    """The matrix, and the images of the cell that is chosen. pairs, cells: `confusion.paired` and `confusion.cells`."""
    if cells.is_empty():
        layout.cannot_tell(f"what is taken for what: there is no box of the truth, and none above {least:g}.")
        return
    known = cells.filter(pl.col("truth_id").is_not_null())
    right = int(known.filter(pl.col("truth_id") == pl.col("predicted_id"))["boxes"].sum())
    missed = int(known.filter(pl.col("predicted_id").is_null())["boxes"].sum())
    alone = int(cells.filter(pl.col("truth_id").is_null())["boxes"].sum())
    total = int(known["boxes"].sum())
    st.markdown(f"**What is taken for what, of boxes above {least:g}**")
    st.caption(
        f"Of {several(total, 'box')} of the truth {right:,} are found as what they are, {total - right - missed:,} are "
        f"called by another class (IoU from 0.4 on), {missed:,} are missed; {several(alone, 'box')} of the detector "
        "show nothing that is there. A row is a class of the truth, its cells are shares of its boxes. A click on a "
        "cell, or the choice of a row of the data, lists its images."
    )
    shown = _most(cells)
    event: Any = st.plotly_chart(
        _figure(shown, classes),
        key="confusion",
        config=layout.CHART,
        alt="What is taken for what: classes of the truth against classes of the boxes",
        on_select="rerun",
        selection_mode="points",
    )
    with st.expander(f"Data ({cells.height:,} rows)"):
        rows: Any = st.dataframe(
            cells.select(_COLUMNS),
            hide_index=True,
            key="confusion-table",
            on_select="rerun",
            selection_mode="single-row",
            column_config={name: st.column_config.NumberColumn(format="%.3f") for name in _COLUMNS[4:]},
        )
        layout.download(cells, key="confusion")
    picked = [shown.row(point["point_index"], named=True) for point in event["selection"]["points"]]
    picked += [cells.row(row, named=True) for row in rows["selection"]["rows"]]
    if picked:
        _images(pairs, picked[-1])


def _most(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells of the classes with the most boxes, as many as a chart can show."""
    sides = [cells.select(class_id=name, boxes="boxes") for name in ("truth_id", "predicted_id")]
    sums = pl.concat(sides).drop_nulls("class_id").group_by("class_id").agg(pl.col("boxes").sum())
    if sums.height <= figures.MOST_ROWS:
        return cells
    kept = sums.sort("boxes", "class_id", descending=[True, False]).head(figures.MOST_ROWS)["class_id"].implode()
    st.caption(f"The {figures.MOST_ROWS} classes with the most boxes of {sums.height:,}; the data has all.")
    within = [pl.col(name).is_null() | pl.col(name).is_in(kept) for name in ("truth_id", "predicted_id")]
    return cells.filter(*within)


def _figure(cells: pl.DataFrame, classes: Taxonomy) -> go.Figure:
    """Shares of each row as colours, numbers of boxes as texts; the points are what a click takes."""
    ids = sorted({*cells["truth_id"].drop_nulls(), *cells["predicted_id"].drop_nulls()})
    names = [layout.label(layout.shortened(classes.names[one])) for one in ids]
    rows, columns = [*names, NOTHING_THERE], [*names, MISSED]
    place = {class_id: at for at, class_id in enumerate(ids)} | {None: len(ids)}
    at = [(place[truth], place[predicted]) for truth, predicted in cells.select("truth_id", "predicted_id").iter_rows()]
    shares = np.full((len(rows), len(columns)), np.nan)
    for (row, column), share in zip(at, cells["share"], strict=True):
        shares[row, column] = share
    figure = figures.empty(
        height=max(420, 120 + 26 * len(rows)), x="class of the box", y="class of the truth", legend=False
    )
    figure.add_heatmap(
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        z=shares,
        zmin=0,
        zmax=1,
        colorscale="Cividis",
        xgap=1,
        ygap=1,
        hoverinfo="skip",
        colorbar={"title": {"text": "share of the row", "side": "right"}, "tickformat": ".0%"},
    )
    figure.add_scatter(
        x=[column for _, column in at],
        y=[row for row, _ in at],
        mode="markers",
        marker={"size": 24, "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        text=[_hover(row) for row in cells.iter_rows(named=True)],
        hovertemplate="%{text}<extra></extra>",
    )
    for (row, column), boxes, share in zip(at, cells["boxes"], cells["share"], strict=True):
        ink = "black" if share > 0.5 else "white"  # on the light and on the dark end of the scale
        figure.add_annotation(x=column, y=row, text=f"{boxes:,}", showarrow=False, font={"color": ink, "size": 11})
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=columns, tickangle=-45, **_PLAIN)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=rows, autorange="reversed", **_PLAIN)
    return figure


def _hover(row: dict[str, Any]) -> str:
    names = layout.label(row["truth"]), layout.label(row["predicted"])
    return (
        f"{names[0]} → {names[1]}<br>{row['boxes']:,} of {row['of']:,}; {layout.interval(row, 'share', percent=True)}"
    )


def _images(pairs: pl.DataFrame, cell: dict[str, Any]) -> None:
    """The images of a cell; the choice of one opens it."""
    ids = [pl.col(name).eq_missing(pl.lit(cell[name])) for name in ("truth_id", "predicted_id")]
    own = pairs.filter(*ids).group_by("image_id", maintain_order=True)
    listed = own.agg(boxes=pl.len(), confidence=pl.col("confidence").max())
    listed = listed.sort("confidence", "image_id", descending=[True, False], nulls_last=True)
    names = layout.plain(cell["truth"]), layout.plain(cell["predicted"])
    st.markdown(f"**{names[0]} → {names[1]}:** {several(cell['boxes'], 'box')} on {several(listed.height, 'image')}")
    event: Any = st.dataframe(
        listed, hide_index=True, key="confused-images", on_select="rerun", selection_mode="single-row"
    )
    for row in event["selection"]["rows"]:
        layout.open_image(listed["image_id"][row])
