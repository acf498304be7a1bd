"""Pictures from production that nobody has labelled yet: the unit `incoming/` beside a dataset, as it stands."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from radloop import manifest, sealed, tree
from radloop.errors import DatasetError, StoreError
from radloop.tables import INCOMING
from radloop.words import AUDIT
from radloop.words import INCOMING as SPLIT

ARRIVING: Final = "arriving.parquet"  # what is being added; while it lies there, the table may be ahead of the manifest

_LOOKS: Final = 5


def encode(table: pl.DataFrame) -> bytes:
    """The bytes of incoming.parquet: the same for the same rows in any order."""
    return sealed.encode(table.select(INCOMING.names()).sort("image_id"))


def decode(data: bytes, *, name: str) -> pl.DataFrame:
    """INCOMING from the bytes of incoming.parquet. Raises DatasetError for anything else."""
    table = sealed.decode(data, name=name)
    if table is None or dict(table.schema) != dict(INCOMING) or table["image_id"].is_duplicated().any():
        raise DatasetError(f"{name} is not radloop's, or damaged ({len(data)} bytes). Run `radloop ingest` again.")
    return table


def read(root: Path) -> pl.DataFrame:
    """INCOMING of the dataset in the folder `root`; empty where it has no such unit. Raises DatasetError.

    While pictures are taken in, the table may be ahead of its manifest for a moment: then it is looked at again.
    """
    unit = root / manifest.INCOMING
    path = unit / tree.INCOMING
    for _ in range(_LOOKS):
        listed = manifest.read(unit)
        if listed is None:
            return INCOMING.to_frame()
        data = path.read_bytes() if path.is_file() else b""
        if _is_listed(data, listed) or (data and (unit / ARRIVING).exists()):
            return decode(data, name=str(path))
    raise DatasetError(f"{path} is not what its manifest lists: it was changed, or cut off. Run `radloop ingest`.")


def published(get: Callable[[str], bytes | None], listed: pl.DataFrame, *, name: str) -> pl.DataFrame:
    """INCOMING of a unit in a store, whose manifest is `listed`; empty where it has no table.

    `get` brings a key of the unit, `name` is what an error calls the place. Raises StoreError where the table is not
    what the manifest lists.
    """
    data = get(tree.INCOMING)
    if data is None:
        return INCOMING.to_frame()
    if not _is_listed(data, listed):
        raise StoreError(
            f"{name}: {tree.INCOMING} is not what the manifest lists. Is an ingest at work there? Run the same command "
            "again; else `radloop ingest` writes it anew."
        )
    return decode(data, name=f"{name}/{tree.INCOMING}")


def _is_listed(data: bytes, listed: pl.DataFrame) -> bool:
    return hashlib.md5(data).hexdigest() in listed.filter(key=tree.INCOMING)["md5"]


def images(table: pl.DataFrame) -> pl.DataFrame:
    """One row an image of INCOMING, as those of a version: image_id, split, group, md5, phash.

    Its split is that of the held-out image that it is grouped with, else "audit" or "incoming".
    """
    own = pl.when("audit").then(pl.lit(AUDIT)).otherwise(pl.lit(SPLIT))
    return table.select("image_id", pl.coalesce("held_out", own).alias("split"), "group", "md5", "phash").sort(
        "image_id"
    )
