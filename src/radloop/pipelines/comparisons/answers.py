"""What two models say of the same images: asked now, in turn on one machine, or as feedback holds it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.catalog import kept
from radloop.errors import DetectorError, SourceError
from radloop.feedback.rows import Records
from radloop.pipelines.comparisons.contestants import LEAST, Contestant
from radloop.predictions import Found, Picture, Predictions
from radloop.progress import Progress
from radloop.tables import CLASS_ID, DETECTIONS, EDGES

LATENCIES: Final = pl.Schema({"image_id": pl.String(), "latency_ms": pl.Float64()})


@dataclass(frozen=True)
class Answers:
    """Of one model."""

    predictions: pl.DataFrame  # DETECTIONS
    latencies: pl.DataFrame  # LATENCIES: a row for each image that was answered; null where nobody measured
    cut: float | None  # the boxes are whole from this confidence on
    measured_now: bool = True  # on this machine, for this comparison

    def from_confidence(self, least: float | None) -> pl.DataFrame:
        """Its boxes of at least that confidence."""
        return self.predictions if least is None else self.predictions.filter(pl.col("confidence") >= least)


def ask(
    asked: Sequence[Contestant], pictures: Iterable[Picture], count: int, *, progress: Progress
) -> tuple[list[Answers], int]:
    """Ask detectors for every picture, each in its turn, and who is first changes: all see the same machine.

    Also how many pictures could not be decoded. A picture is decoded before the clock starts. Raises DetectorError
    where a detector fails, or becomes another version meanwhile.
    """
    rows: list[list[pl.DataFrame]] = [[] for _ in asked]
    latencies: list[list[tuple[str, float]]] = [[] for _ in asked]
    cuts, lost = [LEAST for _ in asked], 0
    for number, picture in enumerate(pictures):
        try:
            picture.gray  # noqa: B018 - decoded now
        except SourceError:
            lost += 1
            continue
        if not any(latencies):
            for each in asked:
                _predict(each, picture)  # what a first call has to set up is no latency
        for turn in range(len(asked)):
            place = (number + turn) % len(asked)
            began = time.perf_counter()
            predictions = _predict(asked[place], picture)
            latencies[place].append((picture.image_id, (time.perf_counter() - began) * 1000))
            cuts[place] = max(cuts[place], predictions.kept_from if len(predictions.low.class_ids) else 0.0)
            rows[place].append(_table(picture.image_id, predictions))
        progress("images", number + 1, count, "images")
    answers = [
        Answers(
            pl.concat([DETECTIONS.to_frame(), *rows[place]]),
            pl.DataFrame(latencies[place], schema=LATENCIES, orient="row"),
            cuts[place],
        )
        for place in range(len(asked))
    ]
    return answers, lost


def _predict(asked: Contestant, picture: Picture) -> Predictions:
    if asked.detector is None:
        raise DetectorError(f"{asked.full_name} is known by its feedback alone and cannot be asked.")
    predictions = asked.detector.predict(picture)
    if predictions.model_version not in (None, asked.version):
        raise DetectorError(
            f"{asked.name} answers as version {predictions.model_version}, and as {asked.version} before: it was "
            "replaced during the comparison. Run the same command again."
        )
    return predictions


def of_feedback(asked: Contestant, newest: pl.DataFrame, records: Records) -> Answers:
    """What the newest feedback of a model on each image of a table (`judging.newest`) holds."""
    looked = newest.filter(model=asked.name, model_version=asked.version)
    predictions = records.every_box.join(looked, on="feedback_id", how="semi").select(DETECTIONS.names())
    latencies = looked.select("image_id", pl.col("latency_ms").cast(pl.Float64))
    return Answers(predictions, latencies, kept.cut(looked, records.every_box), measured_now=False)


def _table(image_id: str, predictions: Predictions) -> pl.DataFrame:
    parts: tuple[Found, ...] = (predictions, predictions.low)
    corners = boxes.cxcywh_to_xyxy(np.concatenate([part.cxcywh_norm for part in parts]))
    confidence = np.concatenate([part.confidences for part in parts])
    columns = {edge: corners[:, place] for place, edge in enumerate(EDGES)}
    return pl.DataFrame(
        {
            "feedback_id": pl.Series([""] * len(confidence), dtype=pl.String),
            "image_id": pl.Series([image_id] * len(confidence), dtype=pl.String),
            "class_id": pl.Series(np.concatenate([part.class_ids for part in parts]), dtype=CLASS_ID),
            "confidence": confidence,
            **columns,
        },
        schema=DETECTIONS,
    )
