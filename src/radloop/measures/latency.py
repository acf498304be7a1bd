"""How long requests take: what a percentile is known to be, and how two detectors differ on the same images."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import stats

from radloop.measures import intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.intervals import Floats

SHARES: Final = {"p50": 0.5, "p95": 0.95}  # of two detectors
_OF_ONE: Final = {**SHARES, "p99": 0.99}
# of one detector, each with its interval; null where there is too little to say
PERCENTILES: Final = {f"{name}{end}_ms": pl.Float64 for name in _OF_ONE for end in ("", "_low", "_high")}
_TAIL: Final = 0.025
_LEAST_BLOCKS: Final = 10  # of fewer the scatter of their means says little


def percentiles(latencies_ms: Sequence[float] | Floats, *, independent: float | None = None) -> dict[str, float | None]:
    """PERCENTILES of latencies in the order of their requests; inf: no answer.

    independent: as how many independent ones they count, where that is not to be told from their order.
    """
    values = np.asarray(latencies_ms, dtype=np.float64)
    ascending = np.sort(values)
    longest = ascending[np.isfinite(ascending)].max(initial=0.0)
    count = worth(np.minimum(values, longest)) if independent is None else independent
    told: dict[str, float | None] = {}
    for name, share in _OF_ONE.items():
        ends = interval(ascending, share, worth=count)
        known = (None, None, None) if ends is None else (percentile(ascending, share), *ends)
        for end, value in zip(("", "_low", "_high"), known, strict=True):
            told[f"{name}{end}_ms"] = None if value is None or math.isinf(value) else round(float(value), 3)
    return told


def percentile(ascending: Sequence[float] | Floats, share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (the nearest rank); NaN where there is none.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not len(ascending):
        return math.nan
    # tell 0.95 × 20 = 19 from the 19.000000000000004 that it may be
    return float(ascending[max(math.ceil(round(share * len(ascending), 9)), 1) - 1])


def worth(values: Floats) -> float:
    """How many independent values `values` are worth; they stand in the order of their requests.

    Their number divided by the design effect. Who waits in a queue waits about as long as the one before, so that the
    means of blocks scatter more than those of independent values (batch means; Conway 1963): the largest of the effects
    that blocks of 1, 2, 4, ... values show.
    """
    count, variance = len(values), float(np.var(values)) if len(values) else 0.0
    effect, size = 1.0, 2
    while variance > 0 and count // size >= _LEAST_BLOCKS:
        means = values[: count // size * size].reshape(-1, size).mean(axis=1)
        effect, size = max(effect, size * float(means.var(ddof=1)) / variance), 2 * size
    return count / effect


def interval(ascending: Sequence[float] | Floats, share: float, *, worth: float) -> tuple[float, float] | None:
    """The 95 % interval of a percentile, from one value to another; None: too few to say.

    By ranks, exact for independent values of any distribution (David and Nagaraja 2003, section 7.1), of as many as the
    values are `worth`.

    >>> interval(range(1, 101), 0.5, worth=100)
    (40, 61)
    >>> interval(range(1, 101), 0.99, worth=100)  # the 99th percentile may lie above all of them
    """
    units = math.floor(worth)
    low, high = stats.binom.ppf(_TAIL, units, share), stats.binom.ppf(1 - _TAIL, units, share) + 1
    if units < 1 or low < 1 or high > units:
        return None
    each = len(ascending) / units
    return ascending[max(math.floor(low * each), 1) - 1], ascending[min(math.ceil(high * each), len(ascending)) - 1]


def compare(first_ms: Floats, second_ms: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """first and second (milliseconds), and ratio (second / first) with its interval over the images, of each of SHARES.

    The latencies of one image stand at one place of both. Quantiles as numpy's, which interpolate. No interval of
    fewer than intervals.LEAST_FOR_DRAWS images.
    """
    images = len(first_ms)
    rng = np.random.default_rng(seed)
    places = np.concatenate([[np.arange(images)], rng.integers(0, images, size=(resamples, images))])
    told: dict[str, Any] = {}
    for name, share in SHARES.items():
        one, other = (np.quantile(each[places], share, axis=1)[np.newaxis] for each in (first_ms, second_ms))
        drawn = intervals.ratio(other, one)
        few = images < intervals.LEAST_FOR_DRAWS
        low, high = (None, None) if few else np.nanquantile(drawn[0, 1:], [0.025, 0.975]).tolist()
        ratio = None if np.isnan(drawn[0, 0]) else float(drawn[0, 0])
        told[name] = {
            "first": float(one[0, 0]),
            "second": float(other[0, 0]),
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
        }
    return told
