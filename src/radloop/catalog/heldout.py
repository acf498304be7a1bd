"""What was ever held out in a lineage of versions: remembered with its picture, so that it stays held out for good.

A lineage is a version and all that followed from it. Its memory only grows: an image that is left out of one version
and comes back in a later one, under its own name or another, is still held out.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import polars as pl

from radloop import sealed
from radloop.errors import DatasetError
from radloop.tables import HELD_OUT, HELDOUT

NOTHING: Final = HELDOUT.to_frame()

_ORDER: Final = ("image_id", "md5", "pixels_md5")
_THUMBNAIL_BYTES: Final = 32 * 32


def encode(memory: pl.DataFrame) -> bytes:
    """The bytes of heldout.parquet: the same for the same rows in any order."""
    return sealed.encode(memory.select(HELDOUT.names()).sort(_ORDER, nulls_last=True))


def decode(data: bytes, *, name: str) -> pl.DataFrame:
    """HELDOUT from the bytes of heldout.parquet. Raises DatasetError for anything else."""
    table = sealed.decode(data, name=name)
    if table is None:
        raise DatasetError(f"{name} is not radloop's, or damaged ({len(data)} bytes). Write the dataset again.")
    if dict(table.schema) != dict(HELDOUT):
        raise DatasetError(f"{name} is not radloop's: its columns are {', '.join(table.columns)}.")
    sound = (
        pl.col("split").is_in(HELD_OUT)
        & pl.col("image_id", "group", "md5").is_not_null()
        & (pl.col("thumbnail").bin.size() == _THUMBNAIL_BYTES).fill_null(value=True)
    )
    if not table.select(pl.all_horizontal(sound.fill_null(value=False)).all()).item():
        raise DatasetError(f"{name} holds a row that is not of a held-out image. Write the dataset again.")
    return table


def verify(data: bytes, annotations: pl.DataFrame) -> Iterator[str]:
    """What is wrong with the bytes of a heldout.parquet beside the ANNOTATIONS of its version: a sentence each."""
    try:
        memory = decode(data, name="it")
    except DatasetError as broken:
        yield str(broken)
        return
    images = annotations.select("image_id", "split", "md5").unique()
    forgotten = images.filter(pl.col("split").is_in(HELD_OUT)).join(memory, on=["image_id", "md5"], how="anti")
    for image_id in forgotten["image_id"].sort():
        yield f"image {image_id} is held out and not remembered"
    was = memory.select("image_id", "md5", before="split", known="image_id")
    same = [images.join(was.drop(other), on=column) for column, other in (("image_id", "md5"), ("md5", "image_id"))]
    moved = pl.concat([one.select("image_id", "split", "known", "before") for one in same]).unique()
    for image_id, split, known, before in moved.filter(pl.col("split") != pl.col("before")).sort(pl.all()).rows():
        yield f"image {image_id} is in {split}; as {known} it was held out in {before}"


def of_annotations(annotations: pl.DataFrame) -> pl.DataFrame:
    """HELDOUT of a version (ANNOTATIONS) from before there was a memory: what it holds out, without thumbnails."""
    images = annotations.select("image_id", "split", "group", "md5", "phash").unique("image_id")
    return images.filter(pl.col("split").is_in(HELD_OUT)).match_to_schema(HELDOUT, missing_columns="insert")


def grow(
    memory: pl.DataFrame,
    assignment: pl.DataFrame,
    pictures: pl.DataFrame,
    thumbnails: pl.DataFrame,
    patients: pl.DataFrame,
) -> pl.DataFrame:
    """The memory of the next version: what was remembered, and what it holds out now.

    assignment: ASSIGNMENT; pictures: PICTURES; thumbnails: image_id, thumbnail (bytes); patients: image_id, patient
    (`patients_of`). An image whose picture is another one now is remembered with both. Of an image that is there, the
    group of today counts.
    """
    now = (
        assignment.filter(pl.col("split").is_in(HELD_OUT))
        .join(pictures.select("image_id", "md5", "pixels_md5", "phash"), on="image_id")
        .join(thumbnails, on="image_id", how="left")
        .with_columns(patients=pl.lit(None, pl.String))
        .match_to_schema(HELDOUT)
    )
    key = ["image_id", "md5"]
    kept = memory.join(now, on=key, how="anti")
    known = pl.concat([patients, of_patients(memory.join(now, on=key, how="semi"))])
    named = known.unique().sort(pl.all()).group_by("image_id").agg(named=pl.col("patient").sort().str.join(" "))
    now = now.join(named, on="image_id", how="left").with_columns(patients="named")
    return pl.concat([kept, now.select(HELDOUT.names())]).sort(_ORDER, nulls_last=True)


def of_patients(memory: pl.DataFrame) -> pl.DataFrame:
    """The patients of what is remembered: image_id, patient."""
    several = memory.select("image_id", patient=pl.col("patients").str.split(" ")).drop_nulls("patient")
    return several.explode("patient").unique().sort(pl.all())


def patients_of(patients: pl.DataFrame, lineage: str) -> pl.DataFrame:
    """The patients (image_id, patient: hashed) as a memory names them."""
    hashed = {
        patient: hashlib.sha256(f"{lineage}\0{patient}".encode()).hexdigest()[:16]
        for patient in patients["patient"].unique()
    }
    return patients.with_columns(pl.col("patient").replace_strict(hashed, return_dtype=pl.String))


def lineage_of(pictures: pl.DataFrame) -> str:
    """The name of the lineage that begins with these PICTURES."""
    lines = pictures.sort("image_id").select(pl.format("{}\0{}\n", "image_id", "md5")).to_series()
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
