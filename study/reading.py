"""Seconds that a review costs: published means, spread as simulated readers are.

Shin et al. 2023 (npj Digital Medicine 6:82; 11 radiologists, while they did not see the AI): a mean of 13.1 s for chest
radiographs on which an AI found nothing and of 18.4 s for the others. A box drawn by its four extreme points takes
7.0 s (Papadopoulos et al. 2017, ICCV).
"""

from typing import Final

import numpy as np

NORMAL_S: Final = 13.1
ABNORMAL_S: Final = 18.4
BOX_S: Final = 7.0
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
