"""The list of images to look at, and the boxes that lie on one of them."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop import people
from radloop.catalog import incoming as unlabelled
from radloop.catalog import judging, truth, version
from radloop.dashboard.loading import Dataset, Feedback, measured
from radloop.measures import agreement, counts
from radloop.tables import DETECTOR, EDGES, READER

CONSENSUS: Final = "consensus"
MODEL: Final = "AI findings"


@dataclass(frozen=True)
class Layer:
    """The boxes of one reader, of the consensus or of a model on one image."""

    name: str
    boxes: pl.DataFrame  # class_id, confidence (null but for a model), the four corners
    aside: bool = False  # in no label


@measured
def images(dataset: Dataset) -> pl.DataFrame:
    """image_id, split (where known), class_ids, readers, boxes, classes (text), disagreement: by image_id.

    Of the rows that labels are made of; and images that came in and that nobody of the source has read, without
    readers. readers: whose they are, as `readers` names them. disagreement: 1 − F1 of the
    boxes of all pairs of the source's readers; null where nobody drew one.
    """
    rows, finding = dataset.labels, pl.col("class_id").is_not_null()
    first = [pl.col("split").first()] if dataset.has_splits else []
    listed = rows.group_by("image_id").agg(
        *first,
        pl.col("class_id").drop_nulls().unique().sort().alias("class_ids"),
        pl.col("rad_id").unique().sort().alias("readers"),
        finding.sum().alias("boxes"),
    )
    seen = rows.filter(finding).select("image_id", "class_id").unique().sort("image_id", "class_id")
    named = seen.with_columns(classes=dataset.taxonomy.named(pl.col("class_id")))
    classes = named.group_by("image_id", maintain_order=True).agg(pl.col("classes").str.join(", "))
    disputed = agreement.most_disputed(_matched(dataset)).select("image_id", "disagreement")
    read = (
        listed.join(classes, on="image_id", how="left")
        .with_columns(pl.col("classes").fill_null(""))
        .join(disputed, on="image_id", how="left")
    )
    return pl.concat([read, _unread(dataset, read)]).sort("image_id")


def _unread(dataset: Dataset, read: pl.DataFrame) -> pl.DataFrame:
    """The rows of what came in, with the columns of `read`."""
    splits = unlabelled.images(dataset.unread).select("image_id", "split")
    rows = splits.with_columns(
        boxes=pl.lit(0, read.schema["boxes"]),
        classes=pl.lit(""),
        **{name: pl.lit([], read.schema[name]) for name in ("class_ids", "readers")},
        disagreement=pl.lit(None, pl.Float64),
    )
    return rows.select(read.columns) if rows.height else read.clear()


@measured
def readers(dataset: Dataset) -> dict[str, str]:
    """By the name on the page, the rad_id of everybody whose rows are in labels: the source's readers first."""
    everybody = people.named(dataset.labels).sort(pl.col("who") != READER, *counts.reader_order())
    return {rad_id if who == READER else f"{rad_id} ({who})": rad_id for rad_id, who in everybody.iter_rows()}


@measured
def _matched(dataset: Dataset) -> pl.DataFrame:
    return agreement.match(people.readers(dataset.rows))


def layers(dataset: Dataset | None, said: Feedback | None, image_id: str) -> list[Layer]:
    """Every set of boxes on one image: each reading's, the consensus of two or more readers, each detector's newest."""
    found = []
    if dataset is not None:
        rows = dataset.rows.filter(pl.col("image_id") == image_id)
        found += _readings(rows)
        readings = version.readings(rows)
        if readings["rad_id"].n_unique() > 1:
            found.append(Layer(CONSENSUS, _boxes(truth.of(readings))))
    if said is not None:
        theirs = said.records.feedback.filter(pl.col("image_id") == image_id)
        own = theirs.with_columns(pl.col(DETECTOR).fill_null("")).sort("timestamp", "feedback_id")
        newest = own.unique(DETECTOR, keep="last", maintain_order=True)
        for feedback_id, *detector in newest.select("feedback_id", *DETECTOR).iter_rows():
            name = MODEL if newest.height == 1 else f"{MODEL}, {judging.name(*detector)}"
            found.append(Layer(name, detections(said, feedback_id)))
    return found


def _readings(rows: pl.DataFrame) -> list[Layer]:
    """Of each reader, reviewer and model on one image, what labels use apart from what was set aside."""
    absent = {"source": pl.lit(READER), "used": pl.lit(value=True)}
    told = rows.with_columns(**{name: one for name, one in absent.items() if name not in rows.columns})
    keys = ["rad_id", "source", "used"]
    found = []
    for rad_id, source, used in told.select(keys).unique().sort(*counts.reader_order(), "source", "used").iter_rows():
        own = told.filter(pl.col("class_id").is_not_null(), rad_id=rad_id, source=source, used=used)
        who = [] if source == READER else [source.replace("-", " ")]
        marks = ", ".join(who if used else [*who, "set aside"])
        found.append(Layer(f"{rad_id} ({marks})" if marks else rad_id, _boxes(own), aside=not used))
    return found


def detections(said: Feedback, feedback_id: str) -> pl.DataFrame:
    """The boxes of one feedback."""
    return _boxes(said.records.detections.filter(pl.col("feedback_id") == feedback_id))


def _boxes(rows: pl.DataFrame) -> pl.DataFrame:
    confidence = pl.col("confidence") if "confidence" in rows.columns else pl.lit(None, pl.Float64).alias("confidence")
    return rows.select("class_id", confidence, *EDGES)
