"""Feedback: what does the model say, how sure is it, and how did the run go?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog.rule import Rule
from radloop.dashboard import axes, figures, layout, loading, loop
from radloop.dashboard.loading import Feedback
from radloop.errors import RadloopError
from radloop.options import Dashboard
from radloop.taxonomy import NOTHING
from radloop.words import several

MOST_LISTED: Final = 1000
_VIEWS: Final = ("What it said", "Latency and errors")
_ANY: Final = "(any)"


def page(inputs: Dashboard) -> None:
    """What was said, and how the run went."""
    said = layout.quiet_feedback(inputs)
    layout.head("Feedback", "What does the model say, and how sure is it?", simulated=layout.marks(None, said))
    view = st.segmented_control("View", _VIEWS, default=_VIEWS[0], required=True)
    if view == _VIEWS[1]:
        _log(inputs.log_file)
        return
    said = layout.feedback(inputs)
    if said is None:
        return
    layout.default_classes(inputs)
    _said(said, loading.last_rule(inputs.retrain_table))


def _said(said: Feedback, rule: Rule) -> None:
    feedback, refused = said.records.feedback, said.records.refused
    columns = st.columns(4)
    columns[0].metric("Feedback", f"{feedback.height:,}", border=True)
    columns[1].metric("Images", f"{feedback['image_id'].n_unique():,}", border=True)
    columns[2].metric("Boxes", f"{said.records.detections.height:,}", border=True)
    columns[3].metric("Files refused", f"{refused.height:,}", border=True)
    layout.refused_files(said)
    _histogram(said, rule)
    _table(said)


def _histogram(said: Feedback, rule: Rule) -> None:
    held = loop.confidences(said)
    figure = figures.empty(x="confidence", y="number (log scale)")
    for (kind,), part in held.group_by("kind", maintain_order=True):
        colour = figures.VERMILION if kind == "boxes" else figures.GREY
        middles = ((part["low"] + part["high"]) / 2).to_list()
        told = figures.addresses(part, _in_bin)
        figure.add_bar(x=middles, y=part["count"].to_list(), name=str(kind), marker_color=colour, customdata=told)
    figure.update_layout(barmode="group", bargap=0.05)
    figure.update_xaxes(**axes.linear([1.0]))
    figure.update_yaxes(**axes.logarithmic([0.8, *held["count"]]))  # a bar of one thing is seen
    boxes = said.records.detections["confidence"]
    above = "the rule has a threshold for each class"
    if rule.policy == "threshold":
        figure.add_vline(
            x=rule.min_confidence,
            line_dash="dash",
            line_color=figures.YELLOW,
            annotation_text="threshold of the rule",
            annotation_position="top left",
        )
        number = int((boxes > rule.min_confidence).sum())
        above = f"{number:,} of them above the rule's {rule.min_confidence:g}"
    units = (
        f"n: {several(len(boxes), 'box')} of all feedback, {above}, also those of held-out, superseded and doubtful "
        "images: Re-training says which become labels."
    )
    title = "How sure the model is of its boxes, and of finding nothing"
    layout.chart(title, figure, held, key="confidences", units=units, opens=_in_bin)


def _in_bin(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The images of which some feedback is that sure of a box, or of finding nothing."""
    nothing = None if row["kind"] == "boxes" else NOTHING
    return {"class": nothing, "min_confidence": row["low"], "max_confidence": row["high"]}


def _table(said: Feedback) -> None:
    feedback = said.records.feedback
    columns = st.columns(4)
    name = columns[0].selectbox("Top class", [_ANY, *said.taxonomy.file_names(with_nothing=True)])
    split = columns[1].selectbox("Split", [_ANY, *feedback["split"].unique().drop_nulls().sort()])
    least, most = columns[2].slider("Confidence", 0.0, 1.0, (0.0, 1.0), 0.01)
    text = columns[3].text_input("Image id contains")
    asked = pl.col("confidence").is_between(least, most)
    if name != _ANY:
        asked &= said.taxonomy.named(pl.col("class_id")) == name
    if split != _ANY:
        asked &= pl.col("split") == split
    if text:
        asked &= pl.col("image_id").str.contains(text, literal=True)
    rows = feedback.select(asked.arg_true()).to_series()  # whole rows of all would be all of them again

    def listed(places: pl.Series) -> pl.DataFrame:
        return feedback[places].with_columns(class_name=said.taxonomy.named(pl.col("class_id")))

    newest = listed(rows.tail(MOST_LISTED).reverse())  # the table is by time
    st.caption(f"{len(rows):,} feedback files, the newest {newest.height:,} listed. Choose one to review it.")
    first = ["timestamp", "image_id", "class_name", "confidence", "split", "model", "latency_ms", "simulated"]
    event = st.dataframe(
        newest.select(*first, pl.exclude(*first, "class_id")),
        hide_index=True,
        key="feedback-list",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "image_id": st.column_config.TextColumn(width="small"),
            "confidence": st.column_config.NumberColumn(format="%.3f"),
            "latency_ms": st.column_config.NumberColumn(format="%.1f"),
        },
    )
    layout.download(lambda: listed(rows), key="feedback")
    for row in event["selection"]["rows"]:
        layout.open_review(newest["feedback_id"][row])


def _log(path: Path) -> None:
    if not path.is_file():
        layout.missing(layout.absent("log", path), "radloop simulate")
        return
    try:
        log = loading.lines(path, loop.LOG)
    except RadloopError as refused:
        st.error(f"**Refused:** {layout.plain(refused)}")
        return
    runs = loop.runs(log)
    if runs.is_empty():
        st.error("**Refused:** the log names no run.")
        return
    shown = [f"{begun:%Y-%m-%d %H:%M:%S} UTC · {run}" for run, begun in runs.select("run_id", "begun").iter_rows()]
    at = shown.index(st.selectbox("Run", shown))
    run = runs.row(at, named=True)
    st.warning(
        f"**Simulated:** a run against {layout.plain(run['detector'])}, arrivals by {layout.plain(run['arrival'])}, "
        f"drift: {layout.plain(run['drift'] or 'none')}."
    )
    stages = log.filter(pl.col("run_id") == run["run_id"], pl.col("event") == "stage")
    if stages.is_empty():
        st.info("The run has not ended: its stages are not told yet.")
    else:
        _stages(stages)
    wrong = loop.errors(log, run["run_id"])
    st.markdown(f"**Errors: {int(wrong['errors'].sum()):,}**")
    if wrong.height:
        layout.table(wrong, key="errors", opened=True)


def _stages(stages: pl.DataFrame) -> None:
    numbers = loop.stages(stages)
    long = numbers.unpivot(["p50_ms", "p95_ms", "p99_ms", "max_ms"], index="stage", variable_name="quantile")
    figure = figures.lines(
        long, x="stage", y="value", by="quantile", x_title="stage", y_title="latency, ms (log scale)", log=True
    )
    layout.chart("Latency in each stage of the load", figure, numbers, key="latency")
    if numbers["p99_ms"].null_count():
        st.caption(
            "A percentile is shown where there are enough requests for its 95 % interval (in the table): p99 from 368 "
            "on, and from more where requests waited for each other. Elsewhere: too few to say."
        )
    figure = figures.empty(x="stage", y="requests a second")
    figure.add_bar(x=numbers["stage"].to_list(), y=numbers["per_second"].to_list(), name="requests a second")
    figure.update_traces(marker_color=figures.SKY)
    figure.update_xaxes(**axes.linear(numbers["stage"], whole=True))
    figure.update_yaxes(**axes.linear(numbers["per_second"]))
    layout.chart("Requests a second in each stage", figure, None, key="throughput")
