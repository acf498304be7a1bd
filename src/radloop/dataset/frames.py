"""The scale proof: are the boxes in original pixels or in those of the 1024×1024 pictures? Never a guess.

Where a finding lies in a chest does not depend on how many pixels the film has. So in the right frame the boxes'
middles, as fractions of the frame, lie where that class lies on chest films, and do not follow the frame's size. In a
wrong frame they follow the ratio of the right frame to the wrong one, with the power 1. That power is estimated over
the whole table: 0 says that the frame is right, 1 that the other one is. docs/scale-proof.md has the derivation, and
how often it errs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.errors import AnnotationError
from radloop.tables import SCALED_SIDE_PX, Boxes

Frame = Literal["original", "scaled"]

FEWEST_BOXES: Final = 50  # below, the places prove nothing
FEWEST_FILMS: Final = 5
SLACK_PX: Final = 1.0  # a box may reach this far over the picture's edge
MISFIT_SHARE: Final = 0.01  # of the boxes may not fit, and one box always

_DECISIVE: Final = 8.0  # natural log of the likelihood ratio
_MISFIT: Final = 3.0  # what one film with a box that does not fit adds to it: bad rows are some 20 times rarer
_LEAST_POWER: Final = 0.8  # of the sizes' ratio, half-way being 0.5
_TYPICAL_FILM_PX: Final = (2400, 2750)  # where only the size of the 1024×1024 pictures is known
_POPULATION: Final = 0.1  # how far all films of a hospital may lie off the reference: one sd of the logarithm
_PATIENT: Final = 0.08  # the same for one film

_Array = npt.NDArray[np.float64]
_Candidate = Literal["original", "scaled", "original swapped", "scaled swapped", "scaled twice"]

_S: Final = float(SCALED_SIDE_PX)
_WIDTH, _HEIGHT = pl.col("width").cast(pl.Float64), pl.col("height").cast(pl.Float64)

# In a frame of this width and height the coordinates that came would lie where they should.
_FRAMES: Final[Mapping[_Candidate, tuple[pl.Expr, pl.Expr]]] = {
    "original": (_WIDTH, _HEIGHT),
    "scaled": (pl.lit(_S), pl.lit(_S)),
    "original swapped": (_HEIGHT, _WIDTH),
    "scaled swapped": (_S * _WIDTH / _HEIGHT, _S * _HEIGHT / _WIDTH),
    "scaled twice": (_S * _S / _WIDTH, _S * _S / _HEIGHT),
}

_WORDS: Final[Mapping[Frame, str]] = {"original": "original pixels", "scaled": "1024×1024 pixels"}
_BY_NAME: Final[Mapping[str, Frame]] = {"train.csv": "original", "scaled_bounding_boxes.csv": "scaled"}

_NO_PLACES: Final = " Where findings of these classes lie is not known, so only whether boxes fit was looked at."

_WHAT_ELSE: Final[Mapping[_Candidate, str]] = {
    "original": "They lie as boxes in original pixels do: they were not rescaled. Pass --boxes original.",
    "scaled": "They lie as boxes in 1024×1024 pixels do: they were rescaled already. Pass --boxes scaled.",
    "original swapped": (
        "They fit with width and height swapped: in train_meta.csv dim0 is the HEIGHT and dim1 the WIDTH. "
        "Swap the two columns of the sizes."
    ),
    "scaled swapped": (
        "They were rescaled with width and height swapped. Make the file again with x · 1024 / dim1 and "
        "y · 1024 / dim0 (dim1 is the WIDTH), or pass train.csv."
    ),
    "scaled twice": "They were rescaled twice. Pass the file as it was before the second time, or train.csv.",
}


@dataclass(frozen=True)
class Proof:
    """The frame the boxes are in, and a sentence that says how that is known."""

    frame: Frame
    note: str


def prove(boxes: pl.DataFrame, *, said: Boxes, name: str, middles: _Array | None) -> Proof:
    """The frame of a table of boxes.

    boxes: image_id, class_id, x_min, y_min, x_max, y_max in pixels of the frame that is asked for, and the original
    width and height, null where they are not known. middles: where the boxes of each class usually lie
    (`domain.Domain.middles`); where that is not known, only whether the boxes fit can speak for a frame. `said` decides
    where the proof cannot, then the file's `name`. Raises AnnotationError, with the sentence that fixes it, where
    another frame explains the boxes decisively better, where more than 1 % of them do not fit, or where nothing tells.
    """
    evidence = _Evidence(boxes, middles)
    frame, why = _decide(boxes, evidence, said, name)
    _refuse_misfits(boxes, frame, evidence, name)
    other = evidence.better_than(frame)
    if other is not None:
        raise AnnotationError(f"{name}: the {len(boxes)} boxes do not lie in {_WORDS[frame]}. {_WHAT_ELSE[other]}")
    return Proof(frame, f"The boxes are in {_WORDS[frame]}: {why}.{'' if middles is not None else _NO_PLACES}")


def side(frame: Frame, name: str) -> pl.Expr:
    """The frame's width or height in pixels, of each row; `name` is the column of the original's."""
    return pl.col(name) if frame == "original" else pl.lit(SCALED_SIDE_PX, pl.Int32).alias(name)


def _fits(width: pl.Expr, height: pl.Expr) -> pl.Expr:
    """Whether a box reaches at most a pixel over the edge of its picture; null without a size."""
    low = pl.min_horizontal("x_min", "y_min") >= -SLACK_PX
    return low & (pl.col("x_max") <= width + SLACK_PX) & (pl.col("y_max") <= height + SLACK_PX)


def _decide(boxes: pl.DataFrame, evidence: "_Evidence", said: Boxes, name: str) -> tuple[Frame, str]:
    """The frame to be checked, and why it is that one."""
    beyond = boxes.filter(pl.max_horizontal("x_max", "y_max") > SCALED_SIDE_PX + SLACK_PX)
    if said != "auto":
        return said, f"--boxes {said} says so"
    if len(beyond) > _allowed(boxes):
        return "original", f"{len(beyond)} of {len(boxes)} reach over {SCALED_SIDE_PX} pixels"
    proven = evidence.proven()
    if proven is not None:
        return proven, f"the places of {len(boxes)} boxes on {evidence.films} films prove it"
    stem = name.removesuffix(".gz")
    if stem in _BY_NAME:
        return _BY_NAME[stem], f"the name {name} says so, and {len(boxes)} boxes do not prove otherwise"
    if not beyond.is_empty():
        return "original", f"one reaches over {SCALED_SIDE_PX} pixels"
    if evidence.only_scaled_sizes or boxes.is_empty():
        return "scaled", "that is the size of the pictures"
    raise AnnotationError(
        f"{name}: {len(boxes)} boxes do not prove whether they are in original or in 1024×1024 pixels, and the "
        "name does not say it. Pass --boxes original or --boxes scaled."
    )


def _refuse_misfits(boxes: pl.DataFrame, frame: Frame, evidence: "_Evidence", name: str) -> None:
    """Raise where more boxes than a few bad rows do not fit, or where none has a size."""
    if not boxes.is_empty() and boxes.select(side(frame, "width").is_null().all()).item():
        raise AnnotationError(
            f"{name}: the boxes are in original pixels, but no original size is known. Put train_meta.csv "
            "(image_id,dim0,dim1) beside it, or add the columns width and height."
        )
    misfits = boxes.filter(~_fits(side(frame, "width"), side(frame, "height")))
    negative = misfits.filter(pl.min_horizontal("x_min", "y_min") < -SLACK_PX)
    if len(misfits) <= MISFIT_SHARE * len(boxes) or max(len(negative), len(misfits) - len(negative)) <= 1:
        return
    why = (
        "A negative coordinate fits no frame: are the columns x_min,y_min,x_max,y_max?"
        if len(negative) > len(misfits) / 2
        else evidence.why_misfits(frame)
    )
    example = misfits.sort("image_id", "x_min", "y_min", "x_max", "y_max").with_columns(
        side(frame, "width"), side(frame, "height")
    )
    first = example.row(0, named=True)
    raise AnnotationError(
        f"{name}: {len(misfits)} of {len(boxes)} boxes do not fit into {_WORDS[frame]}, as that of image "
        f"{first['image_id']}: x {first['x_min']:g} to {first['x_max']:g}, y {first['y_min']:g} to {first['y_max']:g}, "
        f"in {first['width']}×{first['height']}. {why}"
    )


def _allowed(boxes: pl.DataFrame) -> float:
    """How many boxes may not fit: a single one is a bad row, in however small a table."""
    return max(1.0, MISFIT_SHARE * len(boxes))


class _Evidence:
    """What the places of the boxes say of the frames, film by film."""

    def __init__(self, boxes: pl.DataFrame, middles: _Array | None) -> None:
        self._boxes, self._middles = boxes, middles
        # A film of 1024×1024 pixels cannot tell one frame from the other; nor can one without a size.
        telling = (pl.col("width") != SCALED_SIDE_PX) | (pl.col("height") != SCALED_SIDE_PX)
        self._telling = boxes.filter(telling)
        self.only_scaled_sizes = self._telling.is_empty() and boxes["width"].null_count() < len(boxes)

    @cached_property
    def _films(self) -> pl.DataFrame:
        if self._middles is None:
            return self._telling.select("image_id").unique()
        if self._telling.is_empty():
            width, height = _TYPICAL_FILM_PX
            return _films(self._boxes, self._middles).with_columns(width=pl.lit(width), height=pl.lit(height))
        return _films(self._telling, self._middles)

    @cached_property
    def _weights(self) -> _Array:
        return self._films.select("weight_x", "weight_y").to_numpy()

    @cached_property
    def _offsets(self) -> dict[_Candidate, _Array]:
        """Per candidate, how far each film's findings lie from the reference in x and y, as logarithms."""
        middles = self._films.select("middle_x", "middle_y").to_numpy()
        sides = {
            name: self._films.select("width", "height").with_columns(width=width, height=height).to_numpy()
            for name, (width, height) in _FRAMES.items()
        }
        if self._telling.is_empty():
            sides = {"original": sides["scaled"], "scaled": sides["scaled"], "scaled twice": sides["scaled twice"]}
        return {name: middles - np.log(side) for name, side in sides.items()}

    @cached_property
    def _spread(self) -> float:
        """How much wider than the reference's the places vary: so much less they prove."""
        return max(1.0, min(map(self._badness, self._offsets)) / (2 * self.films))

    @property
    def films(self) -> int:
        """How many films were asked."""
        return len(self._films)

    @cached_property
    def _speaks(self) -> bool:
        return self._middles is not None and len(self._boxes) >= FEWEST_BOXES and self.films >= FEWEST_FILMS

    def proven(self) -> Frame | None:
        """Original or scaled, where what explains the boxes best has one and not the other."""
        if not self._speaks:
            return None
        best = min(filter(self._in_a_chest, self._offsets), key=self._badness, default=None)
        if best is None:
            return None
        frame: Frame = "scaled" if best.startswith("scaled") else "original"
        return frame if self._wins(best, "original" if frame == "scaled" else "scaled") else None

    def better_than(self, frame: Frame) -> _Candidate | None:
        """The candidate that explains the boxes best, where it does so decisively better than `frame`."""
        if not self._speaks:
            return None
        return min((name for name in self._offsets if self._wins(name, frame)), key=self._badness, default=None)

    def why_misfits(self, frame: Frame) -> str:
        """What explains that so many boxes do not fit into `frame`."""
        if frame == "original" and self.only_scaled_sizes:
            return (
                "They are in original pixels and were not rescaled, but the only sizes known are those of the "
                "1024×1024 pictures. Put train_meta.csv (image_id,dim0,dim1) beside it."
            )
        known = self._offsets if self._middles is not None else _FRAMES
        others = [name for name in known if name != frame and self._fit(name)]
        if frame == "scaled" and ("original" in others or not others):
            return _WHAT_ELSE["original"]
        if others and self._middles is not None:
            return _WHAT_ELSE[min(others, key=self._badness)]
        if len(others) == 1:
            return _WHAT_ELSE[others[0]]
        return "The sizes are not those of these pictures, or the boxes are damaged. Get both files again."

    def _wins(self, name: _Candidate, over: Frame) -> bool:
        offset, step = self._offsets[over], self._offsets[name] - self._offsets[over]
        length = self._product(step, step)
        power = -self._product(offset, step) / length if length > 0 else 0.0
        log_ratio = length * (power - 0.5) / self._spread + _MISFIT * (self._misfits(over) - self._misfits(name))
        return power > _LEAST_POWER and log_ratio > _DECISIVE and self._in_a_chest(name) and self._fit(name)

    def _badness(self, name: _Candidate) -> float:
        """Minus twice the log-likelihood, but for a constant."""
        return self._product(self._offsets[name], self._offsets[name])

    def _product(self, a: _Array, b: _Array) -> float:
        """Under the covariance of each film's own offset plus one that all films share (Sherman & Morrison 1950)."""
        w = self._weights
        shared = (a * w).sum(axis=0) * (b * w).sum(axis=0) / (_POPULATION**-2 + w.sum(axis=0))
        return float(((a * b * w).sum(axis=0) - shared).sum())

    def _in_a_chest(self, name: _Candidate) -> bool:
        """Whether all films together lie no further from the reference than three standard deviations."""
        mean = np.average(self._offsets[name], axis=0, weights=self._weights)
        return bool((np.abs(mean) < 3 * np.sqrt(_POPULATION**2 + 1 / self._weights.sum(axis=0))).all())

    def _misfits(self, name: _Candidate) -> int:
        """The number of films with a box that does not fit."""
        return self._boxes.filter(~_fits(*_FRAMES[name]))["image_id"].n_unique()

    def _fit(self, name: _Candidate) -> bool:
        return len(self._boxes.filter(~_fits(*_FRAMES[name]))) <= _allowed(self._boxes)


