"""What dataset, feedback and reviews say together: the numbers of the commands, by the same functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
import streamlit as st

from radloop.catalog import changes, judging
from radloop.catalog.changes import Changes
from radloop.catalog.judging import Judged, LeftOut, Matched, Paired
from radloop.catalog.rule import Rule
from radloop.dashboard.loading import Dataset, Feedback, Reviewed, measured
from radloop.feedback import (
    arrivals,
    evidence,
    guard,
    months,
    queue,
    reading_times,
    reliability,
    retraining,
    worklists,
)
from radloop.feedback.conventions import Convention
from radloop.feedback.places import Places
from radloop.feedback.queue import Measured
from radloop.feedback.reliability import Detector, Reliable
from radloop.feedback.retraining import Decided
from radloop.measures import confusion, counts, curves, evaluation, latency
from radloop.measures.curves import Froc
from radloop.tables import DETECTOR, EDGES, HELD_OUT, PREDICTION, TIME

_IMAGE: Final = ("image_id", "split", "group", "md5", "phash")
BINS: Final = 50
_PLACES: Final = Places()


@dataclass(frozen=True)
class Curve:
    """One detector's thresholds for one class, or for all together."""

    points: pl.DataFrame  # `curves.operating_points`
    precision: pl.DataFrame  # `curves.precision_recall`


LOOKED_AT: Final = ("site", "device", "timestamp")  # by Where, of FEEDBACK


@dataclass(frozen=True)
class Where:
    """Which feedback: from where, and from when to when; None asks for nothing."""

    site: str | None = None
    device: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def of(self, feedback: pl.DataFrame) -> pl.DataFrame:
        """The rows of FEEDBACK that are meant."""
        told = {"site": self.site, "device": self.device}
        asked = [pl.col(name) == value for name, value in told.items() if value is not None]
        asked += [pl.col("timestamp") >= self.since] if self.since else []
        asked += [pl.col("timestamp") <= self.until] if self.until else []
        return feedback.filter(*asked) if asked else feedback


def has_images(dataset: Dataset) -> bool:
    """Whether the dataset says of its images what tells a held-out picture: a table alone does not."""
    return set(_IMAGE) <= set(dataset.rows.columns)


