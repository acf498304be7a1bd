"""What every source ends in: one annotations file, perhaps the original sizes, and a folder of pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, cast, get_args

import polars as pl

from radloop import taxonomy, values
from radloop.errors import AnnotationError, SourceError, TaxonomyError
from radloop.files import write_atomic
from radloop.sources import columns
from radloop.sources.columns import Columns
from radloop.sources.records import Records, Table, clean, opened
from radloop.tables import ANNOTATION_COLUMNS, LARGEST_SIDE_PX, REJECTED, SINGLE_READER, SMALLEST_SIDE_PX
from radloop.tables import Boxes as Boxes
from radloop.taxonomy import Taxonomy


@dataclass(frozen=True)
class RawData:
    """Where the raw data of a dataset lie."""

    name: str  # what summary.json says: "folder", "kaggle", "synthetic:600"; no path of a machine
    annotations: Path
    boxes: Boxes  # what the user said; auto: by proof, then by the file's name
    sizes: Path | None  # train_meta.csv
    pictures: Path | None
    classes: Taxonomy | None = None  # the source's own list, where it has one


def write(raw: RawData, out: Path) -> Path:
    """Write `out`/raw/source.json; what lies under `out`/raw is named relative to it, so that `out` can be moved."""
    folder = _folder(out)
    document: dict[str, Any] = {"name": raw.name, "boxes": raw.boxes}
    document |= {role: _stored(getattr(raw, role), folder) for role in ("annotations", "sizes", "pictures")}
    if raw.classes is not None:
        document["classes"] = raw.classes.names
    path = folder / "source.json"
    write_atomic(path, json.dumps(document, indent=2).encode() + b"\n")
    return path


def read(out: Path) -> RawData:
    """What `write` wrote. Raises SourceError where it is missing or damaged, or names what is gone."""
    folder = _folder(out)
    path = folder / "source.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as missing:
        raise SourceError(f"{path} is missing. Run `radloop extract` first.") from missing
    except (OSError, ValueError, RecursionError) as broken:
        raise SourceError(f"{path} cannot be read ({broken}). Run `radloop extract` again.") from broken
    try:
        raw = RawData(
            name=_text(document["name"]),
            annotations=folder / _text(document["annotations"]),
            boxes=_boxes(document["boxes"]),
            sizes=None if document["sizes"] is None else folder / _text(document["sizes"]),
            pictures=None if document["pictures"] is None else folder / _text(document["pictures"]),
            classes=taxonomy.of_list(document["classes"]) if "classes" in document else None,
        )
    except (KeyError, TypeError, ValueError, TaxonomyError) as broken:
        raise SourceError(f"{path} is damaged ({broken!r}). Run `radloop extract` again.") from broken
    for named in (raw.annotations, raw.sizes, raw.pictures):
        if named is not None and not named.exists():
            raise SourceError(f"{named} is gone, but {path} names it. Run `radloop extract` again.")
    return raw


def _folder(out: Path) -> Path:
    return out.absolute() / "raw"


def _stored(path: Path | None, folder: Path) -> str | None:
    if path is None:
        return None
    absolute = path.absolute()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"{value!r} is not a name")
    return value


def _boxes(value: Any) -> Boxes:
    if value not in get_args(Boxes):
        raise ValueError(f"boxes are {value!r}")
    return cast(Boxes, value)


def read_annotations(
    path: Path, *, source: str | None = None, also: Sequence[str] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of an annotations CSV (or .csv.gz) as text, and the REJECTED ones that are no rows at all.

    rows: `line` (Int64, 1 = the header), ANNOTATION_COLUMNS and, where the file has them, columns.OPTIONAL and what is
    asked for `also`, all String. Without `rad_id` there is one reader, R0; a missing class_name or class_id
    is null in every row. Blank lines are no rows. Raises AnnotationError where the table as a whole cannot be used.
    """
    rows, broken = Table(), Table()
    with opened(path) as lines:
        records = Records(path, lines)
        found = columns.find(path, _header(records), also)
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
    return _complete(good, also), _rejected(bad, source or path.name)


