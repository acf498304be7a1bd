"""Which pictures show the same radiograph: coarse correlation proposes, correlation after alignment confirms.

A thumbnail is 32×32 gray values. Two are alike where one is all but explained by the other, moved a little and in
another gray scale, in one of several views, or but for a covered patch (`alignment`). docs/near-duplicates.md says how
the thresholds were chosen and what they cost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from threadpoolctl import threadpool_limits

from radloop import alignment
from radloop.alignment import VIEWS, WHOLE, Floats, View
from radloop.tables import GROUPS

SIDE_PX: Final = alignment.SIDE_PX
CORRELATION: Final = 0.965  # of the lowest frequencies, before any alignment, in a pair that is looked at
LIKENESS: Final = 0.993  # the share of variance explained from which on two thumbnails show one radiograph
NEAR: Final = 0.94  # and from which on a fit is tried that leaves a covered patch or margin out
HASH_ONLY_RADIUS: Final = 2  # bits, where there is no picture to confirm by

Thumbnails = Callable[[list[str]], npt.NDArray[np.uint8]]  # image ids -> n×32×32 gray values
Pairs = npt.NDArray[np.intp]  # m×2 numbers of thumbnails

_LOW: Final = 8  # the hash looks at the 8×8 lowest frequencies
_DCT: Final = np.rint(2**20 * np.cos(np.pi / SIDE_PX * np.outer(np.arange(_LOW), np.arange(SIDE_PX) + 0.5))).astype(
    np.int64
)
_ROUNDING: Final = 1e-4  # what single precision may err by
_BLOCK: Final = 1024  # thumbnails worked on at a time
_ROWS: Final = 256  # of a tile of pairs,
_COLUMNS: Final = 512  # that with its 1 MB stays in a processor's cache


def thumbnail(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture in 32×32 px: averaged to about three times that, then Lanczos, at a tenth of the cost of Lanczos."""
    return np.asarray(Image.fromarray(gray).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0))


