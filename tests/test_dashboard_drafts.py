"""What the desk sends becomes a review that is read as it was meant, or a sentence; nothing in between."""

from datetime import UTC, datetime

import polars as pl
import pytest

from radloop.dashboard import drafts
from radloop.errors import FeedbackError
from radloop.feedback import reviews
from radloop.feedback.reviews import Finding, Review
from radloop.tables import CLASS_ID, EDGES
from radloop.vindr.classes import TAXONOMY as VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HEART = (0.4, 0.5, 0.7, 0.8)
NODULE = {"class_id": 8, "bbox": [0.2, 0.2, 0.1, 0.1]}


def detections(*found: tuple[int, float]) -> pl.DataFrame:
    rows = [(class_id, confidence, *HEART) for class_id, confidence in found]
    schema = {"class_id": CLASS_ID, "confidence": pl.Float64} | dict.fromkeys(EDGES, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


AI = drafts.shown(detections((3, 0.9)), 0.25)


def message(verdict: str = "correct", **changes: object) -> dict[str, object]:
    """What the browser sends."""
    findings = {
        "accept": [{"class_id": 3, "bbox": [0.55, 0.65, 0.3, 0.3]}],
        "correct": [NODULE],
        "normal": [],
        "reject": None,
    }
    sent = {
        "id": "m1",
        "kind": "verdict",
        "feedback_id": "f",
        "reader": "r-1",
        "verdict": verdict,
        "findings": findings.get(verdict),
        "blind_findings": [NODULE],
        "revealed": True,
        "seconds_blind": 4,
        "seconds_total": 9.5,
        "comment": "  seen  ",
        "adjudicates": False,
    }
    return sent | changes


def reviewed(sent: dict[str, object], *, may_adjudicate: bool = True, previous: str | None = None) -> Review:
    said = drafts.decode(sent)
    return drafts.review(said, "i", reader="r-1", ai=AI, may_adjudicate=may_adjudicate, previous=previous, now=NOON)


@pytest.mark.parametrize(
    ("doubtful", "shown"), [(0.25, [3, 7]), (0.24, [3, 7, 0]), (0.6, [3])], ids=["default", "lower", "higher"]
)
def test_boxes_that_the_rule_takes_for_nothing_are_not_shown(doubtful, shown):
    kept = drafts.shown(detections((3, 0.9), (0, 0.24), (7, 0.25)), doubtful)
    assert [box.class_id for box in kept] == shown


def test_of_very_many_boxes_the_surest_are_shown():
    many = detections(*((number % 14, (number + 1) / 2000) for number in range(1999)))
    kept = drafts.shown(many, 0.25)
    assert len(kept) == drafts.MOST_SHOWN
    assert [one.confidence for one in kept] == [(1999 - number) / 2000 for number in range(drafts.MOST_SHOWN)]


@pytest.mark.parametrize("verdict", ["accept", "correct", "normal", "reject"])
def test_review_is_read_as_it_was_meant(verdict, tmp_path):
    path = reviews.write(tmp_path, reviewed(message(verdict), previous="0123456789abcdef"), VINDR)
    read = reviews.decode(path.read_bytes(), VINDR, name=path.name)
    assert (read.reviewer, read.verdict, read.comment, read.simulated) == ("r-1", verdict, "seen", False)
    assert (read.seconds_blind, read.seconds_total, read.revealed) == (4, 9.5, True)
    assert [box.class_id for box in read.findings or []] == {"accept": [3], "correct": [8]}.get(verdict, [])
    assert (read.findings is None) == (verdict == "reject")
    assert read.blind_findings == [Finding(class_id=8, bbox=(0.2, 0.2, 0.1, 0.1))]
    assert read.shown == AI
    assert read.previous == "0123456789abcdef"


def test_what_was_not_shown_is_not_said_to_be():
    assert reviewed(message("normal", revealed=False)).shown is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"verdict": "maybe"}, "no verdict"),
        ({"findings": "all"}, "no verdict"),
        ({"findings": [{"class_id": 3}]}, "no verdict"),
        ({"findings": [NODULE] * 1001}, "no verdict"),
        ({"seconds_total": -1}, "no verdict"),
        ({"comment": "x" * 2001}, "no verdict"),
        ({"feedback_id": "../f"}, "no verdict"),
        ({"reader": "someone"}, "signed by someone"),
    ],
    ids=["verdict", "findings", "box", "many", "seconds", "comment", "path", "reader"],
)
def test_what_is_no_verdict_is_a_sentence(changes, why):
    with pytest.raises(FeedbackError, match=why):
        reviewed(message() | changes)


@pytest.mark.parametrize(
    "findings",
    [
        [NODULE | {"class_id": 14}],
        [NODULE | {"class_id": -1}],
        [NODULE | {"bbox": [0.2, 0.2, 0, 0.1]}],
        [NODULE | {"bbox": [0.99, 0.2, 0.1, 0.1]}],
        [],
        None,
    ],
    ids=["unknown class", "negative class", "no area", "outside", "nothing corrected", "no list"],
)
def test_review_that_cannot_be_read_back_is_not_written(findings, tmp_path):
    with pytest.raises(FeedbackError):
        reviews.write(tmp_path, reviewed(message(findings=findings)), VINDR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("findings", [[], [NODULE]], ids=["none", "another"])
def test_accept_of_other_boxes_than_were_shown_is_refused(findings):
    with pytest.raises(FeedbackError, match="Accept takes the AI findings as they are"):
        reviewed(message("accept", findings=findings))


def test_final_read_is_for_those_who_adjudicate():
    assert reviewed(message(adjudicates=True)).adjudicates
    with pytest.raises(FeedbackError, match=r"final \(adjudicated\) read"):
        reviewed(message(adjudicates=True), may_adjudicate=False)
