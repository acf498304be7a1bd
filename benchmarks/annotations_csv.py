"""The annotations table from a file in the form of train.csv, for the benchmarks."""

from pathlib import Path

import numpy as np
import polars as pl

from radloop.tables import CLASS_ID, SPLITS
from radloop.vindr.classes import TAXONOMY

SHARES = dict(zip(SPLITS, (11_500, 750, 750, 1_000, 500, 500), strict=True))


def read(path: Path, *, seed: int = 0) -> pl.DataFrame:
    """The columns of ANNOTATIONS that the measures need; splits at random in the usual shares.

    The file tells no sizes: each picture is taken to be 2000 × 2400 pixels, or as large as its outermost box.
    """
    table = pl.read_csv(path, schema_overrides=dict.fromkeys(("x_min", "y_min", "x_max", "y_max"), pl.Float64))
    table = table.with_columns(
        pl.max_horizontal(pl.col("x_max").max().over("image_id"), pl.lit(2000)).cast(pl.Int32).alias("width"),
        pl.max_horizontal(pl.col("y_max").max().over("image_id"), pl.lit(2400)).cast(pl.Int32).alias("height"),
    )
    corners = [
        (pl.col(f"{axis}_{end}") / pl.col(side)).alias(f"{axis}_{end}_norm")
        for end in ("min", "max")
        for axis, side in (("x", "width"), ("y", "height"))
    ]
    number = pl.col("class_id").cast(CLASS_ID)
    rows = table.select(
        "image_id", "rad_id", TAXONOMY.from_file(number).alias("class_id"), *corners, "width", "height",
        class_name=TAXONOMY.named(number),
    )  # fmt: skip
    return rows.join(_splits(rows["image_id"].unique().sort(), seed), on="image_id", maintain_order="left")


def _splits(images: pl.Series, seed: int) -> pl.DataFrame:
    ends = np.cumsum(list(SHARES.values())) * len(images) // sum(SHARES.values())
    split = np.searchsorted(ends, np.arange(len(images)), side="right")
    return pl.DataFrame({"image_id": images.shuffle(seed=seed), "split": [SPLITS[place] for place in split]})
