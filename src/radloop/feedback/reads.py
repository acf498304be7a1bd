"""Reads: what one person has read, how long it took, how far others agree, and whether the model was followed.

A read is a review seen as a piece of work. Of several that one reader wrote on one feedback the newest counts as what
is said; for what tells of the reader (agreement, bias) the first does, for it alone was made without knowing better.
"""

import polars as pl

from radloop.catalog import truth
from radloop.feedback import weighing
from radloop.feedback.reviews import Reviews
from radloop.measures import bias, intervals
from radloop.tables import READER


def of(reviewed: Reviews, reader: str) -> pl.DataFrame:
    """What the reader says of each feedback, the newest first.

    review_id, feedback_id, image_id, timestamp, verdict, boxes, comment, adjudicates, simulated, seconds_blind,
    seconds_total; amended (how many reviews of the same feedback it takes the place of); disputed (another says
    otherwise, and nobody has adjudicated).
    """
    own = reviewed.reviews.filter(reviewer=reader).sort("timestamp", "review_id", "file")
    drawn = reviewed.findings.group_by("file").agg(boxes=pl.len().cast(pl.Int64))
    disputed = weighing.standing(reviewed).filter("disputed")["feedback_id"]
    return (
        own.with_columns(amended=pl.len().over("feedback_id").cast(pl.Int64) - 1)
        .unique("feedback_id", keep="last", maintain_order=True)
        .join(drawn, on="file", how="left", maintain_order="left")
        .select(
            "review_id",
            "feedback_id",
            "image_id",
            "timestamp",
            "verdict",
            pl.col("boxes").fill_null(0),
            "comment",
            "adjudicates",
            "simulated",
            "seconds_blind",
            "seconds_total",
            "amended",
            disputed=pl.col("feedback_id").is_in(disputed.implode()),
        )
        .reverse()
    )


def first(reviewed: Reviews) -> pl.DataFrame:
    """REVIEWS of the first look of each reader at each feedback, without final reads, whose readers see the others'.

    Where a review of the same reader and feedback cannot be read, nobody knows which was the first.
    """
    whose = ["feedback_id", "reviewer"]
    ordered = reviewed.reviews.sort("timestamp", "review_id", "file").unique(whose, keep="first", maintain_order=True)
    return ordered.filter(~pl.col("adjudicates")).join(_unreadable(reviewed), on=whose, how="anti")


def _unreadable(reviewed: Reviews) -> pl.DataFrame:
    """feedback_id and reviewer of the files that were refused, by their names."""
    parts = reviewed.refused["file"].str.split("/").list.last().str.splitn(".", 3).struct
    return pl.DataFrame({"feedback_id": parts.field("field_0"), "reviewer": parts.field("field_1")})


def following(reviewed: Reviews, readings: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """How often readers follow the model (`measures.bias`): of first looks that were blind, then shown the boxes.

    A picture that its reader rejected tells nothing. The truth is what the source's readers drew (`catalog.truth` of
    `readings`, `Version.readings`), never a review; images: image_id, group.
    """
    looked = first(reviewed).filter(
        "revealed",
        pl.col("blind_boxes").is_not_null(),
        pl.col("shown_boxes").is_not_null(),
        pl.col("verdict") != "reject",
    )
    own = readings.filter(source=READER) if "source" in readings.columns else readings
    read = own.join(looked, on="image_id", how="semi")
    groups = (
        looked.select("image_id").unique().join(images.select("image_id", "group").unique("image_id"), on="image_id")
    )
    known = groups.with_columns(known=pl.col("image_id").is_in(read["image_id"].implode()))
    return bias.following(looked, reviewed.blind, reviewed.shown, reviewed.findings, truth.of(read), known)


def agreement(reviewed: Reviews, reader: str, images: pl.DataFrame) -> pl.DataFrame:
    """How far the reader and each other one agree on what both have read, and all others together (other null, first).

    By first looks, persons' with persons' and simulated readers' with simulated readers'. other, feedback, groups;
    same: the share on which both mean the same (`weighing.mean_the_same`);
    positive: of the times that either named a class, how often both did (2 both / (2 both + one alone)). Both with 95 %
    intervals for which the groups of `images` (image_id, group) are the units; null where there is nothing to count or
    too little.
    """
    looks = first(reviewed)
    mine, theirs = (
        looks.filter(ours).select("feedback_id", "simulated", "image_id", "reviewer", "file", "verdict")
        for ours in (pl.col("reviewer") == reader, pl.col("reviewer") != reader)
    )
    both = ["feedback_id", "simulated"]
    pairs = mine.join(theirs, on=both, suffix="_other").sort("reviewer_other", "feedback_id")
    pairs = pairs.join(images.select("image_id", "group").unique("image_id"), on="image_id", how="left").with_columns(
        group=pl.coalesce("group", "image_id").rank("dense").cast(pl.Int64) - 1
    )
    compared = pairs.with_columns(**_compared(pairs, reviewed.findings))
    rows = pl.concat([compared, compared.with_columns(reviewer_other=pl.lit(None, pl.String))])
    others = rows.select(other="reviewer_other").unique().sort("other", nulls_last=False)
    others = others.with_columns(key=pl.int_range(pl.len(), dtype=pl.Int64))
    rows = rows.join(others, left_on="reviewer_other", right_on="other", nulls_equal=True)
    key, group, groups = rows["key"].to_numpy(), rows["group"].to_numpy(), compared["group"].n_unique()
    sums = {
        name: intervals.per_group(key, group, rows[name].to_numpy(), others.height, groups)
        for name in ("same", "read", "both", "named")
    }
    counted = rows.group_by("key").agg(feedback=pl.len().cast(pl.Int64), groups=pl.col("group").n_unique())
    return (
        others.join(counted, on="key", maintain_order="left")
        .drop("key")
        .with_columns(
            **intervals.of_share("same", sums["same"], sums["read"]),
            **intervals.of_share("positive", sums["both"], sums["named"]),
        )
        .with_columns(pl.col(pl.Float64).fill_nan(None))
    )


def _compared(pairs: pl.DataFrame, findings: pl.DataFrame) -> dict[str, pl.Series]:
    """same, read (1), both, named of each pair of reads: classes that both named twice, that either did."""
    classes = findings.select("file", "class_id").unique()
    asked = pairs.select("file", "file_other").with_row_index("pair")
    mine, theirs = (
        asked.select("pair", file=side).join(classes, on="file").drop("file") for side in ("file", "file_other")
    )
    named = pl.concat([mine, theirs]).group_by("pair").agg(named=pl.len())
    both = mine.join(theirs, on=["pair", "class_id"], how="semi").group_by("pair").agg(both=2 * pl.len())
    counted = asked.join(named, on="pair", how="left", maintain_order="left").join(
        both, on="pair", how="left", maintain_order="left"
    )
    told = counted.select("both", "named", read=pl.lit(1)).fill_null(0)
    return {"same": weighing.mean_the_same(pairs, findings)} | {column.name: column for column in told}
