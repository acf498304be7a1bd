"""Tables of public data sets with a box a row, as its upper left corner, width and height."""

import zlib
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from radloop import values
from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats.labels import cleaned
from radloop.sources.records import PACKED, Records, Table, clean, damage_of, text, text_in

CELLS: Final = ("file", "label", "x", "y", "w", "h")  # what a row is read into, all text
_BOX: Final = CELLS[2:]


class Places(Protocol):
    """Where a table has `CELLS`, by its first line; None: it is another kind of table."""

    def __call__(self, header: Sequence[str]) -> Sequence[int] | None:
        """The places in the order of CELLS."""


def find(bundle: Bundle, places: Places) -> tuple[str, ...]:
    """The tables of this kind: .csv, packed or not."""
    return tuple(name for name in bundle.ending(".csv", f".csv{PACKED}") if places(_header(bundle, name)) is not None)


def _header(bundle: Bundle, name: str) -> Sequence[str]:
    head = bundle.head(name)
    try:
        if name.lower().endswith(PACKED):
            head = zlib.decompressobj(wbits=31).decompress(head, len(head))
        return next(iter(Records(Path(name), text(head))), (0, 0, []))[2]
    except (AnnotationError, zlib.error):
        return []


def read(bundle: Bundle, places: Places) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows (line, place, CELLS, and x_min, y_min, x_max, y_max of sound boxes), and what is none (with code, reason).

    A row without any number of a box has no box. Raises AnnotationError for a table that cannot be read.
    """
    names = find(bundle, places) or (bundle.names if bundle.path.is_file() else bundle.ending(".csv", f".csv{PACKED}"))
    if not names:
        raise AnnotationError(f"{bundle.path} holds no table. Pass the folder or file that has the labels.")
    rows, refused = zip(*(_read(bundle, name, places) for name in names), strict=True)
    table, broken = pl.concat(rows), pl.concat(refused)
    x, y, w, h = (values.number(one, "point") for one in _BOX)
    numbers = table.select("line", "place", *CELLS, x_min=x, y_min=y, x_max=x + w, y_max=y + h)
    sound = pl.all_horizontal(pl.col(side).is_finite().fill_null(value=False) for side in ("x_max", "y_max"))
    without = pl.all_horizontal(values.text(one) == "" for one in _BOX)
    numbers_said = shown(pl.concat_str(_BOX, separator=", ", ignore_nulls=True))
    code = (
        pl.when(~without & ~sound)
        .then(
            pl.struct(
                code=pl.lit("coordinate-no-number"), reason=pl.format("the box is not four numbers: {}", numbers_said)
            )
        )
        .when(sound & ((w < 0) | (h < 0)))
        .then(
            pl.struct(code=pl.lit("size-negative"), reason=pl.format("the box has a negative size: {}", numbers_said))
        )
    )
    judged = numbers.with_columns(code.alias("refusal")).unnest("refusal")
    return (
        judged.filter(pl.col("code").is_null()).drop("code", "reason"),
        pl.concat([broken, judged.filter(pl.col("code").is_not_null())], how="diagonal"),
    )


def shown(cell: pl.Expr) -> pl.Expr:
    """A cell for a sentence: short, and on one line."""
    return cleaned(cell).str.head(60)


def _read(bundle: Bundle, name: str, places: Places) -> tuple[pl.DataFrame, pl.DataFrame]:
    path = bundle.shown(name)
    rows, broken = Table(), Table()
    records = Records(Path(path), text_in(bundle, name))
    header = next(iter(records), (0, 0, []))[2]
    at = places(header)
    if at is None:
        raise AnnotationError(f"{path} is not a table of this format: it begins with {','.join(header)[:100]!r}.")
    for first, last, cells in records:
        damage = _damage(cells, header, at, records.damaged.intersection(range(first, last + 1)))
        if damage is None:
            rows.append(first, [cells[place] for place in at])
        else:
            broken.append(first, [*damage, *(clean(cells[place]) if place < len(cells) else None for place in at)])
    place = pl.lit(name).alias("place")
    return rows.frame(CELLS).with_columns(place), broken.frame(["code", "reason", *CELLS]).with_columns(place)


def _damage(
    cells: Sequence[str], header: Sequence[str], at: Sequence[int], undecodable: set[int]
) -> tuple[str, str] | None:
    """Why a record is no row, code and sentence; or None. Cells at its end may be missing, and empty ones too many."""
    stray = any(cell.strip() for cell, name in zip_longest(cells, header, fillvalue="") if not name)
    if len(cells) <= max(at) or stray:
        return "cells-miscounted", f"the row has more or fewer cells than the header: {len(cells)}, not {len(header)}"
    return damage_of(cells, at, undecodable)