def unpacked(thumbnails: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Thumbnails as tables hold them, n×32×32."""
    return np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, SIDE_PX, SIDE_PX)


def phash(thumbnail: npt.NDArray[np.uint8]) -> str:
    """The 64-bit hash of a thumbnail as 16 hex digits: which of its low frequencies exceed their median.

    `imagehash.phash` in whole numbers, so that it is the same on every machine. As the thumbnail is reduced in two
    steps, it differs from imagehash's by 0 bits for most pictures, by 2 to 4 for some.
    """
    low = (_DCT @ thumbnail.astype(np.int64) @ _DCT.T).ravel()
    middle = np.sort(low)[low.size // 2 - 1 : low.size // 2 + 1]
    return np.packbits(2 * low > middle.sum()).tobytes().hex()


def near_duplicates(pictures: pl.DataFrame, thumbnails: Thumbnails) -> pl.DataFrame:
    """Pictures (PICTURES) that show a radiograph that another one shows too: GROUPS, only images that have a partner.

    `group` is the smallest image_id of its group. Equal decoded pixels are one group always. Otherwise each member is
    confirmed against the group's representative, the picture with most partners, so that no chain of small steps
    joins two that are not alike. Pictures with a problem belong to no group. The result does not depend on row order.
    """
    distinct = (
        pictures.filter(pl.col("problem").is_null())
        .sort("image_id")
        .group_by("pixels_md5", maintain_order=True)
        .agg(pl.col("image_id"))
    )
    members = distinct["image_id"].to_list()
    stars = _stars(_partners(thumbnails([ids[0] for ids in members])), len(distinct))
    rows = [
        (image_id, group)
        for star in stars
        if len(ids := [image_id for number in star for image_id in members[number]]) > 1
        for group in [min(ids)]
        for image_id in ids
    ]
    return pl.DataFrame(rows, schema=GROUPS, orient="row").sort("image_id")


def find(known: npt.NDArray[np.uint8], thumbnails: npt.NDArray[np.uint8]) -> Pairs:
    """Which thumbnails (n×32×32) show the same radiograph as which known ones (k×32×32), in whatever view.

    m×2 numbers, of the known one first, in order. A pair does not depend on what else is compared, so large sets may
    be given in batches.
    """
    album = Known()
    album.add(known)
    return album.find(thumbnails)


def likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """How much of one thumbnail's variance the other explains, 0..1: in the better direction and the best view."""
    shares = []
    for one, other in ((first, second), (second, first)):
        basis = alignment.bases(one[None])[0]
        for view in VIEWS:
            values = alignment.vectors(other[None], view)
            shares += [_shares(basis, values, view), _shares(basis, alignment.mirrored(values), view)]
    return float(np.concatenate(shares).max())


def matches(phash: str, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of `known` (image_id, phash, …) whose hash is so near to `phash` that it is the same radiograph.

    For where there is no picture to confirm by: image_id and distance in bits, nearest first.
    """
    hashes = known.filter(pl.col("phash").is_not_null())
    distance = np.bitwise_count(_hashes(hashes["phash"].to_list()) ^ _hashes([phash]))
    return (
        hashes.select("image_id", distance=pl.Series(distance, dtype=pl.Int8))
        .filter(pl.col("distance") <= HASH_ONLY_RADIUS)
        .sort("distance", "image_id")
    )


class Known:
    """Thumbnails that later ones are compared with, as by `find`; what takes time to work out of each is kept."""

    def __init__(self) -> None:
        """None yet."""
        self._seen: _Seen | None = None

    def add(self, thumbnails: npt.NDArray[np.uint8]) -> None:
        """Take thumbnails (n×32×32) in; they are numbered on."""
        if len(thumbnails):
            new = _seen(thumbnails)
            self._seen = new if self._seen is None else self._seen.with_others(new)

    def find(self, thumbnails: npt.NDArray[np.uint8]) -> Pairs:
        """As `find`."""
        pairs = [np.empty((0, 2), np.intp)]
        if self._seen is not None and len(thumbnails):
            new = _seen(thumbnails)
            pairs.append(_compared(self._seen, new))
            pairs.append(_compared(new, self._seen)[:, ::-1])
        return np.unique(np.concatenate(pairs), axis=0)


@dataclass(frozen=True)
class _Seen:
    """Thumbnails in every view: rows are the first view of each, then the second of each, and so on."""

    small: npt.NDArray[np.uint8]  # n×32×32
    low: Floats  # (views·n)×36, as unit vectors
    lengths: Floats  # the squares of what their lengths were
    vectors: Floats  # of the first view, the whole: n×196

    def with_others(self, others: "_Seen") -> "_Seen":
        """Both, those here first."""
        width = self.low.shape[1]
        low = np.concatenate([one.low.reshape(len(VIEWS), len(one.small), width) for one in (self, others)], axis=1)
        lengths = np.concatenate([one.lengths.reshape(len(VIEWS), len(one.small)) for one in (self, others)], axis=1)
        return _Seen(
            np.concatenate([self.small, others.small]),
            low.reshape(-1, width),
            lengths.ravel(),
            np.concatenate([self.vectors, others.vectors]),
        )


def _seen(small: npt.NDArray[np.uint8]) -> _Seen:
    low, lengths, whole = [], [], []
    for view in VIEWS:
        for start in range(0, len(small), _BLOCK):
            values = alignment.vectors(small[start : start + _BLOCK], view)
            units, squares = _low(values)
            low.append(units)
            lengths.append(squares)
            if view == WHOLE:
                whole.append(values)
    return _Seen(small, np.concatenate(low), np.concatenate(lengths), np.concatenate(whole))


def _low(values: Floats) -> tuple[Floats, Floats]:
    """The lowest frequencies of vectors as unit vectors, and the squares of their lengths."""
    low = alignment.low_frequencies(values)
    squares = alignment.squares(low)
    low /= np.maximum(np.sqrt(squares), 1e-3)[:, None]
    return low, squares


def _partners(small: npt.NDArray[np.uint8]) -> dict[int, set[int]]:
    """For each picture by its number those that it is alike with."""
    partners: dict[int, set[int]] = defaultdict(set)
    if len(small) > 1:
        seen = _seen(small)
        for picture, partner in _compared(seen, seen, themselves=True).tolist():
            partners[picture].add(partner)
            partners[partner].add(picture)
    return partners


def _compared(these: _Seen, others: _Seen, *, themselves: bool = False) -> Pairs:
    """Which thumbnails explain which of the others, in any view of those. `themselves`: they are the others."""
    # Our threads, not those of BLAS: shared among threads, such small products take more time than alone.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        starts = range(0, len(these.small), _ROWS)
        blocks = [range(start, min(start + _ROWS, len(these.small))) for start in starts]
        pairs = pool.map(lambda block: _explained_by(others, these, block, themselves=themselves), blocks)
        return np.concatenate([np.empty((0, 2), np.intp), *pairs])


def _explained_by(others: _Seen, these: _Seen, block: range, *, themselves: bool) -> Pairs:
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
                confirmed = _confirmed(others, basis, low_basis, candidates, mirrored=mirrored)
                pairs += [(number, other) for other in confirmed]
    return np.array(pairs, np.intp).reshape(-1, 2)


def _confirmed(seen: _Seen, basis: Floats, low_basis: Floats, candidates: Pairs, *, mirrored: bool) -> list[int]:
    """Of the rows of what is seen the thumbnails that a basis explains."""
    low = seen.low.take(candidates, axis=0)
    if mirrored:
        low[:, alignment.ODD] *= -1
    least = seen.lengths[candidates] * (1 - alignment.explained(low_basis, low))  # is left unexplained
    numbers, others = np.divmod(candidates, len(seen.small))
    possible = least <= np.where(numbers == 0, 1 - NEAR, 1 - LIKENESS) + _ROUNDING  # what is whole may be covered
    numbers, others = numbers[possible], others[possible]
    confirmed = []
    for number in np.flatnonzero(np.bincount(numbers)).tolist():
        view, some = VIEWS[number], others[numbers == number]
        values = seen.vectors.take(some, axis=0) if view == WHOLE else alignment.vectors(seen.small[some], view)
        shares = _shares(basis, alignment.mirrored(values) if mirrored else values, view)
        confirmed += some[shares >= LIKENESS].tolist()
    return confirmed


def _shares(basis: Floats, values: Floats, view: View) -> Floats:
    """How much of each picture a basis explains; of a whole one that is near, without what covers a patch or margin."""
    shares = alignment.explained(basis, values)
    near = np.flatnonzero((shares >= NEAR) & (shares < LIKENESS))
    if view == WHOLE and len(near):
        shares[near] = np.maximum(shares[near], alignment.explained_uncovered(basis, values[near]))
    return shares


def _proposed(seen: _Seen, low: Floats) -> tuple[list[Pairs], list[Pairs]]:
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


def _stars(partners: dict[int, set[int]], count: int) -> Iterator[list[int]]:
    """Each picture once: with its partners that are still free, those with most partners first."""
    free = set(range(count))
    for centre in sorted(range(count), key=lambda number: (-len(partners.get(number, ())), number)):
        if centre in free:
            star = [centre, *sorted(partners.get(centre, set()) & free)]
            free.difference_update(star)
            yield star


def _hashes(digits: list[str]) -> npt.NDArray[np.uint64]:
    return np.array([int(text, 16) for text in digits], dtype=np.uint64)
