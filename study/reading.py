"""Seconds of a review: the published means of `radloop.feedback.reading_times`, spread as simulated readers are."""

from typing import Final

import numpy as np

from radloop.feedback.reading_times import ABNORMAL_S, BOX_S, NORMAL_S

SPREAD: Final = 0.5  # of the logarithm; `radloop.feedback.radiologists` spreads its own seconds so


def mean_seconds(boxes: int) -> float:
    """The mean time of a review in which so many boxes are drawn.

    >>> mean_seconds(0), round(mean_seconds(2), 1)
    (13.1, 32.4)
    """
    return ABNORMAL_S + BOX_S * boxes if boxes else NORMAL_S


def seconds(boxes: int, image_id: str, *, seed: int) -> float:
    """The time of one review: its mean, with a reader's spread that hangs on image and seed alone."""
    own = np.random.default_rng([seed, int(image_id[:12], 16)])
    return mean_seconds(boxes) * float(own.lognormal(-(SPREAD**2) / 2, SPREAD))
