"""A CSV of annotations on its own: the rows that can be used, why the others cannot, and the classes it speaks of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from radloop.catalog import classes as catalog
from radloop.errors import AnnotationError, DatasetError, TaxonomyError
from radloop.tables import SCALED_SIDE_PX, SINGLE_READER, SPLITS
from radloop.taxonomy import Taxonomy

# The refused rows, counted: by the kind of reason, with the sentence of the first.
REFUSED: Final = pl.Schema({"code": pl.String, "reason": pl.String, "rows": pl.Int64})

_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_CLASS: Final = ("class_id", "class_name")
_OUTSIDE_PX: Final = 1.0  # what a box may reach over the edge by rounding
_MOST_OUTSIDE: Final = 0.01  # of the boxes; above, the whole table is in another frame
_WAY_OUT: Final = "`radloop etl --source FOLDER` makes a dataset of it, and takes --classes, --map and --drop-classes."


@dataclass(frozen=True)
class Table:
    """What a CSV holds."""

    rows: pl.DataFrame  # FINDINGS and class_name; `split` only where the table has it
    refused: pl.DataFrame  # REFUSED
    taxonomy: Taxonomy
    notes: tuple[str, ...]


def read(path: Path, classes: Taxonomy | None = None) -> Table:
    """The findings of a CSV in 1024×1024 pixels, or of its own width and height.

    `classes` are those of the dataset that the CSV belongs to; None: what its rows name (`catalog.classes.resolve`).
    Raises DatasetError where the table as a whole cannot be used.
    """
    rows = _columns(path)
    resolved = _resolved(rows, classes, path)
    meanings = resolved.meanings.rename({"class": "number", "code": "class_code", "reason": "class_reason"})
    rows = _numbers(rows.join(meanings, on=_CLASS, how="left", nulls_equal=True, maintain_order="left"))
    finding, is_box, inside = pl.col("kind") == "finding", _is_box(), _inside()
    _require_frame(path, rows.filter(finding & is_box).select(inside=inside)["inside"])
    judged = _judged(rows, finding, is_box, inside)
    norm = [
        pl.when(finding).then(pl.col(side) / pl.col("width" if side[0] == "x" else "height")).alias(f"{side}_norm")
        for side in _SIDES
    ]
    usable = judged.filter(pl.col("code").is_null()).select(
        "image_id",
        "rad_id",
        pl.col("number").alias("class_id"),
        *norm,
        "width",
        "height",
        resolved.taxonomy.named(pl.col("number")).alias("class_name"),
        *(["split"] if "split" in rows.columns else []),
    )
    if usable.is_empty():
        raise DatasetError(f"{path} holds no row that can be used.")
    refused = judged.filter(pl.col("code").is_not_null())
    return Table(usable, count(refused), resolved.taxonomy, resolved.notes)


def text(path: Path) -> pl.DataFrame:
    """A CSV as text, its columns without spaces around their names. Raises DatasetError for anything else."""
    try:
        rows = pl.read_csv(path, infer_schema=False)
        return rows.rename({name: name.strip() for name in rows.columns})
    except (pl.exceptions.PolarsError, OSError, ValueError) as broken:
        raise DatasetError(f"{path} is no table of annotations and was refused ({_first_line(broken)}).") from broken


def refused(path: Path) -> pl.DataFrame:
    """REFUSED of a rejected.csv; of one that does not tell codes by its sentences."""
    try:
        rows = text(path)
    except DatasetError:
        return count(REFUSED.to_frame())
    if "reason" not in rows.columns:
        return count(REFUSED.to_frame())
    return count(rows if "code" in rows.columns else rows.with_columns(code=pl.col("reason")))


def count(rows: pl.DataFrame) -> pl.DataFrame:
    """REFUSED of rows with code and reason, the most frequent first."""
    counted = rows.group_by("code", maintain_order=True).agg(pl.col("reason").first(), rows=pl.len().cast(pl.Int64))
    return counted.select(REFUSED.names()).sort("rows", "code", descending=[True, False])


def _columns(path: Path) -> pl.DataFrame:
    """The columns that are read, as text: image_id, rad_id, class_id, class_name, the box, and its frame and split."""
    rows = text(path)
    missing = [name for name in ("image_id", *_SIDES) if name not in rows.columns]
    if not set(_CLASS) & set(rows.columns):
        missing.append("class_name")
    if missing:
        raise DatasetError(f"{path} lacks the column {', '.join(missing)} and was refused.")
    if "rad_id" not in rows.columns:
        rows = rows.with_columns(rad_id=pl.lit(SINGLE_READER))
    rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in _CLASS if name not in rows.columns)
    frame = ("width", "height") if {"width", "height"} <= set(rows.columns) else ()
    split = ("split",) if "split" in rows.columns else ()
    return rows.select("image_id", "rad_id", *_CLASS, *_SIDES, *frame, *split)


def _resolved(rows: pl.DataFrame, classes: Taxonomy | None, path: Path) -> catalog.Resolved:
    try:
        return catalog.of_taxonomy(rows, classes) if classes is not None else catalog.resolve(rows)
    except (AnnotationError, TaxonomyError) as unknown:
        raise DatasetError(f"{path} was refused. {unknown} {_WAY_OUT}") from unknown


def _numbers(rows: pl.DataFrame) -> pl.DataFrame:
    """The sides of the boxes as numbers, and the frame that they are in."""
    sides = [pl.col(side).cast(pl.Float64, strict=False) for side in _SIDES]
    if "width" in rows.columns:
        return rows.with_columns(*sides, pl.col("width", "height").cast(pl.Int32, strict=False))
    frame = pl.lit(SCALED_SIDE_PX, pl.Int32)
    return rows.with_columns(*sides, width=frame, height=frame)


def _is_box() -> pl.Expr:
    ordered = (pl.col("x_min") < pl.col("x_max")) & (pl.col("y_min") < pl.col("y_max"))
    return (pl.all_horizontal(pl.col(_SIDES).is_finite()) & ordered).fill_null(value=False)


def _inside() -> pl.Expr:
    reaches = (
        (pl.min_horizontal("x_min", "y_min") >= -_OUTSIDE_PX)
        & (pl.col("x_max") <= pl.col("width") + _OUTSIDE_PX)
        & (pl.col("y_max") <= pl.col("height") + _OUTSIDE_PX)
    )
    return reaches.fill_null(value=False)


def _require_frame(path: Path, inside: pl.Series) -> None:
    outside = int((~inside).sum())
    if outside > _MOST_OUTSIDE * len(inside):
        raise DatasetError(
            f"{path}: {outside:,} of {len(inside):,} boxes reach over {SCALED_SIDE_PX} pixels, so they are not in "
            f"{SCALED_SIDE_PX}×{SCALED_SIDE_PX}. `radloop etl --source FOLDER` makes a dataset of original pixels."
        )


def _judged(rows: pl.DataFrame, finding: pl.Expr, is_box: pl.Expr, inside: pl.Expr) -> pl.DataFrame:
    """Add code and reason: null for a row that can be used."""
    known = pl.col("split").is_in(SPLITS) if "split" in rows.columns else pl.lit(value=True)
    reasons = [
        (pl.col("image_id").is_null(), pl.lit("image-missing"), pl.lit("no image_id")),
        (pl.col("class_code").is_not_null(), pl.col("class_code"), pl.col("class_reason")),
        (~known.fill_null(value=False), pl.lit("split-unknown"), pl.lit("unknown split")),
        (finding & ~is_box, pl.lit("box-invalid"), pl.lit("not a box")),
        (finding & ~inside, pl.lit("box-outside"), pl.lit("box outside the picture")),
    ]
    return rows.with_columns(
        code=pl.coalesce(pl.when(holds).then(code) for holds, code, _ in reasons),
        reason=pl.coalesce(pl.when(holds).then(reason) for holds, _, reason in reasons),
    )


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
    return "".join(character if character.isprintable() else "\ufffd" for character in line)
