"""What was taken away for good (`radloop forget`), as far as it may still be known: hashes, a time and a reason.

A tombstone tells whoever holds an image or its picture that it was forgotten, so that it does not come in again; to
anybody else it tells nothing. TOMBSTONES lie in OUT and in the dataset, in the folder and in the store.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl

from radloop import manifest, sealed, tree
from radloop.errors import DatasetError
from radloop.tables import TOMBSTONES

Kind = Literal["image", "pixels"]

FORGOTTEN: Final = "forgotten"  # in summary.json and report.json: how many images
NOTHING: Final = TOMBSTONES.to_frame()

_DIGITS: Final = 32


def encode(stones: pl.DataFrame) -> bytes:
    """The bytes of tombstones.parquet: the same for the same rows in any order, which tells nothing therefore."""
    return sealed.encode(stones.select(TOMBSTONES.names()).sort(pl.all(), nulls_last=True))


def decode(data: bytes | None, *, name: str) -> pl.DataFrame:
    """TOMBSTONES from the bytes of tombstones.parquet; none where there are no bytes. Raises DatasetError."""
    if data is None:
        return NOTHING
    table = sealed.decode(data, name=name)
    if table is None or dict(table.schema) != dict(TOMBSTONES):
        raise DatasetError(
            f"{name} is not radloop's, or damaged ({len(data)} bytes), and without it what was forgotten may come in "
            "again. Bring it back from the store or a backup."
        )
    return table


def read(out: Path) -> pl.DataFrame:
    """TOMBSTONES that the folder OUT knows of: its own, and those of the dataset in it. Raises DatasetError."""
    return union(*(_of_file(folder / tree.TOMBSTONES) for folder in (out, out / manifest.UNIT)))


def _of_file(path: Path) -> pl.DataFrame:
    return decode(path.read_bytes() if path.is_file() else None, name=str(path))


def union(*stones: pl.DataFrame) -> pl.DataFrame:
    """All of them, each once."""
    return pl.concat([NOTHING, *stones]).unique("image", keep="first", maintain_order=True)


def counted(stones: pl.DataFrame) -> dict[str, int]:
    """What summary.json says of them: nothing where there are none."""
    return {FORGOTTEN: stones.height} if stones.height else {}


def made(images: pl.DataFrame, *, salt: str, now: datetime, reason: str) -> pl.DataFrame:
    """TOMBSTONES of images (image_id, pixels_md5)."""
    rows = [
        (_hash("image", image_id, salt), pixels and _hash("pixels", pixels, salt), salt, now, reason)
        for image_id, pixels in images.select("image_id", "pixels_md5").unique().iter_rows()
    ]
    return union(pl.DataFrame(rows, schema=TOMBSTONES, orient="row"))


def forgotten(stones: pl.DataFrame, values: Iterable[str | None], *, kind: Kind = "image") -> frozenset[str]:
    """Those of the image ids (or the MD5s of pixels) that have a tombstone.

    >>> from datetime import UTC
    >>> one = pl.DataFrame({"image_id": ["a"], "pixels_md5": ["d41d8"]})
    >>> stones = made(one, salt="s", now=datetime(2026, 1, 1, tzinfo=UTC), reason="asked for")
    >>> forgotten(stones, ["a", "b"]), forgotten(stones, ["d41d8"], kind="pixels")
    (frozenset({'a'}), frozenset({'d41d8'}))
    """
    if stones.is_empty():
        return frozenset()
    known = {value for value in values if value is not None}
    hashes = set(stones[kind].drop_nulls())
    salts = stones["salt"].unique().to_list()
    return frozenset(value for value in known if any(_hash(kind, value, salt) in hashes for salt in salts))


def remain(pictures: pl.DataFrame, stones: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table with image_id, and perhaps pixels_md5, that no tombstone speaks of, by either."""
    ids = forgotten(stones, pictures["image_id"].unique())
    left = pictures.filter(~pl.col("image_id").is_in(list(ids)).fill_null(value=False))
    if "pixels_md5" not in pictures.columns:
        return left
    pixels = forgotten(stones, left["pixels_md5"].unique(), kind="pixels")
    return left.filter(~pl.col("pixels_md5").is_in(list(pixels)).fill_null(value=False))


def _hash(kind: Kind, value: str, salt: str) -> str:
    return hashlib.sha256(f"radloop {kind}\0{salt}\0{value}".encode()).hexdigest()[:_DIGITS]
