"""The pairs of thumbnails that show one radiograph, among all of a dataset, shard by shard.

Up to `EXACT` thumbnails each is compared with each other. Beyond, an index of FAISS proposes the pairs: an inverted
file over the lowest frequencies of each whole thumbnail, in which what common movements change counts less; every view
of every thumbnail asks it. What is proposed is confirmed by `comparison` in both cases.
"""

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from radloop import alignment, comparison
from radloop.alignment import Floats
from radloop.comparison import CORRELATION, ROWS, Pairs, Seen
from radloop.engines import HERE, Engine

EXACT: Final = 200_000  # thumbnails, up to which no index chooses what is compared
_SHARDS: Final = 4  # for each place of an engine, so that a quick one does more of them
_SAMPLE: Final = 4_096  # thumbnails whose movements are looked at
_NOISE: Final = 0.05  # in each direction, beside what is moved: of the variance, in a basis of unit vectors
_STEPS: Final = 127  # of one, in which bases are kept in a byte for each number
_COARSE: Final = 0.02  # by which the variance that they explain may err: five standard deviations of that
_AT_ONCE: Final = 16_384  # pairs looked at
_OF_EITHER_SIGN: Final = float(np.sqrt(1 - CORRELATION**2))  # nearer to nothing a sign may differ within a pair

Thumbnails = npt.NDArray[np.uint8]  # n×32×32
Search = Callable[[int], Pairs]


@dataclass(frozen=True)
class Setup:
    """How an index is made and asked: what splits.json says of it."""

    lists: int  # that the thumbnails are spread over, by k-means
    probes: int = 16  # of the lists, the nearest, in which a view is sought
    radius: float = 0.8  # around it
    seed: int = 1


