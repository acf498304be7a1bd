"""Heatmaps: where on the picture do the boxes of a class lie?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.dashboard import figures, layout, loading, pictures
from radloop.dashboard.loading import Dataset
from radloop.measures import counts
from radloop.measures.counts import Heatmaps
from radloop.options import Dashboard
from radloop.tables import CLASS_ID
from radloop.taxonomy import Taxonomy
from radloop.words import several

SIDE = 64  # cells along each axis
FEW_BOXES = 20  # below, where they lie is chance
_SCALE = (
    (0, "rgba(0,0,4,0)"),
    (0.05, "rgba(87,16,110,0.45)"),
    (0.5, "rgba(227,89,51,0.7)"),
    (1, "rgba(252,255,164,0.85)"),
)


@loading.measured
def _heat(dataset: Dataset, class_id: int) -> Heatmaps:
    """Of one class: those of a thousand would take a gigabyte."""
    alone = pl.when(pl.col("class_id") == class_id).then(pl.lit(0, CLASS_ID)).alias("class_id")
    name = dataset.taxonomy.name(class_id)
    return counts.heatmaps(dataset.labels.with_columns(alone), Taxonomy((name,)), side=SIDE)


@loading.measured
def _boxes(dataset: Dataset, class_id: int) -> dict[str, tuple[int, int, int]]:
    """By split: boxes of the class, images with one, images."""
    shares = counts.class_shares(dataset.labels, dataset.taxonomy).filter(class_id=class_id)
    sizes = dict(counts.split_sizes(dataset.labels).select("split", "images").iter_rows())
    return {split: (n, images, sizes[split]) for split, n, images in shares.select("split", "boxes", "images").rows()}


@loading.measured
def _ratio(dataset: Dataset) -> float:
    """Height over width of the middle one of the pictures."""
    sides = dataset.rows.unique("image_id", keep="first").select(ratio=pl.col("height") / pl.col("width"))
    middle = sides["ratio"].median()
    return float(middle) if isinstance(middle, float) and 0 < middle < float("inf") else 1.0


def page(inputs: Dashboard) -> None:
    """A panel for each split that is chosen."""
    found = layout.dataset(inputs)
    layout.head(
        "Heatmaps",
        "Where do the boxes of a class lie? Over the mean picture of the split.",
        simulated=layout.marks(found),
    )
    if found is None:
        return
    layout.in_use(found)
    left, right = st.columns(2)
    name = left.selectbox("Class", found.taxonomy.names)
    class_id = found.taxonomy.names.index(name)
    heat, boxes = _heat(found, class_id), _boxes(found, class_id)
    splits = right.pills("Splits", heat.splits, selection_mode="multi", default=heat.splits[:2]) or heat.splits[:1]
    shares = {split: heat.counts[heat.splits.index(split), 0] / max(boxes[split][0], 1) for split in splits}
    highest = max((float(share.max()) for share in shares.values()), default=0.0) or 1.0
    st.caption("The colour is the share of the split's boxes of the class that lie over a cell, on one scale for all.")
    for start in range(0, len(splits), 2):
        for column, split in zip(st.columns(2), splits[start : start + 2], strict=False):
            with column:
                title = f"Where {layout.plain(name)} was drawn in {split}"
                _panel(inputs, found, shares[split], highest, (split, title, _says(boxes[split])), name)
                if boxes[split][0] < FEW_BOXES:
                    layout.cannot_tell(f"{several(boxes[split][0], 'box')}: too few for a pattern.")
    layout.download(_cells(heat), key=f"heatmap-{class_id}")


def _says(boxes: tuple[int, int, int]) -> str:
    return f"n: {several(boxes[0], 'box')} on {boxes[1]:,} of {several(boxes[2], 'image')}."


def _panel(
    inputs: Dashboard,
    found: Dataset,
    share: npt.NDArray[np.float64],
    highest: float,
    told: tuple[str, str, str],
    class_name: str,
) -> None:
    split, title, says = told
    background = pictures.mean_url(found, inputs.images, split if found.has_splits else None)
    figure = figures.empty(height=460, legend=False)
    if background is not None:
        figure.add_layout_image(
            source=background,
            xref="x", yref="y", x=0, y=0, sizex=1, sizey=1, sizing="stretch", layer="below",
        )  # fmt: skip
    middles = (np.arange(SIDE) + 0.5) / SIDE
    figure.add_trace(
        go.Heatmap(
            z=share,
            x=middles,
            y=middles,
            colorscale=_SCALE,
            zmin=0,
            zmax=highest,
            colorbar={"title": {"text": "share of the boxes", "side": "right"}, "tickformat": ".0%"},
            hoverinfo="skip",
        )
    )

    def opens(row: Mapping[str, Any]) -> Mapping[str, Any]:
        here = f"{row['x']:.4f},{row['y']:.4f}"
        return {"class": class_name, "split": split if found.has_splits else None, "at": here}

    row, column = np.nonzero(share)
    cells = pl.DataFrame({"x": middles[column], "y": middles[row], "share": share[row, column]})
    says_of_cell = cells.select(pl.format("{} % of the boxes", (100 * pl.col("share")).round(1))).to_series()
    points = figures.clickable(cells, x="x", y="y", told=says_of_cell, opens=opens)
    figure.add_trace(points.update(hovertemplate="%{text}<extra></extra>", marker={"size": 4}))
    figure.update_layout(plot_bgcolor="black", margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0})
    figure.update_xaxes(range=[0, 1], visible=False, constrain="domain")
    figure.update_yaxes(range=[1, 0], visible=False, scaleanchor="x", scaleratio=_ratio(found), constrain="domain")
    most = cells.sort("share", "y", "x", descending=[True, False, False])
    layout.chart(title, figure, most, key=f"heat-{split}", units=says, opens=opens)
    if background is None:
        st.caption("No picture could be read: the mean picture is missing.")


def _cells(heat: Heatmaps) -> pl.DataFrame:
    """split, row, column, boxes of every cell that a box of the class touches."""
    split, row, column = np.nonzero(heat.counts[:, 0])
    boxes = heat.counts[split, 0, row, column]
    return pl.DataFrame({"split": [heat.splits[at] for at in split], "row": row, "column": column, "boxes": boxes})
