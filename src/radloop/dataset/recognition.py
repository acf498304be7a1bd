"""Pictures that were held out before, recognized under any name: by MD5, by pixels, then by likeness.

Where a version still has the held-out picture itself, its near-duplicates are found with all others
(`similarity.near_duplicates`); here are those of the pictures that it has no more, and all that is new in it.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import similarity
from radloop.tables import ASSIGNMENT, GROUPS

# image_id: of a picture of the new version; remembered, split: of the held-out one that it is; by: how that was seen.
RECOGNIZED: Final = pl.Schema({"image_id": pl.String, "remembered": pl.String, "split": pl.String, "by": pl.String})

Thumbnails = Callable[[pl.Series], npt.NDArray[np.uint8]]  # image ids -> n×32×32 gray values


def recognize(
    pictures: pl.DataFrame, memory: pl.DataFrame, thumbnails: Thumbnails, known: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Which of the PICTURES show an image that the memory (HELDOUT) has under another name, or had: RECOGNIZED.

    known: image_id and md5 of the version before: what is in it was compared when it came. One row for each image and
    held-out image, with the surest way of seeing it. Pictures with a problem are nobody's.
    """
    sound = pictures.filter(pl.col("problem").is_null()).sort("image_id")
    if memory.is_empty() or sound.is_empty():
        return RECOGNIZED.to_frame()
    new = sound if known is None else sound.join(known, on=["image_id", "md5"], how="anti")
    there = memory.join(sound, on=["image_id", "md5"], how="semi")
    gone = memory.join(there, on=["image_id", "md5"], how="anti")
    found = [
        *_equal(sound, memory),
        _alike(sound, gone, thumbnails),
        _alike(new, there, thumbnails),
        _hashed(new, gone),
    ]
    return (
        pl.concat(found)
        .filter(pl.col("image_id") != pl.col("remembered"))
        .unique(["image_id", "remembered"], keep="first", maintain_order=True)
        .sort("image_id", "remembered")
    )


def links(recognized: pl.DataFrame) -> pl.DataFrame:
    """GROUPS that join what was recognized with the image that it is."""
    both = pl.concat([recognized["image_id"], recognized["remembered"]])
    names = pl.concat([recognized["remembered"], recognized["remembered"]])
    return pl.DataFrame({"image_id": both, "group": names}, schema=GROUPS).unique().sort("image_id", "group")


def settled(memory: pl.DataFrame) -> pl.DataFrame:
    """ASSIGNMENT of all that is remembered: no later version assigns it otherwise."""
    return memory.select(ASSIGNMENT.names()).unique().sort(ASSIGNMENT.names())


def _equal(sound: pl.DataFrame, memory: pl.DataFrame) -> list[pl.DataFrame]:
    return [
        sound.select("image_id", column)
        .join(memory.select(column, "split", remembered="image_id").drop_nulls(), on=column)
        .select("image_id", "remembered", "split", by=pl.lit(by))
        for column, by in (("md5", "file"), ("pixels_md5", "pixels"))
    ]


def _alike(pictures: pl.DataFrame, memory: pl.DataFrame, thumbnails: Thumbnails) -> pl.DataFrame:
    """By the thumbnails: THE place that compares a picture with one that is remembered."""
    seen = memory.filter(pl.col("thumbnail").is_not_null())
    if pictures.is_empty() or seen.is_empty():
        return RECOGNIZED.to_frame()
    ids = pictures["image_id"].to_list()
    pairs = similarity.find(similarity.unpacked(seen["thumbnail"]), thumbnails(pictures["image_id"]))
    names = seen.select("image_id", "split").rows()
    rows = [(ids[picture], *names[other], "likeness") for other, picture in pairs]
    return pl.DataFrame(rows, schema=RECOGNIZED, orient="row")


def _hashed(new: pl.DataFrame, memory: pl.DataFrame) -> pl.DataFrame:
    """By the hash alone, where an older version remembers no more: only what is new, and only the nearest."""
    unseen = memory.filter(pl.col("thumbnail").is_null(), pl.col("phash").is_not_null())
    split = dict(unseen.select("image_id", "split").iter_rows())
    rows = []
    for image_id, phash in new.select("image_id", "phash").iter_rows() if unseen.height else ():
        nearest = similarity.matches(phash, unseen)
        if nearest.height:
            remembered = nearest["image_id"][0]
            rows.append((image_id, remembered, split[remembered], "hash"))
    return pl.DataFrame(rows, schema=RECOGNIZED, orient="row")
