"""The table that every format of labels is read into."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.sources.columns import OPTIONAL
from radloop.tables import ANNOTATION_COLUMNS, REJECTED, SINGLE_READER
from radloop.taxonomy import Taxonomy
from radloop.values import Decimal
from radloop.words import Boxes

PICTURES: Final = "png|jpe?g|dcm|dicom|tiff?|bmp|gif|webp|jp2|avif"  # endings, in any case of letters
_ENDINGS: Final = rf"(?i)\.({PICTURES})$"
_CONTROL: Final = r"[\p{Cc}\p{Zl}\p{Zp}]"
_REFUSED: Final = ("code", "reason")


@dataclass(frozen=True)
class Labels:
    """What readers drew, as a source's files tell it."""

    # line (Int64), place, ANNOTATION_COLUMNS and, where the format tells them, columns.OPTIONAL; all String.
    # "No finding" as class_name and no box: this reader found nothing. An image without a row is unlabelled.
    rows: pl.DataFrame
    rejected: pl.DataFrame  # REJECTED without its source: what is no row
    boxes: Boxes = "auto"  # the frame that the format fixes
    classes: Taxonomy | None = None  # the format's own list
    decimal: Decimal | None = "point"  # how its numbers are written; None: the table has to tell
    notes: tuple[str, ...] = ()  # sentences for the summary


def of_table(
    table: pl.DataFrame,
    refused: pl.DataFrame | None = None,
    *,
    boxes: Boxes = "auto",
    classes: Taxonomy | None = None,
    notes: Iterable[str] = (),
) -> Labels:
    """Labels of a table with any of the columns of `Labels.rows`; what it lacks is filled in, numbers become text.

    table: `file`, the picture's path as the format names it, may stand in the place of image_id, which is then its
    name without the ending. Where two pictures have one name, all their rows are refused: one label file would be
    both's. refused: rows with `code` and `reason`, which become REJECTED.
    """
    refused = pl.DataFrame(schema=dict.fromkeys(_REFUSED, pl.String)) if refused is None else refused
    rows, broken = _named(table), _named(refused)
    if "file" in rows.columns:
        rows, ambiguous = _one_picture_each(rows, broken)
        broken = pl.concat([broken, ambiguous], how="diagonal")
    optional = [name for name in OPTIONAL if name in rows.columns]
    return Labels(
        rows=_complete(rows).select("line", "place", *ANNOTATION_COLUMNS, *optional),
        rejected=_complete(broken).with_columns(source=pl.lit(None, pl.String)).select(REJECTED.names()),
        boxes=boxes,
        classes=classes,
        notes=tuple(notes),
    )


def stem(file: pl.Expr) -> pl.Expr:
    """The name of a picture without its folders and its ending."""
    return file.str.replace_all("\\", "/", literal=True).str.extract(r"([^/]*)$").str.replace(_ENDINGS, "")


def cleaned(text: pl.Expr) -> pl.Expr:
    """What may be shown of a text of somebody else's: on one line, without control characters."""
    return text.str.replace_all(_CONTROL, "\ufffd")


def _named(table: pl.DataFrame) -> pl.DataFrame:
    if "file" not in table.columns:
        return table
    path = pl.col("file").str.replace_all("\\", "/", literal=True).str.replace(r"^(\./)+", "")
    return table.with_columns(file=path, image_id=stem(path))


def _one_picture_each(rows: pl.DataFrame, broken: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of pictures that are the only ones of their name, and those of the others, refused."""
    there = [table.select("file", "image_id") for table in (rows, broken) if {"file", "image_id"} <= {*table.columns}]
    several = (
        pl.concat(there).drop_nulls().unique().group_by("image_id").agg(files=pl.col("file").sort().head(2), n=pl.len())
    ).filter(pl.col("n") > 1)
    if several.is_empty():
        return rows, rows.clear()
    named = cleaned(pl.col("files").list.join(" and "))
    reason = pl.format("several pictures have this name: {}", named)
    ambiguous = rows.join(several, on="image_id").with_columns(code=pl.lit("image-ambiguous"), reason=reason)
    return rows.join(several, on="image_id", how="anti", maintain_order="left"), ambiguous.drop("files", "n")


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as text, with all columns."""
    texts = (*_REFUSED, "place", *ANNOTATION_COLUMNS, *OPTIONAL)
    there = [pl.col(name).cast(pl.String) for name in texts if name in rows.columns]
    absent = {name: pl.lit(None, pl.String) for name in ("place", *ANNOTATION_COLUMNS) if name not in rows.columns}
    if "rad_id" in absent:
        absent["rad_id"] = pl.lit(SINGLE_READER)
    line = pl.col("line") if "line" in rows.columns else pl.lit(None)
    return rows.with_columns(line.cast(pl.Int64).alias("line"), *there, **absent)
