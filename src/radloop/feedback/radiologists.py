"""Simulated radiologists: they look at feedback and err as real readers do (`radloop.readers`), and are marked so."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes, domain, readers
from radloop.domain import Domain
from radloop.feedback.reviews import Finding, Review, same_findings
from radloop.tables import EDGES, Verdict
from radloop.taxonomy import Taxonomy

SHOWN: Final = 0.25  # what a viewer shows of a model's boxes, and a reader accepts or does not
SECOND_READER: Final = 0.2  # the share that two read; what the published readers do to every image
UNUSABLE: Final = 0.01  # the share that a reader rejects; set by hand

_SMALLEST_SIDE: Final = 0.001  # below, a hand cannot draw it
_LOOK: Final = timedelta(minutes=10)
_NOTHING: Final = (np.empty(0, dtype=np.int64), np.empty((0, 4)))

_Boxes = tuple[readers.Classes, boxes.Floats]


def review(
    feedback: pl.DataFrame, detections: pl.DataFrame, truth: pl.DataFrame, classes: Taxonomy, *, seed: int
) -> Iterator[Review]:
    """What the simulated readers write about `feedback` (feedback_id, image_id, timestamp, disputed).

    One reads it, sometimes a second one; what is `disputed` gets the third, who adjudicates. A reader sees the `truth`
    (TRUTH; a row without class for an image in which nobody saw anything) with the misses, false alarms
    and hand of one of the three measured readers, and judges the boxes shown by that. On normal images real readers
    never differ, so nobody invents a finding there. The same seed gives the same reviews, in any order of rows.
    """
    shown = _by(detections.filter(pl.col("confidence") >= SHOWN), "feedback_id")
    known = _by(truth.drop_nulls("class_id"), "image_id")
    normal = set(truth.filter(pl.col("class_id").is_null())["image_id"])
    findings = domain.of(classes)
    for feedback_id, image_id, timestamp, disputed in feedback.select(
        "feedback_id", "image_id", "timestamp", "disputed"
    ).iter_rows():
        rng = _rng(seed, feedback_id)
        order = rng.permutation(findings.habits.measured).tolist()
        turns = [(0, order[0])] + [(1, order[1])] * bool(rng.random() < SECOND_READER)
        for turn, reader in [(2, order[2])] if disputed else turns:
            own = _rng(seed, feedback_id, reader)
            seen = _NOTHING if image_id in normal else _read(known.get(image_id, _NOTHING), findings, reader, own)
            verdict, found = _judge(shown.get(feedback_id, _NOTHING), seen, own)
            yield Review(
                feedback_id=feedback_id,
                image_id=image_id,
                reviewer=f"S-{reader}",
                verdict=verdict,
                findings=None if verdict == "reject" else _findings(*found),
                timestamp=_after(timestamp, turn),
                adjudicates=disputed,
                simulated=True,
            )


def _read(truth: _Boxes, findings: Domain, reader: str, rng: np.random.Generator) -> _Boxes:
    """What the reader would draw."""
    classes, corners = truth
    seen = readers.reading(corners, classes, findings.habits, place=findings.typical_box, rng=rng, reader=reader)
    drawable = ((seen.boxes[:, 2:] - seen.boxes[:, :2]) > _SMALLEST_SIDE).all(axis=1)
    return seen.classes[drawable], seen.boxes[drawable]


def _judge(shown: _Boxes, seen: _Boxes, rng: np.random.Generator) -> tuple[Verdict, _Boxes]:
    if rng.random() < UNUSABLE:
        return "reject", _NOTHING
    if not len(seen[0]):
        return "normal", _NOTHING
    return ("accept", shown) if same_findings(*shown, *seen) else ("correct", seen)


def _findings(classes: readers.Classes, corners: boxes.Floats) -> list[Finding]:
    cxcywh = boxes.xyxy_to_cxcywh(corners).round(6).tolist()
    return [Finding(class_id=class_id, bbox=tuple(box)) for class_id, box in zip(classes.tolist(), cxcywh, strict=True)]


def _by(table: pl.DataFrame, key: str) -> dict[str, _Boxes]:
    rows = table.sort(key, "class_id", *EDGES)
    return {
        str(name): (group["class_id"].to_numpy().astype(np.int64), group.select(EDGES).to_numpy())
        for (name,), group in rows.group_by(key)
    }


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.md5(repr((seed, *names)).encode()).hexdigest(), 16))


def _after(timestamp: datetime, turn: int) -> str:
    return (timestamp + (turn + 1) * _LOOK).isoformat()