@measured
def judged(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    """The feedback with what the guard says of it (`guard.judge`)."""
    return guard.judge(said.records.feedback, dataset.images)


def check(dataset: Dataset | None, said: Feedback, convention: Convention) -> None:
    """Raise FeedbackError where the readers of the same images speak against the convention of the feedback."""
    if dataset is not None and {"image_id", "class_id", *EDGES} <= set(dataset.rows.columns):
        _check(dataset, said, convention)


@measured
def _check(dataset: Dataset, said: Feedback, declared: Convention) -> None:
    name = said.key[0]
    evidence.check(said.records, said.taxonomy, declared, readings=dataset.readings, now=datetime.now(UTC), name=name)


def trainable(dataset: Dataset, said: Feedback) -> bool:
    """Whether any feedback is on an image that may train, or measures: else a review of it would do neither."""
    nobody = pl.DataFrame(schema={"feedback_id": pl.String, "disputed": pl.Boolean})
    return not queue.candidates(judged(dataset, said), nobody).is_empty()


@measured
def queued(
    dataset: Dataset, said: Feedback, reviewed: Reviewed, seed: int, read_twice: float, places: Places = _PLACES
) -> pl.DataFrame:
    """WORKLIST of all that waits for anybody now; `worklists.worklist` says what of it is one reader's."""
    known, waits = _waits(dataset, said, reviewed, seed, read_twice)
    doubted = suspected(dataset, said, reviewed, seed, read_twice, places)
    return worklists.ordered(
        waits, said.records, dataset.readings, known=known, places=places, seed=seed, doubted=doubted
    )


@measured
def suspected(
    dataset: Dataset, said: Feedback, reviewed: Reviewed, seed: int, read_twice: float, places: Places = _PLACES
) -> pl.DataFrame:
    """SUSPECTS of the same images: of each that has a `suspicion` there, which box is meant."""
    known, waits = _waits(dataset, said, reviewed, seed, read_twice)
    share = places.audit_share
    return worklists.suspected(waits, said.records, dataset.readings, known, seed=seed, audit_share=share)


def _waits(
    dataset: Dataset, said: Feedback, reviewed: Reviewed, seed: int, read_twice: float
) -> tuple[Measured, pl.DataFrame]:
    known, records = judged(dataset, said), said.records
    waits = worklists.waiting(known, reviewed.reviews, records.detections, seed=seed, read_twice=read_twice)
    times = reading_times.of(reviewed.reviews.reviews, reviewed.reviews.findings)
    return Measured(_reliable(dataset, said), times), waits


@measured
def _reliable(dataset: Dataset, said: Feedback) -> Mapping[Detector, Reliable]:
    return reliability.of(judged(dataset, said), said.records.every_box, dataset.readings)


@st.cache_resource(show_spinner=False)
def claims() -> worklists.Claims:
    """Who has which image on the desk, among all that use this server."""
    return worklists.Claims()


@measured
def decided(dataset: Dataset, said: Feedback, reviewed: Reviewed, rule: Rule) -> Decided:
    """What `radloop retrain` would do now by `rule`; texts of few values in its fates are Categorical."""
    now = retraining.decide(said.records, judged(dataset, said), reviewed.reviews, rule, synthetic=dataset.simulated)
    return replace(now, fates=now.fates.with_columns(pl.col("split", "fate", "code", "reason").cast(pl.Categorical())))


@measured
def arrived(dataset: Dataset, said: Feedback | None, reviewed: Reviewed | None, rule: Rule) -> dict[str, int]:
    """`arrivals.counted` of all that came in; with feedback and reviews also what these make of it by `rule`."""
    trains = read = pl.Series(dtype=pl.String)
    if said is not None and reviewed is not None:
        now = decided(dataset, said, reviewed, rule)
        trains = now.rows.filter("trains")["image_id"]
        read = now.fates.join(reviewed.reviews.reviews, on="feedback_id", how="semi")["image_id"]
    return arrivals.counted(dataset.rows, dataset.incoming, trains, read)


@measured
def by_month(dataset: Dataset, said: Feedback, reviewed: Reviewed, seed: int) -> pl.DataFrame:
    """MONTHS of `feedback.months`: every detector on the audit images that people have read."""
    known, images = judged(dataset, said), dataset.images
    told = months.readings(said.records, known, reviewed.reviews, images, simulated=dataset.simulated)
    return months.of(said.records, known, told, dataset.incoming, dataset.taxonomy, seed=seed)


def balance(dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """class_name, before, after: images of training with a label of the class, without and with RETRAINING `rows`.

    What `--add` makes of them: production images move with their group and keep what people drew, a reading that comes
    again takes the place of the earlier one, and a model's rows are labels only where no reading is.
    """
    columns = ["image_id", "rad_id", "class_id", "source"]
    rows = rows.filter(~pl.col("split").is_in(HELD_OUT))
    moved = dataset.rows.join(rows, on="image_id", how="semi")["group"].unique()
    training = dataset.labels.filter((pl.col("split") == "training") | pl.col("group").is_in(moved.implode()))
    both = pl.concat([training.join(rows, on=["image_id", "rad_id"], how="anti").select(columns), rows.select(columns)])
    said = pl.col("source") == PREDICTION
    after = both.filter(~said | said.all().over("image_id"))
    before = dataset.labels.filter(split="training")
    held = [
        counts.classes(table, dataset.taxonomy).select("class_id", "class_name", "images") for table in (before, after)
    ]
    joined = held[0].rename({"images": "before"}).join(held[1].select("class_id", after="images"), on="class_id")
    return joined.sort("class_id").drop("class_id")


@measured
def _newest(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    return judging.newest(judged(dataset, said))


@measured
def parts(dataset: Dataset, said: Feedback) -> pl.DataFrame:
    """What can be judged apart (`judging.parts`), by the newest feedback on each image."""
    return judging.parts(_newest(dataset, said), dataset.rows)


@measured
def left_out(dataset: Dataset, said: Feedback) -> tuple[LeftOut, ...]:
    """The feedback that is not judged (`judging.left_out`)."""
    return judging.left_out(judged(dataset, said), _newest(dataset, said), dataset.rows)


@measured
def matched(dataset: Dataset, said: Feedback, part: tuple[str, str, str]) -> Matched:
    """The boxes of one detector (model, version) on one split against the truth."""
    looked = judging.part(_newest(dataset, said), *part)
    return judging.matched(looked, said.records.every_box, dataset.readings)


@measured
def evaluated(dataset: Dataset, said: Feedback, part: tuple[str, str, str], rule: Rule, seed: int) -> Judged:
    """How good one detector (model, version) is on one split."""
    return judging.judge(matched(dataset, said, part), dataset.taxonomy, rule=rule, seed=seed)


@measured
def froc(dataset: Dataset, said: Feedback, part: tuple[str, str, str], seed: int) -> Froc:
    """Of every class, how much is found at how many false boxes (`curves.froc`, as `Judged` has it)."""
    here = matched(dataset, said, part)
    return curves.froc(here.boxes, here.truth, here.images, dataset.taxonomy, cut=here.cut, seed=seed)


@measured
def curve(dataset: Dataset, said: Feedback, part: tuple[str, str, str], class_id: int | None, seed: int) -> Curve:
    """What each threshold finds of a class; None: of all together."""
    here = matched(dataset, said, part)
    boxes = here.boxes, here.truth, here.images
    return Curve(
        curves.operating_points(*boxes, class_id=class_id, cut=here.cut),
        curves.precision_recall(*boxes, class_id=class_id, seed=seed),
    )


@measured
def confused(
    dataset: Dataset, said: Feedback, part: tuple[str, str, str], least: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`confusion.paired` of one detector's boxes above `least` on one split, and their `confusion.cells`."""
    here = matched(dataset, said, part)
    pairs = confusion.paired(evaluation.outcomes(here.predictions, here.truth), here.images, least=least)
    return pairs, confusion.cells(pairs, here.images, dataset.taxonomy)


@measured
def paired(
    dataset: Dataset,
    said: Feedback,
    detectors: tuple[tuple[str, str], tuple[str, str]],
    split: str,
    rule: Rule,
    seed: int,
) -> Paired:
    """Two detectors (model, version) on the images of one split that both have seen."""
    first, second = (matched(dataset, said, (*detector, split)) for detector in detectors)
    return judging.pair(first, second, dataset.taxonomy, rule=rule, seed=seed)


@measured
def over_time(dataset: Dataset, said: Feedback, split: str, seed: int) -> pl.DataFrame:
    """detector, first, last (when it spoke on the split), images, truth, cut, ap with its interval (mAP@0.4).

    In the order in which the detectors came.
    """
    newest = _newest(dataset, said).filter(split=split)
    spoke = newest.group_by(DETECTOR).agg(first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
    rows = []
    for model, model_version, first, last in spoke.sort("first", *DETECTOR).iter_rows():
        here = matched(dataset, said, (model, model_version, split))
        boxes = here.predictions, here.truth, here.images
        mean = (
            evaluation.average_precision(*boxes, dataset.taxonomy, seed=seed).select("ap", "ap_low", "ap_high").row(-1)
        )
        name = judging.name(model, model_version)
        rows.append((name, first, last, here.images.height, here.truth.height, here.cut, *mean))
    return pl.DataFrame(rows, OVER_TIME, orient="row")


@measured
def changed(before: Dataset, after: Dataset) -> Changes:
    """How two versions differ (`changes.of`)."""
    return changes.of(before.rows, after.rows)


@measured
def retold(
    before: Dataset, after: Dataset, said: Feedback, part: tuple[str, str, str], rule: Rule, seed: int
) -> Paired:
    """One detector by the truth of either version, on the images that are in the same split of both.

    The same feedback counts for both: that which is on a picture of both.
    """
    looked = judging.part(_newest(after, said), *part)
    looked = looked.join(judging.part(_newest(before, said), *part), on="feedback_id", how="semi")
    told = judging.named(before.readings, after.taxonomy, before.taxonomy), after.readings
    first, second = (judging.matched(looked, said.records.every_box, readings) for readings in told)
    return judging.pair(first, second, after.taxonomy, rule=rule, seed=seed)


@measured
def against_readers(dataset: Dataset, said: Feedback, part: tuple[str, str, str]) -> pl.DataFrame:
    """The same against each reader alone (`evaluation.by_reader`)."""
    looked = judging.part(_newest(dataset, said), *part)
    return judging.against_readers(looked, said.records.every_box, dataset.readings, dataset.taxonomy)


@measured
def outcomes(
    dataset: Dataset, said: Feedback, detector: tuple[str, str], where: Where
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`judging.outcomes` of one detector (model, version), and image_id of all images on which it is judged.

    Of its newest usable feedback among those of `where`.
    """
    newest = judging.newest(where.of(judged(dataset, said)))
    looked = newest.filter(model=detector[0], model_version=detector[1])
    known = looked.join(dataset.readings, on="image_id", how="semi").select("image_id")
    return judging.outcomes(looked, said.records.every_box, dataset.readings), known


@measured
def confidences(said: Feedback) -> pl.DataFrame:
    """low, high, kind, count: how many boxes, and images without one, lie in each of 50 bins of confidence."""
    feedback, detections = said.records.feedback, said.records.detections
    kinds = {
        "boxes": detections["confidence"],
        "no finding": feedback.filter(pl.col("class_id").is_null())["confidence"],
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


OVER_TIME: Final = pl.Schema(
    {
        "detector": pl.String(),
        "first": TIME,
        "last": TIME,
        "images": pl.Int64(),
        "truth": pl.Int64(),
        **dict.fromkeys(("cut", "ap", "ap_low", "ap_high"), pl.Float64()),
    }
)

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
        **dict.fromkeys(("seconds", "per_second", "max_ms"), pl.Float64),
        **latency.PERCENTILES,
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


def stages(log: pl.DataFrame) -> pl.DataFrame:
    """One row for each `stage` line; a percentile without its interval, as older logs have it, is none."""
    known = [
        pl.when(pl.col(name.replace("_ms", "_low_ms")).is_not_null()).then(pl.col(name)).alias(name)
        for name in ("p50_ms", "p95_ms", "p99_ms")
    ]
    return log.drop_nulls("stage").select(
        "stage", "load", "requests", "feedback", "errors", "retries", "late", "dropped", "seconds", "per_second",
        *latency.PERCENTILES, "max_ms",
    ).with_columns(known)  # fmt: skip


def errors(log: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """stage, kind, errors, example: what went wrong in a run."""
    wrong = log.filter(pl.col("run_id") == run_id, pl.col("event") == "error")
    counted = wrong.group_by("stage", "kind").agg(errors=pl.len(), example=pl.col("message").first())
    return counted.sort("stage", "kind")
