"""The frame of the boxes: original pixels, the pictures' own, 1024×1024, fractions or percent. Never a guess.

What decides is the user, the proof (`frame_evidence`), whether boxes fit, and the file's name. Whatever decided, the
frame is then tested on the same rows, image by image, and what is not proved is said. docs/scale-proof.md tells more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.dataset.frame_candidates import (
    MISFIT_SHARE,
    PERCENT,
    SIDES,
    SLACK_PX,
    Candidate,
    Factor,
    Floats,
    Frame,
    Part,
    allowed,
    fits,
)
from radloop.dataset.frame_evidence import FEWEST_IMAGES, Evidence
from radloop.dataset.frame_images import Images
from radloop.errors import AnnotationError
from radloop.tables import SCALED_SIDE_PX, Boxes

_FAR: Final = 0.8  # of a frame's sides: so far the boxes of a whole table reach
_NEAR: Final = 0.6
_CORNER: Final = 0.35
_FEWEST_IMAGES_OF_PERCENT: Final = 2
_EXAMPLES: Final = 3

_WORDS: Final[Mapping[Frame, str]] = {
    "original": "original pixels",
    "picture": "the pictures' own pixels",
    "scaled": "1024×1024 pixels",
    "fraction": "fractions of the picture",
    "percent": "percent of the picture",
}
_BY_NAME: Final[Mapping[str, Frame]] = {"train.csv": "original", "scaled_bounding_boxes.csv": "scaled"}

_WHAT_ELSE: Final[Mapping[Candidate, str]] = {
    "original": "They lie as boxes in original pixels do: they were not rescaled. Pass --boxes original.",
    "picture": "They lie as boxes in the pictures' own pixels do. Pass --boxes picture.",
    "scaled": "They lie as boxes in 1024×1024 pixels do: they were rescaled already. Pass --boxes scaled.",
    "fraction": "They lie as fractions of the picture do. Pass --boxes fraction.",
    "percent": "They lie as percent of the picture do. Pass --boxes percent.",
    "original swapped": (
        "They fit with width and height swapped: in train_meta.csv dim0 is the HEIGHT and dim1 the WIDTH. "
        "Swap the two columns of the sizes."
    ),
    "scaled swapped": (
        "They were rescaled with width and height swapped. Make the file again with x · 1024 / dim1 and "
        "y · 1024 / dim0 (dim1 is the WIDTH), or pass train.csv."
    ),
    "scaled twice": "They were rescaled twice. Pass the file as it was before the second time, or train.csv.",
    "y from below": (
        "They lie as boxes do whose y is counted from the lower edge of the picture. Put height - y_max in y_min and "
        "height - y_min in y_max."
    ),
    "axes swapped": (
        "They lie as boxes do whose x and y stand in each other's place. Swap the columns x_min and y_min, and x_max "
        "and y_max."
    ),
}
_MIRRORED: Final = "They lie as if x were counted from the right edge, or the pictures had been mirrored. "
_AS: Final[Mapping[Candidate, str]] = {
    **{frame: f"in {words}" for frame, words in _WORDS.items()},
    "original swapped": "with width and height swapped",
    "scaled swapped": "rescaled with width and height swapped",
    "scaled twice": "rescaled twice",
    "y from below": "with y counted from the lower edge",
    "axes swapped": "with x and y swapped",
}


@dataclass(frozen=True)
class Proof:
    """The frame the boxes are in, and a sentence that says how that is known, or why it is believed."""

    frame: Frame
    note: str


def prove(boxes: pl.DataFrame, *, said: Boxes, why: str = "", name: str, middles: Floats | None) -> Proof:
    """The frame of a table of boxes.

    boxes: as `frame_evidence.Evidence` wants them. middles: where the boxes of each class usually lie
    (`domain.Domain.middles`); where that is not known, only whether the boxes fit can speak for a frame. What is `said`
    decides where the proof cannot, then the file's `name`; `why` is a sentence about it where no user said it. Raises
    AnnotationError, with the sentence that fixes it, where another frame explains all boxes or those of some images
    decisively better, where more than 1 % of them do not fit, where they do not lie where such boxes lie, or where
    nothing tells.
    """
    evidence = Evidence(boxes, middles)
    frame, why = _decide(boxes, evidence, said, why, name)
    if not boxes.is_empty():
        _require_sizes(boxes, frame, name)
        _refuse_parts(frame, evidence, name)
        _refuse_misfits(boxes, frame, evidence, name)
        _refuse_other_places(boxes, frame, evidence, said, name)
        if said == "auto":
            _refuse_small_reach(frame, evidence, name)
    return Proof(frame, f"The boxes are in {_WORDS[frame]}: {why}.{_what_that_proves(boxes, frame, evidence)}")


def in_pixels(table: pl.DataFrame, frame: Frame) -> pl.DataFrame:
    """The table with a size in pixels as width_px and height_px, and the boxes (x_min_px …) in pixels of that size.

    It is 1024×1024 where the boxes are in that, else the original's; where that is not known the picture's, else
    1024×1024.
    """
    square = pl.lit(SCALED_SIDE_PX, pl.Int32)
    sizes, boxes = [], []
    for axis, name in (("x", "width"), ("y", "height")):
        own, picture = f"{name}_px", f"picture_{name}"
        size = {"original": pl.col(own), "scaled": square}.get(frame, pl.coalesce(own, picture, square))
        units = {"picture": pl.coalesce(picture, size), "fraction": pl.lit(1), "percent": pl.lit(PERCENT)}
        sizes.append(size.alias(own))
        if frame in units:
            boxes += [pl.col(f"{axis}_{end}_px") * size / units[frame] for end in ("min", "max")]
    return table.with_columns(*sizes, *boxes)


def _decide(boxes: pl.DataFrame, evidence: Evidence, said: Boxes, why: str, name: str) -> tuple[Frame, str]:
    """The frame to be checked, and why it is that one."""
    images = evidence.images
    if said != "auto":
        return said, why or f"--boxes {said} says so"
    if _are_fractions(boxes):
        return "fraction", "no coordinate is over 1"
    best = evidence.best
    if best is not None:
        verb = "prove it" if evidence.proves(best) else "say so"
        return best, f"the places of {len(boxes)} boxes on {len(images)} images {verb}"
    beyond = boxes.filter(pl.max_horizontal("x_max", "y_max") > SCALED_SIDE_PX + SLACK_PX)
    if len(beyond) > allowed(boxes):
        pictured = "picture" in images.frames and images.fit("picture") and not images.fit("original")
        frame: Frame = "picture" if pictured else "original"
        return frame, f"{len(beyond)} of {len(boxes)} reach over {SCALED_SIDE_PX} pixels"
    if _are_percent(boxes, images):
        return "percent", "they are no whole numbers, and reach over the picture as percent do"
    stem = name.removesuffix(".gz")
    if stem in _BY_NAME:
        return _BY_NAME[stem], f"the name {name} says so, and {len(boxes)} boxes do not prove otherwise"
    if not beyond.is_empty():
        return "original", f"one reaches over {SCALED_SIDE_PX} pixels"
    if images.only_scaled_sizes or boxes.is_empty():
        return "scaled", "that is the size of the pictures"
    for possible in _BY_NAME.values():
        _refuse_parts(possible, evidence, name)
    raise AnnotationError(
        f"{name}: {len(boxes)} boxes do not prove whether they are in original or in 1024×1024 pixels, and the "
        "name does not say it. Pass --boxes original or --boxes scaled."
    )


def _are_fractions(boxes: pl.DataFrame) -> bool:
    """No finding is smaller than a pixel."""
    inside = int(boxes.select(fits("fraction").sum()).item())
    return len(boxes) - inside <= allowed(boxes) and inside > len(boxes) / 2


def _are_percent(boxes: pl.DataFrame, images: Images) -> bool:
    """They reach over a hundred as the boxes of a table do, stay in the original's first corner, and are no pixels."""
    if len(images) < _FEWEST_IMAGES_OF_PERCENT or not images.fit("percent"):
        return False
    fractional = pl.any_horizontal(pl.col("x_min", "y_min", "x_max", "y_max") % 1 != 0)
    reaching = min(images.reach("percent")) > _NEAR and max(images.reach("original")) < _CORNER
    return reaching and bool(boxes.select(fractional.mean() > 1 / 2).item())


