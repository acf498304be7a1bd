"""A reading that lost a row gives no label: what was refused may have been a finding, and would be background."""

from typing import Final

import polars as pl

_READING: Final = ["image_id", "reader"]
_HARMLESS: Final = (
    "row-repeats",
    "class-dropped",
    "normal-contradicted",
)  # what was refused held no finding of its own
_SLIPPED: Final = "cells-miscounted"  # the reader's cell may hold anything


def void(table: pl.DataFrame, broken: pl.DataFrame | None = None) -> pl.DataFrame:
    """The table with all rows refused of each reading that lost one.

    table: image_id, reader, identified, code (null for a sound row), reason. broken: REJECTED, rows that are none.
    Where only the image of a refused row is known, all of its readings are void.
    """
    refused = table.filter(~pl.col("code").is_in(_HARMLESS))
    readings, images = refused.filter("identified").select(_READING), refused.filter(~pl.col("identified"))
    of_images = [images.select("image_id")]
    if broken is not None:
        slipped = pl.col("code") == _SLIPPED
        of_images.append(broken.filter(slipped).select("image_id"))
        known = broken.filter(~slipped).select("image_id", reader=pl.col("rad_id").str.strip_chars())
        readings = pl.concat([readings, known])
    void = pl.concat(of_images).drop_nulls().unique().with_columns(image_void=True)
    table = table.join(void, on="image_id", how="left", maintain_order="left")
    void = readings.drop_nulls().unique().with_columns(reading_void=True)
    table = table.join(void, on=_READING, how="left", maintain_order="left")
    gone = pl.col("code").is_null() & pl.coalesce("image_void", "reading_void").fill_null(value=False)
    return table.with_columns(
        code=pl.when(gone).then(pl.lit("reading-void")).otherwise("code"),
        reason=pl.when(gone).then(pl.lit("another row of the reading was refused")).otherwise("reason"),
    )
