"""The truth of an image, asked of one function everywhere: what at least two of its readers drew, or its only one."""

from typing import Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.errors import AnnotationError
from radloop.tables import CONSENSUS, EDGES, TRUTH

AGREEING: int = 2  # readers who must have drawn a box of the truth, where so many have read the image
_MOST_DRAWN: Final = 10_000  # boxes of a class on one image, as fusing takes quadratic time; VinBigData has 57 at most


def of(readings: pl.DataFrame) -> pl.DataFrame:
    """TRUTH of the images in `readings` (image_id, rad_id, class_id and EDGES; class_id null: nothing found).

    An image without a row in it is normal.
    """
    return fuse(readings, min_readers=AGREEING).filter("kept").select(TRUTH.names())


def fuse(readings: pl.DataFrame, *, min_readers: int) -> pl.DataFrame:
    """CONSENSUS: the boxes that the readers of each image fuse into, class by class (`boxes.fuse`).

    A box is kept where at least `min_readers` drew it, or all where an image has fewer readers. Of an image with a
    final reading (rows with `final` true, where there is that column) the boxes that such a reading has are kept.
    Raises AnnotationError where an image has more boxes of a class than anybody draws.
    """
    drawn = readings.filter(pl.col("class_id").is_not_null()).sort("image_id", "class_id")
    piles = drawn.group_by("image_id", "class_id", maintain_order=True).agg(size=pl.len())
    for image_id, class_id, size in piles.filter(pl.col("size") > _MOST_DRAWN).head(1).iter_rows():
        raise AnnotationError(
            f"image {image_id}: {size:,} boxes of class {class_id}, and a truth is made of {_MOST_DRAWN:,} at most. "
            "Take the image out of the annotations."
        )
    corners, rad_ids = drawn.select(EDGES).to_numpy(), drawn["rad_id"].to_list()
    ends = piles["size"].cum_sum().to_list()
    fused = [boxes.fuse(corners[start:end], rad_ids[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    flat = [one for pile in fused for one in pile]
    edges = np.array([one.xyxy for one in flat]).reshape(-1, 4)
    support = np.array([one.support for one in flat], dtype=np.int32)
    names = pl.DataFrame(
        {
            "box": np.repeat(np.arange(len(flat)), support),
            "rad_id": pl.Series([rad_id for one in flat for rad_id in one.readers], dtype=pl.String),
        }
    )
    final = pl.col("final").fill_null(False) if "final" in readings.columns else pl.lit(value=False)
    readers = readings.group_by("image_id").agg(
        readers=pl.col("rad_id").n_unique().cast(pl.Int32), deciding=pl.col("rad_id").filter(final).unique()
    )
    return (
        piles[np.repeat(np.arange(piles.height), [len(pile) for pile in fused])]
        .with_columns(pl.Series(edge, edges[:, i]) for i, edge in enumerate(EDGES))
        .with_columns(
            support=pl.Series(support),
            rad_ids=names.group_by("box", maintain_order=True).agg("rad_id")["rad_id"],
            spread=pl.Series([one.spread for one in flat], dtype=pl.Float64),
        )
        .join(readers, on="image_id")
        .with_columns(
            kept=pl.when(pl.col("deciding").list.len() > 0)
            .then(pl.col("deciding").list.set_intersection("rad_ids").list.len() > 0)
            .otherwise(pl.col("support") >= pl.min_horizontal(pl.lit(min_readers), "readers"))
        )
        .select(CONSENSUS.names())
        .sort("image_id", "class_id", *EDGES)
    )
