"""Automation bias: how often does a reader's final read follow the model where the blind read said something else?

Counted are questions: one for each class on each image that either the blind read or the model named, and the other did
not. A reader follows where the final read says of the class what the model said. Following a model that is right
mends a read; following one that is wrong spoils it, and that is the bias.
"""

from typing import Final

import numpy as np
import polars as pl

from radloop.measures import intervals

# figure -> (what is counted of it, out of what), each a column of 0 and 1 of every question
_SHARES: Final = {
    "follow": ("followed", "asked"),
    "follow_right": ("right_followed", "right"),
    "follow_wrong": ("wrong_followed", "wrong"),
    "mistaken": ("wrong_followed", "judged_followed"),
}
_COUNTED: Final = ("asked", "followed", "right", "right_followed", "wrong", "wrong_followed")


def following(
    reads: pl.DataFrame,
    blind: pl.DataFrame,
    shown: pl.DataFrame,
    final: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
) -> pl.DataFrame:
    """How often each reader follows, and all together (reviewer null; persons and simulated readers apart).

    reads (file, reviewer, image_id, simulated): the reads in which the model's boxes were shown after a blind look.
    blind, shown, final (file, class_id): a row for each box of the three. truth (image_id, class_id): the boxes of the
    images that are `known` in `images` (image_id, group, known); of others nobody knows whether the model was right.

    One row a reader that has a read: reviewer, simulated, reads, groups; asked (questions), followed; right,
    right_followed, wrong, wrong_followed (where the model is right or wrong by the truth); and the shares follow
    (followed / asked), follow_right, follow_wrong, mistaken (wrong_followed / followed where the truth is known), each
    with its 95 % interval for which groups are the units; null where there is nothing to count or too little.
    """
    owners = _owners(reads)
    grouped = reads.join(images, on="image_id", how="left").with_columns(
        pl.col("known").fill_null(value=False),
        group=pl.coalesce("group", "image_id").rank("dense").cast(pl.Int64) - 1,
    )
    asked = _questions(grouped, blind, shown, final, truth)
    mine = pl.concat([asked, asked.with_columns(reviewer=pl.lit(None, pl.String))]).join(
        owners, on=["reviewer", "simulated"], nulls_equal=True
    )
    key, group = mine["key"].to_numpy(), mine["group"].to_numpy()
    sums = {
        name: intervals.per_group(key, group, mine[name].to_numpy(), owners.height, grouped["group"].n_unique())
        for name in {*_COUNTED, "judged_followed"}
    }
    shares = [intervals.of_share(name, sums[above], sums[below]) for name, (above, below) in _SHARES.items()]
    counted = {name: pl.Series(sums[name].sum(axis=1).astype(np.int64)) for name in _COUNTED}
    both = pl.concat([grouped, grouped.with_columns(reviewer=pl.lit(None, pl.String))])
    seen = both.group_by("reviewer", "simulated").agg(reads=pl.len(), groups=pl.col("group").n_unique())
    return (
        owners.join(seen, on=["reviewer", "simulated"], nulls_equal=True, maintain_order="left")
        .drop("key")
        .with_columns(**counted, **{name: column for each in shares for name, column in each.items()})
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )


def _owners(reads: pl.DataFrame) -> pl.DataFrame:
    """reviewer, simulated, key: whose figures there are; all together first."""
    readers = reads.select("reviewer", "simulated").unique()
    pooled = readers.select(pl.lit(None, pl.String).alias("reviewer"), "simulated").unique()
    ordered = pl.concat([pooled, readers]).sort("simulated", "reviewer", nulls_last=False)
    return ordered.with_columns(key=pl.int_range(pl.len(), dtype=pl.Int64))


def _questions(
    reads: pl.DataFrame, blind: pl.DataFrame, shown: pl.DataFrame, final: pl.DataFrame, truth: pl.DataFrame
) -> pl.DataFrame:
    """One row for each class of a read on which the blind read and the model differ, counted as 0 and 1."""
    on = ["file", "class_id"]
    said = [
        table.select(on).unique().with_columns(pl.lit(value=True).alias(name))
        for name, table in (("blind", blind), ("shown", shown), ("final", final))
    ]
    true = truth.select("image_id", "class_id").unique().with_columns(true=pl.lit(value=True))
    questions = (
        said[0]
        .join(said[1], on=on, how="full", coalesce=True)
        .join(said[2], on=on, how="left")
        .join(reads, on="file")
        .join(true, on=["image_id", "class_id"], how="left")
        .with_columns(pl.col("blind", "shown", "final", "true").fill_null(value=False))
        .filter(pl.col("blind") != pl.col("shown"))
    )
    followed, right = pl.col("final") == pl.col("shown"), pl.col("shown") == pl.col("true")
    return questions.select(
        "reviewer",
        "simulated",
        "group",
        asked=pl.lit(1),
        followed=followed.cast(pl.Int8),
        right=(pl.col("known") & right).cast(pl.Int8),
        right_followed=(pl.col("known") & right & followed).cast(pl.Int8),
        wrong=(pl.col("known") & ~right).cast(pl.Int8),
        wrong_followed=(pl.col("known") & ~right & followed).cast(pl.Int8),
        judged_followed=(pl.col("known") & followed).cast(pl.Int8),
    )