def _films(boxes: pl.DataFrame, middles: _Array) -> pl.DataFrame:
    """Per image, the logarithm of where the middle of a reference of one pixel would lie, and how much that weighs."""
    u, v, spread_u, spread_v = middles.T
    reference = pl.DataFrame(
        {"u": np.log(u), "v": np.log(v), "of_x": spread_u**-2, "of_y": spread_v**-2}
    ).with_row_index("class_id")
    per_class = (
        boxes.group_by("image_id", pl.col("class_id").cast(pl.UInt32))
        .agg(
            ((pl.col("x_min") + pl.col("x_max")) / 2).median().clip(lower_bound=1).log().alias("x"),
            ((pl.col("y_min") + pl.col("y_max")) / 2).median().clip(lower_bound=1).log().alias("y"),
            pl.col("width", "height").first(),
        )
        .join(reference, on="class_id")
        .sort("image_id", "class_id")  # sums of floats in one order: the same verdict for the same rows
    )
    return per_class.group_by("image_id", maintain_order=True).agg(
        (((pl.col("x") - pl.col("u")) * pl.col("of_x")).sum() / pl.col("of_x").sum()).alias("middle_x"),
        (((pl.col("y") - pl.col("v")) * pl.col("of_y")).sum() / pl.col("of_y").sum()).alias("middle_y"),
        (1 / (_PATIENT**2 + 1 / pl.col("of_x").sum())).alias("weight_x"),
        (1 / (_PATIENT**2 + 1 / pl.col("of_y").sum())).alias("weight_y"),
        pl.col("width", "height").first(),
    )