def read_columns(path: Path) -> Columns:
    """The columns of an annotations CSV. Raises AnnotationError where it lacks one."""
    with opened(path) as lines:
        return columns.find(path, _header(Records(path, lines)))


def _header(records: Records) -> list[str] | None:
    return next(iter(records), (0, 0, None))[2]


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
    if undecodable:
        return "not-utf-8", "the row is not UTF-8"
    if any("\n" in cells[at] or "\r" in cells[at] for at in positions):
        return "cell-of-several-lines", "a cell runs over several lines"
    return None


def _complete(rows: pl.DataFrame, also: Sequence[str]) -> pl.DataFrame:
    absent = [name for name in ANNOTATION_COLUMNS if name not in rows.columns]
    fill = {name: pl.lit(SINGLE_READER if name == "rad_id" else None, pl.String) for name in absent}
    optional = [name for name in dict.fromkeys((*columns.OPTIONAL, *also)) if name in rows.columns]
    return rows.with_columns(**fill).select("line", *ANNOTATION_COLUMNS, *optional)


def _rejected(broken: pl.DataFrame, source: str) -> pl.DataFrame:
    absent = [name for name in ANNOTATION_COLUMNS if name not in broken.columns]
    return broken.with_columns(
        pl.lit(source).alias("source"), **{name: pl.lit(None, pl.String) for name in absent}
    ).select(REJECTED.names())


def read_sizes(path: Path) -> pl.DataFrame:
    """The original sizes that train_meta.csv holds: image_id, width (its dim1), height (its dim0), Int32.

    Raises AnnotationError, with the line, for anything that is not a size.
    """
    sizes: dict[str, tuple[int, int]] = {}
    with opened(path) as lines:
        records = Records(path, lines)
        header = [name.strip() for name in _header(records) or []]
        if any(header.count(name) != 1 for name in ("image_id", "dim0", "dim1")):
            raise AnnotationError(
                f"{path} is no table of sizes: its first line has {columns.shown(header)}, "
                "not image_id,dim0,dim1 (dim0 is the height, dim1 the width)."
            )
        at_id, at_height, at_width = (header.index(name) for name in ("image_id", "dim0", "dim1"))
        for line, last, cells in records:
            if len(cells) != len(header) or not records.damaged.isdisjoint(range(line, last + 1)):
                raise AnnotationError(f"{path}, line {line}, cannot be read. Repair it, or get the file again.")
            width, height = _side(cells[at_width]), _side(cells[at_height])
            if width is None or height is None:
                raise AnnotationError(
                    f"{path}, line {line}: dim0 {cells[at_height]!r}, dim1 {cells[at_width]!r} is no size between "
                    f"{SMALLEST_SIDE_PX} and {LARGEST_SIDE_PX} pixels. Repair it, or get the file again."
                )
            if sizes.setdefault(cells[at_id], (width, height)) != (width, height):
                raise AnnotationError(f"{path}, line {line}: image {cells[at_id]!r} has two sizes. Remove one.")
    if not sizes:
        raise AnnotationError(f"{path} holds no sizes. Get the file again, or remove it.")
    widths, heights = zip(*sizes.values(), strict=True)
    return pl.DataFrame(
        {"image_id": list(sizes), "width": widths, "height": heights},
        schema={"image_id": pl.String, "width": pl.Int32, "height": pl.Int32},
    )


def _side(text: str) -> int | None:
    """A whole number of pixels: 2336, 2336.0, 2,336 or 2.336,0. None for what is none, or may be two."""
    sides = {side for side in values.whole_numbers(text) if SMALLEST_SIDE_PX <= side <= LARGEST_SIDE_PX}
    return sides.pop() if len(sides) == 1 else None
