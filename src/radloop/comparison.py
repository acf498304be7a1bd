"""Which thumbnails explain which: in every view beside each other, by tiles of low frequencies, then by alignment.

A pair does not depend on what else is compared, nor on tiles, threads or the order of rows.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from radloop import alignment
from radloop.alignment import VIEWS, WHOLE, Floats, View

CORRELATION: Final = 0.965  # of the lowest frequencies, before any alignment, in a pair that is looked at
LIKENESS: Final = 0.993  # the share of variance explained from which on two thumbnails show one radiograph
NEAR: Final = 0.94  # and from which on a fit is tried that leaves a covered patch or margin out
ROWS: Final = 256  # of a tile of pairs,
_COLUMNS: Final = 512  # that with its 1 MB stays in a processor's cache
_ROUNDING: Final = 1e-4  # what single precision may err by
_BLOCK: Final = 1024  # thumbnails worked on at a time

Pairs = npt.NDArray[np.intp]  # m×2 numbers of thumbnails


@dataclass(frozen=True)
class Seen:
    """Thumbnails in every view: rows are the first view of each, then the second of each, and so on."""

    small: npt.NDArray[np.uint8]  # n×32×32
    low: Floats  # (views·n)×36, as unit vectors
    lengths: Floats  # the squares of what their lengths were
    vectors: Floats  # of the first view, the whole: n×196

    def with_others(self, others: "Seen") -> "Seen":
        """Both, those here first."""
        width = self.low.shape[1]
        low = np.concatenate([one.low.reshape(len(VIEWS), len(one.small), width) for one in (self, others)], axis=1)
        lengths = np.concatenate([one.lengths.reshape(len(VIEWS), len(one.small)) for one in (self, others)], axis=1)
        return Seen(
            np.concatenate([self.small, others.small]),
            low.reshape(-1, width),
            lengths.ravel(),
            np.concatenate([self.vectors, others.vectors]),
        )


def look(small: npt.NDArray[np.uint8]) -> Seen:
    """Thumbnails (n×32×32) in every view."""
    low, lengths, whole = [], [], []
    for view in VIEWS:
        for start in range(0, len(small), _BLOCK):
            values = alignment.vectors(small[start : start + _BLOCK], view)
            units, squares = lowest(values)
            low.append(units)
            lengths.append(squares)
            if view == WHOLE:
                whole.append(values)
    return Seen(small, np.concatenate(low), np.concatenate(lengths), np.concatenate(whole))


def lowest(values: Floats) -> tuple[Floats, Floats]:
    """The lowest frequencies of vectors as unit vectors, and the squares of their lengths."""
    low = alignment.low_frequencies(values)
    squares = alignment.squares(low)
    low /= np.maximum(np.sqrt(squares), 1e-3)[:, None]
    return low, squares


def compared(these: Seen, others: Seen, *, themselves: bool = False) -> Pairs:
    """Which thumbnails explain which of the others, in any view of those. `themselves`: they are the others."""
    blocks = ranges(len(these.small), ROWS)
    return joined(in_threads(lambda block: explained_by(others, these, block, themselves=themselves), blocks))


def in_threads(function: Callable[[range], Pairs], ranges: Sequence[range]) -> list[Pairs]:
    """The result of each range, by as many threads as Polars has.

    Our threads, not those of BLAS: shared among threads, such small products take more time than alone.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(function, ranges))


