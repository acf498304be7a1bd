"""A large table is looked at some rows at a time, and an empty one once."""

import polars as pl
import pytest

from radloop import slices


@pytest.mark.parametrize(("rows", "heights"), [(0, [0]), (1, [1]), (3, [3]), (4, [3, 1]), (6, [3, 3])])
def test_slices_are_the_rows_in_their_order_and_one_at_least(rows, heights, monkeypatch):
    monkeypatch.setattr(slices, "AT_ONCE", 3)
    table = pl.DataFrame({"row": range(rows)}, schema={"row": pl.Int64})
    found = list(slices.of(table))
    assert [some.height for some in found] == heights
    assert pl.concat(found).equals(table)
