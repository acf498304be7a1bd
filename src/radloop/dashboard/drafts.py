"""What the desk says of an image, looked at again: whatever a browser sends becomes a review, or a sentence why not."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import polars as pl

from radloop import boxes
from radloop.errors import FeedbackError
from radloop.feedback.records import FeedbackId
from radloop.feedback.reviews import MOST_SHOWN, Finding, Findings, Review, Seconds, Shown
from radloop.tables import EDGES, Verdict

LONGEST_COMMENT: Final = 2_000


class Verdicted(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict as the desk sends it."""

    feedback_id: FeedbackId
    reader: str
    verdict: Verdict
    findings: Findings | None
    blind_findings: Findings | None
    revealed: bool
    seconds_blind: Seconds | None
    seconds_total: Seconds | None
    comment: Annotated[str, msgspec.Meta(max_length=LONGEST_COMMENT)]
    adjudicates: bool


def shown(detections: pl.DataFrame, doubtful: float) -> list[Shown]:
    """The model's boxes that a reader is shown: those that the rule does not take for nothing, the surest first.

    `detections` has class_id, confidence and the four corners. Of more than MOST_SHOWN the rest is left out.
    """
    kept = detections.filter(pl.col("confidence") >= doubtful)
    kept = kept.sort("confidence", descending=True, maintain_order=True).head(MOST_SHOWN)
    return [
        Shown(class_id=class_id, confidence=confidence, bbox=as_bbox(corners))
        for class_id, confidence, *corners in kept.select("class_id", "confidence", *EDGES).iter_rows()
    ]


def as_bbox(corners: Sequence[float]) -> tuple[float, float, float, float]:
    """Four corners as a review writes them: centre and size, six decimals."""
    xc, yc, width, height = boxes.xyxy_to_cxcywh(corners).round(6).tolist()
    return xc, yc, width, height


def decode(message: Mapping[str, Any]) -> Verdicted:
    """The verdict in a message of the desk. Raises FeedbackError."""
    try:
        return msgspec.convert(message, Verdicted)
    except msgspec.ValidationError as wrong:
        raise FeedbackError(f"the desk sent what is no verdict ({wrong}). Reload the page and decide again.") from wrong


def review(
    said: Verdicted,
    image_id: str,
    *,
    reader: str,
    ai: Sequence[Shown],
    may_adjudicate: bool,
    previous: str | None,
    now: datetime,
) -> Review:
    """The review of a verdict on an image of which `ai` was shown. Raises FeedbackError for what it cannot mean."""
    if said.reader != reader:
        raise FeedbackError(f"it is signed by {said.reader[:50]}, and {reader} is at the desk. Change the Reader ID.")
    if said.adjudicates and not may_adjudicate:
        raise FeedbackError(f"{reader} is not among those who give a final (adjudicated) read of this image.")
    if said.verdict == "accept" and said.findings != [Finding(class_id=one.class_id, bbox=one.bbox) for one in ai]:
        raise FeedbackError("Accept takes the AI findings as they are, and these are others. Reload and decide again.")
    return Review(
        feedback_id=said.feedback_id,
        image_id=image_id,
        reviewer=reader,
        verdict=said.verdict,
        findings=said.findings,
        timestamp=now.isoformat(),
        comment=said.comment.encode(errors="replace").decode().strip() or None,  # half a letter cannot be written
        adjudicates=said.adjudicates,
        blind_findings=said.blind_findings,
        revealed=said.revealed,
        seconds_blind=said.seconds_blind,
        seconds_total=said.seconds_total,
        shown=list(ai) if said.revealed else None,
        previous=previous,
    )


def is_again(review: Review, before: Review | None) -> bool:
    """Whether it says what the same reader's review `before` says, to the tenth of a second.

    Then it is one message that came twice: the server that wrote the review ended before the desk heard of it.
    """
    return before is not None and review == msgspec.structs.replace(
        before, timestamp=review.timestamp, previous=review.previous
    )
