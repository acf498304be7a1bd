"""Which pictures show the same film: a perceptual hash proposes, correlation after alignment confirms.

A thumbnail is 32×32 gray values. Two are alike where one is all but explained by the other under a small shift,
rotation, zoom, shear and a smooth change of the gray scale: a linear regression on the other's gray values and on what
they change by under each movement (the tangent distance of Simard, LeCun and Denker 1993), solved at once, without a
search. docs/near-duplicates.md says how the thresholds were chosen and what they cost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image
from threadpoolctl import threadpool_limits

from radloop.tables import GROUPS

SIDE_PX: Final = 32
RADIUS: Final = 18  # bits by which the hashes of a proposed pair may differ
CORRELATION: Final = 0.87  # of the hashes' own coefficients, before any alignment, in a proposed pair
LIKENESS: Final = 0.993  # the share of variance explained from which on two thumbnails show one film
HASH_ONLY_RADIUS: Final = 2  # bits, where there is no picture to confirm by

Thumbnails = Callable[[list[str]], npt.NDArray[np.uint8]]  # image ids -> n×32×32 gray values

_Floats = npt.NDArray[np.float32]
_LOW: Final = 8  # the hash looks at the 8×8 lowest frequencies
_DCT: Final = np.rint(2**20 * np.cos(np.pi / SIDE_PX * np.outer(np.arange(_LOW), np.arange(SIDE_PX) + 0.5))).astype(
    np.int64
)
_POINTS: Final = slice(2, -2, 2)  # not the edge, which cropping and rotating change; of a blurred one each second
_AXES: Final = 24  # leave 1 in 200 of the proposed pairs
_UNEXPLAINED: Final = 1 - LIKENESS + 1e-4  # and what single precision may err by
_BLOCK: Final = 1024  # thumbnails worked on at a time
_ROWS: Final = 256  # of a tile of pairs,
_COLUMNS: Final = 2048  # that with its 2 MB stays in a processor's cache


def thumbnail(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The picture in 32×32 px: averaged to about three times that, then Lanczos, at a tenth of the cost of Lanczos."""
    return np.asarray(Image.fromarray(gray).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0))


