"""Is a confidence of 0.7 right in 70 % of the cases?"""

from typing import Final

import numpy as np
import polars as pl

from radloop.measures import bootstrap, intervals
from radloop.measures.bootstrap import RESAMPLES
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


def drawn_error(
    matched: pl.DataFrame, images: pl.DataFrame, *, bins: int = BINS, resamples: int = RESAMPLES, seed: int = 0
) -> Floats:
    """`error` in each draw of groups, [1, draw]; draw 0 is the figure. NaN in a draw without predictions."""
    here = Looked(images)
    matched = here.of(matched)
    confidence, group = matched["confidence"].to_numpy(), here.group(matched)
    place, weights = _places(confidence, bins), bootstrap.draw_images(here.groups, resamples, seed)
    gap, count = (
        intervals.per_group(place, group, value, bins, here.groups) @ weights
        for value in (confidence - matched["correct"].to_numpy(), np.ones(len(place)))
    )
    return ratio(np.abs(gap).sum(axis=0, keepdims=True), count.sum(axis=0, keepdims=True))


def floor(
    matched: pl.DataFrame, images: pl.DataFrame, *, bins: int = BINS, seed: int = 0
) -> tuple[float, float] | None:
    """The error that a perfectly calibrated detector shows on as many boxes: its mean and its 95th percentile.

    Few boxes in a bin are never right in just the share that their confidence says. The boxes of a group are right and
    wrong together: the floor is that of independent boxes times the root of their design effect (Kish 1965). None
    where they lie in fewer than LEAST_FOR_SHARE groups: nothing is known of that effect.
    """
    here = Looked(images)
    matched = here.of(matched)
    confidence, group = matched["confidence"].to_numpy(), here.group(matched)
    if len(np.unique(group)) < intervals.LEAST_FOR_SHARE:
        return None
    place, rng = _places(confidence, bins), np.random.default_rng(seed)
    sure = np.bincount(place, confidence, minlength=bins)
    errors = [
        np.abs(np.bincount(place, rng.random(len(confidence)) < confidence, minlength=bins) - sure).sum()
        for _ in range(_DRAWS)
    ]
    scale = np.sqrt(_design_effect(matched["correct"].to_numpy() - confidence, group))
    usual, most = (float(scale * each) / len(confidence) for each in (np.mean(errors), np.quantile(errors, 0.95)))
    return usual, most


def words(error: float | None, floor: tuple[float, float] | None) -> str:
    """How it reads what a calibration error is to be held against.

    >>> words(0.2, (0.124, 0.177))
    'a perfectly calibrated detector shows 0.124, at most 0.177 in 95 of 100 cases: more than chance explains'
    """
    if error is None:
        return "nothing to count"
    if floor is None:
        return "too few to say"
    usual, most = floor
    verdict = "more than chance explains" if error > most else "this one cannot be told from it"
    return f"a perfectly calibrated detector shows {usual:.3f}, at most {most:.3f} in 95 of 100 cases: {verdict}"


def _design_effect(gap: Floats, group: Ints) -> float:
    """How much more the gaps vary between groups than those of independent boxes would; from 1."""
    rest = gap - gap.mean()
    sums, spread = np.bincount(group, rest), float((rest**2).sum())
    groups = len(np.unique(group))
    if not spread:
        return 1.0
    return max(1.0, groups / (groups - 1) * float((sums**2).sum()) / spread)


def _places(confidence: Floats, bins: int) -> Ints:
    edges = np.arange(bins + 1) / bins
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
