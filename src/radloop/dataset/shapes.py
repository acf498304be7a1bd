"""Whether the pictures have the shape that the sizes say: one that lies on its side has all its boxes elsewhere."""

from typing import Final

import polars as pl

from radloop.errors import AnnotationError

_ROUNDED_PX: Final = 1.5  # of a side that was scaled, and a little more
_LEAST: Final = 0.01  # of the proportion
_EXAMPLES: Final = 3


def of(table: pl.DataFrame) -> pl.DataFrame:
    """Of each image whose shape can tell anything: what `require` asks for. Squares cannot: pictures are stretched.

    table: image_id, the original's width_px and height_px, picture_width and picture_height, null where not known.
    """
    return (
        table.select("image_id", "width_px", "height_px", "picture_width", "picture_height")
        .drop_nulls()
        .unique("image_id")
        .filter(~_square("width_px", "height_px"), ~_square("picture_width", "picture_height"))
    )


def require(known: pl.DataFrame, name: str) -> None:
    """Raise AnnotationError, with some image ids, where pictures have another shape than the sizes say (`of`)."""
    wrong = known.filter(_ratio("width_px", "height_px") > _tolerance()).sort("image_id")
    if wrong.is_empty():
        return
    turned = wrong.filter(_ratio("height_px", "width_px") <= _tolerance())
    named = (wrong if turned.is_empty() else turned).with_columns(
        pl.format("{} is {}×{}, not {}×{}", "image_id", "picture_width", "picture_height", "width_px", "height_px")
    )["image_id"]
    examples = ", ".join(named.head(_EXAMPLES)) + (
        f" and {len(named) - _EXAMPLES} more" if len(named) > _EXAMPLES else ""
    )
    if turned.is_empty():
        raise AnnotationError(
            f"{name}: {len(wrong)} of {len(known)} pictures have another shape than their sizes say ({examples}). "
            "They were cropped or stretched after the boxes were drawn, or are others: use those that the boxes are of."
        )
    raise AnnotationError(
        f"{name}: {len(turned)} of {len(known)} pictures lie on their side, or their width and height are swapped in "
        f"the sizes ({examples}; in train_meta.csv dim0 is the HEIGHT). Turn the pictures back, or swap the two."
    )


def _square(width: str, height: str) -> pl.Expr:
    return (pl.col(width) - pl.col(height)).abs() <= 1


def _ratio(width: str, height: str) -> pl.Expr:
    """How far the picture's proportion lies from that of the size, as a logarithm."""
    picture = pl.col("picture_width") / pl.col("picture_height")
    return (picture / (pl.col(width) / pl.col(height))).log().abs()


def _tolerance() -> pl.Expr:
    rounded = _ROUNDED_PX / pl.col("picture_width") + _ROUNDED_PX / pl.col("picture_height")
    return _LEAST + rounded + _ROUNDED_PX / pl.col("width_px") + _ROUNDED_PX / pl.col("height_px")
