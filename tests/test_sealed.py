"""The seal: a reader of Parquet does not see it, and no damage gets past it."""

import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radloop import sealed

TABLE = pl.DataFrame({"name": ["a", "b", None], "count": [1, None, 3]})
SEALED = sealed.encode(TABLE)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_table_comes_back_and_any_reader_of_parquet_reads_it(compression: str) -> None:
    data = sealed.encode(TABLE, compression=compression)
    assert sealed.decode(data).equals(TABLE)
    assert pl.read_parquet(io.BytesIO(data)).equals(TABLE)


def test_bytes_do_not_depend_on_how_the_table_was_put_together() -> None:
    assert sealed.encode(pl.concat([TABLE[:1], TABLE[1:]], rechunk=False)) == SEALED


@pytest.mark.parametrize("rows", [0, 1, 122_881, 150_000, 184_319, 300_000, 1_000_003])
def test_table_given_in_parts_has_the_bytes_that_it_has_as_a_whole(rows: int) -> None:
    table = pl.DataFrame({"number": pl.int_range(rows, eager=True, dtype=pl.Int32)})
    for cut in (1, 999, rows) if rows < 2 else (9_973, 200_000, rows):
        parts = table.iter_slices(cut) if rows else iter([table])
        assert sealed.encode_parts(parts, rows, table.schema) == sealed.encode(table)


@given(place=st.integers(0, len(SEALED) - 1), bits=st.integers(1, 255))
def test_changed_byte_is_seen_wherever_it_is(place: int, bits: int) -> None:
    assert sealed.decode(SEALED[:place] + bytes([SEALED[place] ^ bits]) + SEALED[place + 1 :]) is None


@given(length=st.integers(0, len(SEALED) - 1))
def test_cut_file_is_seen_wherever_it_was_cut(length: int) -> None:
    assert sealed.decode(SEALED[:length]) is None


@given(st.binary(max_size=300))
def test_other_bytes_are_no_table(data: bytes) -> None:
    assert sealed.decode(data) is None


def test_parquet_without_a_seal_is_not_trusted() -> None:
    buffer = io.BytesIO()
    TABLE.write_parquet(buffer)
    assert sealed.decode(buffer.getvalue()) is None
