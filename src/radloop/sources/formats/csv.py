"""A table of annotations: train.csv's columns, in whichever way it was written."""

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final, TextIO

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources import columns
from radloop.sources.bundle import Bundle
from radloop.sources.columns import Columns
from radloop.sources.formats.labels import Labels
from radloop.sources.records import Records, Table, clean, damage_of, opened, text_in
from radloop.tables import ANNOTATION_COLUMNS, REJECTED, SINGLE_READER

NAMES: Final = ("train.csv", "train.csv.gz", "scaled_bounding_boxes.csv", "scaled_bounding_boxes.csv.gz")


def find(bundle: Bundle) -> tuple[str, ...]:
    """The first of `NAMES` in a folder or zip. A single file of another name is taken for a CSV if for nothing else."""
    there = {name.rpartition("/")[2] if bundle.is_zip else name: name for name in reversed(bundle.names)}
    return tuple(there[name] for name in NAMES if name in there)[:1]


def read(bundle: Bundle) -> Labels:
    """The rows of the bundle's table."""
    name = next(iter(find(bundle) or bundle.ending(".csv", ".csv.gz") or bundle.names))
    path = bundle.path if bundle.path.name == name else bundle.path / name
    opening = text_in(bundle, name) if bundle.is_zip else opened(path)
    with opening as lines:
        rows, rejected, found = _read(path, lines)
    return Labels(rows, rejected, decimal=None, notes=found.notes)


def read_annotations(
    path: Path, *, source: str | None = None, also: Sequence[str] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of an annotations CSV (or .csv.gz) as text, and the REJECTED ones that are no rows at all.

    rows: `line` (Int64, 1 = the header), ANNOTATION_COLUMNS and, where the file has them, columns.OPTIONAL and what is
    asked for `also`, all String. Without `rad_id` there is one reader, R0; a missing class_name or class_id
    is null in every row. Blank lines are no rows. Raises AnnotationError where the table as a whole cannot be used.
    """
    with opened(path) as lines:
        rows, rejected, _ = _read(path, lines, also)
    return rows, rejected.with_columns(source=pl.lit(source or path.name))


def _read(path: Path, lines: TextIO, also: Sequence[str] = ()) -> tuple[pl.DataFrame, pl.DataFrame, Columns]:
    rows, broken = Table(), Table()
    records = Records(path, lines)
    found = columns.find(path, next(iter(records), (0, 0, None))[2], also)
    known, positions, width = [*found.positions], [*found.positions.values()], len(found.header)
    pick = itemgetter(*positions)
    for first, last, cells in records:
        if len(cells) == width and first == last and not records.damaged:
            rows.append(first, pick(cells))
            continue
        undecodable = records.damaged.intersection(range(first, last + 1))
        damage = _damage(cells, width, positions, undecodable)
        if damage is None:
            rows.append(first, pick(cells))
        else:
            shown = [clean(cells[at]) if at < len(cells) else None for at in positions]
            broken.append(first, (*damage, *shown))
    if not rows.count + broken.count:
        raise AnnotationError(f"{path} holds a header and no rows. Pass the file that has the annotations.")
    good, bad = rows.frame(known), broken.frame(["code", "reason", *known])
    if not found.harmless:
        bad = _without_strangers(bad, good)
    return _complete(good, also), _rejected(bad), found


def _without_strangers(broken: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Of cells that have slipped, and may be those of a patient, only the ids that other rows have."""
    kept = [name for name in ("image_id", "rad_id") if name in rows.columns]
    ids = [pl.when(pl.col(name).is_in(rows[name].unique().implode())).then(name).alias(name) for name in kept]
    cells = [name for name in rows.columns if name not in ("line", *kept)]
    return broken.with_columns(*ids, *(pl.lit(None, pl.String).alias(name) for name in cells))


def _damage(cells: list[str], width: int, positions: list[int], undecodable: set[int]) -> tuple[str, str] | None:
    """Why a record is no row, code and sentence; or None."""
    if len(cells) != width:
        return "cells-miscounted", f"the row has more or fewer cells than the header: {len(cells)}, not {width}"
    return damage_of(cells, positions, undecodable)


def _complete(rows: pl.DataFrame, also: Sequence[str]) -> pl.DataFrame:
    absent = [name for name in ANNOTATION_COLUMNS if name not in rows.columns]
    fill = {name: pl.lit(SINGLE_READER if name == "rad_id" else None, pl.String) for name in absent}
    optional = [name for name in dict.fromkeys((*columns.OPTIONAL, *also)) if name in rows.columns]
    return rows.with_columns(**fill).select("line", *ANNOTATION_COLUMNS, *optional)


def _rejected(broken: pl.DataFrame) -> pl.DataFrame:
    absent = [name for name in REJECTED if name not in broken.columns]
    return broken.with_columns(**{name: pl.lit(None, pl.String) for name in absent}).select(REJECTED.names())
