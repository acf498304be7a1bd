"""Is a confidence of 0.7 right in 70 % of the cases?"""

from typing import Final

import numpy as np
import polars as pl

from radloop.measures import intervals
from radloop.measures.evaluation import Looked
from radloop.measures.intervals import Floats, Ints, ratio

BINS: Final = 10
_DRAWS: Final = 1000


def calibration(matched: pl.DataFrame, images: pl.DataFrame, *, bins: int = BINS) -> pl.DataFrame:
    """How often predictions are right, by their confidence: one row per bin of confidence, empty ones included.

    low, high (a confidence of exactly `high` lies in it, so that the last bin is what is above 0.9), predictions,
    confidence (their mean), correct (the share that is right, with its interval). `matched` is what
    `evaluation.match` returned, `images` has image_id and group.
    """
    here = Looked(images)
    matched = here.of(matched)
    edges = np.arange(bins + 1) / bins
    confidence, group = matched["confidence"].to_numpy(), here.group(matched)
    place = _places(confidence, bins)
    every, right = (
        intervals.per_group(place, group, value, bins, here.groups)
        for value in (np.ones(len(place)), matched["correct"].to_numpy())
    )
    figures = {
        "low": edges[:-1],
        "high": edges[1:],
        "predictions": every.sum(axis=1).astype(np.int64),
        "confidence": ratio(np.bincount(place, confidence, minlength=bins), every.sum(axis=1)),
    }
    shares = intervals.of_share("correct", right, every)
    return pl.DataFrame(figures | shares).with_columns(pl.col(pl.Float64).fill_nan(None))


def error(calibrated: pl.DataFrame) -> float | None:
    """The mean gap between confidence and share right, weighted by predictions (Guo et al. 2017); None without any."""
    predictions = int(calibrated["predictions"].sum())
    if not predictions:
        return None
    gaps = calibrated.select((pl.col("confidence") - pl.col("correct")).abs() * pl.col("predictions")).sum()
    return float(gaps.item()) / predictions


def floor(
    matched: pl.DataFrame, images: pl.DataFrame, *, bins: int = BINS, seed: int = 0
) -> tuple[float, float] | None:
    """The error that a perfectly calibrated detector shows on as many boxes: its mean and its 95th percentile.

    Few boxes in a bin are never right in just the share that their confidence says. None without a prediction.
    """
    confidence = Looked(images).of(matched)["confidence"].to_numpy()
    if not len(confidence):
        return None
    place, rng = _places(confidence, bins), np.random.default_rng(seed)
    sure = np.bincount(place, confidence, minlength=bins)
    errors = [
        np.abs(np.bincount(place, rng.random(len(confidence)) < confidence, minlength=bins) - sure).sum()
        for _ in range(_DRAWS)
    ]
    return float(np.mean(errors)) / len(confidence), float(np.quantile(errors, 0.95)) / len(confidence)


def _places(confidence: Floats, bins: int) -> Ints:
    edges = np.arange(bins + 1) / bins
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
