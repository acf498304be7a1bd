"""Feedback on images whose truth is known -> how good the detector is, and how good its pseudo-labels would be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from radloop import manifest
from radloop.catalog import judging, version
from radloop.catalog.judging import Judged, LeftOut
from radloop.catalog.rule import Rule, standing
from radloop.errors import FeedbackError
from radloop.feedback import guard, months, reads, reviews
from radloop.feedback.rows import NEEDED
from radloop.measures import evaluation
from radloop.measures.curves import Froc
from radloop.options import Evaluate
from radloop.pipelines import coming_back
from radloop.progress import Progress, silent
from radloop.words import AUDIT, several


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
    cut_told: bool  # by the feedback itself; else it is the lowest confidence that occurs
    top_box_only: int  # images of which the feedback tells one box of perhaps many: the others count as missed
    map_40: Mapping[str, float | None]  # ap, ap_low, ap_high: at the competition's IoU of 0.4
    map_50: Mapping[str, float | None]
    # per class and (class_id null) for all: ap at 0.4 (mAP); labels, precision and recall above min_confidence
    classes: pl.DataFrame
    min_confidence: float  # what is strictly above it is a label, if the policy is the threshold
    label_words: str  # what a label is
    pseudo_labels: Mapping[str, Any]  # the same over all classes
    froc: Froc  # sensitivity at each rate of false boxes an image, by class and in all, and its mean
    readers: pl.DataFrame  # rad_id, images, truth, map, few: at 0.4 against each reader alone
    calibration: pl.DataFrame
    calibration_error: float | None
    calibration_floor: (
        tuple[float, float] | None
    )  # what a perfectly calibrated one would show, mean and 95th percentile


@dataclass(frozen=True)
class Evaluation:
    """Every detector that the feedback speaks of, on every split that it was shown."""

    version: str  # of the dataset whose readers are the truth
    models: tuple[Evaluated, ...]  # of each detector: test first, then production, then the others
    min_confidence: float
    left_out: tuple[LeftOut, ...]
    audit: pl.DataFrame  # MONTHS of `feedback.months`: on the audit images that people have read, by month of arrival
    following: pl.DataFrame  # how often radiologists follow the model against their blind read (`reads.following`)
    notes: tuple[str, ...]


def evaluate(options: Evaluate, *, progress: Progress = silent) -> Evaluation:
    """Judge the newest feedback of each detector on each image that the dataset has, outside training.

    Predictions above `min_confidence` are taken as labels; None: above what the last round of re-training took.
    Raises FeedbackError where there is nothing to judge.
    """
    known, feedback = version.read(options.dataset_folder), options.feedback_folder
    records = coming_back.feedback(options, known, keep=True, columns=NEEDED, jobs=options.jobs, progress=progress)
    judged = guard.judge(records.feedback, known.images)
    newest = judging.newest(judged)
    rest = judging.left_out(judged, newest, known.annotations)
    parts = judging.parts(newest, known.annotations)
    if parts.is_empty() and newest.filter(split=AUDIT).is_empty():
        counted = "; ".join(f"{several(each.feedback, 'feedback file')}: {each.reason}" for each in rest)
        why = f" ({counted})" if rest else ""
        raise FeedbackError(
            f"{feedback} holds no feedback on a picture of {known.root} outside training{why}. "
            "Run `radloop simulate` first."
        )

    by, least = standing(known.root / manifest.RETRAIN) or Rule(), options.min_confidence
    by = by if least is None else replace(by, policy="threshold", min_confidence=least)
    models = []
    for model, number, split, _ in parts.iter_rows():
        looked = judging.part(newest, model, number, split)
        given = (looked, records.every_box, known.readings)
        detector = judging.judge(judging.matched(*given), known.taxonomy, rule=by, seed=options.seed)
        alone = judging.against_readers(*given, known.taxonomy)
        models.append(_evaluated(judging.name(model, number), split, detector, alone))
        progress("detectors and splits", len(models), parts.height)
    unreadable = [LeftOut("cannot be read", records.refused.height)] if records.refused.height else []
    now = datetime.now(UTC)
    said = reviews.read(options.reviews_folder, known.taxonomy, convention=options.convention, now=now)
    told = months.readings(records, judged, said, known.images, simulated=known.synthetic)
    return Evaluation(
        version=known.id,
        models=tuple(models),
        min_confidence=by.min_confidence,
        left_out=(*unreadable, *rest),
        audit=months.of(records, judged, told, known.incoming, known.taxonomy, seed=options.seed),
        following=reads.following(said, known.readings, known.images),
        notes=_read_once(newest, known.readings),
    )


def _read_once(newest: pl.DataFrame, readings: pl.DataFrame) -> tuple[str, ...]:
    """What is to be said of images that have no second reader."""
    readers = readings.join(newest, on="image_id", how="semi").group_by("image_id").agg(pl.col("rad_id").n_unique())
    alone = readers.filter(rad_id=1).height
    if not alone:
        return ()
    return (f"{alone:,} of {several(readers.height, 'image')} had one reader only: their truth is what this one drew",)


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
        cut_told=judged.cut_told,
        top_box_only=judged.top_box_only,
        map_40=loose.select(ap).row(-1, named=True),
        map_50=strict.select(ap).row(-1, named=True),
        classes=loose.select("class_id", "class_name", "truth", *ap)
        .join(judged.labels.drop("class_name", "truth"), on="class_id", nulls_equal=True, maintain_order="left")
        .filter((pl.col("truth") + pl.col("labels") > 0) | pl.col("class_id").is_null()),
        min_confidence=judged.min_confidence,
        label_words=judged.label_words,
        pseudo_labels=judged.labels.drop("class_id", "class_name").row(-1, named=True),
        froc=judged.froc,
        readers=readers,
        calibration=judged.calibration,
        calibration_error=judged.calibration_error,
        calibration_floor=judged.calibration_floor,
    )
