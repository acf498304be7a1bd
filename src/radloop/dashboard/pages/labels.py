"""Labels: how are the classes and boxes distributed, and are the splits alike?"""

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.dashboard import figures, layout, loading
from radloop.dashboard.loading import Dataset
from radloop.measures import counts
from radloop.options import Dashboard
from radloop.tables import SPLITS
from radloop.taxonomy import NOTHING

_LABELLED: Final = "in a label"
_ALIKE: Final = "They were made alike (stratified): that they are found alike says nothing of the data."


@loading.measured
def _shares(dataset: Dataset) -> pl.DataFrame:
    return counts.class_shares(dataset.labels, dataset.taxonomy)


@loading.measured
def _classes(dataset: Dataset) -> pl.DataFrame:
    return counts.classes(dataset.labels, dataset.taxonomy)


@loading.measured
def _labels_per(dataset: Dataset, unit: str) -> pl.DataFrame:
    return counts.labels_per(dataset.labels, "image" if unit == "image" else "reading")


@loading.measured
def _together(dataset: Dataset) -> pl.DataFrame:
    return counts.together(dataset.labels, dataset.taxonomy)


@loading.measured
def _shapes(dataset: Dataset) -> pl.DataFrame:
    return counts.box_shapes(dataset.labels, dataset.taxonomy)


def page(inputs: Dashboard) -> None:
    """Four views of the labels."""
    found = layout.dataset(inputs)
    layout.head(
        "Labels", "How are classes and boxes distributed, and are the splits alike?", simulated=layout.marks(found)
    )
    if found is None:
        return
    layout.in_use(found)
    if not found.has_splits:
        st.info("The table has no splits: it is shown as a whole.")
    view = st.segmented_control(
        "View", ["Classes", "Labels per image", "Together", "Sizes and shapes"], default="Classes", required=True
    )
    if view == "Classes":
        _distribution(found)
    elif view == "Labels per image":
        _per_image(found)
    elif view == "Together":
        _cooccurrence(found)
    else:
        _boxes(found)


def _distribution(found: Dataset) -> None:
    left, right = st.columns(2)
    unit = left.segmented_control("Share of", ["images", "boxes"], default="images", required=True)
    nothing_too = right.toggle("with “No finding”", value=False, disabled=unit == "boxes")
    singular = "image" if unit == "images" else "box"
    shares = _shares(found)
    nothing = found.taxonomy.nothing
    kept = shares if nothing_too and unit == "images" else shares.filter(pl.col("class_id") != nothing)
    drawn, sizes = layout.enough(kept, found)
    shown, most = figures.most(drawn, of="class_name", size=unit, what="classes", besides=(NOTHING,))
    figure = figures.dots(
        shown,
        of="class_name",
        value=f"{singular}_share",
        expected=f"expected_{singular}_share",
        by="split",
        title=f"share of the split's {unit}",
        percent=True,
        opens=_of_class,
    )
    if drawn.is_empty():
        layout.cannot_tell(f"whether the splits are alike. {sizes}")
    else:
        layout.chart(
            f"Share of {unit} with each class, by split",
            figure,
            shares,
            key=f"class-shares-{unit}",
            opens=_of_class,
            units=f"{sizes} The grey line is the share over all splits: what each would have if they were alike. "
            f"{_ALIKE if found.wanted is not None else ''} {most}",
        )
    classes = _classes(found)
    findings, most = figures.most(
        classes.filter(pl.col("class_id") != nothing), of="class_name", size="images", what="classes"
    )
    layout.chart(
        "How often each class is in a label, and how many people saw it on the image",
        _seen(findings),
        classes,
        key="classes",
        opens=_of_class,
        units="Images. A class that one reader alone saw is in doubt; a model and simulated reviewers saw nothing. "
        f"{most}",
    )


def _of_class(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The images with the class of a row, in its split."""
    return {"class": row["class_name"], "split": _split(row)}


def _split(row: Mapping[str, Any]) -> str | None:
    return row["split"] if row.get("split") in SPLITS else None


def _seen_by(row: Mapping[str, Any]) -> Mapping[str, Any]:
    persons = {"seen by two or more": 2, "seen by three or more": 3}.get(row["seen"])
    return {"class": row["class_name"], "seen_by": persons}


def _seen(findings: pl.DataFrame) -> go.Figure:
    long = findings.unpivot(
        ["images", "seen_by_2", "seen_by_3"], index="class_name", variable_name="seen"
    ).with_columns(
        pl.col("seen").replace(
            {"images": _LABELLED, "seen_by_2": "seen by two or more", "seen_by_3": "seen by three or more"}
        )
    )
    return figures.bars(long, of="class_name", value="value", by="seen", title="images", opens=_seen_by)


def _per_image(found: Dataset) -> None:
    unit = st.segmented_control(
        "Boxes per",
        ["image", "reading"],
        default="image",
        required=True,
        help="An image adds up all who read it; a reading is one label file (with --labels per-reader).",
    )
    data = _labels_per(found, unit)
    opens = _with_boxes if unit == "image" else None
    figure = figures.lines(
        data, x="labels", y="count", by="split", x_title="boxes", y_title=f"{unit}s (log scale)", log=True, opens=opens
    )
    layout.chart(f"How many {unit}s hold how many boxes", figure, data, key=f"labels-per-{unit}", opens=opens)


def _with_boxes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"boxes": row["labels"], "split": _split(row)}


def _with_both(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"class": [row["class_a_name"], row["class_b_name"]]}


def _cooccurrence(found: Dataset) -> None:
    pairs = _together(found)
    measure = st.segmented_control(
        "Count",
        ["images", "rectangles"],
        default="images",
        required=True,
        help="Images with both classes, or the very same rectangle carrying both.",
    )
    opens = _with_both if measure == "images" else None
    findings = _classes(found).filter(pl.col("class_id") != found.taxonomy.nothing)
    shown, most = figures.most(findings, of="class_name", size="images", what="classes")
    names = shown["class_name"].to_list()
    among = pairs.filter(pl.col("class_a_name").is_in(names), pl.col("class_b_name").is_in(names))
    said = among.with_columns(said=pl.format("expected if independent: {} images", pl.col("expected_images").round(1)))
    figure = figures.matrix(
        said, x="class_a_name", y="class_b_name", value=measure, names=names, title=measure, hover="said", opens=opens
    )
    title = f"Which classes occur together: {measure} with both"
    layout.chart(title, figure, pairs, key=f"together-{measure}", units=most, opens=opens)


def _boxes(found: Dataset) -> None:
    shapes = _shapes(found)
    shown, most = figures.most(shapes, of="class_name", size="boxes", what="classes")
    left, right = st.columns(2)
    with left:
        figure = figures.ranges(
            shown, of="class_name", measure="area", title="share of the picture (log scale)", percent=True
        )
        layout.chart(
            "How large the boxes of each class are",
            figure,
            shapes,
            key="areas",
            opens=_of_class,
            units=f"5, 25, 50, 75 and 95 % of boxes. {most}",
        )
    with right:
        figure = figures.ranges(shown, of="class_name", measure="aspect", title="width / height (log scale)")
        layout.chart(
            "What shape the boxes have",
            figure,
            None,
            key="aspects",
            units="Above 1: wide."
            if found.root is not None
            else "Above 1: wide. In the stretched 1024×1024 picture: the table does not tell the true proportions.",
        )
