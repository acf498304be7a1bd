"""Labels that radloop keeps itself, of DICOM files: a table with pseudonyms in the place of all ids, as text."""

from pathlib import Path

import polars as pl

from radloop import sealed
from radloop.errors import SourceError
from radloop.sources.columns import FILE_PATIENT
from radloop.sources.formats.labels import Labels
from radloop.tables import ANNOTATION_COLUMNS, REJECTED
from radloop.values import Decimal


def encode(labels: Labels) -> bytes:
    """Rows and refused ones as one table: `code` is null of a row."""
    return sealed.encode(pl.concat([labels.rows, labels.rejected.drop("source", "place")], how="diagonal"))


def read(path: Path, *, decimal: Decimal | None) -> Labels:
    """The rows and the refused ones that `encode` wrote. Raises SourceError for anything else."""
    table = sealed.decode(path.read_bytes(), name=str(path))
    if table is None or not {"code", "reason", "line", *ANNOTATION_COLUMNS} <= set(table.columns):
        raise SourceError(f"{path} is damaged. Run `radloop extract` again.")
    place = pl.lit(None, pl.String)
    rejected = table.filter(pl.col("code").is_not_null()).with_columns(source=place, place=place)
    rows = table.filter(pl.col("code").is_null()).drop("code", "reason")
    notes: tuple[str, ...] = ()
    if rows[FILE_PATIENT].null_count() < rows.height:
        notes = ("images of one patient share a split: the DICOM files tell whose they are",)
    return Labels(rows, rejected.select(REJECTED.names()), decimal=decimal, notes=notes)
