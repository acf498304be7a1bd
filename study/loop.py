"""Rounds of the loop: feedback, reviews for so many minutes, the product's own rule, a model that learned from it."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
from study import reading
from study.patients import Cohort

from radloop.catalog.rule import Rule
from radloop.feedback import guard, radiologists, retraining, reviews
from radloop.feedback.rows import Records
from radloop.tables import DETECTIONS, EDGES, FEEDBACK, REFUSED_FILES
from radloop.vindr.classes import TAXONOMY

SHOWN: Final = radiologists.SHOWN  # what counts as found
LEAST: Final = 0.001  # boxes above it are kept: mAP needs those that nobody would show
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def feedback(predictions: pl.DataFrame, cohort: Cohort, number: int) -> Records:
    """What a detector says of every image: boxes from SHOWN on are its findings, the others are kept beside them."""
    named = predictions.with_columns(feedback_id=pl.format("r{}-{}", pl.lit(number), "image_id"))
    found = named.filter(pl.col("confidence") >= SHOWN)
    surest = named.group_by("image_id").agg(nothing=1 - pl.col("confidence").max())
    top = found.sort("confidence", descending=True).unique("image_id", keep="first")
    table = (
        pl.DataFrame({"image_id": cohort.ids})
        .join(top.select("image_id", "class_id", "confidence"), on="image_id", how="left", maintain_order="left")
        .join(surest, on="image_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("confidence").fill_null(pl.col("nothing")).fill_null(1.0),
            feedback_id=pl.format("r{}-{}", pl.lit(number), "image_id"),
            timestamp=pl.lit(_BEGIN + number * timedelta(days=1)),
            split=pl.lit(None, pl.String),
            model=pl.lit("study"),
            model_version=pl.lit(str(number)),
            complete=pl.lit(value=True),
            kept_from=pl.lit(LEAST),
            zoned=pl.lit(value=True),
            simulated=pl.lit(value=False),
            file=pl.format("r{}-{}.json", pl.lit(number), "image_id"),
        )
    )
    missing = [pl.lit(None, kind).alias(name) for name, kind in FEEDBACK.items() if name not in table.columns]
    return Records(
        table.with_columns(missing).select(FEEDBACK.names()).cast(dict(FEEDBACK)),
        found.select(DETECTIONS.names()),
        REFUSED_FILES.to_frame(),
        low=named.filter(pl.col("confidence") < SHOWN).select(DETECTIONS.names()),
    )


def newest(old: Records, new: Records, done: "Read") -> Records:
    """The newest feedback of each image, of reviewed ones that which was reviewed."""
    reviewed = pl.DataFrame({"image_id": [one.image_id for one in done.said]}, schema={"image_id": pl.String})

    def both(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
        return pl.concat(
            [before.join(reviewed, on="image_id", how="semi"), after.join(reviewed, on="image_id", how="anti")]
        )

    return Records(
        both(old.feedback, new.feedback), both(old.detections, new.detections), new.refused, low=both(old.low, new.low)
    )


def judged(records: Records, cohort: Cohort, split: str = "production") -> pl.DataFrame:
    """The feedback with what the guard says of it."""
    images = cohort.images.with_columns(split=pl.lit(split), md5=pl.lit(None, pl.String), phash=pl.lit(None, pl.String))
    return guard.judge(records.feedback, images)


def shown(predictions: pl.DataFrame, cohort: Cohort, number: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What `proven.by` asks of a detector that was shown held-out images: feedback, boxes and readings."""
    records = feedback(predictions, cohort, number)
    readings = cohort.readings.with_columns(group="image_id")
    return judged(records, cohort, "validation"), records.every_box, readings


@dataclass(frozen=True)
class Read:
    """Reviews, and the seconds that each took."""

    said: tuple[reviews.Review, ...] = ()
    seconds: float = 0.0

    def tables(self) -> reviews.Reviews:
        """As the product reads them from their files."""
        if not self.said:
            return reviews.NONE
        with tempfile.TemporaryDirectory() as folder:
            for review in self.said:
                reviews.write(Path(folder), review, TAXONOMY)
            return reviews.read(Path(folder), TAXONOMY)


def read(done: Read, ordered: pl.DataFrame, records: Records, cohort: Cohort, *, until_s: float, seed: int) -> Read:
    """Let one simulated reader look at image after image of a worklist until the time is over."""
    asked = records.feedback.select("feedback_id", "image_id", "timestamp", disputed=pl.lit(value=False))
    asked = ordered.select("feedback_id").join(asked, on="feedback_id", maintain_order="left")
    truth = pl.concat(
        [
            cohort.truth,
            cohort.images.join(cohort.truth, on="image_id", how="anti").select("image_id"),
        ],
        how="diagonal",
    )
    taken, spent = list(done.said), done.seconds
    for review in _first_readers(radiologists.review(asked, records.detections, truth, TAXONOMY, seed=seed)):
        spent += (cost := reading.seconds(len(review.blind_findings or ()), review.image_id, seed=seed))
        if spent > until_s:
            return Read(tuple(taken), spent - cost)
        taken.append(msgspec.structs.replace(review, seconds_blind=None, seconds_total=round(cost, 1)))
    return Read(tuple(taken), spent)


def _first_readers(all_of_them: Iterator[reviews.Review]) -> Iterator[reviews.Review]:
    """Of each image the first reader: the study pays for one."""
    seen: set[str] = set()
    for review in all_of_them:
        if review.image_id not in seen:
            seen.add(review.image_id)
            yield review


def labels(records: Records, cohort: Cohort, reviewed: reviews.Reviews, rule: Rule) -> pl.DataFrame:
    """What the rule makes of feedback and reviews: image_id, class_id, EDGES, weight, ignore; no class: nothing there.

    A trainer that knows regions to ignore takes the images that have some, too.
    """
    decided = retraining.decide(records, judged(records, cohort), reviewed, rule, synthetic=True)
    return decided.rows.select(
        "image_id", "class_id", *EDGES, pl.col("weight").fill_null(1.0), pl.col("ignore").fill_null(value=False)
    )
