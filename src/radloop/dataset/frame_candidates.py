"""In which frames boxes may be, with which errors, and what the boxes of an image tell of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.tables import SCALED_SIDE_PX

Frame = Literal["original", "picture", "scaled", "fraction", "percent"]
Candidate = Literal[Frame, "original swapped", "scaled swapped", "scaled twice", "y from below", "axes swapped"]

FRAMES: Final[tuple[Frame, ...]] = get_args(Frame)
PERCENT: Final = 100
SLACK_PX: Final = 1.0  # a box may reach this far over the picture's edge
SLACK_OF_UNITS: Final = 0.001  # the same for fractions and percent, as a share of the side
MISFIT_SHARE: Final = 0.01  # of the boxes may not fit, and one box always

_EXACT: Final = 0.02
_PATIENT: Final = 0.08  # how far one image may lie off the reference: one sd of the logarithm
_USUAL_SIDES_PX: Final = (
    *(512, 640, 256, 800, 2048, 1024, 1280, 320, 224, 416, 1333, 1536, 768, 600, 1000, 300, 128, 400, 384, 448),
    *(480, 500, 608, 672, 736, 896, 960, 1200, 1600, 2000, 2400, 2500, 3000, 3072, 4096),
)  # of squares that people make of pictures; the first that fits is named

Floats = npt.NDArray[np.float64]

_S: Final = float(SCALED_SIDE_PX)
_WIDTH, _HEIGHT = pl.col("width").cast(pl.Float64), pl.col("height").cast(pl.Float64)

# In a frame of this width and height the coordinates that came would lie where they should.
SIDES: Final[Mapping[Candidate, tuple[pl.Expr, pl.Expr]]] = {
    "original": (_WIDTH, _HEIGHT),
    "picture": (pl.col("picture_width").cast(pl.Float64), pl.col("picture_height").cast(pl.Float64)),
    "scaled": (pl.lit(_S), pl.lit(_S)),
    "fraction": (pl.lit(1.0), pl.lit(1.0)),
    "percent": (pl.lit(float(PERCENT)), pl.lit(float(PERCENT))),
    "original swapped": (_HEIGHT, _WIDTH),
    "scaled swapped": (_S * _WIDTH / _HEIGHT, _S * _HEIGHT / _WIDTH),
    "scaled twice": (_S * _S / _WIDTH, _S * _S / _HEIGHT),
}


@dataclass(frozen=True)
class Factor:
    """One factor that brings all boxes to where they should lie."""

    square_px: int | None  # the side of the square that they lie in
    usual: bool  # whether people make such squares
    of_frame: float  # else: how large they are, as a share of what they should be


@dataclass(frozen=True)
class Part:
    """The images whose boxes lie in another frame than the rest."""

    frame: Candidate | Factor
    image_ids: tuple[str, ...]
    images: int  # that were asked


def fits(candidate: Candidate) -> pl.Expr:
    """Whether a box reaches at most a pixel over the edge of its picture; null without a size."""
    width, height = SIDES[candidate]
    slack = pl.lit(SLACK_PX) if candidate not in ("fraction", "percent") else SLACK_OF_UNITS * width
    low = pl.min_horizontal("x_min", "y_min") >= -slack
    return low & (pl.col("x_max") <= width + slack) & (pl.col("y_max") <= height + slack)


def allowed(boxes: pl.DataFrame) -> float:
    """How many boxes may not fit: a single one is a bad row, in however small a table."""
    return max(1.0, MISFIT_SHARE * len(boxes))


def frame_of(candidate: Candidate) -> Frame:
    """The frame that is meant by a candidate, be it with an error."""
    for frame in FRAMES:
        if candidate.startswith(frame):
            return frame
    return "original"


def usual_side(side_px: float, error: float, largest_px: float) -> int | None:
    """A side that people give to squares, at most `error` (a logarithm) away, that holds the largest coordinate."""
    near = (side for side in _USUAL_SIDES_PX if abs(np.log(side / side_px)) < max(error, _EXACT))
    return next((side for side in near if largest_px <= side + SLACK_PX), None)


def placed(boxes: pl.DataFrame, middles: Floats | None) -> pl.DataFrame:
    """Per image its sizes, how far its boxes reach and, where `middles` are known, what `_middles` adds."""
    columns = ("width", "height", "picture_width", "picture_height")
    images = boxes.group_by("image_id").agg(
        pl.col("x_max").max().alias("right"), pl.col("y_max").max().alias("bottom"), pl.col(*columns).first()
    )
    if middles is not None:
        images = images.join(_middles(boxes, middles), on="image_id", how="left")
    return images.sort("image_id")  # sums of floats in one order: the same verdict for the same rows


def _middles(boxes: pl.DataFrame, middles: Floats) -> pl.DataFrame:
    """Per image, the logarithm of where the middle of a reference of one pixel would lie, and how much that weighs.

    within: how far its classes lie from each other's reference, squared, in standard deviations.
    """
    u, v, spread_u, spread_v = middles.T
    reference = pl.DataFrame({"u": np.log(u), "v": np.log(v), "of_x": spread_u**-2, "of_y": spread_v**-2})
    per_class = (
        boxes.group_by("image_id", pl.col("class_id").cast(pl.UInt32))
        .agg(
            ((pl.col("x_min") + pl.col("x_max")) / 2).median().clip(lower_bound=1e-3).log().alias("x"),
            ((pl.col("y_min") + pl.col("y_max")) / 2).median().clip(lower_bound=1e-3).log().alias("y"),
        )
        .join(reference.with_row_index("class_id"), on="class_id")
        .with_columns(x=pl.col("x") - pl.col("u"), y=pl.col("y") - pl.col("v"))
        .sort("image_id", "class_id")
    )
    total = {axis: pl.col(f"of_{axis}").sum() for axis in "xy"}
    mean = {axis: (pl.col(axis) * pl.col(f"of_{axis}")).sum() / total[axis] for axis in "xy"}
    within = {axis: ((pl.col(axis) - mean[axis]) ** 2 * pl.col(f"of_{axis}")).sum() for axis in "xy"}
    return per_class.group_by("image_id").agg(
        mean["x"].alias("middle_x"),
        mean["y"].alias("middle_y"),
        (1 / (_PATIENT**2 + 1 / total["x"])).alias("weight_x"),
        (1 / (_PATIENT**2 + 1 / total["y"])).alias("weight_y"),
        (within["x"] + within["y"]).alias("within"),
    )
