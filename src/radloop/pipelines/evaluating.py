"""Feedback on images whose truth is known -> how good the detector is, and how good its pseudo-labels would be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from radloop import manifest
from radloop.catalog import judging, version
from radloop.catalog.judging import MODEL, Judged
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
    """One detector, judged by the truth (`catalog.truth`)."""

    model: str
    images: int
    single_reader: int  # images of them that have one reader only
    truth: int  # boxes
    map_40: Mapping[str, float | None]  # ap, ap_low, ap_high: at the competition's IoU of 0.4
    map_50: Mapping[str, float | None]
    classes: pl.DataFrame  # per class: ap at 0.4; labels, precision and recall above min_confidence
    min_confidence: float  # what is strictly above it is a label
    pseudo_labels: Mapping[str, Any]  # the same over all classes
    readers: pl.DataFrame  # rad_id, images, truth, map: at 0.4 against each reader alone
    calibration: pl.DataFrame
    calibration_error: float | None


@dataclass(frozen=True)
class Evaluation:
    """Every detector that the feedback speaks of."""

    models: tuple[Evaluated, ...]
    min_confidence: float
    left_out: Mapping[str, int]  # feedback that was not used, by reason
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
    for (name, number), looked in newest.group_by(*MODEL, maintain_order=True):
        given = (looked, records.detections, known.readings, known.taxonomy)
        detector = judging.judge(*given, rule=by, seed=options.seed)
        models.append(_evaluated(f"{name or 'unknown'} {number}".strip(), detector, judging.against_readers(*given)))
        progress("detectors", len(models), newest.select(MODEL).n_unique())
    left_out = {
        "files that cannot be read": records.refused.height,
        "images that the dataset does not know": judged["split"].null_count(),
        "images of training": judged.filter(split="training").height,
        "a newer feedback of the detector on the image": judging.usable(judged).height - newest.height,
    }
    return Evaluation(
        models=tuple(models),
        min_confidence=by.min_confidence,
        left_out={reason: count for reason, count in left_out.items() if count},
        notes=_read_once(newest, known.readings),
    )


def _read_once(newest: pl.DataFrame, readings: pl.DataFrame) -> tuple[str, ...]:
    """What is to be said of images that have no second reader."""
    readers = readings.join(newest, on="image_id", how="semi").group_by("image_id").agg(pl.col("rad_id").n_unique())
    alone = readers.filter(rad_id=1).height
    if not alone:
        return ()
    return (f"{alone:,} of {readers.height:,} images have one reader only: their truth is what this one drew",)


def _evaluated(model: str, judged: Judged, readers: pl.DataFrame) -> Evaluated:
    loose, strict = (judged.precision[iou] for iou in evaluation.IOUS)
    ap = ["ap", "ap_low", "ap_high"]
    return Evaluated(
        model=model,
        images=judged.images,
        single_reader=judged.single_reader,
        truth=judged.truth,
        map_40=loose.select(ap).row(-1, named=True),
        map_50=strict.select(ap).row(-1, named=True),
        classes=loose.select("class_id", "class_name", "truth", *ap)
        .join(judged.labels.drop("class_name", "truth"), on="class_id", maintain_order="left")
        .filter(pl.col("truth") + pl.col("labels") > 0),
        min_confidence=judged.min_confidence,
        pseudo_labels=judged.labels.drop("class_id", "class_name").row(-1, named=True),
        readers=readers,
        calibration=judged.calibration,
        calibration_error=judged.calibration_error,
    )


def labels(rows: pl.DataFrame, truth: pl.DataFrame, classes: Taxonomy, *, seed: int = 0) -> dict[str, Any]:
    """How good `rows` (RETRAINING, or DETECTIONS taken as labels) are: precision, and recall on the images they label.

    images, truth, labels, correct, precision and recall with their intervals.
    """
    images = rows["image_id"].unique().sort()
    drawn = rows.filter(pl.col("x_min_norm").is_not_null()).with_columns(confidence=pl.lit(1.0))
    here = truth.join(images.to_frame(), on="image_id", how="semi")
    matched = evaluation.match(drawn, here)
    judged = evaluation.pseudo_labels(matched, here, images.to_list(), classes, min_confidence=0.0, seed=seed)
    return {"images": len(images)} | judged.drop("class_id", "class_name").row(-1, named=True)
