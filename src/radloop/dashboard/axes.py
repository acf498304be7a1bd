"""Axes that fit what is drawn: from nought where that is the measure's end, with round ticks that can be read."""

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MOST_TICKS: Final = 7
_ROOM: Final = 0.04  # of the axis, beyond the last value
_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_EQUAL: Final = 1e-9  # of the largest value: values that differ by no more are equal but for rounding


def linear(values: Iterable[float | None], *, whole: bool = False, percent: bool = False) -> dict[str, Any]:
    """A linear axis over nought and all values. whole: of things that have no halves.

    >>> linear([2, 0, None], whole=True)
    {'range': [0.0, 2.08], 'tick0': 0, 'dtick': 1.0, 'tickformat': ',d'}
    >>> linear([])["range"]
    [0.0, 1.04]
    >>> linear([-0.2, 0.1])["range"]
    [-0.212, 0.112]
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    if low == high:
        high = 1.0
    room = _ROOM * (high - low)
    step = _step(high - low, whole=whole)
    ends = [round(low - room, 12) if low < 0 else 0.0, round(high + room, 12) if high > 0 else 0.0]
    decimals = max(-math.floor(math.log10(step) + (2 if percent else 0)), 0)
    form = f".{decimals}%" if percent else ",d" if whole else f",.{decimals}f"
    return {"range": ends, "tick0": 0, "dtick": step, "tickformat": form}


def edges(values: npt.NDArray[np.float64], *, bins: int) -> npt.NDArray[np.float64]:
    """The `bins` + 1 edges of equal bins over all values; around values that are equal, but for rounding, as over one.

    >>> edges(np.array([0.0, 1.0]), bins=2).tolist()
    [0.0, 0.5, 1.0]
    >>> edges(np.array([0.3, 0.1 + 0.2]), bins=2).round(3).tolist()
    [-0.2, 0.3, 0.8]
    """
    if len(values) and np.ptp(values) <= (most := float(np.abs(values).max())) * _EQUAL:
        middle, half = float(values[0]), max(0.5, most * _EQUAL)
        return np.linspace(middle - half, middle + half, bins + 1)
    found: npt.NDArray[np.float64] = np.histogram_bin_edges(values, bins=bins)
    return found


def logarithmic(values: Iterable[float | None], *, percent: bool = False) -> dict[str, Any]:
    """A logarithmic axis over all values above nought, with ticks at 1, 2 and 5 where decades alone are few.

    >>> logarithmic([1, 130])["ticktext"]
    ['1', '2', '5', '10', '20', '50', '100']
    >>> logarithmic([0.0001, 0.5], percent=True)["ticktext"]
    ['0.01%', '0.1%', '1%', '10%']
    """
    known = [value for value in values if value is not None and value > 0 and math.isfinite(value)] or [1.0, 10.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    room = max(_ROOM * (high - low), 0.1)
    ends = [low - room, high + room]
    decades = range(math.floor(ends[0]), math.ceil(ends[1]) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if ends[0] <= math.log10(tick) <= ends[1]]
        if len(ticks) <= 2 * MOST_TICKS - 5:
            break
    shown = ticks[:: math.ceil(len(ticks) / MOST_TICKS)] if len(ticks) > 2 * MOST_TICKS else ticks
    texts = [f"{100 * tick:,.12g}%" if percent else f"{tick:,.12g}" for tick in shown]
    return {"type": "log", "range": ends, "tickvals": shown, "ticktext": texts}


def _step(span: float, *, whole: bool) -> float:
    """The smallest round step with which an axis has no more than MOST_TICKS ticks."""
    decade = 10.0 ** math.floor(math.log10(span / MOST_TICKS))
    step = next(one * decade for one in _STEPS if span / (one * decade) <= MOST_TICKS)
    return max(step, 1.0) if whole else step
