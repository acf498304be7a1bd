"""What every source ends in: one annotations file, perhaps the original sizes, and a folder of pictures."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TextIO, cast, get_args

import polars as pl

from radloop import taxonomy
from radloop.errors import AnnotationError, SourceError, TaxonomyError
from radloop.files import write_atomic
from radloop.tables import ANNOTATION_COLUMNS, LARGEST_SIDE_PX, REJECTED, SINGLE_READER, SMALLEST_SIDE_PX
from radloop.tables import Boxes as Boxes
from radloop.taxonomy import Taxonomy

_OPTIONAL_COLUMNS: Final = ("width", "height", "patient_id")
_CHUNK_ROWS: Final = 50_000
_LONGEST_LINE: Final = 2**20  # characters; a packed file of a kilobyte can hold one of a megabyte
_LONGEST_ROW_LINES: Final = 100  # a quote that stays open longer was never meant to be one


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

    rows: `line` (Int64, 1 = the header), ANNOTATION_COLUMNS and, where the file has them, width, height, patient_id
    and what is asked for `also`, all String. Without `rad_id` there is one reader, R0; a missing class_name or class_id
    is null in every row. Blank lines are no rows. Raises AnnotationError where the table as a whole cannot be used.
    """
    rows, broken = _Table(), _Table()
    with _opened(path) as lines:
        records = _Records(path, lines)
        header = _header(path, records)
        known = [name for name in (*ANNOTATION_COLUMNS, *_OPTIONAL_COLUMNS, *also) if name in header]
        positions = [header.index(name) for name in known]
        pick, width = itemgetter(*positions), len(header)
        for first, last, cells in records:
            if len(cells) == width and first == last and not records.damaged:
                rows.append(first, pick(cells))
                continue
            damage = _damage(cells, header, positions, records.damaged.intersection(range(first, last + 1)))
            if damage is None:
                rows.append(first, pick(cells))
            else:
                # Cells that have slipped may hold a patient id: then none is passed on.
                kept = cells if "patient_id" not in header else []
                shown = [_clean(kept[at]) if at < len(kept) else None for at in positions]
                broken.append(first, (*damage, *shown))
    if not rows.count + broken.count:
        raise AnnotationError(f"{path} holds a header and no rows. Pass the file that has the annotations.")
    return _complete(rows.frame(known), also), _rejected(broken.frame(["code", "reason", *known]), source or path.name)


def _header(path: Path, records: "_Records") -> list[str]:
    _, _, cells = next(iter(records), (0, 0, None))
    if cells is None:
        raise AnnotationError(f"{path} is empty. Pass the file that has the annotations.")
    header = [name.strip() for name in cells]
    missing = [name for name in ("image_id", "x_min", "y_min", "x_max", "y_max") if name not in header]
    if "class_name" not in header and "class_id" not in header:
        missing.append("class_name or class_id")
    if missing:
        raise AnnotationError(
            f"{path} lacks the column {', '.join(missing)}; its first line has {_found(header)}. "
            f"An annotations file is a comma-separated UTF-8 table with {','.join(ANNOTATION_COLUMNS)}."
        )
    twice = [name for name in (*ANNOTATION_COLUMNS, *_OPTIONAL_COLUMNS) if header.count(name) > 1]
    if twice:
        raise AnnotationError(f"{path} has the column {', '.join(twice)} more than once: {_found(header)}. Remove one.")
    if ("width" in header) != ("height" in header):
        raise AnnotationError(
            f"{path} has only one of the columns width and height: {_found(header)}. Add the other, or remove it."
        )
    return header


def _found(header: list[str]) -> str:
    return ", ".join(repr(_clean(name))[:60] for name in header[:20]) or "nothing"


def _damage(cells: list[str], header: list[str], positions: list[int], undecodable: set[int]) -> tuple[str, str] | None:
    """Why a record is no row, code and sentence; or None."""
    if len(cells) != len(header):
        return "cells-miscounted", f"the row has more or fewer cells than the header: {len(cells)}, not {len(header)}"
    if undecodable:
        return "not-utf-8", "the row is not UTF-8"
    if any("\n" in cells[at] or "\r" in cells[at] for at in positions):
        return "cell-of-several-lines", "a cell runs over several lines"
    return None


