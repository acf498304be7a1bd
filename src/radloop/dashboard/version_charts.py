"""Two versions of a dataset side by side."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop.catalog import changes, judging
from radloop.catalog.changes import Changes
from radloop.catalog.rule import Rule
from radloop.dashboard import figures, layout, loop, pair_charts
from radloop.dashboard.loading import Dataset, Feedback
from radloop.tables import SPLITS
from radloop.words import several

ABSENT: Final = "(not there)"
_CHANGES: Final = ("added", "gone", "moved")


def name(dataset: Dataset) -> str:
    """How a version is called: its id, or the name of its file."""
    return str(dataset.summary.get("version") or dataset.key[0][0].rpartition("/")[2])


def follows(later: Dataset, earlier: Dataset) -> bool:
    """Whether the first says of itself that it continues the second."""
    return bool(later.summary.get("previous")) and later.summary.get("previous") == earlier.summary.get("version")


def show(before: Dataset, after: Dataset, changed: Changes, *, here: Dataset) -> None:
    """What moved, came and went; which labels changed; the classes of each split. here: whose images can be opened."""
    st.markdown(f"**{layout.plain(name(before))} → {layout.plain(name(after))}**")
    if name(before) == name(after):
        st.info("Both are the same version: there is nothing to tell.")
        return
    moved = changed.moved.drop_nulls()
    came, went = (changed.moved[side].null_count() for side in ("before", "after"))
    labels = changed.labels["image_id"].n_unique()
    shown = (
        ("Images before", f"{changed.images[0]:,}"),
        ("Images after", f"{changed.images[1]:,}"),
        ("Moved to another split", f"{moved.height:,}"),
        ("Came", f"{came:,}"),
        ("Gone", f"{went:,}"),
        ("With other labels", f"{labels:,}"),
    )
    for column, (label, value) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(label, value, border=True)
    st.caption(f"Labels in use are compared on the {several(changed.both, 'image')} that both have.")
    _moves(before, after, changed, here)
    _labels(changed, here)
    _classes(before, after, changed, here)


def _moves(before: Dataset, after: Dataset, changed: Changes, here: Dataset) -> None:
    if changed.moved.is_empty():
        st.markdown("**No image moved, came or went.**")
        return
    moves = changes.moves(changed.moved)
    wrong = int(moves.filter(~pl.col("allowed"))["images"].sum())
    lineages = {one.summary.get("lineage") for one in (before, after)}
    if len(lineages) > 1 or None in lineages:
        st.info("They are not of one lineage: the splits of either were drawn without the other, so images may differ.")
    elif wrong:
        st.error(
            f"**{several(wrong, 'image')} left a split that an image keeps for ever:** only production → training is "
            "a move that a later version may make."
        )
    st.markdown("**Which images moved**")
    st.dataframe(_named(moves), hide_index=True, key="moves")
    listed = _named(changed.moved)
    with st.expander(f"The images ({listed.height:,} rows)"):
        _openable(listed, here, key="moved-images")


def _named(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("before", "after").fill_null(ABSENT))


def _openable(listed: pl.DataFrame, here: Dataset, *, key: str) -> None:
    """A table of images; the choice of one that the dataset of the dashboard has opens it."""
    if listed.height > layout.MOST_SHOWN:
        st.caption(f"The first {layout.MOST_SHOWN:,} rows; the CSV has all.")
    shown = listed.head(layout.MOST_SHOWN)
    event: Any = st.dataframe(shown, hide_index=True, key=key, on_select="rerun", selection_mode="single-row")
    layout.download(listed, key=key)
    for row in event["selection"]["rows"]:
        image_id = shown["image_id"][row]
        if (here.rows["image_id"] == image_id).any():
            layout.open_image(image_id)
        st.info("The dashboard's own dataset does not have this image.")


def _labels(changed: Changes, here: Dataset) -> None:
    if changed.labels.is_empty():
        st.markdown("**No label changed on an image that both have.**")
        return
    counted = changed.labels.group_by("class_name", "change").agg(labels=pl.len().cast(pl.Int64))
    order = changed.classes.select("class_name").unique(maintain_order=True)
    data = order.join(counted, on="class_name", maintain_order="left")
    shown, most = figures.most(data, of="class_name", size="labels", what="classes")
    figure = figures.bars(shown, of="class_name", value="labels", by="change", title="labels of one reader each")
    units = (
        f"n: {several(changed.labels.height, 'label')}. Moved: a box of the same reader and class that overlaps its "
        f"old place by an IoU of {changes.SAME_BOX_IOU:g} or more. That a reading found nothing is a label, too. {most}"
    )
    layout.chart(
        "Labels that were added, are gone, or moved, by class", figure, data, key="changed-labels", units=units
    )
    with st.expander(f"The labels ({changed.labels.height:,} rows)"):
        _openable(changed.labels, here, key="changed-images")


def _classes(before: Dataset, after: Dataset, changed: Changes, here: Dataset) -> None:
    splits = changed.classes["split"].unique(maintain_order=True).to_list()
    split = st.selectbox("Split", [one for one in SPLITS if one in splits], key="of_split", bind="query-params")
    own = changed.classes.filter(split=split)
    shown, most = figures.most(own, of="class_name", size="images_after", what="classes")
    names = (f"{name(before)} (before)", f"{name(after)} (after)")
    long = pl.concat(
        [
            shown.select("class_name", "split", version=pl.lit(label), images=column, here=pl.lit(dataset is here))
            for label, column, dataset in zip(names, ("images_before", "images_after"), (before, after), strict=True)
        ]
    )
    layout.chart(
        f"Images of {split} with a label of each class, before and after",
        figures.bars(long, of="class_name", value="images", by="version", title="images", opens=_of_class),
        changed.classes,
        key="classes-splits",
        opens=_of_class,
        units=f"An image counts once for each class that anybody drew on it and that is in use. {most}",
    )


def _of_class(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The images of a class in a split; the other version's the dashboard cannot show."""
    return {"class": row["class_name"], "split": row["split"]} if row.get("here", True) else None


