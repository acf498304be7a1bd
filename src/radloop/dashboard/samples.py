"""The list of images to look at, and the boxes that lie on one of them."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.catalog import truth, version
from radloop.dashboard.loading import Dataset, Feedback, measured
from radloop.measures import agreement, counts
from radloop.tables import EDGES

CONSENSUS: Final = "consensus"
MODEL: Final = "model"


@dataclass(frozen=True)
class Layer:
    """The boxes of one reader, of the consensus or of a model on one image."""

    name: str
    boxes: pl.DataFrame  # class_id, confidence (null but for a model), the four corners


@measured
def images(dataset: Dataset) -> pl.DataFrame:
    """image_id, split (where known), class_ids, readers, boxes, classes (text), disagreement: by image_id.

    disagreement: 1 − F1 of the boxes of all pairs of readers; null where nobody drew one.
    """
    finding = pl.col("class_id").is_not_null()
    first = [pl.col("split").first()] if dataset.has_splits else []
    listed = dataset.rows.group_by("image_id").agg(
        *first,
        pl.col("class_id").drop_nulls().unique().sort().alias("class_ids"),
        pl.col("rad_id").unique().sort().alias("readers"),
        finding.sum().alias("boxes"),
    )
    seen = dataset.rows.filter(finding).select("image_id", "class_id").unique().sort("image_id", "class_id")
    named = seen.with_columns(classes=dataset.taxonomy.named(pl.col("class_id")))
    classes = named.group_by("image_id", maintain_order=True).agg(pl.col("classes").str.join(", "))
    disputed = agreement.most_disputed(_matched(dataset)).select("image_id", "disagreement")
    return (
        listed.join(classes, on="image_id", how="left")
        .with_columns(pl.col("classes").fill_null(""))
        .join(disputed, on="image_id", how="left")
        .sort("image_id")
    )


@measured
def readers(dataset: Dataset) -> list[str]:
    """Every reader, R2 before R10."""
    return counts.readers(dataset.rows)["rad_id"].to_list()


@measured
def _matched(dataset: Dataset) -> pl.DataFrame:
    return agreement.match(dataset.readings)


def layers(dataset: Dataset | None, said: Feedback | None, image_id: str) -> list[Layer]:
    """Every set of boxes on one image: each reader's, the consensus of two or more, the newest feedback's."""
    found = []
    if dataset is not None:
        rows = dataset.rows.filter(pl.col("image_id") == image_id)
        for rad_id in rows.select("rad_id").unique().sort(*counts.reader_order())["rad_id"]:
            own = rows.filter(pl.col("rad_id") == rad_id, pl.col("class_id").is_not_null())
            found.append(Layer(rad_id, _boxes(own)))
        readings = version.readings(rows)
        if readings["rad_id"].n_unique() > 1:
            found.append(Layer(CONSENSUS, _boxes(truth.of(readings))))
    if said is not None:
        theirs = said.records.feedback.filter(pl.col("image_id") == image_id)
        if theirs.height:
            newest = theirs.sort("timestamp", "feedback_id")["feedback_id"][-1]
            found.append(Layer(MODEL, detections(said, newest)))
    return found


def detections(said: Feedback, feedback_id: str) -> pl.DataFrame:
    """The boxes of one feedback."""
    return _boxes(said.records.detections.filter(pl.col("feedback_id") == feedback_id))


def _boxes(rows: pl.DataFrame) -> pl.DataFrame:
    confidence = pl.col("confidence") if "confidence" in rows.columns else pl.lit(None, pl.Float64).alias("confidence")
    return rows.select("class_id", confidence, *EDGES)