def _refuse_parts(frame: Frame, evidence: Evidence, name: str) -> None:
    """Raise where some images have another frame than the rest."""
    part = evidence.part(frame)
    if part is not None:
        raise AnnotationError(
            f"{name}: the boxes of {len(part.image_ids)} of {part.images} images lie as boxes {_by(part.frame)} do, "
            f"the others in {_WORDS[frame]}: {_named(part)}. Bring all into one frame, or leave these images out."
        )


def _by(found: Candidate | Factor) -> str:
    if not isinstance(found, Factor):
        return _AS[found]
    if found.square_px is None:
        return f"of {found.of_frame:.2f} times the size"
    return f"in pictures of {'' if found.usual else 'about '}{found.square_px}×{found.square_px} pixels"


def _named(part: Part) -> str:
    more = len(part.image_ids) - _EXAMPLES
    return ", ".join(part.image_ids[:_EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def _require_sizes(boxes: pl.DataFrame, frame: Frame, name: str) -> None:
    known = {"original": "width", "picture": "picture_width"}.get(frame)
    if known is None or boxes[known].null_count() < len(boxes):
        return
    if frame == "picture":
        raise AnnotationError(f"{name}: the boxes are in the pictures' own pixels, but no size of a picture is known.")
    raise AnnotationError(
        f"{name}: the boxes are in original pixels, but no original size is known. Put train_meta.csv "
        "(image_id,dim0,dim1) beside it, or add the columns width and height."
    )


def _refuse_misfits(boxes: pl.DataFrame, frame: Frame, evidence: Evidence, name: str) -> None:
    """Raise where more boxes than a few bad rows do not fit."""
    width, height = SIDES[frame]
    misfits = boxes.filter(~fits(frame), width.is_not_null())
    negative = misfits.filter(pl.min_horizontal("x_min", "y_min") < -SLACK_PX)
    if len(misfits) <= MISFIT_SHARE * len(boxes) or max(len(negative), len(misfits) - len(negative)) <= 1:
        return
    why = (
        "A negative coordinate fits no frame: are the columns x_min,y_min,x_max,y_max?"
        if len(negative) > len(misfits) / 2
        else _why_misfits(frame, evidence)
    )
    example = misfits.sort("image_id", "x_min", "y_min", "x_max", "y_max").head(1)
    first = example.with_columns(width=width, height=height).row(0, named=True)
    raise AnnotationError(
        f"{name}: {len(misfits)} of {len(boxes)} boxes do not fit into {_WORDS[frame]}, as that of image "
        f"{first['image_id']}: x {first['x_min']:g} to {first['x_max']:g}, y {first['y_min']:g} to {first['y_max']:g}, "
        f"in {first['width']:g}×{first['height']:g}. {why}"
    )


def _why_misfits(frame: Frame, evidence: Evidence) -> str:
    """What explains that so many boxes do not fit into `frame`."""
    if frame == "original" and evidence.images.only_scaled_sizes:
        return (
            "They are in original pixels and were not rescaled, but the only sizes known are those of the "
            "1024×1024 pictures. Put train_meta.csv (image_id,dim0,dim1) beside it."
        )
    better = evidence.better_than(frame)
    if better is not None:
        return _WHAT_ELSE[better]
    others = evidence.explanations(frame)
    if frame != "original" and ("original" in others or not others):
        return _WHAT_ELSE["original"]
    if others and (evidence.places or len(others) == 1):
        return _WHAT_ELSE[others[0]]
    return "The sizes are not those of these pictures, or the boxes are damaged. Get both files again."


def _refuse_other_places(boxes: pl.DataFrame, frame: Frame, evidence: Evidence, said: Boxes, name: str) -> None:
    """Raise where the boxes do not lie in `frame` where such boxes lie."""
    no = f"{name}: the {len(boxes)} boxes do not lie in {_WORDS[frame]}."
    other = "fraction" if frame != "fraction" and _are_fractions(boxes) else evidence.better_than(frame)
    if other is not None:
        raise AnnotationError(f"{no} {_WHAT_ELSE[other]}")
    factor = evidence.factor(frame)
    if factor is not None:
        side = factor.square_px or "the size of the picture that the boxes were drawn on"
        raise AnnotationError(
            f"{no} They lie as boxes {_by(factor)} do. Put {side} into the columns width and height of each row, or "
            "rescale the boxes."
        )
    if said == "auto" and evidence.is_off(frame):
        raise AnnotationError(
            f"{no} Findings of these classes lie elsewhere in a chest, and no frame brings the boxes there. "
            + (_MIRRORED if evidence.is_mirrored(frame) else "")
            + f"Look at some of them; if they are right, pass --boxes {frame}."
        )


def _refuse_small_reach(frame: Frame, evidence: Evidence, name: str) -> None:
    """Raise where all boxes stay in one corner of the frame that is believed, and reach over all of another."""
    if len(evidence.images) < FEWEST_IMAGES or evidence.proves(frame):
        return
    x, y = evidence.images.reach(frame)
    for other in evidence.images.frames:
        if max(x, y) < _NEAR and min(evidence.images.reach(other)) > _FAR and evidence.images.fit(other):
            raise AnnotationError(
                f"{name}: in {_WORDS[frame]} no box reaches over {x:.0%} of the width and {y:.0%} of the height; in "
                f"{_WORDS[other]} they reach over all of it. Pass --boxes {other}, or --boxes {frame} if that is right."
            )


def _what_that_proves(boxes: pl.DataFrame, frame: Frame, evidence: Evidence) -> str:
    """What was tested of the frame, and what the same rows could not show."""
    if boxes.is_empty():
        return ""
    odd = evidence.odd(frame)
    odd_ones = f" Look at the boxes of {_named(odd)}: they lie rather {_by(odd.frame)}." if odd else ""
    return _what_is_believed(boxes, frame, evidence) + odd_ones


def _what_is_believed(boxes: pl.DataFrame, frame: Frame, evidence: Evidence) -> str:
    if evidence.proves(frame):
        return ""
    if not evidence.places:
        x, y = evidence.images.reach(frame)
        return (
            " Where findings of these classes lie is not known, so only whether boxes fit was looked at. They reach "
            f"over {x:.0%} of the width and {y:.0%} of the height: that they belong into a frame much smaller is ruled "
            "out, into a larger one it is not. The frame is believed, not proved."
        )
    return (
        f" It is believed, not proved: {len(boxes)} boxes on {len(evidence.images)} images are too few, or lie too "
        "unlike those of other hospitals, to rule out that they are 0.8 times as large as they should be, or turned."
    )
