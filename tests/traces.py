"""Where something of an image may still be read: in names and bytes of files, in tables, in decoded pictures."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from radloop import formats, pixels, sealed
from radloop.errors import SourceError


@dataclass(frozen=True)
class Marks:
    """What may lead to an image."""

    texts: frozenset[str]  # ids, MD5s, hashes
    pixels: frozenset[str] = frozenset()  # fingerprints
    thumbnails: frozenset[bytes] = frozenset()


def of(root: Path, marks: Marks, *, without: Collection[Path] = ()) -> list[str]:
    """Every file below `root` that has one of the marks, and what it is."""
    return [
        f"{path.relative_to(root)}: {found}"
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(path.is_relative_to(one) for one in without)
        for found in _in_file(path, str(path.relative_to(root)), marks)
    ]


def _in_file(path: Path, name: str, marks: Marks) -> Iterator[str]:
    data = path.read_bytes()
    yield from (text for text in marks.texts if text in name or text.encode() in data)
    if path.suffix == ".parquet" and (table := sealed.decode(data, up_to=formats.MANIFEST.number)) is not None:
        yield from _in_table(table, marks)
    if path.suffix in (".png", ".jpg") and marks.pixels:
        try:
            if pixels.fingerprint(pixels.decode(data)) in marks.pixels:
                yield "its picture"
        except SourceError:
            pass


def _in_table(table: pl.DataFrame, marks: Marks) -> Iterator[str]:
    for name, kind in table.schema.items():
        if kind == pl.String:
            cells = set(table[name].drop_nulls())
            yield from (f"{name} {text}" for text in marks.texts if any(text in cell for cell in cells))
        elif kind == pl.Binary:
            cells = table[name].drop_nulls().to_list()
            if not marks.thumbnails.isdisjoint(cells):
                yield f"{name}: its thumbnail"
            yield from (text for text in marks.texts if any(text.encode() in cell for cell in cells))
            for inner in map(_sealed, cells):  # a file in a file
                yield from () if inner is None else _in_table(inner, marks)


def _sealed(data: bytes) -> pl.DataFrame | None:
    return sealed.decode(data, up_to=formats.MANIFEST.number) if data.startswith(b"PAR1") else None
