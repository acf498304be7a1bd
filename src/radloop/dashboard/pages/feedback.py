"""Feedback: what does the model say, how sure is it, and how often is it right?"""

from pathlib import Path
from typing import Final

import plotly.graph_objects as go
import polars as pl
import streamlit as st

from radloop.catalog import judging, kept
from radloop.catalog.judging import Judged
from radloop.catalog.rule import Rule
from radloop.dashboard import audit, figures, layout, loading, loop
from radloop.dashboard.loading import Feedback
from radloop.errors import RadloopError
from radloop.measures import calibration, counts
from radloop.measures.intervals import LEAST_FOR_DRAWS
from radloop.options import Dashboard
from radloop.tables import DETECTOR
from radloop.words import several

MOST_LISTED: Final = 1000
_VIEWS: Final = ("What it said", "Against the truth", "Latency and errors")
_ANY: Final = "(any)"


def page(inputs: Dashboard) -> None:
    """What was said, against the truth, and how the run went."""
    said = layout.quiet_feedback(inputs)
    layout.head("Feedback", "What does the model say, and how often is it right?", simulated=layout.marks(None, said))
    view = st.segmented_control("View", _VIEWS, default=_VIEWS[0], required=True)
    if view == _VIEWS[2]:
        _log(inputs.log_file)
        return
    said = layout.feedback(inputs)
    if said is None:
        return
    rule = loading.last_rule(inputs.retrain_table)
    if view == _VIEWS[0]:
        layout.default_classes(inputs)
        _said(said, rule)
    else:
        audit.show(inputs, said)
        _truth(inputs, said, rule)


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
        figure.add_bar(x=middles, y=part["count"].to_list(), name=str(kind), marker_color=colour)
    figure.update_layout(barmode="group", bargap=0.05)
    figure.update_yaxes(type="log", dtick=1)
    figure.add_vline(
        x=rule.min_confidence,
        line_dash="dash",
        line_color=figures.YELLOW,
        annotation_text="threshold of the rule",
        annotation_position="top left",
    )
    boxes = said.records.detections["confidence"]
    units = (
        f"n: {several(len(boxes), 'box')} of all feedback, {int((boxes > rule.min_confidence).sum()):,} of them above "
        f"the rule's {rule.min_confidence:g}, also those of held-out, superseded and doubtful images: Re-training says "
        "which become labels."
    )
    title = "How sure the model is of its boxes, and of finding nothing"
    layout.chart(title, figure, held, key="confidences", units=units)


def _table(said: Feedback) -> None:
    listed = said.records.feedback.with_columns(class_name=said.taxonomy.named(pl.col("class_id")))
    columns = st.columns(4)
    name = columns[0].selectbox("Top class", [_ANY, *said.taxonomy.file_names(with_nothing=True)])
    split = columns[1].selectbox("Split", [_ANY, *listed["split"].unique().drop_nulls().sort()])
    least, most = columns[2].slider("Confidence", 0.0, 1.0, (0.0, 1.0), 0.01)
    text = columns[3].text_input("Image id contains")
    listed = listed.filter(pl.col("confidence").is_between(least, most))
    if name != _ANY:
        listed = listed.filter(pl.col("class_name") == name)
    if split != _ANY:
        listed = listed.filter(pl.col("split") == split)
    if text:
        listed = listed.filter(pl.col("image_id").str.contains(text, literal=True))
    newest = listed.sort("timestamp", "feedback_id", descending=True).head(MOST_LISTED)
    st.caption(f"{listed.height:,} feedbacks, the newest {newest.height:,} listed. Choose one to review it.")
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
    layout.download(listed, key="feedback")
    for row in event["selection"]["rows"]:
        layout.open_review(newest["feedback_id"][row])


def _truth(inputs: Dashboard, said: Feedback, rule: Rule) -> None:
    found = layout.dataset(inputs)
    if found is None:
        return
    if not loop.has_images(found):
        layout.missing("A table alone does not tell training images from others.", "radloop transform")
        return
    parts, rest = loop.parts(found, said), loop.left_out(found, said)
    if rest:
        told = (f"{several(each.feedback, 'feedback')} ({each.reason})" for each in rest)
        st.caption(f"Left out: {'; '.join(told)}.")
    if parts.is_empty():
        st.info("No feedback is on a picture of the dataset outside training: nothing to judge by.")
        return
    part = _chosen(parts)
    with st.spinner("Judging …"):
        judged = loop.evaluated(found, said, part, rule, inputs.seed)
    _figures(judged)
    left, right = st.columns(2, gap="medium")
    with left:
        _precision(judged)
        _thresholds(judged, rule)
    with right:
        _calibration(judged)
        with st.spinner("Judging by each reader …"):
            readers = loop.against_readers(found, said, part)
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


