"""What dataset, feedback and reviews say together: the numbers of the commands, by the same functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from radloop.dashboard.loading import Dataset, Feedback, Reviewed, measured
from radloop.feedback import guard, queue, retraining, reviews
from radloop.feedback.retraining import Decided
from radloop.measures import counts, evaluation
from radloop.tables import NO_FINDING, TIME

_MODEL: Final = ("model", "model_version")
_IMAGE: Final = ("image_id", "split", "group", "md5", "phash")
BINS: Final = 50


def has_images(dataset: Dataset) -> bool:
    """Whether the dataset says of its images what tells a held-out picture: a table alone does not."""
    return set(_IMAGE) <= set(dataset.rows.columns)


@measured
def judged(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    """The feedback with what the guard says of it (`guard.judge`)."""
    return guard.judge(said.records.feedback, dataset.rows.select(_IMAGE).unique("image_id").sort("image_id"))


@measured
def standing(said: Reviewed) -> pl.DataFrame:
    """What the reviewers say of each feedback (`reviews.standing`)."""
    return reviews.standing(said.reviews)


@measured
def queued(dataset: Dataset, said: Feedback, reviewed: Reviewed) -> pl.DataFrame:
    """QUEUE: what is most worth a look now."""
    open_feedback = queue.candidates(judged(dataset, said), standing(reviewed))
    return queue.order(open_feedback, said.records.detections, dataset.readings, seed=0)


@measured
def decided(
    dataset: Dataset, said: Feedback, reviewed: Reviewed, min_confidence: float, require_review: bool
) -> Decided:
    """What `radloop retrain` would do now."""
    return retraining.decide(
        said.records,
        judged(dataset, said),
        reviewed.reviews,
        min_confidence=min_confidence,
        require_review=require_review,
    )


def balance(dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """class_name, before, after: images of training on which anybody sees the class, without and with the new rows."""
    columns = ["image_id", "rad_id", "class_id"]
    before = dataset.labels.filter(pl.col("split") == "training").select(columns)
    after = pl.concat([before.join(rows, on="image_id", how="anti"), rows.select(columns)])
    held = [counts.classes(table).select("class_id", "class_name", "images") for table in (before, after)]
    joined = held[0].rename({"images": "before"}).join(held[1].select("class_id", after="images"), on="class_id")
    return joined.sort("class_id").drop("class_id")


@dataclass(frozen=True)
class Judged:
    """One detector against the truth: the consensus of two readers (or of one, where an image has but one)."""

    images: int
    min_readers: int
    precision: Mapping[float, pl.DataFrame]  # by IoU: average_precision's columns
    labels: pl.DataFrame  # pseudo_labels' columns
    thresholds: pl.DataFrame
    calibration: pl.DataFrame
    calibration_error: float | None


@measured
def models(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    """model, model_version, images: detectors with feedback outside training, by the newest feedback on each image."""
    return _newest(dataset, said).group_by(_MODEL, maintain_order=True).agg(images=pl.len().cast(pl.Int64))


@measured
def evaluated(dataset: Dataset, said: Feedback, model: str, version: str) -> Judged:
    """How good one detector is on the images outside training that the dataset knows."""
    images, here, predictions, min_readers = _looked_at(dataset, said, model, version)
    truth = evaluation.consensus(here, min_readers=min_readers)
    matched = evaluation.match(predictions, truth)
    calibrated = evaluation.calibration(matched, images)
    return Judged(
        images=len(images),
        min_readers=min_readers,
        precision={
            iou: evaluation.average_precision(predictions, truth, images, min_iou=iou) for iou in evaluation.IOUS
        },
        labels=evaluation.pseudo_labels(matched, truth, images),
        thresholds=evaluation.thresholds(matched, truth),
        calibration=calibrated,
        calibration_error=evaluation.calibration_error(calibrated),
    )


@measured
def against_readers(dataset: Dataset, said: Feedback, model: str, version: str) -> pl.DataFrame:
    """The same against each reader alone (`evaluation.by_reader`)."""
    images, here, predictions, _ = _looked_at(dataset, said, model, version)
    return evaluation.by_reader(predictions, here, images)


def _looked_at(
    dataset: Dataset, said: Feedback, model: str, version: str
) -> tuple[list[str], pl.DataFrame, pl.DataFrame, int]:
    """The images that a detector is judged by, their readings, its boxes, and how many readers make a truth."""
    newest = _newest(dataset, said)
    readings = dataset.readings.join(newest, on="image_id", how="semi")
    each = readings.group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"].max()
    min_readers = min(2, each if isinstance(each, int) else 1)
    looked = newest.filter(pl.col("model") == model, pl.col("model_version") == version)
    here = readings.join(looked, on="image_id", how="semi")
    predictions = said.records.detections.join(looked, on="feedback_id", how="semi")
    return looked["image_id"].to_list(), here, predictions, min_readers


def _newest(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    known = judged(dataset, said).with_columns(pl.col(_MODEL).fill_null(""))
    usable = known.filter(pl.col("split").is_not_null() & (pl.col("split") != "training"))
    return usable.unique(["image_id", *_MODEL], keep="last", maintain_order=True)


@measured
def confidences(said: Feedback) -> pl.DataFrame:
    """low, high, kind, count: how many boxes, and feedbacks without a box, lie in each of 50 bins of confidence."""
    feedback, detections = said.records.feedback, said.records.detections
    kinds = {
        "boxes": detections["confidence"],
        "no finding": feedback.filter(pl.col("class_id") == NO_FINDING)["confidence"],
    }
    edges = np.arange(BINS + 1) / BINS
    tables = []
    for kind, values in kinds.items():
        place = np.clip(np.searchsorted(edges, values.to_numpy(), side="left") - 1, 0, BINS - 1)
        held = np.bincount(place, minlength=BINS)
        tables.append(
            pl.DataFrame({"low": edges[:-1], "high": edges[1:], "kind": [kind] * BINS, "count": held.astype(np.int64)})
        )
    return pl.concat(tables)


LOG: Final = pl.Schema(
    {
        "time": pl.String,
        "event": pl.String,
        "run_id": pl.String,
        "detector": pl.String,
        "arrival": pl.String,
        "drift": pl.String,
        "stage": pl.Int64,
        "load": pl.Int64,
        "image_id": pl.String,
        "latency_ms": pl.Float64,
        "kind": pl.String,
        "message": pl.String,
        **dict.fromkeys(("requests", "feedback", "errors", "retries", "late", "dropped"), pl.Int64),
        **dict.fromkeys(("seconds", "per_second", "p50_ms", "p95_ms", "p99_ms", "max_ms"), pl.Float64),
    }
)


def runs(log: pl.DataFrame) -> pl.DataFrame:
    """run_id, begun, detector, arrival, drift: the newest first."""
    begun = pl.col("time").str.to_datetime("%+", time_zone="UTC", strict=False).cast(TIME)
    return (
        log.filter(pl.col("event") == "start", pl.col("run_id").is_not_null())
        .select("run_id", begun.alias("begun"), "detector", "arrival", "drift")
        .sort("begun", "run_id", descending=True)
    )


def errors(log: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """stage, kind, errors, example: what went wrong in a run."""
    wrong = log.filter(pl.col("run_id") == run_id, pl.col("event") == "error")
    counted = wrong.group_by("stage", "kind").agg(errors=pl.len(), example=pl.col("message").first())
    return counted.sort("stage", "kind")
