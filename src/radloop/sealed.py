"""Parquet with a seal: polars may end the whole process on a damaged file, so damage must be seen before it looks."""

import hashlib
import io
from typing import Final, Literal

import polars as pl

_SEAL: Final = b"radloop md5 "
_MD5_BYTES: Final = 16


def encode(table: pl.DataFrame, *, compression: Literal["zstd", "lz4"] = "zstd") -> bytes:
    """`table` as a Parquet file, the same bytes for the same rows.

    An MD5 of the file stands before its footer, where every reader of Parquet passes over it.
    """
    buffer = io.BytesIO()
    # Chunks become row groups, and how many there are may depend on the number of threads.
    table.rechunk().write_parquet(buffer, compression=compression, statistics=False)
    parquet = buffer.getvalue()
    place = _footer(parquet)
    return b"".join([parquet[:place], _SEAL, hashlib.md5(parquet).digest(), parquet[place:]])


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


def _footer(parquet: bytes) -> int:
    """Where the footer begins: it ends with its own length and `PAR1`."""
    return max(0, len(parquet) - 8 - int.from_bytes(parquet[-8:-4], "little"))
