"""The list of images to look at, and the boxes that lie on one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.dashboard.loading import Dataset, Feedback, measured
from radloop.measures import agreement, counts, evaluation
from radloop.tables import CLASS_NAMES, NO_FINDING, class_name

CONSENSUS: Final = "consensus"
MODEL: Final = "model"
_BOX: Final = ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")


@dataclass(frozen=True)
class Layer:
    """The boxes of one reader, of the consensus or of a model on one image."""

    name: str
    boxes: pl.DataFrame  # class_id, confidence (null but for a model), the four corners


@measured
def images(dataset: Dataset) -> pl.DataFrame:
    """image_id, split (where known), classes (text), class_ids, readers, boxes, disagreement: by image_id.

    disagreement: 1 − F1 of the boxes of all pairs of readers; null where nobody drew one.
    """
    finding = pl.col("class_id") != NO_FINDING
    first = [pl.col("split").first()] if dataset.has_splits else []
    listed = dataset.rows.group_by("image_id").agg(
        *first,
        class_name(pl.col("class_id").filter(finding).unique().sort()).str.join(", ").alias("classes"),
        pl.col("class_id").unique().sort().alias("class_ids"),
        pl.col("rad_id").unique().sort().alias("readers"),
        finding.sum().alias("boxes"),
    )
    disputed = agreement.most_disputed(_matched(dataset)).select("image_id", "disagreement")
    return listed.join(disputed, on="image_id", how="left").sort("image_id")


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
        for rad_id in sorted(rows["rad_id"].unique()):
            own = rows.filter(pl.col("rad_id") == rad_id, pl.col("class_id") != NO_FINDING)
            found.append(Layer(rad_id, _boxes(own)))
        if rows["rad_id"].n_unique() > 1:
            found.append(Layer(CONSENSUS, _boxes(evaluation.consensus(rows))))
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
    return rows.select("class_id", confidence, *_BOX)


def by_class() -> Mapping[str, int]:
    """Every finding's number by its name."""
    return {name: number for number, name in enumerate(CLASS_NAMES[:NO_FINDING])}