def phash(thumbnail: npt.NDArray[np.uint8]) -> str:
    """The 64-bit hash of a thumbnail as 16 hex digits: which of its low frequencies exceed their median.

    `imagehash.phash` in whole numbers, so that it is the same on every machine. As the thumbnail is reduced in two
    steps, it differs from imagehash's by 0 bits for most pictures, by 2 to 4 for some.
    """
    low = (_DCT @ thumbnail.astype(np.int64) @ _DCT.T).ravel()
    middle = np.sort(low)[low.size // 2 - 1 : low.size // 2 + 1]
    return np.packbits(2 * low > middle.sum()).tobytes().hex()


def near_duplicates(pictures: pl.DataFrame, thumbnails: Thumbnails) -> pl.DataFrame:
    """Pictures (PICTURES) that show a film which another one shows too: GROUPS, only images that have a partner.

    `group` is the smallest image_id of its group. Equal decoded pixels are one group always. Otherwise each member is
    confirmed against the group's representative, the picture with most partners, so that no chain of small steps
    joins two that are not alike. Pictures with a problem belong to no group. The result does not depend on row order.
    """
    films = (
        pictures.filter(pl.col("problem").is_null())
        .sort("image_id")
        .group_by("pixels_md5", maintain_order=True)
        .agg(pl.col("image_id"), pl.col("phash").first())
    )
    members = films["image_id"].to_list()
    stars = _stars(_confirmed(films["phash"].to_list(), thumbnails([ids[0] for ids in members])), len(films))
    rows = [
        (image_id, group)
        for star in stars
        if len(ids := [image_id for film in star for image_id in members[film]]) > 1
        for group in [min(ids)]
        for image_id in ids
    ]
    return pl.DataFrame(rows, schema=GROUPS, orient="row").sort("image_id")


def likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """How much of one thumbnail's variance the other explains once aligned, 0..1; the better of both directions."""
    both = _smooth(np.stack([first, second]))
    vectors, bases = _vectors(both), _bases(both)
    return float(max(_explained(bases[0], vectors[1:])[0], _explained(bases[1], vectors[:1])[0]))


def matches(phash: str, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of `known` (image_id, phash, …) whose hash is so near to `phash` that it is the same film.

    For where there is no picture to confirm by: image_id and distance in bits, nearest first.
    """
    hashes = known.filter(pl.col("phash").is_not_null())
    distance = np.bitwise_count(_hashes(hashes["phash"].to_list()) ^ _hashes([phash]))
    return (
        hashes.select("image_id", distance=pl.Series(distance, dtype=pl.Int8))
        .filter(pl.col("distance") <= HASH_ONLY_RADIUS)
        .sort("distance", "image_id")
    )


@dataclass(frozen=True)
class _Films:
    """What pairs are compared by, a row a film."""

    hashes: npt.NDArray[np.uint64]
    coefficients: _Floats  # n×63
    small: npt.NDArray[np.uint8]  # n×32×32
    vectors: _Floats  # n×196
    axes: _Floats  # 196×24
    reduced: _Floats  # n×24: the vectors along the axes, and
    lengths: _Floats  # the square of what is left of their lengths


def _films(hashes: list[str], small: npt.NDArray[np.uint8]) -> _Films:
    blocks = [small[start : start + _BLOCK] for start in range(0, len(small), _BLOCK)]
    vectors = np.concatenate([_vectors(_smooth(block)) for block in blocks])
    axes = _main_axes(vectors)
    reduced = vectors @ axes
    coefficients = np.concatenate([_coefficients(block) for block in blocks])
    return _Films(_hashes(hashes), coefficients, small, vectors, axes, reduced, _squares(reduced))


def _confirmed(hashes: list[str], small: npt.NDArray[np.uint8]) -> dict[int, set[int]]:
    """For each picture by its number those that it is alike with."""
    partners: dict[int, set[int]] = defaultdict(set)
    if len(hashes) < 2:
        return partners
    # Our threads, not those of BLAS: shared among threads, such small products take more time than alone.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        films = _films(hashes, small)
        blocks = [range(start, min(start + _ROWS, len(small))) for start in range(0, len(small), _ROWS)]
        for pairs in pool.map(partial(_alike, films), blocks):
            for picture, partner in pairs:
                partners[picture].add(partner)
                partners[partner].add(picture)
    return partners


def _alike(films: _Films, rows: range) -> list[tuple[int, int]]:
    """Each of these pictures with those that it explains."""
    bases = _bases(_smooth(films.small[rows.start : rows.stop]))
    pairs = []
    for picture, basis, few, candidates in zip(
        rows, bases, _reduced(bases, films.axes), _proposed(films, rows), strict=True
    ):
        unexplained = films.lengths[candidates] - _explained(few, films.reduced.take(candidates, axis=0))
        candidates = candidates[unexplained <= _UNEXPLAINED]
        alike = candidates[_explained(basis, films.vectors[candidates]) >= LIKENESS]
        pairs += [(picture, partner) for partner in alike.tolist()]
    return pairs


def _main_axes(vectors: _Floats) -> _Floats:
    """The 196×24 directions in which the pictures differ most.

    What a basis leaves unexplained of a vector's part in them is at most what it leaves of the whole vector: so that
    far most pairs are dismissed, rightly, by an eighth of the products.
    """
    axes: _Floats = np.linalg.eigh(vectors.T @ vectors)[1][:, -_AXES:]
    return axes


def _reduced(bases: _Floats, axes: _Floats) -> _Floats:
    """Orthonormal n×24×10: what the bases span within the main axes."""
    spanned: _Floats = np.linalg.qr(axes.T @ bases)[0]
    return spanned


def _proposed(films: _Films, rows: range) -> list[npt.NDArray[np.intp]]:
    """For each of these pictures the others worth a closer look.

    Correlation first, in tiles that stay in the processor's cache; of what it leaves, 1 in 50, the hashes are compared.
    """
    found = []
    for left in range(0, len(films.hashes), _COLUMNS):
        tile = films.coefficients[rows.start : rows.stop] @ films.coefficients[left : left + _COLUMNS].T
        row, column = np.divmod(np.flatnonzero(tile >= CORRELATION).astype(np.uint32), np.uint32(tile.shape[1]))
        picture, other = row + np.uint32(rows.start), column + np.uint32(left)
        near = np.bitwise_count(films.hashes.take(picture) ^ films.hashes.take(other)) <= RADIUS
        near &= picture != other
        found.append((row[near].astype(np.uint16), other[near]))
    of_row, others = (np.concatenate(each) for each in zip(*found, strict=True))
    ends = np.cumsum(np.bincount(of_row, minlength=len(rows)))
    return np.split(others[np.argsort(of_row, kind="stable")].astype(np.intp), ends[:-1])


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


def _coefficients(small: npt.NDArray[np.uint8]) -> _Floats:
    """The n×63 low frequencies that the hash looks at, without the mean brightness, as unit vectors."""
    scaled = (_DCT / np.linalg.norm(_DCT, axis=1, keepdims=True)).astype(np.float32)
    low = (scaled @ small.astype(np.float32) @ scaled.T).reshape(len(small), -1)[:, 1:]
    return _unit(low)


def _smooth(small: npt.NDArray[np.uint8]) -> _Floats:
    """Thumbnails blurred by a Gaussian of one pixel: a shift of one pixel is then near to linear."""
    offsets = np.arange(SIDE_PX)
    weights = np.exp(-((offsets[:, None] - offsets) ** 2) / 2)
    blur = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    smooth: _Floats = blur @ (small.astype(np.float32) / 64 - 2) @ blur.T
    return smooth


def _vectors(smooth: _Floats) -> _Floats:
    """What is to be explained: n×196 gray values, mean 0, as unit vectors."""
    values = smooth[:, _POINTS, _POINTS].reshape(len(smooth), -1)
    return _unit(values - values.mean(axis=1, keepdims=True))


def _unit(vectors: _Floats) -> _Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: _Floats = np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), 0)  # a blank picture is like none
    return units


def _bases(smooth: _Floats) -> _Floats:
    """Orthonormal n×196×10: the gray scale to the third power, and the change by each affine movement."""
    down, right = np.gradient(smooth, axis=(1, 2))
    y, x = (np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32) - (SIDE_PX - 1) / 2) / (SIDE_PX / 2)
    gray = [np.ones_like(smooth), smooth, smooth**2, smooth**3]
    moved = [right, down, x * right, y * right, x * down, y * down]
    columns = np.stack([*gray, *moved], axis=-1)[:, _POINTS, _POINTS].reshape(len(smooth), -1, 10)
    columns /= np.maximum(np.linalg.norm(columns, axis=1, keepdims=True), 1e-9)
    products = (columns.transpose(0, 2, 1) @ columns).astype(np.float64) + 1e-6 * np.eye(10)  # a blank one is singular
    bases: _Floats = columns @ np.linalg.inv(np.linalg.cholesky(products)).transpose(0, 2, 1).astype(np.float32)
    return bases


def _explained(basis: _Floats, vectors: _Floats) -> _Floats:
    return _squares(vectors @ basis)


def _squares(vectors: _Floats) -> _Floats:
    """The squared length of each; several times as fast as a sum of squares."""
    lengths: _Floats = np.einsum("ij,ij->i", vectors, vectors)
    return lengths