def figures_of(before: Dataset, after: Dataset, said: Feedback, rule: Rule, seed: int) -> None:
    """What the change of labels did to the figures of a detector."""
    parts = loop.parts(after, said)
    if parts.is_empty():
        st.info("No feedback is on a picture of the dataset outside training: nothing to judge by.")
        return
    left, right = st.columns(2)
    detectors = {
        judging.name(*one): one for one in parts.select("model", "model_version").unique(maintain_order=True).rows()
    }
    detector = detectors[str(left.selectbox("Detector", list(detectors), key="detector", bind="query-params"))]
    own = parts.filter(model=detector[0], model_version=detector[1])
    split = str(right.selectbox("Split", own["split"].to_list(), key="of_split", bind="query-params"))
    with st.spinner("Comparing …"):
        paired = loop.retold(before, after, said, (*detector, split), rule, seed)
    st.caption(
        f"The same feedback, on {several(paired.images, 'image')} in {several(paired.groups, 'group')} that are in "
        f"{split} of both and have the same picture, by the truth of either version: {several(paired.truth[0], 'box')} "
        f"before, {several(paired.truth[1], 'box')} after. The model is the same; what differs is the truth."
    )
    unknown = [one for one in before.taxonomy.names if one not in after.taxonomy.names]
    if unknown:
        st.caption(f"Not compared, since the later version has no such class: {layout.plain(layout.listed(unknown))}.")
    if not paired.images:
        layout.cannot_tell(f"what it did to the figures: no image with feedback is in {split} of both versions.")
        return
    names = f"truth of {name(before)}", f"truth of {name(after)}"
    pair_charts.show(paired, names, (detector, detector), split, what="truths")
