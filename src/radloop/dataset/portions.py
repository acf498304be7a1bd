"""Some thousand images at a time: what a step makes of them is small beside the tables of all."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import polars as pl

IMAGES_AT_ONCE: Final = 16_384


class Portions:
    """The rows of a table, in any order, by their image_id in order; no image is in two portions."""

    def __init__(self, rows: pl.DataFrame, *, by: Sequence[str] = ()):
        """`by`: what the rows of an image are sorted by; nothing is copied but where each stands."""
        ids = rows["image_id"]
        self._rows, self._order = rows, None if ids.is_sorted() and not by else ids.arg_sort()
        self._ends = [0, *firsts(ids if self._order is None else ids.gather(self._order)), rows.height]
        if self._order is not None and by:
            places = [self._order.slice(start, end - start) for start, end in pairwise(self._ends)]
            sorted_ = [rows[place].select(pl.arg_sort_by("image_id", *by)).to_series() for place in places]
            self._order = pl.concat(place.gather(new) for place, new in zip(places, sorted_, strict=True))

    def __len__(self) -> int:
        """How many there are: one at least."""
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """From the first image again, each time."""
        for start, end in pairwise(self._ends):
            if self._order is None:
                yield self._rows.slice(start, end - start)
            else:
                yield self._rows[self._order.slice(start, end - start)]


def firsts(image_ids: pl.Series) -> list[int]:
    """Where in sorted image_ids each portion but the first begins."""
    images = image_ids.ne_missing(image_ids.shift()).arg_true()
    return images.gather_every(IMAGES_AT_ONCE, IMAGES_AT_ONCE).to_list()


def by_image(table: pl.DataFrame) -> pl.DataFrame:
    """The table sorted by its image_id, and no copy where it is."""
    return table if table["image_id"].is_sorted() else table.sort("image_id")


def of_images(table: pl.DataFrame, image_ids: pl.Series) -> pl.DataFrame:
    """Of a table sorted by its image_id the rows from the first to the last of sorted ids."""
    known, ids = table["image_id"], image_ids.drop_nulls()
    start, end = known.search_sorted(ids.head(1), side="left"), known.search_sorted(ids.tail(1), side="right")
    return table.slice(start[0], end[0] - start[0]) if len(ids) else table.clear()


def height(table: pl.LazyFrame) -> int:
    """How many rows it has."""
    return int(table.select(pl.len()).collect().item())


def slices(table: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
    """Its rows, at most so many at a time, each slice made when it is asked for."""
    for start in range(0, height(table), size):
        yield table.slice(start, size).collect()
