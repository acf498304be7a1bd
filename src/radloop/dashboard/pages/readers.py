"""Readers: how far do they agree, and who read what?"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import streamlit as st

from radloop import people
from radloop.dashboard import figures, layout, links, loading
from radloop.dashboard.loading import Dataset
from radloop.measures import agreement, counts
from radloop.measures.agreement import Readings
from radloop.measures.intervals import LEAST_FOR_DRAWS, LEAST_FOR_SHARE
from radloop.options import Dashboard
from radloop.tables import READER
from radloop.taxonomy import NOTHING
from radloop.words import several

_VIEWS: Final = ("By class", "By pair of readers", "Who read what", "Most disagreed on")
_WITH_FINDING: Final = "with a finding"
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
        "**Why two figures?** Images with “No finding” agree by themselves and flatter. The right one counts only "
        "images on which any reader saw a finding: believe that one."
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
        figure = figures.dots(
            shown, of="class_name", value=measure, by="population", title=names[measure], opens=_of_class
        )
        layout.chart(
            "On the image: did the readers see the same classes?",
            figure,
            by_class,
            key=f"agreement-{measure}",
            opens=_of_class,
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
        figure = figures.dots(shown, of="class_name", value="f1", by="at", title="F1 of boxes", opens=_of_class)
        figure.update_xaxes(range=[0, 1])
        layout.chart(
            "On the box: did two readers draw it in the same place?",
            figure,
            boxes.drop("at", "boxes"),
            key="box-agreement",
            opens=_of_class,
            units="F1 = 2 pairs / boxes of both, with its 95 % interval; images with “No finding” change nothing here. "
            f"n: {counted:,} boxes, each counted with each other reader of its image. Hollow: they lie on fewer than "
            f"{LEAST_FOR_SHARE} images, too few for an interval. {most}",
        )


def _of_class(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The images with the class of a row."""
    return {"class": row["class_name"] if row["class_name"] not in (None, _EVERY) else None}


def _of_pair(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The images that both readers of a row read; of a class, those where one of them drew it."""
    return {
        "reader": [row["reader_a"], row["reader_b"]],
        "class": row["class_name"] if row["class_id"] is not None else None,
    }


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
        opens=_of_pair,
    )
    figure.update_traces(zmin=0, zmax=1, selector={"type": "heatmap"})  # 0: as by chance, or never
    layout.chart(
        f"{title} of each pair of readers, {layout.plain(name)}",
        figure,
        pairs,
        key="pairs",
        opens=_of_pair,
        units=f"Empty: no common image, or too few for an interval: {few}. Intervals and numbers of images stand in "
        f"the data. {most}",
    )


def _of_reader(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The images that a reader read; with a class or any finding, those where this one drew it."""
    finding = "yes" if row.get("what") == _WITH_FINDING else None
    return {"reader": row["rad_id"], "finding": finding, "class": row.get("class_name"), "split": row.get("split")}


def _who(found: Dataset) -> None:
    read = _read(found).sort(pl.col("who") != READER, maintain_order=True)
    shown, most = figures.most(read, of="rad_id", size="images", what="readers")
    names = {
        rad_id: rad_id if who == READER else f"{rad_id} ({who})" for rad_id, who in shown.select("rad_id", "who").rows()
    }
    reader = pl.col("rad_id").replace_strict(names, return_dtype=pl.String)
    long = (
        shown.with_columns(reader=reader)
        .rename({"images_with_finding": _WITH_FINDING})
        .unpivot(["images", _WITH_FINDING], index=["rad_id", "reader"], variable_name="what")
    )
    figure = figures.bars(long, of="reader", value="value", by="what", title="images", opens=_of_reader)
    title = "How many images each reader read, and saw a finding on"
    layout.chart(title, figure, read, key="who-read", units=most, opens=_of_reader)
    classes = _reader_classes(found).filter(pl.col("class_id") != found.taxonomy.nothing)
    name = st.selectbox("Class", found.taxonomy.names, key="reader-class")
    one = classes.filter(pl.col("class_name") == name, pl.col("rad_id").is_in(names)).with_columns(reader=reader)
    figure = figures.bars(
        one, of="reader", value="share", title="share of the reader's images", percent=True, opens=_of_reader
    )
    title = f"On what share of their images each reader saw {layout.plain(name)}"
    units = f"n: the images that the reader read, above. {most}"
    layout.chart(title, figure, classes, key="reader-classes", units=units, opens=_of_reader)
    if found.has_splits:
        splits = _reader_splits(found)
        _who_read_splits(found, splits, splits.filter(pl.col("rad_id").is_in(names)).with_columns(reader=reader), most)


def _who_read_splits(found: Dataset, splits: pl.DataFrame, shown: pl.DataFrame, most: str) -> None:
    drawn, sizes = layout.enough(shown, found)
    if drawn.is_empty():
        layout.cannot_tell(f"whether each split has the same readers. {sizes}")
        return
    title = "share of the split's readings"
    figure = figures.dots(drawn, of="reader", value="share", by="split", title=title, percent=True, opens=_of_reader)
    layout.chart(
        "Who read each split: another mix of readers makes other labels",
        figure,
        splits,
        key="reader-splits",
        opens=_of_reader,
        units=f"{sizes} {most}",
    )


def _most(found: Dataset) -> None:
    disputed = _disputed(found, _iou())
    st.markdown("**Images on which the readers' boxes differ most**")
    st.caption("Disagreement is 1 − F1 of all boxes of all pairs. Choose a row to open the picture.")
    links.choose(
        disputed.head(500),
        key="most-disputed",
        opens=links.image_of,
        height=560,
        column_config={name: st.column_config.NumberColumn(format="%.3f") for name in ("f1", "disagreement")},
    )
    layout.download(disputed, key="disputed")
