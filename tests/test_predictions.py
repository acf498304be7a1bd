"""Detections, and beside them what is kept of the less confident boxes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from radloop.predictions import LOW_CONFIDENCE, MIN_CONFIDENCE, MOST_DETECTIONS, MOST_LOW, Predictions

BOX = (0.5, 0.5, 0.2, 0.2)


def parted(confidences, **told):
    count = len(confidences)
    return Predictions.parted(np.arange(count) % 14, confidences, [BOX] * count, highest_score=1.0, **told)


def test_what_is_exactly_at_the_threshold_is_no_detection_as_ever():
    said = parted([0.2, MIN_CONFIDENCE, 0.9, 0.26])
    assert said.confidences.tolist() == [0.9, 0.26]
    assert said.class_ids.tolist() == [2, 3]
    assert said.low.confidences.tolist() == [MIN_CONFIDENCE, 0.2]
    assert said.low.class_ids.tolist() == [1, 0]
    assert said.low.cxcywh_norm.tolist() == [[*BOX], [*BOX]]
    assert said.kept_from == LOW_CONFIDENCE


def test_a_detector_that_tells_nothing_of_lower_boxes_is_whole_from_the_threshold_on():
    said = Predictions.sorted([3], [0.9], [BOX])
    assert len(said.low.class_ids) == 0
    assert said.kept_from == MIN_CONFIDENCE


@given(st.integers(0, 2 * MOST_DETECTIONS), st.integers(0, 2 * MOST_LOW))
def test_counts_are_limited_and_the_feedback_says_from_where_it_is_whole(sure, low):
    confidences = [*np.linspace(0.3, 0.9, sure), *np.linspace(0.06, 0.2, low)]
    said = parted(confidences)
    kept = [*said.confidences, *said.low.confidences]
    assert (len(said.confidences), len(said.low.confidences)) == (min(sure, MOST_DETECTIONS), min(low, MOST_LOW))
    above = [one for one in confidences if one > said.kept_from]
    assert sorted(above) == sorted(one for one in kept if one > said.kept_from)
    assert (said.kept_from == LOW_CONFIDENCE) == (sure <= MOST_DETECTIONS and low <= MOST_LOW)


def test_box_that_was_cut_to_nothing_at_the_edge_is_none():
    """No reader of feedback takes it, and would refuse all of the feedback for it."""
    boxes = [(0.3, 1.0, 0.1, 0.0), BOX, (0.0, 0.5, 0.0, 0.1), (0.5, 0.5, 0.1, float("nan"))]
    said = Predictions.parted([3, 4, 5, 6], [0.9, 0.8, 0.1, 0.7], boxes, highest_score=0.9)
    assert (said.class_ids.tolist(), said.low.class_ids.tolist()) == ([4], [])
