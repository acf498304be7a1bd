"""The records of a CSV file, in whichever way it was written: separators, encodings, damage."""

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO, cast

import polars as pl

from radloop.errors import AnnotationError
from radloop.sources.bundle import Bundle

PACKED: Final = ".gz"
_MOST_UNPACKED: Final = 2**28  # bytes; a hundred times the table of VinBigData
_CHUNK_ROWS: Final = 50_000
_LONGEST_LINE: Final = 2**20  # characters; a packed file of a kilobyte can hold one of a megabyte
_LONGEST_ROW_LINES: Final = 100  # a quote that stays open longer was never meant to be one
_SEPARATORS: Final = ",;\t"  # the first of them that the header has


def opened(path: Path) -> TextIO:
    """The file as text: UTF-16 where it is that, else UTF-8 with bytes that are not kept as lone surrogates."""
    try:
        form = _form(_start(path))
        return cast(TextIO, gzip.open(path, "rt", **form)) if path.suffix == ".gz" else path.open(**form)
    except OSError as refused:
        raise AnnotationError(f"{path} cannot be opened: {refused.strerror or refused}.") from refused


def text(data: bytes) -> TextIO:
    """The same of the bytes of a file."""
    return io.TextIOWrapper(io.BytesIO(data), **_form(data[:4]))


def text_in(bundle: Bundle, name: str) -> TextIO:
    """The same of a file in a bundle, unpacked where its name says that it is packed. Raises AnnotationError."""
    data = bundle.read(name)
    if not name.lower().endswith(PACKED):
        return text(data)
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            data = packed.read(_MOST_UNPACKED)
    except (OSError, EOFError, zlib.error) as damage:
        raise AnnotationError(f"{bundle.shown(name)} cannot be unpacked ({damage}). Get it again.") from damage
    if len(data) == _MOST_UNPACKED:
        raise AnnotationError(f"{bundle.shown(name)} unpacks to over {_MOST_UNPACKED:,} bytes: it is no such table.")
    return text(data)


def _form(start: bytes) -> dict[str, Any]:
    utf_16 = _utf_16(start)
    return {
        "encoding": utf_16 or "utf-8-sig",
        "newline": "",
        "errors": "strict" if utf_16 else "surrogateescape",
    }


def _start(path: Path) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        try:
            return file.read(4)
        except (OSError, EOFError, zlib.error):
            return b""  # reading it will say so


def _utf_16(start: bytes) -> str | None:
    """The codec of a file in UTF-16, with a byte-order mark or without; None for any other."""
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = "".join("0" if byte == 0 else "x" for byte in start)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros)


class Records:
    """The records of a CSV file that are not blank: number of their first line, of their last, cells."""

    def __init__(self, path: Path, lines: TextIO) -> None:
        self.damaged: set[int] = set()  # lines read so far that are not UTF-8
        self._records = self._read(path, lines)

    def __iter__(self) -> Iterator[tuple[int, int, list[str]]]:
        return self._records

    def _read(self, path: Path, lines: TextIO) -> Iterator[tuple[int, int, list[str]]]:
        last = 0
        try:
            watched = self._watch(lines)
            head = next(watched, "")
            separator = next((one for one in _SEPARATORS if one in head), ",")
            reader = csv.reader(chain([head] if head else [], watched), delimiter=separator)
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
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as broken:
            raise AnnotationError(f"{path} cannot be read to its end ({broken}). Get it again.") from broken

    def _watch(self, lines: TextIO) -> Iterator[str]:
        for number, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), ""), start=1):
            if len(line) == _LONGEST_LINE:
                raise csv.Error(f"it is longer than {_LONGEST_LINE} characters")
            if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
                self.damaged.add(number)
            yield line


def damage_of(cells: Sequence[str], positions: Iterable[int], undecodable: set[int]) -> tuple[str, str] | None:
    """Why a record with enough cells is no row, code and sentence; or None. undecodable: which of its lines."""
    if undecodable:
        return "not-utf-8", "the row is not UTF-8"
    if any("\n" in cells[at] or "\r" in cells[at] for at in positions):
        return "cell-of-several-lines", "a cell runs over several lines"
    return None


def clean(cell: str) -> str:
    """The cell with what is not UTF-8 replaced."""
    return cell.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Table:
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
