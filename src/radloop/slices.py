"""Some rows of a large table at a time: to sort, group or join all of a million rows at once would copy them."""

from collections.abc import Iterator
from typing import Final

import polars as pl

AT_ONCE: Final = 250_000  # rows


def of(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The rows in their order, 250,000 at a time; of a table without any the table itself."""
    return table.iter_slices(AT_ONCE) if table.height else iter((table,))
