"""Feedback on images whose truth is known -> how good the detector is, and how good its pseudo-labels would be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop.dataset import version
from radloop.errors import FeedbackError
from radloop.feedback import cache, guard
from radloop.measures import evaluation
from radloop.progress import Progress, silent

_MODEL: Final = ("model", "model_version")


@dataclass(frozen=True)
class Evaluated:
    """One detector, judged by what at least two readers agree on."""

    model: str
    images: int
    truth: int  # boxes
    map_40: Mapping[str, float | None]  # ap, ap_low, ap_high: at the competition's IoU of 0.4
    map_50: Mapping[str, float | None]
    classes: pl.DataFrame  # per class: ap at 0.4; labels, precision and recall above 0.9
    pseudo_labels: Mapping[str, Any]  # the same over all classes
    readers: pl.DataFrame  # rad_id, images, truth, map: at 0.4 against each reader alone
    calibration: pl.DataFrame  # its last bin is what is above 0.9
    calibration_error: float | None


@dataclass(frozen=True)
class Evaluation:
    """Every detector that the feedback speaks of."""

    models: tuple[Evaluated, ...]
    min_readers: int  # who must have drawn a box of the truth
    left_out: Mapping[str, int]  # feedback that was not used, by reason
    notes: tuple[str, ...]


def evaluate(
    out: Path, *, feedback: Path, dataset: Path, seed: int = 0, jobs: int = 1, progress: Progress = silent
) -> Evaluation:
    """Judge the newest feedback of each detector on each image that the dataset has readings of.

    Images of training are left out: a detector knows them. Raises FeedbackError where nothing is left.
    """
    known = version.read(dataset)
    found = cache.read(feedback, cache.path(out, feedback), jobs=jobs, progress=progress)
    judged = guard.judge(found.feedback, known.images).with_columns(pl.col(_MODEL).fill_null(""))
    usable = judged.filter(pl.col("split").is_not_null() & (pl.col("split") != "training"))
    newest = usable.unique(["image_id", *_MODEL], keep="last", maintain_order=True)
    left_out = {
        "files that cannot be read": found.refused.height,
        "images that the dataset does not know": judged["split"].null_count(),
        "images of training": judged.filter(split="training").height,
        "a newer feedback of the detector on the image": usable.height - newest.height,
    }
    if newest.is_empty():
        raise FeedbackError(
            f"{feedback} holds no feedback on an image outside training that {known.root} knows. "
            "Run `radloop simulate` first."
        )

    readings = known.readings.join(newest, on="image_id", how="semi")
    each = readings.group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"].max()
    min_readers = min(2, each if isinstance(each, int) else 1)
    truth = evaluation.consensus(readings, min_readers=min_readers)
    models = []
    for (name, number), looked in newest.group_by(*_MODEL, maintain_order=True):
        images = looked["image_id"]
        here = readings.join(looked, on="image_id", how="semi")
        predictions = found.detections.join(looked, on="feedback_id", how="semi")
        known_here = truth.join(looked, on="image_id", how="semi")
        models.append(_evaluated(f"{name or 'unknown'} {number}".strip(), predictions, known_here, here, images, seed))
        progress("detectors", len(models), newest.select(_MODEL).n_unique())
    notes = () if min_readers > 1 else ("no image has two readers: the truth is what a single one drew",)
    return Evaluation(tuple(models), min_readers, {reason: n for reason, n in left_out.items() if n}, notes)


def _evaluated(
    model: str, predictions: pl.DataFrame, truth: pl.DataFrame, readings: pl.DataFrame, images: pl.Series, seed: int
) -> Evaluated:
    ids = images.to_list()
    loose, strict = (
        evaluation.average_precision(predictions, truth, ids, min_iou=iou, seed=seed) for iou in evaluation.IOUS
    )
    matched = evaluation.match(predictions, truth)
    labels = evaluation.pseudo_labels(matched, truth, ids, seed=seed)
    calibrated = evaluation.calibration(matched, ids, seed=seed)
    ap = ["ap", "ap_low", "ap_high"]
    return Evaluated(
        model=model,
        images=len(ids),
        truth=truth.height,
        map_40=loose.select(ap).row(-1, named=True),
        map_50=strict.select(ap).row(-1, named=True),
        classes=loose.select("class_id", "class_name", "truth", *ap)
        .join(labels.drop("class_name", "truth"), on="class_id")
        .filter(pl.col("truth") + pl.col("labels") > 0),
        pseudo_labels=labels.drop("class_id", "class_name").row(-1, named=True),
        readers=evaluation.by_reader(predictions, readings, ids),
        calibration=calibrated,
        calibration_error=evaluation.calibration_error(calibrated),
    )


def labels(rows: pl.DataFrame, truth: pl.DataFrame, *, seed: int = 0) -> dict[str, Any]:
    """How good `rows` (RETRAINING, or DETECTIONS taken as labels) are: precision, and recall on the images they label.

    images, truth, labels, correct, precision and recall with their intervals.
    """
    images = rows["image_id"].unique().sort()
    drawn = rows.filter(pl.col("x_min_norm").is_not_null()).with_columns(confidence=pl.lit(1.0))
    here = truth.join(images.to_frame(), on="image_id", how="semi")
    judged = evaluation.pseudo_labels(evaluation.match(drawn, here), here, images.to_list(), seed=seed)
    return {"images": len(images)} | judged.drop("class_id", "class_name").row(-1, named=True)
