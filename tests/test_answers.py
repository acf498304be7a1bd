"""What a detector said, as the feedback that is written: readers take all of it."""

import hashlib

import pytest

from radloop import detectors
from radloop.errors import DetectorError
from radloop.feedback import answers, records
from radloop.feedback.records import Model
from radloop.predictions import Picture, Predictions
from taxonomies import VINDR

RANDOM = Model(name="random", version="1")


def as_feedback(image_id, predictions):
    told = answers.feedback(image_id, predictions, VINDR, RANDOM, timestamp="2026-11-30T00:00:00+00:00")
    return records.signed(told)


def test_whatever_the_random_detector_says_can_be_read_again():
    """Of a thousand images about one has a box that the edge of the picture cuts to nothing."""
    detector = detectors.create("random", VINDR)
    for number in (1657, 1979, 2114, 3622, *range(200)):
        image_id = hashlib.md5(str(number).encode()).hexdigest()
        told = as_feedback(image_id, detector.predict(Picture(image_id, b"")))
        assert records.decode(records.encode(told), VINDR, name="it") == told


def test_box_outside_of_the_picture_is_an_error_of_the_detector_and_not_feedback_that_is_lost():
    with pytest.raises(DetectorError, match="outside of the picture"):
        as_feedback("a", Predictions.sorted([3], [0.9], [(1.2, 0.5, 0.1, 0.1)]))