def setup(count: int) -> Setup | None:
    """How pairs are proposed among so many thumbnails; None where each is compared with each other."""
    return None if count <= EXACT else Setup(lists=min(count // 64, 16_384))


def recorded(count: int) -> dict[str, Any]:
    """What the proof of a dataset with so many distinct pictures says of an index; nothing where there is none."""
    made = setup(count)
    return {} if made is None else {"near_duplicates": {"index": "faiss.IndexIVFFlat", **asdict(made)}}


def pairs(small: Thumbnails, *, engine: Engine = HERE) -> Pairs:
    """The pairs among thumbnails that are confirmed, m×2 numbers: in either order, perhaps in both.

    By threads of this machine, or in shards by the nodes of a cluster.
    """
    if len(small) < 2:
        return np.empty((0, 2), np.intp)
    made = setup(len(small))
    if engine.many_machines:
        compared: _Compared = _each(small) if made is None else _index(small, made)
        size = -(-compared.parts // (_SHARDS * max(engine.places, 1)))
        shards = [range(compared.parts)[block] for block in comparison.slices(compared.parts, size)]
        return comparison.joined(engine.map(partial(_shard, compared, secrets.token_hex()), shards))
    if made is None:
        seen = comparison.look(small)
        return comparison.compared(seen, seen, themselves=True)
    index = _index(small, made)
    return comparison.joined(comparison.in_threads(index.opened(), range(index.parts)))


class _Compared(Protocol):
    @property
    def parts(self) -> int:
        """How many parts the work has."""

    def opened(self) -> Search:
        """What finds the pairs of a part, by its number; takes time, once in a process."""


_opened: dict[str, Search] = {}  # the last one of this process


def _shard(compared: _Compared, name: str, parts: range) -> Pairs:
    if name not in _opened:
        _opened.clear()
        _opened[name] = compared.opened()
    with threadpool_limits(1, "blas"):
        return comparison.joined(map(_opened[name], parts))


@dataclass(frozen=True)
class _Each:
    """All thumbnails, each to be compared with each other."""

    small: Thumbnails
    blocks: list[Pairs]  # the same for all nodes, whatever their last digits

    @property
    def parts(self) -> int:
        return len(self.blocks)

    def opened(self) -> Search:
        seen = comparison.look(self.small)
        places = comparison.Places.of(seen.low, comparison.Axes.of(seen.low[: len(self.small)]))
        return lambda part: comparison.explained_by(seen, places, seen, self.blocks[part], themselves=True)


def _each(small: Thumbnails) -> _Each:
    seen = comparison.look(small)
    return _Each(small, comparison.together(seen, comparison.Axes.of(seen.low[: len(small)])))


@dataclass(frozen=True)
class _Index:
    """All thumbnails, and an index that proposes pairs of them."""

    setup: Setup
    small: Thumbnails
    low: Floats  # of the whole thumbnails: n×36, as unit vectors, all on one side of `middle`
    bases: npt.NDArray[np.int8]  # n×36×10: what each explains of the lowest frequencies, in `_STEPS`
    middle: Floats  # 36: their mean
    turned: Floats  # 36×36, from the lowest frequencies to what the index holds
    index: Any  # of FAISS

    @property
    def parts(self) -> int:
        return -(-len(self.small) // ROWS)

    def opened(self) -> Search:
        self.index.nprobe = self.setup.probes
        return self._pairs

    def _pairs(self, part: int) -> Pairs:
        """Which thumbnails explain those of a part, in any view."""
        numbers = range(len(self.small))[part * ROWS : (part + 1) * ROWS]
        seen = comparison.look(self.small[numbers.start : numbers.stop])
        pairs = []
        for mirrored in (False, True):
            low = alignment.low_mirrored(seen.low) if mirrored else seen.low
            picture, asked = self._proposed(low)
            other = picture != numbers.start + asked % len(numbers)
            pairs.append(self._confirmed(seen, picture[other], asked[other], low, mirrored=mirrored))
        found = comparison.joined(pairs)
        found[:, 1] += numbers.start
        return found

    def _proposed(self, low: Floats) -> tuple[Pairs, Pairs]:
        """Numbers of thumbnails, and for each the row of `low` that it may explain."""
        import faiss

        faiss.omp_set_num_threads(1)  # of this thread: threads are ours
        side = low @ self.middle
        either = np.flatnonzero(np.abs(side) <= _OF_EITHER_SIGN)
        rows = np.concatenate([np.arange(len(low)), either])
        sides = comparison.sides(side)
        sides = np.concatenate([sides, -sides[either]])
        ends, _, found = self.index.range_search((low[rows] * sides[:, None]) @ self.turned, self.setup.radius**2)
        return found, np.repeat(rows, np.diff(ends.astype(np.intp)))

    def _confirmed(self, seen: Seen, picture: Pairs, asked: Pairs, low: Floats, *, mirrored: bool) -> Pairs:
        blocks = comparison.slices(len(picture), _AT_ONCE)
        looked = (self._possible(seen, picture[block], asked[block], low) for block in blocks)
        possible = np.concatenate([np.empty(0, bool), *looked])
        picture, asked = picture[possible], asked[possible]
        order = np.lexsort((asked, picture))
        explaining, starts = np.unique(picture[order], return_index=True)
        candidates = np.split(asked[order], starts[1:])
        pairs = []
        for block in comparison.slices(len(explaining), ROWS):
            some, of_each = explaining[block], candidates[block]
            bases = alignment.bases(self.small[some])
            for number, basis, low_basis, rows in zip(some, bases, alignment.low_bases(bases), of_each, strict=True):
                pairs += [
                    (number, other) for other in comparison.confirmed(seen, basis, low_basis, rows, mirrored=mirrored)
                ]
        return np.array(pairs, np.intp).reshape(-1, 2)

    def _possible(self, seen: Seen, picture: Pairs, asked: Pairs, low: Floats) -> npt.NDArray[np.bool_]:
        """Whether pairs correlate, and what is left unexplained of their lowest frequencies may be little enough."""
        possible: npt.NDArray[np.bool_]
        possible = np.abs(np.einsum("ni,ni->n", low[asked], self.low[picture])) >= CORRELATION
        picture, asked = picture[possible], asked[possible]
        explained = np.einsum("ni,nij->nj", low[asked], self.bases[picture].astype(np.float32))
        least = seen.lengths[asked] * (1 - alignment.squares(explained) / _STEPS**2)
        allowed = np.where(asked < len(seen.small), 1 - comparison.NEAR, 1 - comparison.LIKENESS) + _COARSE
        possible[possible] = least <= allowed
        return possible


def _index(small: Thumbnails, setup: Setup) -> _Index:
    """The index over all thumbnails, in one thread, so that it is the same however many there are."""
    import faiss

    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(setup.seed)
    sample = np.sort(rng.permutation(len(small))[:_SAMPLE])
    with threadpool_limits(1, "blas"):
        low = np.empty((len(small), 36), np.float32)
        for rows in comparison.slices(len(small), ROWS):
            low[rows], _ = comparison.lowest(alignment.vectors(small[rows]))
        middle = low[sample].mean(axis=0)
        middle /= max(float(np.linalg.norm(middle)), 1e-3)
        low *= comparison.sides(low @ middle)[:, None]
        turned = _turned(small[sample])
        held = low @ turned
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(held.shape[1]), held.shape[1], setup.lists)
        index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = setup.seed, 6, 1
        index.cp.max_points_per_centroid = 32
        index.train(held)
        index.add(held)
        del held
        bases = np.empty((len(small), 36, 10), np.int8)
        for rows in comparison.slices(len(small), ROWS):
            bases[rows] = np.rint(_STEPS * alignment.low_bases(alignment.bases(small[rows])))
    return _Index(setup, small, low, bases, middle, turned, index)


def _turned(sample: Thumbnails) -> Floats:
    """36×36: divides by what movements and gray scales, mirrored or not, change in each direction."""
    moved = np.concatenate([alignment.bases(some)[:, :, 2:] for some in (sample, sample[:, :, ::-1])])
    changes = alignment.low_frequencies(np.ascontiguousarray(moved.transpose(0, 2, 1)))
    flat = changes.reshape(-1, changes.shape[2]).astype(np.float64)
    lengths, directions = np.linalg.eigh(flat.T @ flat / len(moved) + _NOISE * np.eye(flat.shape[1]))
    turned: Floats = (directions / np.sqrt(lengths)).astype(np.float32)
    return turned
