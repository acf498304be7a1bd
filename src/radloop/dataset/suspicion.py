"""Boxes that no reader drew: one and the same on many images, or of a pixel or two."""

from typing import Final

import polars as pl

from radloop import values
from radloop.dataset.findings import Validated
from radloop.errors import AnnotationError

_SHARE: Final = 0.01  # of all boxes
_FEWEST: Final = 5  # images with one box, or tiny boxes: fewer may be chance in a small table
_TINY_PX: Final = 2
_SMALL_PICTURE_PX: Final = 256  # below, a finding may be of two pixels
_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")


def refuse(valid: Validated, *, name: str) -> None:
    """Raise AnnotationError where over 1 % of the boxes are one and the same on different images, or of at most 2 px.

    Within one image boxes coincide rightly: of several classes, or of several readers.
    """
    written = valid.origins.select(values.text(side) for side in _SIDES)
    boxes = pl.concat([valid.findings, written], how="horizontal").filter(pl.col("class_id").is_not_null())
    many = max(_FEWEST - 1, _SHARE * boxes.height)
    same = boxes.group_by(_SIDES).agg(pl.len().alias("boxes"), images=pl.col("image_id").n_unique())
    same = same.filter(pl.col("images") >= _FEWEST, pl.col("boxes") > many).sort("boxes", *_SIDES).tail(1)
    for x_min, y_min, x_max, y_max, count, images in same.iter_rows():
        raise AnnotationError(
            f"{name}: {count:,} of {boxes.height:,} boxes are one and the same, {x_min}, {y_min}, {x_max}, {y_max}, on "
            f"{images:,} images: such a box stands for something else than a finding. Leave its rows out, or write No "
            "finding where it means that."
        )
    tiny = boxes.filter(_tiny("x", "width") | _tiny("y", "height"))
    if tiny.height > many:
        first = tiny.sort("image_id", *_SIDES).row(0, named=True)
        shown = ", ".join(first[side] for side in _SIDES)
        raise AnnotationError(
            f"{name}: {tiny.height:,} of {boxes.height:,} boxes are at most {_TINY_PX} pixels wide or high, such as "
            f"{shown} of image {first['image_id']}: no finding is as small. Are these corners, and of this frame? "
            "(--boxes)"
        )


def _tiny(axis: str, side: str) -> pl.Expr:
    drawn_px = (pl.col(f"{axis}_max_norm") - pl.col(f"{axis}_min_norm")) * pl.col(side)
    return (drawn_px <= _TINY_PX) & (pl.col(side) >= _SMALL_PICTURE_PX)