def _complete(rows: pl.DataFrame, also: Sequence[str]) -> pl.DataFrame:
    absent = [name for name in ANNOTATION_COLUMNS if name not in rows.columns]
    fill = {name: pl.lit(SINGLE_READER if name == "rad_id" else None, pl.String) for name in absent}
    optional = [name for name in (*_OPTIONAL_COLUMNS, *also) if name in rows.columns]
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
    with _opened(path) as lines:
        records = _Records(path, lines)
        _, _, header = next(iter(records), (0, 0, []))
        header = [name.strip() for name in header]
        if any(header.count(name) != 1 for name in ("image_id", "dim0", "dim1")):
            raise AnnotationError(
                f"{path} is no table of sizes: its first line has {_found(header)}, "
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
    try:
        side = float(text)
    except ValueError:
        return None
    return int(side) if SMALLEST_SIDE_PX <= side <= LARGEST_SIDE_PX and side.is_integer() else None


def _opened(path: Path) -> TextIO:
    """The file as text: a byte-order mark left out, bytes that are not UTF-8 kept as lone surrogates."""
    form: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    try:
        return cast(TextIO, gzip.open(path, "rt", **form)) if path.suffix == ".gz" else path.open(**form)
    except OSError as refused:
        raise AnnotationError(f"{path} cannot be opened: {refused.strerror or refused}.") from refused


class _Records:
    """The records of a CSV file that are not blank: number of their first line, of their last, cells."""

    def __init__(self, path: Path, lines: TextIO) -> None:
        self.damaged: set[int] = set()  # lines read so far that are not UTF-8
        self._records = self._read(path, csv.reader(self._watch(lines)))

    def __iter__(self) -> Iterator[tuple[int, int, list[str]]]:
        return self._records

    def _read(self, path: Path, reader: Any) -> Iterator[tuple[int, int, list[str]]]:
        last = 0
        try:
            for cells in reader:
                first, last = last + 1, reader.line_num
                if last - first >= _LONGEST_ROW_LINES:
                    raise AnnotationError(
                        f"{path}, line {first}: a quote was opened that {last - first} lines never close."
                    )
                if cells and (len(cells) > 1 or cells[0].strip()):
                    yield first, last, cells
        except csv.Error as broken:
            raise AnnotationError(
                f"{path}, line {last + 1}: {broken}. Perhaps a quote was opened and never closed."
            ) from broken
        except (OSError, EOFError, zlib.error) as broken:
            raise AnnotationError(f"{path} cannot be read to its end ({broken}). Get it again.") from broken

    def _watch(self, lines: TextIO) -> Iterator[str]:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), ""), start=1):
            if len(line) == _LONGEST_LINE:
                raise csv.Error(f"it is longer than {_LONGEST_LINE} characters")
            if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
                self.damaged.add(number)
            yield line


def _clean(cell: str) -> str:
    """The cell with what is not UTF-8 replaced."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class _Table:
    """Rows gathered into columns a chunk at a time: a million rows of Python strings would take a gigabyte."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[int] = []
        self._cells: list[Sequence[str | None]] = []
        self._chunks: list[pl.DataFrame] = []

    def append(self, line: int, cells: Sequence[str | None]) -> None:
        self.count += 1
        self._lines.append(line)
        self._cells.append(cells)
        if len(self._lines) == _CHUNK_ROWS:
            self._flush()

    def frame(self, names: Iterable[str]) -> pl.DataFrame:
        """All rows: `line`, then the columns `names`."""
        self._flush()
        schema = pl.Schema({"line": pl.Int64} | dict.fromkeys(names, pl.String))
        frames = [chunk.rename(dict(zip(chunk.columns, schema.names(), strict=True))) for chunk in self._chunks]
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema)

    def _flush(self) -> None:
        if self._lines:
            columns = [
                pl.Series(str(at), cells, dtype=pl.String) for at, cells in enumerate(zip(*self._cells, strict=True))
            ]
            self._chunks.append(pl.DataFrame([pl.Series("line", self._lines, dtype=pl.Int64), *columns]))
            self._lines, self._cells = [], []
