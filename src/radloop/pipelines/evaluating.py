"""Feedback on images whose truth is known -> how good the detector is, and how good its pseudo-labels would be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from radloop import manifest
from radloop.catalog import judging, version
from radloop.catalog.judging import Judged
from radloop.catalog.rule import Rule, standing
from radloop.errors import FeedbackError
from radloop.feedback import guard
from radloop.measures import evaluation
from radloop.options import Evaluate
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.taxonomy import Taxonomy


@dataclass(frozen=True)
class Evaluated:
    """One detector on one split, judged by the truth (`catalog.truth`)."""

    model: str
    split: str
    images: int
    groups: int  # of these images, patients or near-duplicates: the units of every interval
    single_reader: int  # images of them that have one reader only
    truth: int  # boxes
    cut: float | None  # the boxes are whole from this confidence on; mAP is of what was kept
    map_40: Mapping[str, float | None]  # ap, ap_low, ap_high: at the competition's IoU of 0.4
    map_50: Mapping[str, float | None]
    # per class and (class_id null) for all: ap at 0.4 (mAP); labels, precision and recall above min_confidence
    classes: pl.DataFrame
    min_confidence: float  # what is strictly above it is a label
    pseudo_labels: Mapping[str, Any]  # the same over all classes
    readers: pl.DataFrame  # rad_id, images, truth, map, few: at 0.4 against each reader alone
    calibration: pl.DataFrame
    calibration_error: float | None
    calibration_floor: (
        tuple[float, float] | None
    )  # what a perfectly calibrated one would show, mean and 95th percentile


@dataclass(frozen=True)
class LeftOut:
    """Feedback that was not used, and why."""

    reason: str
    feedback: int
    images: int | None = None  # None: it is not known of which


@dataclass(frozen=True)
class Evaluation:
    """Every detector that the feedback speaks of, on every split that it was shown."""

    version: str  # of the dataset whose readers are the truth
    models: tuple[Evaluated, ...]  # of each detector: test first, then production, then the others
    min_confidence: float
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def evaluate(options: Evaluate, *, progress: Progress = silent) -> Evaluation:
    """Judge the newest feedback of each detector on each image that the dataset has, outside training.

    Predictions above `min_confidence` are taken as labels; None: above what the last round of re-training took.
    Raises FeedbackError where there is nothing to judge.
    """
    known, feedback = version.read(options.dataset_folder), options.feedback_folder
    records = coming_back.feedback(options, known, keep=True, jobs=options.jobs, progress=progress)
    judged = guard.judge(records.feedback, known.images)
    newest = judging.newest(judged)
    if newest.is_empty():
        raise FeedbackError(
            f"{feedback} holds no feedback on an image outside training that {known.root} knows. "
            "Run `radloop simulate` first."
        )

    by, least = standing(known.root / manifest.RETRAIN) or Rule(), options.min_confidence
    by = by if least is None else replace(by, min_confidence=least)
    models = []
    parts = judging.parts(newest)
    for name, number, split, _ in parts.iter_rows():
        looked = judging.part(newest, name, number, split)
        given = (looked, records.every_box, known.readings, known.taxonomy)
        detector, alone = judging.judge(*given, rule=by, seed=options.seed), judging.against_readers(*given)
        models.append(_evaluated(f"{name or 'unknown'} {number}".strip(), split, detector, alone))
        progress("detectors and splits", len(models), parts.height)
    return Evaluation(
        version=known.id,
        models=tuple(models),
        min_confidence=by.min_confidence,
        left_out=_left_out(records.refused.height, judged, newest),
        notes=_read_once(newest, known.readings),
    )


def _left_out(unreadable: int, judged: pl.DataFrame, newest: pl.DataFrame) -> tuple[LeftOut, ...]:
    """What became of the rest of the feedback."""
    older = judging.usable(judged).join(newest, on="feedback_id", how="anti")
    counted = [LeftOut("cannot be read", unreadable)] if unreadable else []
    for reason, rows in (
        ("the dataset does not know the image", judged.filter(pl.col("split").is_null())),
        ("the image is of training: a detector knows it", judged.filter(split="training")),
        ("a newer one of the detector is on the image", older),
    ):
        if rows.height:
            counted.append(LeftOut(reason, rows.height, rows["image_id"].n_unique()))
    return tuple(counted)


def _read_once(newest: pl.DataFrame, readings: pl.DataFrame) -> tuple[str, ...]:
    """What is to be said of images that have no second reader."""
    readers = readings.join(newest, on="image_id", how="semi").group_by("image_id").agg(pl.col("rad_id").n_unique())
    alone = readers.filter(rad_id=1).height
    if not alone:
        return ()
    return (f"{alone:,} of {readers.height:,} images have one reader only: their truth is what this one drew",)


def _evaluated(model: str, split: str, judged: Judged, readers: pl.DataFrame) -> Evaluated:
    loose, strict = (judged.precision[iou] for iou in evaluation.IOUS)
    ap = ["ap", "ap_low", "ap_high"]
    return Evaluated(
        model=model,
        split=split,
        images=judged.images,
        groups=judged.groups,
        single_reader=judged.single_reader,
        truth=judged.truth,
        cut=judged.cut,
        map_40=loose.select(ap).row(-1, named=True),
        map_50=strict.select(ap).row(-1, named=True),
        classes=loose.select("class_id", "class_name", "truth", *ap)
        .join(judged.labels.drop("class_name", "truth"), on="class_id", nulls_equal=True, maintain_order="left")
        .filter((pl.col("truth") + pl.col("labels") > 0) | pl.col("class_id").is_null()),
        min_confidence=judged.min_confidence,
        pseudo_labels=judged.labels.drop("class_id", "class_name").row(-1, named=True),
        readers=readers,
        calibration=judged.calibration,
        calibration_error=judged.calibration_error,
        calibration_floor=judged.calibration_floor,
    )


def labels(rows: pl.DataFrame, truth: pl.DataFrame, images: pl.DataFrame, classes: Taxonomy) -> dict[str, Any]:
    """How good `rows` (RETRAINING, or DETECTIONS taken as labels) are on `images` (image_id, group).

    images, labelled (those that the rows are of), truth, labels, correct; precision and recall with their intervals.
    """
    drawn = rows.filter(pl.col("x_min_norm").is_not_null()).with_columns(confidence=pl.lit(1.0))
    here = truth.join(images, on="image_id", how="semi")
    matched = evaluation.match(drawn, here)
    judged = evaluation.pseudo_labels(matched, here, images, classes, min_confidence=0.0)
    labelled = rows.join(images, on="image_id", how="semi")["image_id"].n_unique()
    counted = {"images": images["image_id"].n_unique(), "labelled": labelled}
    return counted | judged.drop("class_id", "class_name").row(-1, named=True)
