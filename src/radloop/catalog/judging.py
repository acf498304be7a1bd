"""THE judging of detectors: which feedback counts, against which truth, by which rule. For the command and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from radloop import slices
from radloop.catalog import kept, truth
from radloop.catalog.rule import Rule
from radloop.measures import calibration, compared, curves, evaluation
from radloop.measures.compared import Side
from radloop.measures.curves import Froc
from radloop.tables import CLASS_ID, DETECTOR
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT

# What is judged apart: test tells how good a detector is, production how good what may train would be.
SPLITS: Final = ("test", "production", "validation", "staging", "canary")


@dataclass(frozen=True)
class Judged:
    """One detector on the images of one split, against the truth (`catalog.truth.of`)."""

    images: int
    groups: int  # of these images: what the intervals draw
    single_reader: int  # images of them that one reader alone has read: their truth is what this one drew
    truth: int  # boxes
    cut: float | None  # the boxes are whole from this confidence on (`kept.cut`): what lies below was not kept
    cut_told: bool  # by the feedback itself; else it is the lowest confidence that occurs
    top_box_only: int  # images of which the feedback tells one box of perhaps many: the others count as missed
    min_confidence: float  # of the rule: what is strictly above it is a label, if its policy is the threshold
    label_words: str  # `Rule.words`
    precision: Mapping[float, pl.DataFrame]  # by IoU (evaluation.IOUS): `evaluation.average_precision`
    labels: pl.DataFrame  # `evaluation.pseudo_labels`
    thresholds: pl.DataFrame  # `evaluation.thresholds`
    froc: Froc  # `curves.froc`, of the boxes from the cut on
    calibration: pl.DataFrame  # `calibration.calibration`, of the boxes above `Rule.doubtful`
    calibration_error: float | None
    calibration_floor: tuple[float, float] | None  # `calibration.floor`


def name(model: str, model_version: str) -> str:
    """How a detector is called where people read it."""
    return f"{model or 'unknown'} {model_version}".strip()


@dataclass(frozen=True)
class LeftOut:
    """Feedback that was not used, and why."""

    reason: str
    feedback: int
    images: int | None = None  # None: it is not known of which


def usable(judged: pl.DataFrame) -> pl.DataFrame:
    """The feedback of a table with JUDGED (`guard.judge`) that lies on an image of the dataset, outside training.

    A detector may have learned from the images of training, and on another picture than the dataset's (brighter by
    `--drift`, of another recipe) it says how good it is there. `split` is the dataset's; `model` and `model_version`
    are never null.
    """
    outside = pl.col("split").is_not_null() & (pl.col("split") != "training")
    return judged.filter(outside & ~pl.col("other_picture")).with_columns(pl.col(DETECTOR).fill_null(""))


def newest(judged: pl.DataFrame) -> pl.DataFrame:
    """The newest usable feedback of each detector on each image, by time; of one time, that of the larger id."""
    needed = judged.select("image_id", *DETECTOR, "timestamp", "feedback_id", "split", "other_picture")
    rows = needed.with_row_index("place")
    last = _last_each(pl.concat(_last_each(usable(some)) for some in slices.of(rows)))
    return judged[last["place"]].with_columns(pl.col(DETECTOR).fill_null(""))


def _last_each(rows: pl.DataFrame) -> pl.DataFrame:
    by_time = rows.sort("timestamp", "feedback_id", maintain_order=True)
    return by_time.unique(["image_id", *DETECTOR], keep="last", maintain_order=True)


def left_out(judged: pl.DataFrame, newest: pl.DataFrame, own: pl.DataFrame) -> tuple[LeftOut, ...]:
    """What became of the rest of the feedback of a table with JUDGED. own: rows of the dataset."""
    judged = judged.select("image_id", *DETECTOR, "feedback_id", "split", "other_picture")
    older = usable(judged).select("feedback_id", "image_id").join(newest, on="feedback_id", how="anti")
    incoming = newest.filter(pl.col("split") != AUDIT).join(own, on="image_id", how="anti")
    counted = (
        ("the dataset does not know the image", judged.lazy().filter(pl.col("split").is_null())),
        ("the image is of training now: a detector may have learned from it", judged.lazy().filter(split="training")),
        (
            "it was given on another picture than the dataset has of the image (MD5)",
            judged.lazy().filter(pl.col("split") != "training", pl.col("other_picture")),
        ),
        ("a newer one of the detector is on the image", older.lazy()),
        ("the image came in from production, and no reader of the source has read it", incoming.lazy()),
    )
    told = ((why, *rows.select(pl.len(), pl.col("image_id").n_unique()).collect().row(0)) for why, rows in counted)
    return tuple(LeftOut(reason, feedback, images) for reason, feedback, images in told if feedback)


def parts(newest: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
    """model, model_version, split, images: what is judged apart, each detector's splits in the order of SPLITS.

    Images that came in are not in it, also where they are held out with one of `own`, the rows of the dataset: no
    reader of the source has read them (`feedback.months` judges the audit's).
    """
    place = pl.col("split").replace_strict({split: place for place, split in enumerate(SPLITS)}, return_dtype=pl.Int8)
    counted = (
        newest.filter(pl.col("split").is_in(SPLITS))
        .join(own, on="image_id", how="semi")
        .group_by(*DETECTOR, "split", maintain_order=True)
        .agg(images=pl.len().cast(pl.Int64))
    )
    return counted.sort(*DETECTOR, place).select(*DETECTOR, "split", "images")


def part(newest: pl.DataFrame, model: str, model_version: str, split: str) -> pl.DataFrame:
    """The rows of `newest` that are one detector's on one split."""
    return newest.filter(model=model, model_version=model_version, split=split)


@dataclass(frozen=True)
class Matched:
    """The boxes of one detector on the images of one split, and those of the truth, at the competition's IoU."""

    looked: pl.DataFrame  # the rows of FEEDBACK that are judged
    images: pl.DataFrame  # image_id, group, readers (how many have read it)
    predictions: pl.DataFrame  # DETECTIONS
    truth: pl.DataFrame  # TRUTH
    boxes: pl.DataFrame  # `evaluation.match` of the two
    cut: float | None  # `kept.cut`

    @property
    def side(self) -> Side:
        """As one of two that are compared."""
        return Side(self.predictions, self.boxes, self.truth, self.cut)


def matched(looked: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame) -> Matched:
    """What is judged of a `part` of `newest`.

    looked: that part. boxes: every box that feedback keeps (`Records.every_box`), also of other feedback. readings: the
    dataset's own (`Version.readings`), also of other images. An image that nobody has read is not judged.
    """
    looked, predictions, own = _concerned(looked, boxes, readings)
    readers = own.group_by("image_id", "group").agg(readers=pl.col("rad_id").n_unique())
    known = truth.of(own)
    return Matched(
        looked=looked,
        images=readers.sort("image_id"),
        predictions=predictions,
        truth=known,
        boxes=evaluation.match(predictions, known),
        cut=kept.cut(looked, boxes),
    )


def judge(here: Matched, classes: Taxonomy, *, rule: Rule, seed: int = 0) -> Judged:
    """How good one detector is, and how good its predictions would be as labels by `rule`."""
    images, known = here.images, here.truth
    said = here.boxes.filter(pl.col("confidence") > rule.doubtful)
    calibrated = calibration.calibration(said, images)
    model, model_version = here.looked.select(DETECTOR).row(0) if here.looked.height else ("", "")
    sure = rule.sure(model, model_version)
    return Judged(
        images=images.height,
        groups=images["group"].n_unique(),
        single_reader=images.filter(readers=1).height,
        truth=known.height,
        cut=here.cut,
        cut_told=kept.told(here.looked),
        top_box_only=kept.top_box_only(here.looked),
        min_confidence=rule.min_confidence,
        label_words=rule.words,
        precision={
            iou: evaluation.average_precision(here.predictions, known, images, classes, min_iou=iou, seed=seed)
            for iou in evaluation.IOUS
        },
        labels=evaluation.pseudo_labels(here.boxes.filter(sure), known, images, classes, min_confidence=0),
        thresholds=evaluation.thresholds(here.boxes, known),
        froc=curves.froc(here.boxes, known, images, classes, cut=here.cut, seed=seed),
        calibration=calibrated,
        calibration_error=calibration.error(calibrated),
        calibration_floor=calibration.floor(said, images, seed=seed),
    )


@dataclass(frozen=True)
class Paired:
    """Two detectors on the images of one split that both have seen, or one detector by two truths of its images."""

    images: int
    groups: int  # of these images
    truth: tuple[int, int]  # boxes
    only: tuple[int, int]  # images that one of the two alone has
    cuts: tuple[float | None, float | None]  # `kept.cut` of each
    min_confidence: float
    figures: pl.DataFrame  # `compared.compare`


def pair(first: Matched, second: Matched, classes: Taxonomy, *, rule: Rule, seed: int = 0) -> Paired:
    """Is the second better than the first, on the images that both have? Groups are those of the second."""
    images = second.images.join(first.images, on="image_id", how="semi")
    sides = first, second
    truths = [side.truth.join(images, on="image_id", how="semi").height for side in sides]
    return Paired(
        images=images.height,
        groups=images["group"].n_unique(),
        truth=(truths[0], truths[1]),
        only=(first.images.height - images.height, second.images.height - images.height),
        cuts=(first.cut, second.cut),
        min_confidence=rule.min_confidence,
        figures=compared.compare(
            first.side, second.side, images, classes, min_confidence=rule.min_confidence, seed=seed
        ),
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


def named(readings: pl.DataFrame, classes: Taxonomy, other: Taxonomy) -> pl.DataFrame:
    """ANNOTATIONS of a dataset with the classes `other`, with the numbers that `classes` gives to their names.

    Rows of a class that `classes` has not are left out.
    """
    ids = {place: classes.names.index(name) for place, name in enumerate(other.names) if name in classes.names}
    known = readings.filter(pl.col("class_id").is_null() | pl.col("class_id").is_in(list(ids)))
    return known.with_columns(pl.col("class_id").replace_strict(ids, default=None, return_dtype=CLASS_ID))


def against_readers(
    looked: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame, classes: Taxonomy
) -> pl.DataFrame:
    """The same detector against each reader alone (`evaluation.by_reader`)."""
    looked, predictions, own = _concerned(looked, boxes, readings)
    return evaluation.by_reader(predictions, own, own.select("image_id", "group"), classes)


def outcomes(looked: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Which boxes of one detector are true or false, and the truth that it found or missed (`evaluation.OUTCOMES`).

    The tables are those of `judge`, whose first IoU it judges by; `looked` may be of several splits.
    """
    _, predictions, own = _concerned(looked, boxes, readings)
    return evaluation.outcomes(predictions, truth.of(own))


def _concerned(
    looked: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The feedback that is judged, its boxes, and the readings of its images."""
    looked = looked.join(readings, on="image_id", how="semi")
    predictions = boxes.join(looked, on="feedback_id", how="semi")
    return looked, predictions, readings.join(looked, on="image_id", how="semi")
