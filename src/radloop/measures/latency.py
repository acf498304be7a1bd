"""How long do two detectors take for the same images, asked in turn on one machine?"""

from typing import Any, Final

import numpy as np

from radloop.measures import intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.intervals import Floats

SHARES: Final = {"p50": 0.5, "p95": 0.95}


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
