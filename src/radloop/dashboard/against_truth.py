"""The view of the Detector page that sets one detector against the truth: how good it is, and how sure it should be."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.catalog import kept
from radloop.catalog.judging import Judged
from radloop.catalog.rule import Rule
from radloop.dashboard import figures, layout, links
from radloop.measures import calibration, counts
from radloop.measures.intervals import LEAST_FOR_DRAWS
from radloop.words import several

Part = tuple[str, str, str]  # model, version, split


def show(judged: Judged, readers: pl.DataFrame, rule: Rule, part: Part) -> None:
    """The figures of one detector on one split (`part`); readers: the same against each reader alone."""
    _figures(judged)
    left, right = st.columns(2, gap="medium")
    with left:
        _precision(judged, part)
        _thresholds(judged, rule)
    with right:
        _calibration(judged, part)
        _by_reader(readers)


def _by_reader(readers: pl.DataFrame) -> None:
    drew = readers.filter(pl.col("map").is_not_null(), ~pl.col("few")).sort(*counts.reader_order())
    few = readers.height - drew.height
    if drew.is_empty():
        who = several(few, "reader")
        layout.cannot_tell(f"mAP against each reader alone: of {who} none drew on {LEAST_FOR_DRAWS} groups or more.")
        return
    shown, most = figures.most(drew, of="rad_id", size="images", what="readers")
    silent = f"{several(few, 'reader')} drew on fewer than {LEAST_FOR_DRAWS} groups: too few to say. " if few else ""
    layout.chart(
        "mAP@0.4 against each reader alone: the consensus hides that range",
        figures.bars(shown, of="rad_id", value="map", title="mAP@0.4"),
        readers,
        key="by-reader",
        units=silent + most,
    )


def _figures(judged: Judged) -> None:
    columns = st.columns(4)
    for column, (iou, table) in zip(columns, judged.precision.items(), strict=False):
        whole = table.row(-1, named=True)
        column.metric(f"mAP@{iou}", layout.number(whole["ap"]), border=True)
        column.caption(layout.interval(whole, "ap"))
    labels = judged.labels.row(-1, named=True)
    columns[2].metric(f"Right {judged.label_words}", layout.share(labels["precision"]), border=True)
    columns[2].caption(
        f"{labels['correct']:,} of {labels['labels']:,} boxes: the pseudo-labels' precision; "
        f"{layout.interval(labels, 'precision', percent=True)}"
    )
    columns[3].metric("Calibration error", layout.number(judged.calibration_error), border=True)
    held = calibration.words(judged.calibration_error, judged.calibration_floor)
    columns[3].caption(f"of {_sure(judged)}; {held}")
    single = judged.single_reader
    cut = kept.words(judged.cut, told=judged.cut_told, top_box_only=judged.top_box_only)
    classes = judged.precision[0.4].filter(pl.col("class_id").is_not_null(), pl.col("truth") > 0).height
    alone = f" (on {several(single, 'image')} what the only reader drew)" if single else ""
    st.caption(
        f"Truth: {several(judged.truth, 'box')} that at least two readers of the image drew, fused at IoU 0.4{alone}; "
        f"{several(judged.images, 'image')} in {several(judged.groups, 'group')}, the newest feedback on each. "
        f"The intervals take the groups as their units. mAP is the mean of the {several(classes, 'class')} with truth; "
        f"its boxes: {cut}."
    )


def _sure(judged: Judged) -> str:
    """The boxes that calibration takes."""
    return f"{several(int(judged.calibration['predictions'].sum()), 'box')} above {Rule().doubtful:g}"


def _opens(part: Part) -> links.Opens:
    """The images of the split that a row is about, with what the detector found there and missed."""
    model, version, split = part

    def opens(row: Mapping[str, Any]) -> Mapping[str, Any]:
        bounds = {"min_confidence": row.get("low"), "max_confidence": row.get("high")}
        return {"class": row.get("class_name"), "split": split, "model": model, "version": version} | bounds

    return opens


def _precision(judged: Judged, part: Part) -> None:
    classes = judged.precision[0.4].filter(pl.col("class_id").is_not_null(), pl.col("truth") > 0)
    if classes.is_empty():
        layout.cannot_tell("the average precision of a class: there is no box in the truth of these images.")
        return
    shown, most = figures.most(classes, of="class_name", size="truth", what="classes")
    figure = figures.dots(
        shown.with_columns(at=pl.lit("IoU 0.4")),
        of="class_name",
        value="ap",
        by="at",
        title="average precision",
        opens=_opens(part),
    )
    figure.update_xaxes(range=[0, 1])
    layout.chart(
        "Average precision of each class, with its 95 % interval",
        figure,
        classes,
        key="precision",
        opens=_opens(part),
        units=f"Hollow: boxes of the truth on fewer than {LEAST_FOR_DRAWS} groups, too few for an interval. {most}",
    )


def _calibration(judged: Judged, part: Part) -> None:
    table = judged.calibration.filter(pl.col("predictions") > 0)
    if table.is_empty():
        layout.cannot_tell(f"how often a confidence is right: there are {_sure(judged)}.")
        return
    figure = figures.empty(x="confidence", y="share right")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": figures.GREY, "dash": "dot"})
    figure.add_trace(
        go.Scatter(
            x=table["confidence"].to_list(),
            y=table["correct"].to_list(),
            error_y={
                "type": "data",
                "array": (table["correct_high"] - table["correct"]).fill_null(0).to_list(),
                "arrayminus": (table["correct"] - table["correct_low"]).fill_null(0).to_list(),
            },
            mode="markers+lines",
            name="the detector",
            customdata=figures.addresses(table, _opens(part)),
            marker={"color": figures.VERMILION, "size": 9},
        )
    )
    layout.chart(
        "Calibration: is a confidence of 0.7 right in 70 % of the cases?",
        figure,
        table,
        key="calibration",
        opens=_opens(part),
        units=f"n: {_sure(judged)}. A point without a bar lies on too few groups for an interval.",
    )


def _thresholds(judged: Judged, rule: Rule) -> None:
    long = judged.thresholds.unpivot(["precision", "recall"], index="confidence", variable_name="what")
    figure = figures.lines(
        long, x="confidence", y="value", by="what", x_title="boxes above this confidence", y_title="share", percent=True
    )
    if rule.policy == "threshold":
        figure.add_vline(x=rule.min_confidence, line_dash="dash", line_color=figures.YELLOW)
    layout.chart("What another threshold would keep: precision and recall", figure, judged.thresholds, key="thresholds")
