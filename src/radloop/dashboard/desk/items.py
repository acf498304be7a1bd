"""One image as the desk shows it: its pictures' addresses, the AI findings, and what people said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from radloop import boxes
from radloop.dashboard import drafts, loading, loop, pictures, samples
from radloop.dashboard.desk import work
from radloop.dashboard.loading import Dataset, Feedback
from radloop.errors import FeedbackError, SourceError
from radloop.feedback import reviews
from radloop.feedback.reviews import Review, Shown
from radloop.feedback.suspects import says
from radloop.options import Dashboard
from radloop.tables import EDGES
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT, several

_VERDICTS: Final = {"accept": "accepts", "correct": "corrects", "normal": "No finding", "reject": "Not readable"}


@dataclass(frozen=True)
class Read:
    """One review and its id."""

    review_id: str
    review: Review


def item(
    inputs: Dashboard,
    found: Dataset,
    said: Feedback,
    feedback_id: str,
    *,
    reader: str,
    decides: bool,
) -> dict[str, Any]:
    """What the browser is told of a feedback; only who `decides` a dispute about it is told what other readers said."""
    image_id = image_of(said, feedback_id)
    width, height = pictures.frame(found, image_id)
    shown, above = ai_findings(inputs, said, feedback_id)
    reads = reads_of(inputs, found, feedback_id)
    return {
        "feedback_id": feedback_id,
        "image_id": image_id,
        "width": width,
        "height": height,
        **_addresses(inputs, found, image_id),
        "shown": [[one.class_id, one.confidence, *one.bbox] for one in shown],
        "more": above,
        "held_out": held_out(found, said, feedback_id),
        "mine": _again(mine(reads, reader)),
        "may_adjudicate": decides,
        "readers": _readers(reads, reader) if decides else [],
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
    """The held-out split of the image; None where a review of it may train.

    Of an audit image, too: it is to be read like any other.
    """
    judged = loop.judged(found, said).filter(pl.col("feedback_id") == feedback_id)
    split: str | None = judged["held_out"][0]
    return None if split == AUDIT else split


def suspicions(suspects: pl.DataFrame, classes: Taxonomy) -> dict[str, dict[str, Any]]:
    """Of each feedback in SUSPECTS what may be wrong with the labels, in words, and which box is meant."""
    return {
        row["feedback_id"]: {
            "kind": row["suspicion"],
            "says": says(row, classes),
            "bbox": boxes.xyxy_to_cxcywh([row[edge] for edge in EDGES]).tolist(),
        }
        for row in suspects.iter_rows(named=True)
    }


def _addresses(inputs: Dashboard, found: Dataset, image_id: str) -> dict[str, str]:
    try:
        return {
            "jpg": pictures.url(found, inputs.images, image_id, pictures.LONGEST_SIDE_PX),
            "png": pictures.url(found, inputs.images, image_id),
        }
    except SourceError as missing:
        return {"wrong": str(missing)}


def reads_of(inputs: Dashboard, found: Dataset, feedback_id: str) -> list[Read]:
    """What people said of one feedback, the oldest first. Only its own files are opened: there may be many others."""
    folder, read = inputs.reviews_folder, []
    for name in work.names(folder):
        base = name.rpartition("/")[2]
        if base.startswith(f"{feedback_id}."):
            try:
                data = (folder / name).read_bytes()
                review = reviews.decode(data, found.taxonomy, name=base, convention=inputs.convention)
            except (FeedbackError, OSError):
                continue  # refused on the pages of the loop; there is nothing to show
            read.append(Read(base.split(".")[2], review))
    return sorted(read, key=lambda one: (one.review.timestamp, one.review_id))


def mine(reads: Sequence[Read], reader: str) -> Read | None:
    """The newest read of one reader."""
    return next((one for one in reversed(reads) if one.review.reviewer == reader), None)


def _again(read: Read | None) -> dict[str, Any] | None:
    """The reader's own read of before."""
    if read is None:
        return None
    review = read.review
    return {
        "verdict": review.verdict,
        "comment": review.comment,
        "revealed": review.revealed,
        "findings": _findings(review),
    }


def _findings(review: Review) -> list[list[float]]:
    return [[one.class_id, *one.bbox] for one in review.findings or []]


def _readers(reads: Sequence[Read], reader: str) -> list[dict[str, Any]]:
    """What each other reader says of it, by name; of simulated ones only where no person has read it."""
    newest = {one.review.reviewer: one.review for one in reads if one.review.reviewer != reader}
    newest = {name: review for name, review in newest.items() if not review.simulated} or newest
    told = []
    for name, review in sorted(newest.items()):
        findings = _findings(review)
        boxes = f", {several(len(findings), 'box')}" if findings else ""
        simulated = " (simulated)" if review.simulated else ""
        said = f"{_VERDICTS[review.verdict]}{boxes}{simulated}"
        told.append({"name": name, "said": said, "comment": review.comment, "findings": findings})
    return told
