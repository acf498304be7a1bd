"""What every source ends in: labels in some format, perhaps the original sizes, and a folder of pictures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

import polars as pl

from radloop import formats, sealed, taxonomy, values
from radloop.errors import AnnotationError, SourceError, TaxonomyError
from radloop.files import write_atomic
from radloop.sources import columns
from radloop.sources.records import Records, opened
from radloop.tables import LARGEST_SIDE_PX, RADIOGRAPHS, SMALLEST_SIDE_PX
from radloop.tables import Boxes as Boxes
from radloop.taxonomy import Taxonomy
from radloop.words import Format

SOURCE: Final = "source.json"


FOLDER: Final = "raw"  # under OUT


@dataclass(frozen=True)
class RawData:
    """Where the raw data of a dataset lie."""

    name: str  # what summary.json says: "folder", "kaggle", "synthetic:600"; no path of a machine
    annotations: Path  # a file, or a folder or zip of files
    boxes: Boxes  # what the user said; auto: by proof, then by the file's name
    sizes: Path | None  # train_meta.csv
    pictures: Path | None
    classes: Taxonomy | None = None  # the source's own list, where it has one
    format: Format = "csv"  # of the annotations; never "auto"
    table: str | None = None  # what the user calls the annotations, where the file here is a copy of radloop's
    recipe: str | None = None  # that the pictures were made by; None where they came as pictures
    files: Path | None = None  # what became of each DICOM file

    @property
    def title(self) -> str:
        """What the user calls the annotations."""
        return self.table or self.annotations.name


def write(raw: RawData, out: Path) -> Path:
    """Write `out`/raw/source.json; what lies under `out`/raw is named relative to it, so that `out` can be moved."""
    folder = _folder(out)
    document: dict[str, Any] = {"name": raw.name, "format": raw.format, "boxes": raw.boxes}
    document |= {role: _stored(getattr(raw, role), folder) for role in ("annotations", "sizes", "pictures")}
    if raw.recipe is not None:
        document |= {"table": raw.table, "recipe": raw.recipe, "files": _stored(raw.files, folder)}
    if raw.classes is not None:
        document["classes"] = raw.classes.names
    path = folder / SOURCE
    write_atomic(path, json.dumps(formats.numbered(document), indent=2).encode() + b"\n")
    return path


def read(out: Path) -> RawData:
    """What `write` wrote. Raises SourceError where it is missing or damaged, or names what is gone."""
    folder = _folder(out)
    path = folder / SOURCE
    try:
        formats.require_json(data := path.read_bytes(), name=str(path))
        document = json.loads(data)
    except FileNotFoundError as missing:
        raise SourceError(f"{path} is missing. Run `radloop extract` first.") from missing
    except (OSError, ValueError, RecursionError) as broken:
        raise SourceError(f"{path} cannot be read ({broken}). Run `radloop extract` again.") from broken
    try:
        raw = RawData(
            name=_text(document["name"]),
            annotations=folder / _text(document["annotations"]),
            boxes=cast(Boxes, _one_of(Boxes, document["boxes"])),
            format=cast(Format, _one_of(Format, document.get("format", "csv"))),
            sizes=None if document["sizes"] is None else folder / _text(document["sizes"]),
            pictures=None if document["pictures"] is None else folder / _text(document["pictures"]),
            classes=taxonomy.of_list(document["classes"]) if "classes" in document else None,
            **_of_dicom(document, folder),
        )
    except (KeyError, TypeError, ValueError, TaxonomyError) as broken:
        raise SourceError(f"{path} is damaged ({broken!r}). Run `radloop extract` again.") from broken
    for named in (raw.annotations, raw.sizes, raw.pictures, raw.files):
        if named is not None and not named.exists():
            raise SourceError(f"{named} is gone, but {path} names it. Run `radloop extract` again.")
    return raw


def _of_dicom(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What is told of pictures that were made of DICOM files."""
    if "recipe" not in document:
        return {}
    told = {name: _text(document[name]) for name in ("table", "recipe", "files")}
    return {**told, "files": folder / told["files"]}


def _folder(out: Path) -> Path:
    return out.absolute() / FOLDER


def radiographs(raw: RawData) -> pl.DataFrame | None:
    """RADIOGRAPHS of the DICOM files that the pictures were made of; None where they came as pictures."""
    if raw.files is None:
        return None
    made = _files(raw.files).filter(pl.col("reason").is_null()).unique("image_id")
    return made.select(pl.col(name).cast(kind) for name, kind in RADIOGRAPHS.items())


def unmade(raw: RawData) -> tuple[str, ...]:
    """A sentence about the DICOM files that make no picture, where there are some."""
    if raw.files is None:
        return ()
    table = _files(raw.files)
    codes = table.drop_nulls("code").group_by("code").len().sort("len", "code", descending=[True, False])
    if codes.is_empty():
        return ()
    told = ", ".join(f"{count:,} {code}" for code, count in codes.iter_rows())
    return (
        f"{codes['len'].sum():,} of {table.height:,} DICOM files make no picture ({told}): private/files.csv has each",
    )


def _files(path: Path) -> pl.DataFrame:
    table = sealed.decode(path.read_bytes(), name=str(path))
    if table is None or not {"code", "reason", *RADIOGRAPHS} <= set(table.columns):
        raise SourceError(f"{path} is damaged. Run `radloop extract` again.")
    return table


def _stored(path: Path | None, folder: Path) -> str | None:
    if path is None:
        return None
    absolute = path.absolute()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError(f"{value!r} is not a name")
    return value


def _one_of(kind: Any, value: Any) -> Any:
    if value not in get_args(kind):
        raise ValueError(f"{value!r} is none of {', '.join(get_args(kind))}")
    return value


def read_sizes(path: Path) -> pl.DataFrame:
    """The original sizes that train_meta.csv holds: image_id, width (its dim1), height (its dim0), Int32.

    Raises AnnotationError, with the line, for anything that is not a size.
    """
    sizes: dict[str, tuple[int, int]] = {}
    with opened(path) as lines:
        records = Records(path, lines)
        header = [name.strip() for name in next(iter(records), (0, 0, []))[2]]
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
