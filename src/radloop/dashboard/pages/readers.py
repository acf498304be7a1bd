"""Readers: how far do they agree, and who read what?"""

from typing import Final

import polars as pl
import streamlit as st

from radloop import people
from radloop.dashboard import figures, layout, loading
from radloop.dashboard.loading import Dataset
from radloop.measures import agreement, counts
from radloop.measures.agreement import Readings
from radloop.measures.intervals import LEAST_FOR_DRAWS, LEAST_FOR_SHARE
from radloop.options import Dashboard
from radloop.tables import READER
from radloop.taxonomy import NOTHING
from radloop.words import several

_VIEWS: Final = ("By class", "By pair of readers", "Who read what", "Most disagreed on")
_EVERY: Final = "(all findings)"
_WHOSE: Final = (
    "Agreement is that of the source's readers, also of readings set aside: who reviewed had seen the model's boxes."
)
_ONE_CLASS: Final = "Images on which all readers together name one class and no other."


def _readings(dataset: Dataset) -> Readings:
    return agreement.readings(people.readers(dataset.rows), dataset.taxonomy)


@loading.measured
def _one_class(dataset: Dataset) -> pl.DataFrame:
    return agreement.one_class(_readings(dataset))


@loading.measured
def _by_class(dataset: Dataset) -> pl.DataFrame:
    return agreement.by_class(_readings(dataset))


@loading.measured
def _by_pair(dataset: Dataset) -> pl.DataFrame:
    return agreement.by_pair(_readings(dataset))


@loading.measured
def _matched(dataset: Dataset, min_iou: float) -> pl.DataFrame:
    return agreement.match(people.readers(dataset.rows), min_iou=min_iou)


@loading.measured
def _boxes_by_class(dataset: Dataset, min_iou: float) -> pl.DataFrame:
    return agreement.boxes_by_class(_matched(dataset, min_iou), dataset.taxonomy)


@loading.measured
def _boxes_by_pair(dataset: Dataset, min_iou: float) -> pl.DataFrame:
    return agreement.boxes_by_pair(_matched(dataset, min_iou), dataset.taxonomy)


@loading.measured
def _disputed(dataset: Dataset, min_iou: float) -> pl.DataFrame:
    return agreement.most_disputed(_matched(dataset, min_iou))


@loading.measured
def _read(dataset: Dataset) -> pl.DataFrame:
    return counts.readers(people.persons(dataset.rows))


@loading.measured
def _reader_classes(dataset: Dataset) -> pl.DataFrame:
    return counts.reader_classes(people.persons(dataset.rows), dataset.taxonomy)


@loading.measured
def _reader_splits(dataset: Dataset) -> pl.DataFrame:
    return counts.reader_splits(people.persons(dataset.rows))


def page(inputs: Dashboard) -> None:
    """Agreement on the image and on the box, over all images and over those with a finding."""
    found = layout.dataset(inputs)
    layout.head("Readers", "How far do the readers agree, and who read what?", simulated=layout.marks(found))
    if found is None:
        return
    st.caption(f"{layout.who_read(found)}. {_WHOSE}")
    alone = people.readers(found.rows)["rad_id"].n_unique() < 2
    view = st.segmented_control("View", _VIEWS, default=_VIEWS[2] if alone else _VIEWS[0], required=True)
    if alone and view != _VIEWS[2]:
        layout.cannot_tell("the source has one reader only, nobody to agree with.")
    elif view == _VIEWS[0]:
        layout.dependent(found)
        _flattery(found)
        _classes(found)
    elif view == _VIEWS[1]:
        layout.dependent(found)
        _pairs(found)
    elif view == _VIEWS[2]:
        _who(found)
    else:
        _most(found)


def _flattery(found: Dataset) -> None:
    shares = _one_class(found)
    columns = st.columns([1, 1, 2])
    names = {"all": "Same class, all images", "with finding": "with a finding"}
    for column, row in zip(columns[:2], shares.iter_rows(named=True), strict=True):
        share = "–" if row["share"] is None else f"{row['share']:.1%}"
        column.metric(names[row["population"]], share, border=True, help=_ONE_CLASS)
        if row["share"] is not None:
            column.caption(f"{row['agreeing']:,} of {row['images']:,}; {layout.interval(row, 'share', percent=True)}")
    columns[2].markdown(
        "**Why two figures?** Normal images agree by themselves and flatter. The right one counts only images "
        "on which any reader saw a finding: believe that one."
    )


def _classes(found: Dataset) -> None:
    by_class = _by_class(found)
    measure = st.segmented_control("Corrected for chance by", ["alpha", "kappa"], default="alpha", required=True)
    names = {"alpha": "Krippendorff's alpha", "kappa": "Fleiss' kappa"}
    every, ill = (by_class.filter(population=name)["images"].to_list()[0] for name in agreement.POPULATIONS)
    left, right = st.columns(2, gap="medium")
    with left:
        shown, most = figures.most(
            by_class, of="class_name", size="positive_images", what="classes", besides=(NOTHING,)
        )
        figure = figures.dots(shown, of="class_name", value=measure, by="population", title=names[measure])
        layout.chart(
            "On the image: did the readers see the same classes?",
            figure,
            by_class,
            key=f"agreement-{measure}",
            units=f"{names[measure]} with its 95 % interval. 1: always the same answer; 0: as by chance. "
            f"n: {every:,} images that two or more read, {ill:,} of them with a finding. Hollow: the class is on fewer "
            f"than {LEAST_FOR_DRAWS} of them, too few for an interval. {most}",
        )
    with right:
        min_iou = _iou()
        boxes = _boxes_by_class(found, min_iou).with_columns(
            pl.col("class_name").fill_null(_EVERY),
            at=pl.format("IoU of {} or more", pl.lit(min_iou)),
            boxes=pl.col("boxes_a") + pl.col("boxes_b"),
        )
        counted = boxes.filter(class_name=_EVERY)["boxes"].to_list()[0]
        shown, most = figures.most(
            boxes,
            of="class_name",
            size="boxes",
            what="classes",
            besides=(_EVERY,),
        )
        figure = figures.dots(shown, of="class_name", value="f1", by="at", title="F1 of boxes")
        figure.update_xaxes(range=[0, 1])
        layout.chart(
            "On the box: did two readers draw it in the same place?",
            figure,
            boxes.drop("at", "boxes"),
            key="box-agreement",
            units="F1 = 2 pairs / boxes of both, with its 95 % interval; normal images change nothing here. "
            f"n: {counted:,} boxes, each counted with each other reader of its image. Hollow: they lie on fewer than "
            f"{LEAST_FOR_SHARE} images, too few for an interval. {most}",
        )


