"""Which thumbnails explain which: in every view beside each other, by tiles of low frequencies, then by alignment.

A pair does not depend on what else is compared, nor on tiles, threads or the order of rows.
"""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from radloop import alignment
from radloop.alignment import VIEWS, WHOLE, Floats, View

CORRELATION: Final = 0.965  # of the lowest frequencies, before any alignment, in a pair that is looked at
LIKENESS: Final = 0.993  # the share of variance explained from which on two thumbnails show one radiograph
NEAR: Final = 0.94  # and from which on a fit is tried that leaves a covered patch or margin out
ROWS: Final = 256  # at most, of a tile of pairs,
_COLUMNS: Final = 512  # that with its 1 MB stays in a processor's cache
_ROUNDING: Final = 1e-4  # what single precision may err by
_BLOCK: Final = 256  # thumbnails worked on at a time
_ALONG: Final = (5, 4)  # directions, of what a mirror leaves and of what it negates, by which most are passed over

Part = TypeVar("Part")
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
    with threadpool_limits(1, "blas"):  # threads that share such small products mostly wait, and their waiting costs
        for view in VIEWS:
            for block in slices(len(small), _BLOCK):
                values = alignment.vectors(small[block], view)
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


@dataclass(frozen=True)
class Axes:
    """Directions in which thumbnails differ most, so that most pairs that do not correlate are seen by few numbers."""

    middle: Floats  # 36: between all, and its own mirror picture
    even: Floats  # 18×5, orthonormal
    odd: Floats  # 18×4

    @classmethod
    def of(cls, low: Floats) -> "Axes":
        """Of unit vectors of low frequencies (n×36). Whatever they are, no pair is lost by them."""
        middle = np.concatenate([low[:, alignment.EVEN].mean(axis=0), np.zeros_like(low[0, alignment.ODD])])
        middle /= max(float(np.linalg.norm(middle)), 1e-3)
        upright = low * sides(low @ middle)[:, None]
        parts = (upright[:, part] - upright[:, part].mean(axis=0) for part in (alignment.EVEN, alignment.ODD))
        even, odd = (np.linalg.eigh(part.T @ part)[1][:, -k:] for part, k in zip(parts, _ALONG, strict=True))
        return cls(middle, even, odd)


@dataclass(frozen=True)
class Places:
    """Where thumbnails lie along the axes, an inverted one where it would lie if it were not."""

    axes: Axes
    even: Floats  # 5×m
    odd: Floats  # 4×m
    either: npt.NDArray[np.intp]  # those of them that may correlate with an inverted one across nothing

    @classmethod
    def of(cls, low: Floats, axes: Axes) -> "Places":
        """Of unit vectors of low frequencies (m×36)."""
        side = low @ axes.middle
        signs = sides(side)
        either = np.flatnonzero(np.abs(side) <= math.sqrt(1 - CORRELATION**2) + _ROUNDING)
        even, odd = axes.even.T @ low[:, alignment.EVEN].T, axes.odd.T @ low[:, alignment.ODD].T
        return cls(axes, even * signs, odd * signs, either)

    def near(self, low: Floats, *, mirrored: bool) -> Pairs:
        """Those that may correlate by `CORRELATION` with any of these few, as they are or mirrored; others cannot."""
        few = Places.of(low, self.axes)
        if len(few.either):
            return np.arange(self.even.shape[1])
        away = np.zeros(self.even.shape[1], np.float32)
        for places, box in ((self.even, few.even), (self.odd, -few.odd if mirrored else few.odd)):
            for along, least, most in zip(places, box.min(axis=1), box.max(axis=1), strict=True):
                away += np.square(along - np.clip(along, least, most))
        near = away <= 2 - 2 * CORRELATION + _ROUNDING  # the square of the distance of unit vectors
        near[self.either] = True
        return np.flatnonzero(near)


