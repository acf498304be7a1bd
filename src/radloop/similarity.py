"""Which pictures show the same radiograph: coarse correlation proposes, correlation after alignment confirms.

A thumbnail is 32×32 gray values. Two are alike where one is all but explained by the other, moved a little and in
another gray scale, in one of several views, or but for a covered patch (`alignment`). docs/near-duplicates.md says how
the thresholds were chosen and what they cost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from radloop import alignment, comparison, neighbors
from radloop.alignment import VIEWS
from radloop.comparison import Pairs, Seen
from radloop.engines import HERE, Engine
from radloop.tables import GROUPS

SIDE_PX: Final = alignment.SIDE_PX
HASH_ONLY_RADIUS: Final = 2  # bits, where there is no picture to confirm by

Thumbnails = Callable[[pl.Series], npt.NDArray[np.uint8]]  # image ids -> n×32×32 gray values

_LOW: Final = 8  # the hash looks at the 8×8 lowest frequencies
_DCT: Final = np.rint(2**20 * np.cos(np.pi / SIDE_PX * np.outer(np.arange(_LOW), np.arange(SIDE_PX) + 0.5))).astype(
    np.int64
)


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


def near_duplicates(pictures: pl.DataFrame, thumbnails: Thumbnails, *, engine: Engine = HERE) -> pl.DataFrame:
    """Pictures (PICTURES) that show a radiograph that another one shows too: GROUPS, only images that have a partner.

    `group` is the smallest image_id of its group. Equal decoded pixels are one group always. Otherwise each member is
    confirmed against the group's representative, the picture with most partners, so that no chain of small steps
    joins two that are not alike. Pictures with a problem belong to no group. The result does not depend on row order,
    nor on the engine; beyond `neighbors.EXACT` pictures a pair in some thousands may be missed.
    """
    representing = distinct(pictures)
    stars = _stars(_partners(thumbnails(representing["image_id"]), engine), representing.height)
    sound = pictures.filter(pl.col("problem").is_null()).select("image_id", "pixels_md5")
    return (
        sound.join(representing.select("pixels_md5", star=pl.Series(stars)), on="pixels_md5")
        .filter(pl.len().over("star") > 1)
        .select("image_id", group=pl.col("image_id").min().over("star"))
        .match_to_schema(GROUPS)
        .sort("image_id")
    )


def distinct(pictures: pl.DataFrame) -> pl.DataFrame:
    """Of the pictures (PICTURES) without a problem the first of each that have equal pixels: image_id, pixels_md5."""
    sound = pictures.filter(pl.col("problem").is_null()).select("image_id", "pixels_md5")
    return sound.sort("image_id").unique("pixels_md5", keep="first", maintain_order=True)


def recorded(pictures: pl.DataFrame) -> dict[str, Any]:
    """What splits.json says of the index by which near-duplicates of PICTURES were proposed; nothing where of none."""
    return neighbors.recorded(pictures.filter(pl.col("problem").is_null())["pixels_md5"].n_unique())


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
            shares += [comparison.shares(basis, seen, view) for seen in (values, alignment.mirrored(values))]
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
        self._seen: Seen | None = None

    def add(self, thumbnails: npt.NDArray[np.uint8]) -> None:
        """Take thumbnails (n×32×32) in; they are numbered on."""
        if len(thumbnails):
            new = comparison.look(thumbnails)
            self._seen = new if self._seen is None else self._seen.with_others(new)

    def find(self, thumbnails: npt.NDArray[np.uint8]) -> Pairs:
        """As `find`."""
        pairs = [np.empty((0, 2), np.intp)]
        if self._seen is not None and len(thumbnails):
            new = comparison.look(thumbnails)
            pairs.append(comparison.compared(self._seen, new))
            pairs.append(comparison.compared(new, self._seen)[:, ::-1])
        return np.unique(np.concatenate(pairs), axis=0)


def _partners(small: npt.NDArray[np.uint8], engine: Engine) -> dict[int, set[int]]:
    """For each picture by its number those that it is alike with."""
    partners: dict[int, set[int]] = defaultdict(set)
    for picture, partner in neighbors.pairs(small, engine=engine).tolist():
        partners[picture].add(partner)
        partners[partner].add(picture)
    return partners


def _stars(partners: dict[int, set[int]], count: int) -> npt.NDArray[np.intp]:
    """For each picture the centre that it is with: one with its partners that are free, those with most of them first.

    A picture without a partner is its own.
    """
    centres, free = np.arange(count), set(partners)
    for centre in sorted(partners, key=lambda number: (-len(partners[number]), number)):
        if centre in free:
            star = [centre, *(partners[centre] & free)]
            free.difference_update(star)
            centres[star] = centre
    return centres


def _hashes(digits: list[str]) -> npt.NDArray[np.uint64]:
    return np.array([int(text, 16) for text in digits], dtype=np.uint64)