def _iou() -> float:
    return float(st.slider("Boxes are the same from an IoU of", 0.1, 0.9, 0.4, 0.05, key="min-iou"))


def _pairs(found: Dataset) -> None:
    first, second, third = st.columns(3)
    name = first.selectbox("Class", [_EVERY, *found.taxonomy.names])
    population = second.segmented_control("Over", agreement.POPULATIONS, default="with finding", required=True)
    measures = {"Cohen's kappa": "kappa", "positive agreement": "positive", "F1 of boxes": "f1"}
    title = third.selectbox("Measure", list(measures))
    chosen = pl.col("class_name") == name if name != _EVERY else pl.col("class_id").is_null()
    if measures[title] == "f1":
        pairs = _boxes_by_pair(found, _iou()).filter(chosen)
        said = pl.format("{} boxes of both", pl.col("boxes_a") + pl.col("boxes_b"))
    else:
        pairs = _by_pair(found).filter(chosen, pl.col("population") == population)
        said = pl.format("{} images read by both", "images")
    of_source = _read(found).filter(who=READER)
    read, most = figures.most(of_source, of="rad_id", size="images", what="readers")
    names = read["rad_id"].to_list()
    told = pairs.filter(pl.col(f"{measures[title]}_low").is_not_null())
    few = f"{pairs.height - told.height:,} of {several(pairs.height, 'pair')} have too few to say"
    if told.is_empty():
        layout.cannot_tell(f"{title} of a pair of readers, {layout.plain(name)}: {few}.")
        return
    among = told.filter(pl.col("reader_a").is_in(names), pl.col("reader_b").is_in(names))
    figure = figures.matrix(
        among.with_columns(said=said),
        x="reader_b",
        y="reader_a",
        value=measures[title],
        names=names,
        title=title,
        hover="said",
    )
    figure.update_traces(zmin=0, zmax=1)  # 0: as by chance, or never
    layout.chart(
        f"{title} of each pair of readers, {layout.plain(name)}",
        figure,
        pairs,
        key="pairs",
        units=f"Empty: no common image, or too few for an interval: {few}. Intervals and numbers of images stand in "
        f"the data. {most}",
    )


def _who(found: Dataset) -> None:
    read = _read(found).sort(pl.col("who") != READER, maintain_order=True)
    shown, most = figures.most(read, of="rad_id", size="images", what="readers")
    readers = shown["rad_id"].to_list()
    reviewers = {rad_id: f"{rad_id} ({who})" for rad_id, who in read.select("rad_id", "who").rows() if who != READER}
    name_of = pl.col("rad_id").replace(reviewers)
    long = (
        shown.with_columns(name_of)
        .rename({"images_with_finding": "with a finding"})
        .unpivot(["images", "with a finding"], index="rad_id", variable_name="what")
    )
    figure = figures.bars(long, of="rad_id", value="value", by="what", title="images")
    layout.chart("How many images each reader read, and saw a finding on", figure, read, key="who-read", units=most)
    classes = _reader_classes(found).filter(pl.col("class_id") != found.taxonomy.nothing)
    name = st.selectbox("Class", found.taxonomy.names, key="reader-class")
    one = classes.filter(pl.col("class_name") == name, pl.col("rad_id").is_in(readers))
    figure = figures.bars(
        one.with_columns(name_of), of="rad_id", value="share", title="share of the reader's images", percent=True
    )
    title = f"On what share of their images each reader saw {layout.plain(name)}"
    layout.chart(
        title, figure, classes, key="reader-classes", units=f"n: the images that the reader read, above. {most}"
    )
    if found.has_splits:
        splits = _reader_splits(found)
        drawn, sizes = layout.enough(splits, found)
        if drawn.is_empty():
            layout.cannot_tell(f"whether each split has the same readers. {sizes}")
            return
        figure = figures.dots(
            drawn.filter(pl.col("rad_id").is_in(readers)).with_columns(name_of),
            of="rad_id",
            value="share",
            by="split",
            title="share of the split's readings",
            percent=True,
        )
        layout.chart(
            "Who read each split: another mix of readers makes other labels",
            figure,
            splits,
            key="reader-splits",
            units=f"{sizes} {most}",
        )


def _most(found: Dataset) -> None:
    disputed = _disputed(found, _iou())
    st.markdown("**Images on which the readers' boxes differ most**")
    st.caption("Disagreement is 1 − F1 of all boxes of all pairs. Choose a row to open the picture.")
    event = st.dataframe(
        disputed.head(500),
        hide_index=True,
        height=560,
        key="most-disputed",
        on_select="rerun",
        selection_mode="single-row",
        column_config={name: st.column_config.NumberColumn(format="%.3f") for name in ("f1", "disagreement")},
    )
    layout.download(disputed, key="disputed")
    for row in event["selection"]["rows"]:
        layout.open_image(disputed["image_id"][row])
