"""How two versions of a dataset differ: which images moved, came and went, and which labels were added, gone or moved.

A class is the same where its name is. Only the labels in use count (`used`); a label is one reader's.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop import boxes
from radloop.tables import EDGES
from radloop.taxonomy import NOTHING

ALLOWED: Final = ("production", "training")  # the one move that a later version of a lineage may make
SAME_BOX_IOU: Final = (
    0.4  # a box that overlaps one of the other version by so much has moved, else one went and one came
)
_READING: Final = ["image_id", "rad_id", "class_name"]

IMAGES: Final = pl.Schema({"image_id": pl.String(), "before": pl.String(), "after": pl.String()})
LABELS: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "rad_id": pl.String(),
        "class_name": pl.String(),
        "change": pl.String(),  # added, gone or moved
        "iou": pl.Float64(),  # of a box that moved, with what it was
    }
)


@dataclass(frozen=True)
class Changes:
    """What the second version has otherwise than the first."""

    images: tuple[int, int]  # how many each has
    both: int  # of them, in both
    moved: pl.DataFrame  # IMAGES: those whose split is another, and (null) those that one version alone has
    labels: pl.DataFrame  # LABELS, of the images that both have
    classes: pl.DataFrame  # class_name, split, images_before, images_after, boxes_before, boxes_after


def of(before: pl.DataFrame, after: pl.DataFrame) -> Changes:
    """Compare two ANNOTATIONS; of a table that does not tell which labels are in use all are."""
    splits = [table.select("image_id", "split").unique("image_id") for table in (before, after)]
    both = splits[0].join(splits[1], on="image_id", how="full", coalesce=True, suffix="_after")
    seen = both.rename({"split": "before", "split_after": "after"}).sort("image_id")
    common = seen.drop_nulls()
    used = [_used(table).join(common, on="image_id", how="semi") for table in (before, after)]
    return Changes(
        images=(splits[0].height, splits[1].height),
        both=common.height,
        moved=seen.filter(pl.col("before").ne_missing(pl.col("after"))).select(IMAGES.names()),
        labels=_labels(*used),
        classes=_classes(before, after),
    )


def _used(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter("used") if "used" in table.columns else table


def moves(moved: pl.DataFrame) -> pl.DataFrame:
    """before, after, images, allowed: how many images went which way; null: they are not in that version.

    allowed: whether a later version of the same lineage may do so; images that come or go always may.
    """
    counted = moved.group_by("before", "after").agg(images=pl.len().cast(pl.Int64))
    allowed = pl.any_horizontal(
        pl.col("before").is_null(),
        pl.col("after").is_null(),
        (pl.col("before") == ALLOWED[0]) & (pl.col("after") == ALLOWED[1]),
    )
    return counted.with_columns(allowed=allowed).sort("images", "before", "after", descending=[True, False, False])


def _labels(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """LABELS of the same images."""
    named = pl.col("class_name").fill_null(NOTHING)
    first, second = (
        table.select("image_id", "rad_id", named, *EDGES).sort(pl.all()).with_columns(
            twin=pl.int_range(pl.len()).over(*_READING, *EDGES)  # the same box twice is two boxes
        )
        for table in (before, after)
    )  # fmt: skip
    gone, new = (
        one.join(other, on=one.columns, how="anti", nulls_equal=True).with_row_index("box")
        for one, other in ((first, second), (second, first))
    )
    pairs = _nearest(gone, new)
    parts = [
        pairs.select(*_READING, pl.lit("moved").alias("change"), "iou"),
        *(
            rows.filter(~pl.col("box").is_in(pairs[side].implode())).select(
                *_READING, pl.lit(change).alias("change"), pl.lit(None, pl.Float64).alias("iou")
            )
            for rows, side, change in ((gone, "box", "gone"), (new, "box_new", "added"))
        ),
    ]
    return pl.concat(parts).sort(*_READING, "change", "iou")


def _nearest(gone: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Boxes of one reader and class that are near each other, the largest overlap first, each once."""
    both = gone.join(new, on=_READING, suffix="_new").drop_nulls(["x_min_norm", "x_min_norm_new"])
    overlap = boxes.iou_of_pairs(both.select(EDGES).to_numpy(), both.select(f"{edge}_new" for edge in EDGES).to_numpy())
    near = both.with_columns(iou=pl.Series(overlap, dtype=pl.Float64)).filter(pl.col("iou") >= SAME_BOX_IOU)
    near = near.sort("iou", "box", "box_new", descending=[True, False, False])
    return near[boxes.once_each(near.select("box", "box_new").iter_rows())]


def _classes(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    counted = [
        _used(table)
        .group_by(pl.col("class_name").fill_null(NOTHING), "split")
        .agg(
            pl.col("image_id").n_unique().cast(pl.Int64).alias(f"images_{name}"),
            pl.col("x_min_norm").count().cast(pl.Int64).alias(f"boxes_{name}"),
        )
        for table, name in ((before, "before"), (after, "after"))
    ]
    joined = counted[0].join(counted[1], on=["class_name", "split"], how="full", coalesce=True)
    named = [table.select("class_id", pl.col("class_name").fill_null(NOTHING)) for table in (after, before)]
    order = (
        pl.concat(named, how="vertical_relaxed")
        .unique("class_name", keep="first", maintain_order=True)
        .sort("class_id", nulls_last=True)
    )
    names = order.select("class_name").with_row_index("place")
    columns = ["images_before", "images_after", "boxes_before", "boxes_after"]
    return (
        joined.join(names, on="class_name")
        .sort("place", "split")
        .select("class_name", "split", pl.col(columns).fill_null(0))
    )
