"""What another tool's boxes mean beside those of a feedback."""

from hypothesis import given
from hypothesis import strategies as st

from radloop.feedback import elsewhere

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
