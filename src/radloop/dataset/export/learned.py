"""The re-training data as a part of an export: the rows that train, and the doubtful boxes beside them."""

from typing import Final

import polars as pl

from radloop.catalog.version import Version
from radloop.dataset import retrain
from radloop.dataset.export.contents import BOXES, IMAGES, Contents
from radloop.dataset.export.pictures import sizes
from radloop.errors import DatasetError
from radloop.progress import Progress, silent
from radloop.tables import EDGES
from radloop.words import RETRAIN

_NONE_THERE: Final = "no row to train on: nothing is to be exported of it. `radloop retrain` makes one"


def read(
    known: Version,
    rows: pl.DataFrame,
    *,
    license: str | None = None,  # noqa: A002  the field's word
    progress: Progress = silent,
) -> Contents:
    """The part RETRAIN, of RETRAINING `rows`; its ids come behind all of the dataset's.

    An image stands there once, with the boxes of whoever its rows are from. What does not train is left out, but where
    doubtful boxes alone are why: these are there with `ignore`. Raises DatasetError where a picture is missing.
    """
    taken = rows.filter(pl.col("trains") | pl.col("ignore").any().over("feedback_id"))
    if taken.is_empty():
        raise DatasetError(f"{known.root} has {_NONE_THERE}.")
    readers = taken.group_by("image_id").agg(readers=pl.col("rad_id").unique().sort())
    pictures = retrain.pictures(known)
    lacking = readers.join(pictures, on="image_id", how="anti")["image_id"].sort()
    if len(lacking):
        raise retrain.no_picture(known, lacking[0])
    images = (
        readers.join(pictures, on="image_id")
        .join(known.images.select("image_id", "group"), on="image_id", how="left")
        .sort("image_id")
        .with_columns(
            number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + known.own_images.height,
            split=pl.lit(RETRAIN),
            file=pl.col("image_id") + pl.col("key").str.extract(r"(\.[^./]*)$"),
        )
    )
    boxes = (
        taken.filter(pl.col("class_id").is_not_null())
        .sort("image_id", "rad_id", "class_id", *EDGES)
        .with_columns(
            number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + known.annotations.height,
            support=pl.lit(None, pl.Int32),
            weight=pl.when(~pl.col("ignore")).then(pl.col("weight").fill_null(1.0)),
        )
        .select(BOXES.names())
    )
    return Contents(
        root=known.root,
        version=known.whole_id,
        source=str(known.summary.get("source", "")),
        license=license,
        classes=known.taxonomy,
        labels={RETRAIN: "per-reader"},
        images=images.hstack(sizes(known.root, images, progress)).select(IMAGES.names()),
        boxes=boxes,
        annotations=known.annotations.clear(),
    )
