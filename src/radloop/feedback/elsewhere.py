"""Reviews of what people drew in another tool, where they began from the boxes of a feedback."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np
import polars as pl

from radloop import boxes
from radloop.errors import FeedbackError
from radloop.feedback import reviews
from radloop.feedback.reviews import Finding, Review, Shown
from radloop.tables import EDGES
from radloop.taxonomy import Taxonomy

SAME: Final = 2e-6  # of the picture: what a box may change by on its way there and back, as it is written in digits
_DIGITS: Final = 9

Edges = tuple[float, float, float, float]
Drawn = Sequence[tuple[int, Edges]]  # class_id and xyxy_norm of each box


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one person submitted on one image."""

    feedback_id: str
    image_id: str
    reviewer: str
    kind: Literal["found", "normal", "unreadable"]
    findings: Drawn
    timestamp: datetime
    seconds: float | None = None
    comment: str | None = None
    within: float = 0.0  # of the picture: by how much the tool's digits may move a box
    began_from: Drawn | None = None  # the boxes that were there, as the tool tells them; None: it does not tell


def shown(detections: pl.DataFrame, feedback_ids: Iterable[str]) -> dict[str, list[Shown]]:
    """{feedback_id: its boxes as an export shows them}, the most confident first, inside the picture."""
    of = detections.filter(pl.col("feedback_id").is_in(list(feedback_ids))).with_columns(pl.col(EDGES).clip(0, 1))
    rows = of.sort("feedback_id", "confidence", "class_id", *EDGES, descending=[False, True] + [False] * 5)
    cxcywh = boxes.xyxy_to_cxcywh(rows.select(EDGES).to_numpy()).round(_DIGITS).tolist()
    listed: dict[str, list[Shown]] = {}
    told = rows.select("feedback_id", "class_id", "confidence").iter_rows()
    for (feedback_id, class_id, confidence), box in zip(told, cxcywh, strict=True):
        listed.setdefault(feedback_id, []).append(Shown(class_id=class_id, bbox=tuple(box), confidence=confidence))
    return listed


def review(one: Opinion, feedback: Mapping[str, Mapping[str, object]], shown: Sequence[Shown]) -> Review:
    """The review that says so. feedback: {feedback_id: its image_id and timestamp}; shown: the boxes of this one.

    Label Studio and CVAT show the boxes at once, so that nothing was read blind. Raises FeedbackError.
    """
    about = feedback.get(one.feedback_id)
    if about is None:
        raise FeedbackError(f"there is no feedback {one.feedback_id[:80]!r} in this folder", code="feedback-unknown")
    if about["image_id"] != one.image_id:
        raise FeedbackError(
            f"feedback {one.feedback_id} is on image {about['image_id']}, not on {one.image_id[:80]!r}",
            code="feedback-of-another-image",
        )
    given = about["timestamp"]
    if isinstance(given, datetime) and one.timestamp < given:
        raise FeedbackError(
            f"its time {one.timestamp.isoformat()} is before that of its feedback, {given.isoformat()}",
            code="older-than-feedback",
        )
    theirs = _drawn(shown)
    accepts = bool(theirs) and one.kind == "found" and same_boxes(one.findings, theirs, one.within)
    known = one.began_from is None or same_boxes(one.began_from, theirs, one.within)
    findings = [Finding(class_id=box.class_id, bbox=box.bbox) for box in shown] if accepts else _findings(one.findings)
    return Review(
        feedback_id=one.feedback_id,
        image_id=one.image_id,
        reviewer=one.reviewer,
        verdict="accept" if accepts else "correct" if one.kind == "found" else _OTHERWISE[one.kind],
        findings=None if one.kind == "unreadable" else findings,
        timestamp=one.timestamp.isoformat(),
        comment=one.comment,
        revealed=True,
        seconds_total=one.seconds,
        shown=list(shown) if known and len(shown) <= reviews.MOST_FINDINGS else None,
    )


_OTHERWISE: Final[Mapping[str, Literal["normal", "reject"]]] = {"normal": "normal", "unreadable": "reject"}


def same_boxes(first: Drawn, second: Drawn, within: float = 0.0) -> bool:
    """Whether each box has one of its class in the other list, at the same place within SAME, or `within` if more."""
    if sorted(class_id for class_id, _ in first) != sorted(class_id for class_id, _ in second):
        return False
    rest = np.array([(class_id, *edges) for class_id, edges in second], dtype=np.float64).reshape(-1, 5)
    for class_id, edges in first:
        near = np.flatnonzero((np.abs(rest - (class_id, *edges)) <= max(SAME, within)).all(axis=1))
        if not near.size:
            return False
        rest = np.delete(rest, near[0], axis=0)
    return True


def _drawn(listed: Sequence[Shown | Finding]) -> Drawn:
    corners = boxes.cxcywh_to_xyxy(np.array([box.bbox for box in listed]).reshape(-1, 4)).tolist()
    return [(box.class_id, tuple(edges)) for box, edges in zip(listed, corners, strict=True)]


def _findings(drawn: Drawn) -> list[Finding]:
    cxcywh = boxes.xyxy_to_cxcywh(np.array([edges for _, edges in drawn]).reshape(-1, 4)).round(_DIGITS).tolist()
    return [Finding(class_id=class_id, bbox=tuple(box)) for (class_id, _), box in zip(drawn, cxcywh, strict=True)]


def new(
    planned: Iterable[Review], there: pl.DataFrame, load: Callable[[str], Review], heads: Mapping[str, str]
) -> list[Review]:
    """Those of `planned` that say something new, in the order of time, each naming its reviewer's one before.

    there: REVIEWS. load: the review in a file. heads: as `catalog.chains.newest` has them. Nothing new is what the
    reviewer has said already at that time, or what the reviewer's newest review says.
    """
    planned = sorted(planned, key=lambda one: datetime.fromisoformat(one.timestamp))
    asked = pl.DataFrame([(one.feedback_id, one.reviewer) for one in planned], schema=_WHOSE, orient="row")
    said: dict[tuple[str, str], list[Review]] = {}
    for row in there.join(asked, on=list(_WHOSE), how="semi").sort("timestamp", "review_id").iter_rows(named=True):
        said.setdefault((row["feedback_id"], row["reviewer"]), []).append(load(row["file"]))
    found = []
    for one in planned:
        known = said.setdefault((one.feedback_id, one.reviewer), [])
        time = datetime.fromisoformat(one.timestamp)
        times = [datetime.fromisoformat(each.timestamp) for each in known]
        if any(_says(one, each) for each, at in zip(known, times, strict=True) if at == time):
            continue
        if known and _says(one, known[-1]):
            continue
        known.insert(sum(at <= time for at in times), one)
        found.append(one)
    return list(reviews.following(found, heads))


_WHOSE: Final = {"feedback_id": pl.String, "reviewer": pl.String}


def _says(one: Review, said: Review) -> bool:
    """Whether two reviews say the same."""
    return (one.verdict, one.comment) == (said.verdict, said.comment) and same_boxes(
        _drawn(one.findings or ()), _drawn(said.findings or ())
    )


def require_classes(names: Iterable[str], classes: Taxonomy) -> None:
    """Raise FeedbackError where a box has a label that is no class of the dataset."""
    unknown = sorted({name for name in names if classes.number(name) is None})
    if unknown:
        listed = ", ".join(repr(name[:60]) for name in unknown[:5])
        raise FeedbackError(
            f"{listed}{' and more' if len(unknown) > 5 else ''}: no class of this dataset is called so. They are "
            f"{', '.join(classes.names[:20])}. Rename a label with --map LABEL=CLASS.",
            code="class-unknown",
        )
