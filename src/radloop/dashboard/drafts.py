"""A review on its way: the boxes so far, and the record that they become."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.catalog.rule import Rule
from radloop.feedback.reviews import Finding, Review
from radloop.tables import CLASS_ID, EDGES, Verdict

SMALLEST_PX: Final = 3  # a shorter drag was a click

Corners = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Drawn:
    """One box of a draft."""

    class_id: int
    xyxy_norm: Corners
    by_model: bool = False


@dataclass
class Draft:
    """What one person says of one feedback before it is written. The model's boxes join when they are revealed."""

    feedback_id: str
    image_id: str
    shown: tuple[Drawn, ...]
    drawn: list[Drawn] = field(default_factory=list)
    revealed: bool = False

    def reveal(self) -> None:
        """Show the model's boxes; they are part of the list from here on."""
        if not self.revealed:
            self.revealed = True
            self.drawn += self.shown

    @property
    def edited(self) -> bool:
        """Whether the list is another than the model's."""
        return self.drawn != list(self.shown)

    def review(
        self, verdict: Verdict, *, reviewer: str, now: datetime, comment: str = "", adjudicates: bool = False
    ) -> Review:
        """The record of a verdict. Accept and correct hold the list; normal is an empty one; reject has none."""
        complete = {"accept": self.shown, "correct": tuple(self.drawn), "normal": ()}
        findings = None if verdict == "reject" else [_finding(box) for box in complete[verdict]]
        return Review(
            feedback_id=self.feedback_id,
            image_id=self.image_id,
            reviewer=reviewer,
            verdict=verdict,
            findings=findings,
            timestamp=now.isoformat(),
            comment=comment.strip() or None,
            adjudicates=adjudicates,
        )


def begin(feedback_id: str, image_id: str, detections: pl.DataFrame, rule: Rule) -> Draft:
    """A draft on the feedback that said `detections`: what the rule takes for nothing is not shown."""
    kept = detections.filter(pl.col("confidence") >= rule.doubtful)
    return Draft(
        feedback_id,
        image_id,
        tuple(
            Drawn(class_id, (left, top, right, bottom), by_model=True)
            for class_id, left, top, right, bottom in kept.select("class_id", *EDGES).iter_rows()
        ),
    )


def dragged(x: Sequence[float], y: Sequence[float], frame: tuple[int, int]) -> Corners | None:
    """The box of a drag in pixels of `frame`, sorted and cut at the picture's edge; None for a click."""
    left, right = np.clip(sorted(x), 0, frame[0])
    top, bottom = np.clip(sorted(y), 0, frame[1])
    if right - left < SMALLEST_PX or bottom - top < SMALLEST_PX:
        return None
    return float(left), float(top), float(right), float(bottom)


def as_fractions(corners: Corners, frame: tuple[int, int]) -> Corners:
    """Pixels of `frame` as fractions of it."""
    left, top, right, bottom = corners
    return left / frame[0], top / frame[1], right / frame[0], bottom / frame[1]


def table(drawn: Sequence[Drawn]) -> pl.DataFrame:
    """The boxes as a layer of the picture: class_id, confidence (null), the corners."""
    rows = [(box.class_id, None, *box.xyxy_norm) for box in drawn]
    schema = {"class_id": CLASS_ID, "confidence": pl.Float64} | dict.fromkeys(EDGES, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _finding(box: Drawn) -> Finding:
    xc, yc, width, height = boxes.xyxy_to_cxcywh(box.xyxy_norm).round(6).tolist()
    return Finding(class_id=box.class_id, bbox=(xc, yc, width, height))
