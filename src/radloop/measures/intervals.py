"""95 % intervals that stay honest where there is little to go by: then there is none, and the page says "too few".

The unit is the group: the boxes and readings of one image, and the images of one patient, are not independent. A share
gets Jeffreys' interval, for as many independent boxes as its groups are worth; every other figure gets the percentiles
of its draws (`measures.bootstrap`), widened for few groups.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats
from scipy.sparse import csr_array

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

LEAST_FOR_SHARE: Final = 4  # groups; of fewer nothing is known of how alike the boxes of one group are
LEAST_FOR_DRAWS: Final = 20  # groups: draws of fewer miss the truth too often
_TAIL: Final = 0.025


def ratio(above: Floats | Ints, below: Floats | Ints) -> Floats:
    """above / below, and NaN where that has no meaning."""
    quotient = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=quotient, where=below > 0)


def of_share(name: str, above: csr_array, below: csr_array) -> dict[str, pl.Series]:
    """The share sum(above) / sum(below) of each key with its interval, from the counts of each [key, group].

    Jeffreys' interval for `n` independent boxes, where n is how many the boxes are worth: their number divided by
    the design effect (Korn and Graubard 1998), the variance between groups against that of independent boxes; at 0
    and 1, where groups show no variance, the number of groups. NaN of fewer than LEAST_FOR_SHARE groups.
    """
    share, worth = _worth(above, below)
    return _columns(name, share, *jeffreys(share * worth, worth))


def least_share(above: csr_array, below: csr_array, *, error: float) -> Floats:
    """What the share sum(above) / sum(below) of each key is at least; with probability `error` it is less.

    Clopper and Pearson's lower bound for as many independent boxes as the boxes are worth (Korn and Graubard 1998), as
    `of_share` counts them, and never more than there are groups: where a box or two are wrong nobody knows how alike
    those of a group are. NaN of fewer than LEAST_FOR_SHARE groups.
    """
    share, worth = _worth(above, below)
    worth = np.minimum(worth, groups_with(below))
    low = stats.beta.ppf(error, share * worth, (1 - share) * worth + 1)
    return np.where(share * worth > 0, low, np.where(np.isnan(worth), np.nan, 0.0))


def _worth(above: csr_array, below: csr_array) -> tuple[Floats, Floats]:
    """The share of each key, and how many independent boxes its boxes are worth; NaN of too few groups."""
    boxes, groups = below.sum(axis=1), groups_with(below)
    share = ratio(above.sum(axis=1), boxes)
    squares = [(one * other).sum(axis=1) for one, other in ((above, above), (above, below), (below, below))]
    spread = squares[0] - 2 * share * squares[1] + share**2 * squares[2]
    variance = ratio(groups * spread, (groups - 1) * boxes**2)
    between = share * (1 - share)
    worth = np.minimum(np.where((between > 0) & (variance > 0), ratio(between, variance), groups), boxes)
    worth[groups < LEAST_FOR_SHARE] = np.nan
    return share, worth


def jeffreys(successes: Floats | Ints, trials: Floats | Ints) -> tuple[Floats, Floats]:
    """The 95 % interval of a share by Jeffreys' prior; 0 and 1 belong to it where all or nothing was counted."""
    low = stats.beta.ppf(_TAIL, successes + 0.5, trials - successes + 0.5)
    high = stats.beta.ppf(1 - _TAIL, successes + 0.5, trials - successes + 0.5)
    return np.where(successes <= 0, 0.0, low), np.where(successes >= trials, 1.0, high)


def of_draws(name: str, drawn: Floats, groups: Ints) -> dict[str, pl.Series]:
    """The figure (draw 0) with its interval from the draws in which it has a meaning: [key, draw].

    groups: [key], how many there are to draw from. The percentiles lie further out where they are few (Hesterberg
    2015, "expanded percentile"). Where every draw gives the same, 0 or 1, the interval is that of a share of all or
    none of the groups. NaN of fewer than LEAST_FOR_DRAWS groups, and where the draws tell nothing.
    """
    figure, ends = drawn[:, 0], _ends(drawn, groups)
    whole = jeffreys(np.where(figure == 1, groups, 0), groups)
    same = ends[0] == ends[1]
    low, high = (
        np.where(~same, end, np.where((figure == 0) | (figure == 1), bound, np.nan))
        for end, bound in zip(ends, whole, strict=True)
    )
    few = groups < LEAST_FOR_DRAWS
    return _columns(name, figure, np.where(few, np.nan, low), np.where(few, np.nan, high))


def of_difference(name: str, first: Floats, second: Floats, groups: Ints) -> dict[str, pl.Series]:
    """second - first with its interval, from draws of the same groups for both: [key, draw].

    NaN of fewer than LEAST_FOR_DRAWS groups, and where every draw gives the same: nothing tells the two apart there.
    """
    drawn = second - first
    low, high = _ends(drawn, groups)
    untold = (groups < LEAST_FOR_DRAWS) | (low == high)
    return _columns(name, drawn[:, 0], *(np.where(untold, np.nan, end) for end in (low, high)))


def spread(drawn: Floats) -> Floats:
    """The standard error of each figure, [key] of [key, draw]: that of the draws in which it has a meaning."""
    told = ~np.isnan(drawn[:, 1:])
    count = told.sum(axis=1)
    mean = ratio(np.where(told, drawn[:, 1:], 0).sum(axis=1), count)
    squares = np.where(told, drawn[:, 1:] - mean[:, np.newaxis], 0) ** 2
    return np.sqrt(ratio(squares.sum(axis=1), count - 1))


def _ends(drawn: Floats, groups: Ints) -> tuple[Floats, Floats]:
    """The expanded percentiles of the draws that have a meaning: [key] each."""
    sorted_draws = np.sort(drawn[:, 1:], axis=1)  # NaN last
    last = np.maximum((~np.isnan(sorted_draws)).sum(axis=1) - 1, 0)
    enough = np.maximum(groups, LEAST_FOR_DRAWS)
    tail = stats.norm.cdf(stats.t.ppf(_TAIL, enough - 1) * np.sqrt(enough / (enough - 1)))
    return _percentile(sorted_draws, tail * last), _percentile(sorted_draws, (1 - tail) * last)


def per_group(key: Ints, group: Ints, value: npt.NDArray[np.generic], keys: int, groups: int) -> csr_array:
    """The sum of the values of each key in each group: [key, group]."""
    return csr_array((value.astype(np.float64), (key, group)), shape=(keys, groups))


def groups_with(counts: csr_array) -> Ints:
    """In how many groups each key counts something: [key]."""
    return np.asarray((counts != 0).sum(axis=1))


def _percentile(sorted_draws: Floats, place: Floats) -> Floats:
    key, below = np.arange(len(sorted_draws)), np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.ceil(place).astype(np.int64))
    return sorted_draws[key, below] + (sorted_draws[key, above] - sorted_draws[key, below]) * (place - below)


def _columns(name: str, figure: Floats, low: Floats, high: Floats) -> dict[str, pl.Series]:
    columns = {name: figure, f"{name}_low": low, f"{name}_high": high}
    return {column: pl.Series(column, values, dtype=pl.Float64) for column, values in columns.items()}
