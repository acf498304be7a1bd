"""Parquet with a seal: polars may end the whole process on a damaged file, so damage must be seen before it looks."""

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import polars as pl
from polars.io.plugins import register_io_source

from radloop import formats

_SEAL: Final = b"radloop md5 "
_MD5_BYTES: Final = 16
_ROW_GROUP: Final = 122_880  # rows; polars's own
_AT_ONCE: Final = 2**20  # bytes


def encode(table: pl.DataFrame, *, compression: Literal["zstd", "lz4"] = "zstd", number: int = 1) -> bytes:
    """`table` as a Parquet file of the format `number`, the same bytes for the same rows.

    An MD5 of the file stands before its footer, where every reader of Parquet passes over it.
    """
    buffer = io.BytesIO()
    # Chunks become row groups, and how many there are may depend on the number of threads.
    table.rechunk().write_parquet(
        buffer, compression=compression, statistics=False, metadata={formats.METADATA: str(number)}
    )
    _seal(buffer)
    return buffer.getvalue()


def encode_parts(parts: Iterable[pl.DataFrame], rows: int, schema: pl.Schema, *, number: int = 1) -> bytes:
    """The bytes that `encode` gives for the whole table, of which no more than some rows are held at one time."""
    write_parts(buffer := io.BytesIO(), parts, rows, schema, number=number)
    return buffer.getvalue()


def write_parts(
    file: BinaryIO, parts: Iterable[pl.DataFrame], rows: int, schema: pl.Schema, *, number: int = 1
) -> None:
    """Write the bytes that `encode_parts` gives into an empty file that can be read, too."""

    def row_groups(*_: object) -> Iterator[pl.DataFrame]:
        waiting, coming = schema.to_frame(), iter(parts)
        for size in _row_groups(rows):
            several = [waiting]
            while sum(map(len, several)) < size:
                several.append(next(coming).match_to_schema(schema))
            waiting = pl.concat(several)
            yield waiting.head(size).rechunk()
            waiting = waiting.tail(-size)

    register_io_source(row_groups, schema=schema).sink_parquet(
        file, compression="zstd", statistics=False, metadata={formats.METADATA: str(number)}
    )
    _seal(file)


def _row_groups(rows: int) -> Iterator[int]:
    """How many rows each group has that polars makes of one table: as near to its 122,880 as even groups come."""
    few = max(1, rows // _ROW_GROUP)
    number = min(few, few + 1, key=lambda number: abs(rows / number - _ROW_GROUP))
    yield from (rows // number + (place < rows % number) for place in range(number))


def decode(data: bytes, *, name: str = "a table", up_to: int = 1) -> pl.DataFrame | None:
    """The table in the bytes that `encode` made; None for any other bytes.

    Raises NewerFormatError for a format above `up_to`; `name` is what it calls the file.
    """
    if not _is_sealed(io.BytesIO(data)):
        return None
    try:
        number = int(pl.read_parquet_metadata(io.BytesIO(data)).get(formats.METADATA, "1"))
        formats.require(number, name=name, up_to=up_to)
        return pl.read_parquet(io.BytesIO(data), use_pyarrow=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        return None  # a seal that somebody else made


def scan(path: Path, schema: pl.Schema) -> pl.LazyFrame | None:
    """The table of a schema in a file that `encode` made, of which only what is asked for is read; else None.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        if not _is_sealed(file):
            return None
    try:
        table = pl.scan_parquet(path)
        return table if table.collect_schema() == schema else None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
        return None


def _seal(file: BinaryIO) -> None:
    place = _footer(file)
    computed = _md5(file, place)
    footer = file.read()
    computed.update(footer)
    file.seek(place)
    file.write(_SEAL + computed.digest() + footer)


def _is_sealed(file: BinaryIO) -> bool:
    place = _footer(file)
    left = place - _MD5_BYTES - len(_SEAL)
    if left < 0:
        return False
    file.seek(left)
    seal, told, footer = file.read(len(_SEAL)), file.read(_MD5_BYTES), file.read()
    if seal != _SEAL:
        return False
    computed = _md5(file, left)
    computed.update(footer)
    return computed.digest() == told


def _md5(file: BinaryIO, size: int) -> "hashlib._Hash":
    """Of the first bytes of a file, read a little at a time."""
    computed = hashlib.md5()
    file.seek(0)
    while size and (data := file.read(min(size, _AT_ONCE))):
        computed.update(data)
        size -= len(data)
    return computed


def _footer(file: BinaryIO) -> int:
    """Where the footer begins: it ends with its own length and `PAR1`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    return max(0, size - 8 - int.from_bytes(file.read(4), "little"))
