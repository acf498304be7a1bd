"""How many of the findings that a model missed altogether does the queue put in front?

    python -m benchmarks.missed train.csv [--images 500]
    python -m benchmarks.missed --out OUT

Of the images with an agreed finding (`catalog.truth`) where the model found nothing, how many are among the first 100
and 500 places: by score and lot alone; with a share for "nothing found", by the highest score or by all boxes above
0.05, and in a chance order. In brackets, on how many of those places the model is wrong at all (other classes than the
truth has).

On real annotations two kinds of detectors are played. `oracle:NOISE` is radloop's own: a finding that it misses
altogether leaves no trace in its confidence, and every other image gets one by chance. `plain:D` scores every class on
every image: the evidence is normal, its means D standard deviations apart, and the score is the class's probability
(Bayes). With --images the queue is that of as many images, the mean of 20 draws. With --out dataset and feedback are
those of a run: all feedback outside training.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import annotations_csv
from radloop.catalog import judging, truth, version
from radloop.catalog.rule import Rule
from radloop.detectors.oracle import Oracle
from radloop.feedback import audit, guard, queue, reading
from radloop.feedback.places import Places
from radloop.predictions import Picture
from radloop.tables import CLASS_ID, DETECTIONS, FEEDBACK
from radloop.vindr.classes import TAXONOMY

DETECTORS = ("oracle:0.5", "oracle:1", "oracle:2", "plain:1.5", "plain:2.5", "plain:3.5")
FIRST = (100, 500)
SHARES = (0.1, 0.2, 0.3, 0.5)
DRAWS = 20
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOW = 0.05
Answer = tuple[str, list[tuple[int, float]], float]  # image; class and score above LOW, the surest first; the highest


@dataclass(frozen=True)
class Said:
    """What a detector said of images whose truth is known."""

    feedback: pl.DataFrame  # FEEDBACK and `disputed`, an image each
    detections: pl.DataFrame  # DETECTIONS
    readings: pl.DataFrame
    known: pl.DataFrame  # TRUTH
    low: pl.DataFrame = field(default_factory=DETECTIONS.to_frame)  # DETECTIONS: boxes below those

    def outcome(self) -> pl.DataFrame:
        """image_id, wrong, lost: whether other classes were shown than there are, and whether nothing was of them."""
        sets = [
            table.group_by("image_id").agg(pl.col("class_id").unique().sort().alias(name))
            for name, table in (("agreed", self.known), ("shown", self.detections))
        ]
        both = self.feedback.select("image_id").join(sets[0], on="image_id", how="left")
        both = both.join(sets[1], on="image_id", how="left")
        return both.select(
            "image_id",
            wrong=pl.col("agreed").ne_missing(pl.col("shown")),
            lost=pl.col("agreed").is_not_null() & pl.col("shown").is_null(),
        )

    def of(self, image_ids: pl.Series) -> "Said":
        """The same of fewer images."""
        feedback = self.feedback.filter(pl.col("image_id").is_in(image_ids.implode()))
        boxes = [table.join(feedback, on="image_id", how="semi") for table in (self.detections, self.low)]
        return Said(feedback, boxes[0], self.readings, self.known, boxes[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="folder of a run, instead of annotations")
    parser.add_argument("--images", type=int, help="of a queue; all by default")
    options = parser.parse_args()
    if (options.annotations is None) == (options.out is None):
        parser.error("give a train.csv or --out")
    print("lost: an agreed finding and nothing found; in brackets: model wrong")
    if options.out:
        tell(str(options.out), of_run(options.out), options.images)
        return
    readings = annotations_csv.read(options.annotations).drop("split")
    for spec in DETECTORS:
        tell(spec, played(spec, readings), options.images)


def of_run(out: Path) -> Said:
    """The newest feedback on every image of a run that has been read, outside training."""
    dataset = version.read(out / "organized")
    records = reading.read(out / "feedback", dataset.taxonomy)
    newest = judging.newest(guard.judge(records.feedback, dataset.images)).unique("image_id", keep="last")
    feedback = newest.join(dataset.readings, on="image_id", how="semi").with_columns(disputed=pl.lit(value=False))
    boxes = [table.join(feedback, on="feedback_id", how="semi") for table in (records.detections, records.low)]
    return Said(feedback, boxes[0], dataset.readings, truth.of(dataset.readings), boxes[1])


def played(spec: str, readings: pl.DataFrame) -> Said:
    """One feedback of a made-up detector on every image."""
    kind, value = spec.split(":")
    known, image_ids = truth.of(readings), readings["image_id"].unique().sort()
    answers = list((oracle if kind == "oracle" else plain)(float(value), known, image_ids))
    boxes = pl.DataFrame(
        [(image_id, image_id, *box) for image_id, found, _ in answers for box in found],
        schema={"feedback_id": pl.String, "image_id": pl.String, "class_id": CLASS_ID, "confidence": pl.Float64},
        orient="row",
    ).match_to_schema(DETECTIONS, missing_columns="insert")
    is_low = pl.col("confidence") <= Rule().doubtful
    detections = boxes.filter(~is_low)
    feedback = pl.DataFrame(
        [{"feedback_id": image_id, "image_id": image_id, "confidence": 1 - top} for image_id, _, top in answers],
        schema=FEEDBACK,
    )
    top = detections.unique("image_id", keep="first", maintain_order=True).select("image_id", "class_id", "confidence")
    feedback = feedback.update(top, on="image_id").with_columns(timestamp=pl.lit(NOON), disputed=pl.lit(value=False))
    return Said(feedback, detections, readings, known, boxes.filter(is_low))


def oracle(noise: float, known: pl.DataFrame, image_ids: pl.Series) -> Iterator[Answer]:
    detector, every = (Oracle(known, TAXONOMY, noise=noise, min_confidence=least) for least in (Rule().doubtful, LOW))
    for image_id in image_ids:
        picture = Picture(image_id, b"")
        found = every.predict(picture)
        boxes = zip(found.class_ids.tolist(), found.confidences.tolist(), strict=True)
        yield image_id, list(boxes), detector.predict(picture).highest_score


def plain(apart: float, known: pl.DataFrame, image_ids: pl.Series) -> Iterator[Answer]:
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    there = np.zeros((len(image_ids), len(TAXONOMY)), dtype=bool)
    there[[row_of[image_id] for image_id in known["image_id"]], known["class_id"].to_numpy()] = True
    prior = there.mean(axis=0)
    evidence = np.random.default_rng(0).standard_normal(there.shape) + np.where(there, apart / 2, -apart / 2)
    with np.errstate(divide="ignore"):  # of a class that no image has
        scores = 1 / (1 + (1 - prior) / prior * np.exp(-apart * evidence))
    for image_id, row in zip(image_ids, scores, strict=True):
        found = [int(class_id) for class_id in np.argsort(-row) if row[class_id] > LOW]
        yield image_id, [(class_id, float(row[class_id])) for class_id in found], float(row.max())


def tell(name: str, said: Said, size: int | None) -> None:
    """Print how many are in front, in each order."""
    outcome, silent = said.outcome(), said.feedback["class_id"].null_count()
    print(
        f"\n{name}: {said.feedback.height:,} images, wrong on {outcome['wrong'].sum():,}; nothing found on {silent:,}, "
        f"of these {outcome['lost'].sum():,} lost"
    )
    image_ids = said.feedback["image_id"].sort()
    found: dict[str, list[list[int]]] = {}
    for part in [said.of(image_ids.sample(size, seed=draw)) for draw in range(DRAWS)] if size else [said]:
        for order, queued in orders(part):
            came = queued.select("image_id").join(outcome, on="image_id", maintain_order="left")
            counts = [came.head(first)[column].sum() for first in FIRST for column in ("lost", "wrong")]
            found.setdefault(order, []).append(counts)
    for order, rows in found.items():
        lost, wrong, more_lost, more_wrong = np.mean(rows, axis=0)
        print(
            f"  {order:28} first {FIRST[0]}: {lost:5.1f} ({wrong:5.1f})"
            f"   first {FIRST[1]}: {more_lost:5.1f} ({more_wrong:5.1f})"
        )


def orders(said: Said) -> Iterator[tuple[str, pl.DataFrame]]:
    """Before, with each share by the highest score, and with the share of today by all boxes and in a chance order."""
    parts = said.feedback, said.detections, said.readings
    yield "before: score and lot", _before(queue.order(*parts, seed=0))
    for share in SHARES:
        yield f"share {share:g}", queue.order(*parts, seed=0, places=Places(nothing_share=share))
    yield f"share {Places.nothing_share:g}, all boxes", queue.order(*parts, low=said.low, seed=0)
    by_chance = audit.lots(said.feedback["image_id"], 1)
    confidence = pl.when(pl.col("class_id").is_null()).then(by_chance).otherwise("confidence")
    shuffled = said.feedback.with_columns(confidence=confidence)
    yield f"share {Places.nothing_share:g}, chance order", queue.order(shuffled, *parts[1:], seed=0)


def _before(queued: pl.DataFrame) -> pl.DataFrame:
    """The order without a share for "nothing found": these images by their score, too."""
    lot = pl.col("kind") == "lot"
    due = pl.int_range(1, pl.len() + 1).over(lot) / pl.when(lot).then(audit.SHARE).otherwise(1 - audit.SHARE)
    worth = pl.when(lot).then(-pl.col("place")).otherwise("score")
    return queued.sort(worth, descending=True).with_columns(due=due).sort("due", maintain_order=True)


if __name__ == "__main__":
    main()