def ranges(count: int, size: int) -> list[range]:
    """`count` numbers in ranges of `size`, the last one perhaps smaller."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def joined(pairs: Iterable[Pairs]) -> Pairs:
    """All pairs, m×2."""
    return np.concatenate([np.empty((0, 2), np.intp), *pairs])


def explained_by(others: Seen, these: Seen, block: range, *, themselves: bool) -> Pairs:
    """Each thumbnail of a block with those that it explains, but not with itself."""
    rows = slice(block.start, block.stop)
    proposed = _proposed(others, these.low[rows])
    promising = [row for row in range(len(block)) if any(len(candidates[row]) for candidates in proposed)]
    if not promising:
        return np.empty((0, 2), np.intp)
    bases = alignment.bases(these.small[rows][promising])
    low_bases = alignment.low_bases(bases)
    pairs = []
    for mirrored, candidates_of in zip((False, True), proposed, strict=True):
        for row, basis, low_basis in zip(promising, bases, low_bases, strict=True):
            number, candidates = block.start + row, candidates_of[row]
            if themselves:
                candidates = candidates[candidates % len(others.small) != number]
            if len(candidates):
                explained = confirmed(others, basis, low_basis, candidates, mirrored=mirrored)
                pairs += [(number, other) for other in explained]
    return np.array(pairs, np.intp).reshape(-1, 2)


def confirmed(seen: Seen, basis: Floats, low_basis: Floats, candidates: Pairs, *, mirrored: bool) -> list[int]:
    """Of the rows of what is seen the thumbnails that a basis explains."""
    low = seen.low.take(candidates, axis=0)
    if mirrored:
        low[:, alignment.ODD] *= -1
    least = seen.lengths[candidates] * (1 - alignment.explained(low_basis, low))  # is left unexplained
    numbers, others = np.divmod(candidates, len(seen.small))
    possible = least <= np.where(numbers == 0, 1 - NEAR, 1 - LIKENESS) + _ROUNDING  # what is whole may be covered
    numbers, others = numbers[possible], others[possible]
    explained = []
    for number in np.flatnonzero(np.bincount(numbers)).tolist():
        view, some = VIEWS[number], others[numbers == number]
        values = seen.vectors.take(some, axis=0) if view == WHOLE else alignment.vectors(seen.small[some], view)
        share = shares(basis, alignment.mirrored(values) if mirrored else values, view)
        explained += some[share >= LIKENESS].tolist()
    return explained


def shares(basis: Floats, values: Floats, view: View) -> Floats:
    """How much of each picture a basis explains; of a whole one that is near, without what covers a patch or margin."""
    share = alignment.explained(basis, values)
    near = np.flatnonzero((share >= NEAR) & (share < LIKENESS))
    if view == WHOLE and len(near):
        share[near] = np.maximum(share[near], alignment.explained_uncovered(basis, values[near]))
    return share


def _proposed(seen: Seen, low: Floats) -> tuple[list[Pairs], list[Pairs]]:
    """For each of these few, by low frequencies, the rows of what is seen that are worth a look; and so if mirrored.

    In tiles that stay in the processor's cache. The frequencies that a mirror changes the sign of are multiplied apart,
    so that one product serves for both. Of an inverted picture all correlate by as much below zero.
    """
    found: tuple[list[tuple[Pairs, Pairs]], ...] = ([], [])
    for left in range(0, len(seen.low), _COLUMNS):
        tile = seen.low[left : left + _COLUMNS]
        even = low[:, alignment.EVEN] @ tile[:, alignment.EVEN].T
        odd = low[:, alignment.ODD] @ tile[:, alignment.ODD].T
        near = np.flatnonzero(np.abs(even) + np.abs(odd) >= CORRELATION)
        row, column = np.divmod(near, len(tile))
        even, odd = even.ravel()[near], odd.ravel()[near]
        for kept, correlation in zip(found, (even + odd, even - odd), strict=True):
            chosen = np.abs(correlation) >= CORRELATION
            kept.append((row[chosen], column[chosen] + left))
    return _by_row(found[0], len(low)), _by_row(found[1], len(low))


def _by_row(found: list[tuple[Pairs, Pairs]], count: int) -> list[Pairs]:
    of_row, others = (np.concatenate(each) for each in zip(*found, strict=True))
    ends = np.cumsum(np.bincount(of_row, minlength=count))
    return np.split(others[np.argsort(of_row, kind="stable")], ends[:-1])
