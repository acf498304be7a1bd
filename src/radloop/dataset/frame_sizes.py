"""A part of the images in a smaller frame, where nobody knows where findings lie: by the size of their boxes.

Boxes in 1024×1024 pixels among such in original pixels are smaller by the ratio of the two, image by image, than those
of their class on the images that cannot be in 1024×1024 pixels, they reach over that square, and hardly any images have
all of their boxes in one of the three other corners. (Small findings that do lie in a corner lie in the others, too.)
"""

from typing import Final

import numpy as np
import polars as pl

from radloop.dataset.frame_candidates import SIDES, Frame
from radloop.dataset.frame_images import Flags, Images

_FEWEST: Final = 3  # images of each kind
_SHARE: Final = 0.1
_OTHER_CORNERS: Final = 0.25  # as many images as in the first corner, at most, and one
_SMALLER: Final = 0.75  # a frame of nearly the same size cannot be told
_LEAST_SPREAD: Final = 0.15  # of the logarithm of an image's sizes, against its classes'
_DECISIVE: Final = 12.0  # natural log of the likelihood ratio
_NEAR: Final = 0.35  # of the sizes that are expected, as a logarithm
_FAR: Final = 0.75  # of the smaller frame: so far the boxes reach


def smaller_part(images: Images, frame: Frame) -> tuple[Frame, Flags] | None:
    """The smaller frame that the boxes of some images have the size for, and which; None where there is none."""
    for name in images.frames:
        inside = images.fitting(name) & (images.sides[name] < _SMALLER * images.sides[frame]).all(axis=1)
        if name != "fraction" and min(inside.sum(), (~inside).sum()) >= max(_FEWEST, _SHARE * len(images)):
            reach = (images.largest[inside] / images.sides[name][inside]).max(axis=0)
            other = _most_in_other_corners(images, frame, name)
            part = _of_the_size(images, frame, name, inside)
            if part is not None and reach.min() > _FAR and other <= max(1.0, _OTHER_CORNERS * part.sum()):
                return name, part
    return None


def _most_in_other_corners(images: Images, frame: Frame, name: Frame) -> int:
    """The number of images whose boxes all lie in one other corner of the smaller frame's size: in that with most."""
    first = images.asked.group_by("image_id").agg(pl.col("x_min", "y_min").min()).sort("image_id")
    high = images.largest <= images.sides[name]
    low = first.select("x_min", "y_min").to_numpy() >= images.sides[frame] - images.sides[name]
    return int(max((low[:, 0] & high[:, 1]).sum(), (high[:, 0] & low[:, 1]).sum(), low.all(axis=1).sum()))


def _of_the_size(images: Images, frame: Frame, name: Frame, inside: Flags) -> Flags | None:
    """Those `inside` a smaller frame whose boxes have the size for it, where all together decisively have."""
    expected = np.log(images.sides[name] / images.sides[frame]).mean(axis=1)
    ids = images.table["image_id"]
    kinds = pl.DataFrame({"image_id": ids, "inside": inside, "expected": expected})
    width, height = SIDES[frame]
    across, down = (pl.col("x_max") - pl.col("x_min")) / width, (pl.col("y_max") - pl.col("y_min")) / height
    boxes = images.asked.join(kinds, on="image_id").with_columns(size=(across.log() + down.log()) / 2)
    usual = boxes.filter(~pl.col("inside")).group_by("class_id").agg(usual=pl.col("size").median())
    sized = (
        boxes.join(usual, on="class_id")
        .group_by("image_id")
        .agg((pl.col("size") - pl.col("usual")).mean().alias("off"), pl.col("inside", "expected").first())
    )
    spread = max(_LEAST_SPREAD, float(np.std(sized.filter(~pl.col("inside"))["off"].to_numpy())))
    some = sized.filter("inside").sort("image_id")
    off, wanted = some["off"].to_numpy(), some["expected"].to_numpy()
    gain = (off**2 - (off - wanted) ** 2) / (2 * spread**2)
    if len(some) < _FEWEST or gain.sum() < _DECISIVE or abs((off - wanted).mean()) > _NEAR:
        return None
    part: Flags = ids.is_in(some.filter(pl.Series(gain > 0))["image_id"].implode()).to_numpy()
    return part