def _chosen(parts: pl.DataFrame) -> tuple[str, str, str]:
    """The detector and the split to judge: one split at a time, for each tells something else."""
    left, right = st.columns(2)
    detectors = parts.select(DETECTOR).unique(maintain_order=True).rows()
    names = [judging.name(model, version) for model, version in detectors]
    model, version = detectors[names.index(left.selectbox("Detector", names))]
    own = parts.filter(model=model, model_version=version)
    shown = {
        split: f"{split} ({several(images, 'image')})" for split, images in own.select("split", "images").iter_rows()
    }
    split = right.selectbox("Split", list(shown), format_func=lambda name: shown[name])
    return model, version, str(split)


def _figures(judged: Judged) -> None:
    columns = st.columns(4)
    for column, (iou, table) in zip(columns, judged.precision.items(), strict=False):
        whole = table.row(-1, named=True)
        column.metric(f"mAP@{iou}", layout.number(whole["ap"]), border=True)
        column.caption(layout.interval(whole, "ap"))
    labels = judged.labels.row(-1, named=True)
    columns[2].metric(f"Right above {judged.min_confidence:g}", layout.share(labels["precision"]), border=True)
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


def _precision(judged: Judged) -> None:
    classes = judged.precision[0.4].filter(pl.col("class_id").is_not_null(), pl.col("truth") > 0)
    if classes.is_empty():
        layout.cannot_tell("the average precision of a class: there is no box in the truth of these images.")
        return
    shown, most = figures.most(classes, of="class_name", size="truth", what="classes")
    figure = figures.dots(
        shown.with_columns(at=pl.lit("IoU 0.4")), of="class_name", value="ap", by="at", title="average precision"
    )
    figure.update_xaxes(range=[0, 1])
    layout.chart(
        "Average precision of each class, with its 95 % interval",
        figure,
        classes,
        key="precision",
        units=f"Hollow: boxes of the truth on fewer than {LEAST_FOR_DRAWS} groups, too few for an interval. {most}",
    )


def _calibration(judged: Judged) -> None:
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
            marker={"color": figures.VERMILION, "size": 9},
        )
    )
    layout.chart(
        "Calibration: is a confidence of 0.7 right in 70 % of the cases?",
        figure,
        table,
        key="calibration",
        units=f"n: {_sure(judged)}. A point without a bar lies on too few groups for an interval.",
    )


def _thresholds(judged: Judged, rule: Rule) -> None:
    long = judged.thresholds.unpivot(["precision", "recall"], index="confidence", variable_name="what")
    figure = figures.lines(
        long, x="confidence", y="value", by="what", x_title="boxes above this confidence", y_title="share", percent=True
    )
    figure.add_vline(x=rule.min_confidence, line_dash="dash", line_color=figures.YELLOW)
    layout.chart("What another threshold would keep: precision and recall", figure, judged.thresholds, key="thresholds")


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
    numbers = stages.drop_nulls("stage").select(
        "stage", "load", "requests", "feedback", "errors", "retries", "late", "dropped", "seconds", "per_second",
        "p50_ms", "p95_ms", "p99_ms", "max_ms",
    )  # fmt: skip
    long = numbers.unpivot(["p50_ms", "p95_ms", "p99_ms", "max_ms"], index="stage", variable_name="quantile")
    figure = figures.lines(
        long, x="stage", y="value", by="quantile", x_title="stage", y_title="latency, ms (log scale)"
    )
    figure.update_yaxes(type="log", dtick=1)
    figure.update_xaxes(dtick=1)
    layout.chart("Latency in each stage of the load", figure, numbers, key="latency")
    figure = figures.empty(x="stage", y="requests a second")
    figure.add_bar(x=numbers["stage"].to_list(), y=numbers["per_second"].to_list(), name="requests a second")
    figure.update_traces(marker_color=figures.SKY)
    layout.chart("Requests a second in each stage", figure, None, key="throughput")
