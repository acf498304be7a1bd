"""One image as the desk shows it: its pictures' addresses, the AI findings, and what people said of it."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from radloop.dashboard import drafts, loading, loop, pictures, samples
from radloop.dashboard.loading import Dataset, Feedback, Reviewed
from radloop.errors import SourceError
from radloop.feedback.reviews import Shown
from radloop.options import Dashboard
from radloop.tables import EDGES
from radloop.words import several

_VERDICTS = {"accept": "accepts", "correct": "corrects", "normal": "No finding", "reject": "Not readable"}


def item(
    inputs: Dashboard,
    found: Dataset,
    said: Feedback,
    reviewed: Reviewed,
    feedback_id: str,
    *,
    reader: str,
    may_adjudicate: bool,
    is_disputed: bool,
) -> dict[str, Any]:
    """What the browser is told of a feedback. What other readers said, only who may adjudicate a dispute is told."""
    image_id = image_of(said, feedback_id)
    width, height = pictures.frame(found, image_id)
    shown, boxes = ai_findings(inputs, said, feedback_id)
    decides = may_adjudicate and is_disputed
    return {
        "feedback_id": feedback_id,
        "image_id": image_id,
        "width": width,
        "height": height,
        **_addresses(inputs, found, image_id),
        "shown": [[one.class_id, one.confidence, *one.bbox] for one in shown],
        "more": boxes,
        "held_out": held_out(found, said, feedback_id),
        "mine": _mine(reviewed, feedback_id, reader),
        "may_adjudicate": decides,
        "readers": _readers(reviewed, feedback_id, reader) if decides else [],
    }


def image_of(said: Feedback, feedback_id: str) -> str:
    """The image that a feedback is on."""
    return str(said.records.feedback.filter(pl.col("feedback_id") == feedback_id)["image_id"][0])


def ai_findings(inputs: Dashboard, said: Feedback, feedback_id: str) -> tuple[list[Shown], int]:
    """Those that are shown, and how many there are above the rule's doubtful confidence."""
    doubtful = loading.last_rule(inputs.retrain_table).doubtful
    detections = samples.detections(said, feedback_id)
    return drafts.shown(detections, doubtful), int((detections["confidence"] >= doubtful).sum())


def held_out(found: Dataset, said: Feedback, feedback_id: str) -> str | None:
    """The held-out split of the image; None where a review of it may train."""
    judged = loop.judged(found, said).filter(pl.col("feedback_id") == feedback_id)
    split: str | None = judged["held_out"][0]
    return split


def _addresses(inputs: Dashboard, found: Dataset, image_id: str) -> dict[str, str]:
    try:
        return {
            "jpg": pictures.url(found, inputs.images, image_id, pictures.LONGEST_SIDE_PX),
            "png": pictures.url(found, inputs.images, image_id),
        }
    except SourceError as missing:
        return {"wrong": str(missing)}


def earlier(reviewed: Reviewed, feedback_id: str, reader: str) -> pl.DataFrame:
    """REVIEWS of one reader on one feedback, the newest last."""
    return reviewed.reviews.reviews.filter(pl.col("feedback_id") == feedback_id, pl.col("reviewer") == reader)


def _mine(reviewed: Reviewed, feedback_id: str, reader: str) -> dict[str, Any] | None:
    """The reader's own review of before."""
    own = earlier(reviewed, feedback_id, reader)
    if own.is_empty():
        return None
    newest = own.row(-1, named=True)
    return {
        "verdict": newest["verdict"],
        "comment": newest["comment"],
        "revealed": newest["revealed"],
        "findings": _findings(reviewed, newest["file"]),
    }


def _findings(reviewed: Reviewed, file: str) -> list[Sequence[float]]:
    rows = reviewed.reviews.findings.filter(pl.col("file") == file).select("class_id", *EDGES)
    return [[class_id, *drafts.as_bbox(corners)] for class_id, *corners in rows.iter_rows()]


def _readers(reviewed: Reviewed, feedback_id: str, reader: str) -> list[dict[str, Any]]:
    """What each other reader says of it, by name."""
    theirs = reviewed.reviews.reviews.filter(pl.col("feedback_id") == feedback_id, pl.col("reviewer") != reader)
    newest = theirs.unique("reviewer", keep="last", maintain_order=True).sort("reviewer")
    told = []
    for row in newest.iter_rows(named=True):
        findings = _findings(reviewed, row["file"])
        boxes = f", {several(len(findings), 'box')}" if findings else ""
        told.append(
            {
                "name": row["reviewer"],
                "said": f"{_VERDICTS[row['verdict']]}{boxes}{' (simulated)' if row['simulated'] else ''}",
                "comment": row["comment"],
                "findings": findings,
            }
        )
    return told
