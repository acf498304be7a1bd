"""Parquet with a seal: polars may end the whole process on a damaged file, so damage must be seen before it looks."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import polars as pl
from polars.io.plugins import register_io_source

_SEAL: Final = b"radloop md5 "
_MD5_BYTES: Final = 16
_ROW_GROUP: Final = 122_880  # rows; polars's own


def encode(table: pl.DataFrame, *, compression: Literal["zstd", "lz4"] = "zstd") -> bytes:
    """`table` as a Parquet file, the same bytes for the same rows.

    An MD5 of the file stands before its footer, where every reader of Parquet passes over it.
    """
    buffer = io.BytesIO()
    # Chunks become row groups, and how many there are may depend on the number of threads.
    table.rechunk().write_parquet(buffer, compression=compression, statistics=False)
    return _sealed(buffer)


def encode_parts(parts: Iterable[pl.DataFrame], rows: int, schema: pl.Schema) -> bytes:
    """The bytes that `encode` gives for the whole table, of which no more than some rows are held at one time."""
    buffer = io.BytesIO()

    def row_groups(*_: object) -> Iterator[pl.DataFrame]:
        waiting, coming = schema.to_frame(), iter(parts)
        for size in _row_groups(rows):
            several = [waiting]
            while sum(map(len, several)) < size:
                several.append(next(coming).match_to_schema(schema))
            waiting = pl.concat(several)
            yield waiting.head(size).rechunk()
            waiting = waiting.tail(-size)

    register_io_source(row_groups, schema=schema).sink_parquet(buffer, compression="zstd", statistics=False)
    return _sealed(buffer)


def _row_groups(rows: int) -> Iterator[int]:
    """How many rows each group has that polars makes of one table: as near to its 122,880 as even groups come."""
    few = max(1, rows // _ROW_GROUP)
    number = min(few, few + 1, key=lambda number: abs(rows / number - _ROW_GROUP))
    yield from (rows // number + (place < rows % number) for place in range(number))


def _sealed(buffer: io.BytesIO) -> bytes:
    """The Parquet file in the buffer with its seal; the file is not copied."""
    with buffer.getbuffer() as parquet:
        place = _footer(parquet)
        seal, footer = _SEAL + hashlib.md5(parquet).digest(), bytes(parquet[place:])
    buffer.seek(place)
    buffer.write(seal + footer)
    return buffer.getvalue()


def decode(data: bytes) -> pl.DataFrame | None:
    """The table in the bytes that `encode` made; None for any other bytes."""
    place = _footer(data)
    seal = place - _MD5_BYTES - len(_SEAL)
    told = data[place - _MD5_BYTES : place]
    if seal < 0 or not data.startswith(_SEAL, seal):
        return None
    computed = hashlib.md5(memoryview(data)[:seal])
    computed.update(memoryview(data)[place:])
    if computed.digest() != told:
        return None
    try:
        return pl.read_parquet(io.BytesIO(data), use_pyarrow=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        return None  # a seal that somebody else made


def _footer(parquet: bytes | memoryview) -> int:
    """Where the footer begins: it ends with its own length and `PAR1`."""
    return max(0, len(parquet) - 8 - int.from_bytes(parquet[-8:-4], "little"))