def sides(values: Floats) -> Floats:
    """-1 below nothing, else 1."""
    return np.where(values < 0, -1, 1).astype(np.float32)


def compared(these: Seen, others: Seen, *, themselves: bool = False) -> Pairs:
    """Which thumbnails explain which of the others, in any view of those. `themselves`: they are the others."""
    if not len(these.small):
        return joined([])
    axes = Axes.of(these.low[: len(these.small)])
    places = Places.of(others.low, axes)
    return joined(
        in_threads(
            lambda block: explained_by(others, places, these, block, themselves=themselves), together(these, axes)
        )
    )


def together(seen: Seen, axes: Axes) -> list[Pairs]:
    """The numbers of all thumbnails in blocks of at most `ROWS` whose low frequencies are near to each other's.

    Any blocks lead to the same pairs; of these, most others can be passed over by the block.
    """
    places = Places.of(seen.low[: len(seen.small)], axes)
    where = np.concatenate([places.even, places.odd]).T
    waiting, blocks = [np.arange(len(where))], []
    while waiting:
        some = waiting.pop()
        if len(some) <= ROWS:
            blocks.append(some)
        else:
            along = where[some]
            order = np.argsort(along[:, along.var(axis=0).argmax()], kind="stable")
            waiting += np.array_split(some[order], 2)
    return blocks


def in_threads(function: Callable[[Part], Pairs], parts: Iterable[Part]) -> list[Pairs]:
    """The result of each part, by as many threads as Polars has.

    Our threads, not those of BLAS: shared among threads, such small products take more time than alone.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(function, parts))


def slices(count: int, size: int) -> list[slice]:
    """`count` rows in blocks of `size`, the last one perhaps smaller."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def joined(pairs: Iterable[Pairs]) -> Pairs:
    """All pairs, m×2."""
    return np.concatenate([np.empty((0, 2), np.intp), *pairs])


def explained_by(others: Seen, places: Places, these: Seen, block: Pairs, *, themselves: bool) -> Pairs:
    """Each thumbnail of a block (numbers) with those of the others, which lie there, that it explains.

    `themselves`: these are the others, and none is compared with itself.
    """
    proposed = [_proposed(others, places, these.low[block], mirrored=mirrored) for mirrored in (False, True)]
    promising = [row for row in range(len(block)) if any(len(candidates[row]) for candidates in proposed)]
    if not promising:
        return np.empty((0, 2), np.intp)
    bases = alignment.bases(these.small[block[promising]])
    low_bases = alignment.low_bases(bases)
    pairs = []
    for mirrored, candidates_of in zip((False, True), proposed, strict=True):
        for row, basis, low_basis in zip(promising, bases, low_bases, strict=True):
            number, candidates = int(block[row]), candidates_of[row]
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


def _proposed(seen: Seen, places: Places, low: Floats, *, mirrored: bool) -> list[Pairs]:
    """For each of these few, by low frequencies, the rows of what is seen that are worth a look, perhaps mirrored.

    In tiles that stay in the processor's cache. Of an inverted picture all correlate by as much below zero.
    """
    near = places.near(low, mirrored=mirrored)
    if mirrored:
        low = alignment.low_mirrored(low)
    found = [(np.empty(0, np.intp), np.empty(0, np.intp))]
    for start in range(0, len(near), _COLUMNS):
        rows = near[start : start + _COLUMNS]
        correlation = low @ seen.low[rows].T
        few, column = np.divmod(np.flatnonzero(np.abs(correlation, out=correlation) >= CORRELATION), len(rows))
        found.append((few, rows[column]))
    return _by_row(found, len(low))


def _by_row(found: list[tuple[Pairs, Pairs]], count: int) -> list[Pairs]:
    of_row, others = (np.concatenate(each) for each in zip(*found, strict=True))
    ends = np.cumsum(np.bincount(of_row, minlength=count))
    return np.split(others[np.argsort(of_row, kind="stable")], ends[:-1])
