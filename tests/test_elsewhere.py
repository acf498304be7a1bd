"""What another tool's boxes mean beside those of a feedback."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop.errors import FeedbackError
from radloop.feedback import elsewhere
from radloop.feedback.reviews import Shown

EDGE = st.floats(0, 1)
DRAWN = st.lists(st.tuples(st.integers(0, 3), st.tuples(EDGE, EDGE, EDGE, EDGE)), max_size=8)


@given(DRAWN, st.randoms())
def test_the_order_of_boxes_and_the_last_digits_change_nothing(drawn, random):
    other = [(class_id, tuple(edge + random.uniform(-1e-6, 1e-6) for edge in edges)) for class_id, edges in drawn]
    random.shuffle(other)
    assert elsewhere.same_boxes(drawn, other) or _close(drawn)
    assert elsewhere.same_boxes(drawn, drawn)


def _close(drawn):
    """Whether two boxes are so near each other that either may be meant."""
    return any(
        one is not two and one[0] == two[0] and max(abs(a - b) for a, b in zip(one[1], two[1], strict=True)) < 1e-5
        for one in drawn
        for two in drawn
    )


@given(DRAWN.filter(bool), st.integers(0, 3), st.floats(1e-4, 0.5))
def test_a_box_that_was_moved_or_named_anew_is_another(drawn, place, by):
    (class_id, edges), *rest = drawn
    assert not elsewhere.same_boxes([(class_id, edges)], [(class_id + 1, edges)])
    moved = [*edges]
    moved[place] += by
    assert not elsewhere.same_boxes([(class_id, edges)], [(class_id, tuple(moved))])
    assert not elsewhere.same_boxes(drawn, rest)


BOXES = st.lists(
    st.tuples(st.integers(0, 3), st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.5, 1), st.floats(0.5, 1))),
    max_size=5,
)
GIVEN = {"f1": {"image_id": "a", "timestamp": datetime(2026, 1, 1, tzinfo=UTC)}}


@given(BOXES, BOXES)
def test_a_review_holds_the_boxes_where_they_were_drawn_and_accepts_only_those_shown(drawn, there):
    listed = [Shown(class_id=class_id, bbox=cxcywh(edges), confidence=0.5) for class_id, edges in there]
    review = elsewhere.review(opinion(drawn), GIVEN, listed)
    found = [(one.class_id, xyxy(one.bbox)) for one in review.findings]
    assert elsewhere.same_boxes(found, drawn)
    same = bool(there) and elsewhere.same_boxes(drawn, there)
    assert review.verdict == ("normal" if not drawn else "accept" if same else "correct")
    assert elsewhere.review(opinion(there), GIVEN, listed).verdict == ("accept" if there else "normal")


def opinion(drawn, **changes):
    said = {"feedback_id": "f1", "image_id": "a", "reviewer": "R1", "timestamp": datetime(2026, 1, 2, tzinfo=UTC)}
    return elsewhere.Opinion(**said | {"kind": "found" if drawn else "normal", "findings": drawn} | changes)


def cxcywh(edges):
    left, top, right, bottom = edges
    return ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)


def xyxy(box):
    x, y, width, height = box
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"feedback_id": "f2"}, "feedback-unknown"),
        ({"image_id": "b"}, "feedback-of-another-image"),
        ({"timestamp": datetime(2025, 1, 1, tzinfo=UTC)}, "older-than-feedback"),
    ],
)
def test_what_speaks_of_no_feedback_here_is_refused(changes, code):
    with pytest.raises(FeedbackError) as wrong:
        elsewhere.review(opinion([], **changes), GIVEN, [])
    assert wrong.value.code == code
