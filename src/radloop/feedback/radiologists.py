"""Simulated radiologists: they look at feedback and err as real readers do (`radloop.readers`), and are marked so."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes, domain, readers
from radloop.domain import Domain
from radloop.feedback import reviews
from radloop.feedback.reviews import Finding, Review, Shown
from radloop.feedback.weighing import same_findings
from radloop.tables import EDGES, Verdict
from radloop.taxonomy import Taxonomy

SHOWN: Final = 0.25  # what a viewer shows of a model's boxes, and a reader accepts or does not
SECOND_READER: Final = 0.2  # the share that two read; what the published readers do to every image
UNUSABLE: Final = 0.01  # the share that a reader rejects; set by hand
# Six radiologists missed 2.7 % of findings, and 20.7 % where a machine that drew boxes said that there was nothing
# (Bernstein et al. 2023, European Radiology 33:8263): of what they saw they gave up so much.
BIAS: Final = (0.207 - 0.027) / (1 - 0.027)
# seconds: the median of a look before the boxes are shown, and of one after, and how far both spread; set by hand
SECONDS: Final = (40.0, 12.0)
_SECONDS_SPREAD: Final = 0.5

_SMALLEST_SIDE: Final = 0.001  # below, a hand cannot draw it
_LOOK: Final = timedelta(minutes=10)
_NOTHING: Final = (np.empty(0, dtype=np.int64), np.empty((0, 4)))

_Boxes = tuple[readers.Classes, boxes.Floats]


def review(
    feedback: pl.DataFrame,
    detections: pl.DataFrame,
    truth: pl.DataFrame,
    classes: Taxonomy,
    *,
    seed: int,
    bias: float = BIAS,
) -> Iterator[Review]:
    """What the simulated readers write about `feedback` (feedback_id, image_id, timestamp, disputed).

    One reads it, sometimes a second one; what is `disputed` gets the third, who adjudicates. A reader sees the `truth`
    (TRUTH; a row without class for an image in which nobody saw anything) with the misses, false alarms
    and hand of one of the three measured readers: the blind read. Then the boxes are shown, and for each class that one
    of the two named alone the reader follows the model with a probability of `bias`. On normal images real readers
    never differ, so nobody invents a finding there before the model says one. The same seed gives the same reviews, in
    any order of rows.
    """
    told = detections.filter(pl.col("confidence") >= SHOWN).sort(
        "feedback_id", "confidence", "class_id", *EDGES, descending=[False, True, False] + [False] * 4
    )
    told = told.filter(pl.int_range(pl.len()).over("feedback_id") < reviews.MOST_FINDINGS)
    shown, listed = _by(told, "feedback_id"), _listed(told)
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
            boxes_shown = shown.get(feedback_id, _NOTHING)
            after = _rng(seed, feedback_id, reader, "after the reveal")
            verdict, found = _judge(boxes_shown, _followed(seen, boxes_shown, bias, after), own)
            seconds = [median * after.lognormal(0, _SECONDS_SPREAD) for median in SECONDS]
            yield Review(
                feedback_id=feedback_id,
                image_id=image_id,
                reviewer=f"S-{reader}",
                verdict=verdict,
                findings=None if verdict == "reject" else _findings(*found),
                timestamp=_after(timestamp, turn),
                adjudicates=disputed,
                simulated=True,
                blind_findings=_findings(*seen),
                revealed=True,
                seconds_blind=round(seconds[0], 1),
                seconds_total=round(sum(seconds), 1),
                shown=listed.get(feedback_id, []),
            )


def _read(truth: _Boxes, findings: Domain, reader: str, rng: np.random.Generator) -> _Boxes:
    """What the reader would draw."""
    classes, corners = truth
    seen = readers.reading(corners, classes, findings.habits, place=findings.typical_box, rng=rng, reader=reader)
    drawable = ((seen.boxes[:, 2:] - seen.boxes[:, :2]) > _SMALLEST_SIDE).all(axis=1)
    return seen.classes[drawable], seen.boxes[drawable]


def _followed(seen: _Boxes, shown: _Boxes, bias: float, rng: np.random.Generator) -> _Boxes:
    """What the reader stands for once the boxes are shown: those of the model in each class in which it is followed."""
    followed = [
        class_id
        for class_id in np.union1d(seen[0], shown[0]).tolist()
        if (class_id in seen[0]) != (class_id in shown[0]) and rng.random() < bias
    ]
    own, theirs = ~np.isin(seen[0], followed), np.isin(shown[0], followed)
    return np.concatenate([seen[0][own], shown[0][theirs]]), np.concatenate([seen[1][own], shown[1][theirs]])


def _judge(shown: _Boxes, seen: _Boxes, rng: np.random.Generator) -> tuple[Verdict, _Boxes]:
    if rng.random() < UNUSABLE:
        return "reject", _NOTHING
    if not len(seen[0]):
        return "normal", _NOTHING
    return ("accept", shown) if same_findings(*shown, *seen) else ("correct", seen)


def _findings(classes: readers.Classes, corners: boxes.Floats) -> list[Finding]:
    cxcywh = boxes.xyxy_to_cxcywh(corners).round(6).tolist()
    return [Finding(class_id=class_id, bbox=tuple(box)) for class_id, box in zip(classes.tolist(), cxcywh, strict=True)]


def _listed(told: pl.DataFrame) -> dict[str, list[Shown]]:
    """The model's boxes of each feedback, as its reviews keep them."""
    cxcywh = boxes.xyxy_to_cxcywh(told.select(EDGES).to_numpy()).round(6).tolist()
    listed: dict[str, list[Shown]] = {}
    rows = told.select("feedback_id", "class_id", "confidence").iter_rows()
    for (feedback_id, class_id, confidence), box in zip(rows, cxcywh, strict=True):
        one = Shown(class_id=class_id, bbox=tuple(box), confidence=confidence)
        listed.setdefault(feedback_id, []).append(one)
    return listed


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
