"""A draft holds what the radiologist says, and becomes a review that is read as it was meant."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.catalog.rule import Rule
from radloop.dashboard import drafts
from radloop.dashboard.drafts import Drawn
from radloop.feedback import reviews
from radloop.tables import CLASS_ID, EDGES
from radloop.vindr.classes import TAXONOMY as VINDR

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FRAME = (2000, 3000)
HEART = (0.4, 0.5, 0.7, 0.8)


def detections(*found: tuple[int, float]) -> pl.DataFrame:
    rows = [(class_id, confidence, *HEART) for class_id, confidence in found]
    schema = {"class_id": CLASS_ID, "confidence": pl.Float64} | dict.fromkeys(EDGES, pl.Float64)
    return pl.DataFrame(rows, schema=schema, orient="row")


def written(review: reviews.Review, folder) -> reviews.Review:
    path = reviews.write(folder, review, VINDR)
    return reviews.decode(path.read_bytes(), VINDR, name=path.name)


@pytest.mark.parametrize(
    ("doubtful", "shown"), [(0.25, [3, 7]), (0.24, [3, 7, 0]), (0.6, [3])], ids=["default", "lower", "higher"]
)
def test_boxes_that_the_rule_takes_for_nothing_are_not_shown(doubtful, shown):
    draft = drafts.begin("f", "i", detections((3, 0.9), (7, 0.25), (0, 0.24)), Rule(doubtful=doubtful))
    assert [box.class_id for box in draft.shown] == shown


def test_drawn_boxes_are_a_layer_of_the_picture():
    table = drafts.table([Drawn(299, HEART)])
    assert table.row(0) == (299, None, *HEART)


def test_models_boxes_join_only_when_revealed_and_only_once():
    draft = drafts.begin("f", "i", detections((3, 0.9)), Rule())
    assert draft.drawn == []
    draft.reveal()
    draft.reveal()
    assert draft.drawn == list(draft.shown)
    assert not draft.edited


def test_removing_or_adding_a_box_is_an_edit():
    draft = drafts.begin("f", "i", detections((3, 0.9), (7, 0.5)), Rule())
    draft.reveal()
    del draft.drawn[0]
    assert draft.edited


@pytest.mark.parametrize(
    ("verdict", "findings"), [("accept", [3]), ("correct", [7, 3]), ("normal", []), ("reject", None)]
)
def test_review_holds_what_its_verdict_means(tmp_path, verdict, findings):
    draft = drafts.begin("f", "i", detections((3, 0.9)), Rule())
    draft.drawn.append(Drawn(7, (0.1, 0.1, 0.2, 0.2)))
    draft.reveal()
    review = written(draft.review(verdict, reviewer="r-1", now=NOON, comment="  seen  "), tmp_path)
    assert (review.verdict, review.comment, review.simulated) == (verdict, "seen", False)
    assert (review.findings and [box.class_id for box in review.findings]) == (findings or review.findings)
    assert (review.findings is None) == (findings is None)


def test_accepted_box_is_the_one_shown(tmp_path):
    draft = drafts.begin("f", "i", detections((3, 0.9)), Rule())
    review = written(draft.review("accept", reviewer="r-1", now=NOON), tmp_path)
    assert review.findings[0].bbox == pytest.approx((0.55, 0.65, 0.3, 0.3))


@given(
    x=st.tuples(st.floats(-500, 4000), st.floats(-500, 4000)), y=st.tuples(st.floats(-500, 4000), st.floats(-500, 4000))
)
def test_dragged_box_lies_in_the_picture_whichever_way_it_was_drawn(x, y):
    corners = drafts.dragged(x, y, FRAME)
    assert corners == drafts.dragged(x[::-1], y[::-1], FRAME)
    if corners is not None:
        left, top, right, bottom = drafts.as_fractions(corners, FRAME)
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_click_is_no_box():
    assert drafts.dragged((10, 11), (10, 400), FRAME) is None
