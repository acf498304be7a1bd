"""Where the boxes of each image lie in each frame that they may be in, beside where those of its classes lie."""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.dataset.frame_candidates import (
    FRAMES,
    MISFIT_SHARE,
    SIDES,
    SLACK_OF_UNITS,
    SLACK_PX,
    Candidate,
    Floats,
    Frame,
    allowed,
    fits,
    placed,
)
from radloop.tables import SCALED_SIDE_PX

_TYPICAL_IMAGE_PX: Final = (2400, 2750)  # where only the size of the 1024×1024 pictures is known
_POPULATION: Final = np.array([0.035, 0.1])  # how far all images of a hospital may lie off in x, y: one sd of the log

Flags = npt.NDArray[np.bool_]


class Images:
    """The boxes of each image, by image_id: `Evidence` tells what they have to be.

    An offset is how far the findings of an image lie from the reference in x and y, as logarithms: images × 2.
    """

    def __init__(self, boxes: pl.DataFrame, middles: Floats | None) -> None:
        self._boxes, self._middles = boxes, middles
        sized = boxes.filter(pl.col("width").is_not_null())
        square = (pl.col("width") == SCALED_SIDE_PX) & (pl.col("height") == SCALED_SIDE_PX)
        self.only_scaled_sizes = not sized.is_empty() and bool(sized.select(square.all()).item())
        self._untold = sized.is_empty() or self.only_scaled_sizes
        self.asked = boxes if self._untold else sized

    @cached_property
    def table(self) -> pl.DataFrame:
        """What `placed` tells of each image, and the sizes that are reckoned with."""
        table = placed(self.asked, self._middles)
        if self._untold:
            width, height = _TYPICAL_IMAGE_PX
            table = table.with_columns(width=pl.lit(width), height=pl.lit(height))
        return table.with_columns(
            pl.coalesce(f"picture_{side}", side).alias(f"picture_{side}") for side in ("width", "height")
        )

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.table)

    @cached_property
    def sides(self) -> dict[Candidate, Floats]:
        """Per candidate the width and height of each image's frame."""
        known: list[Candidate] = [*SIDES]
        if self._untold:
            known = ["scaled", "picture", "fraction", "percent", "scaled twice"]
        sides = {
            name: np.broadcast_to(self.table.select(width=width, height=height).to_numpy(), (len(self), 2))
            for name, (width, height) in SIDES.items()
            if name in known
        }
        return sides | {"original": sides["scaled"]} if self._untold else sides

    @cached_property
    def offsets(self) -> dict[Candidate, Floats]:
        """Per candidate the offsets."""
        return {name: self.middles - np.log(side) for name, side in self.sides.items()}

    @cached_property
    def middles(self) -> Floats:
        """The offsets in a frame of one pixel."""
        return self.table.select("middle_x", "middle_y").to_numpy()

    @cached_property
    def weights(self) -> Floats:
        """What the offset of each image weighs in x and y: one over its variance."""
        return self.table.select("weight_x", "weight_y").to_numpy()

    @cached_property
    def within(self) -> Floats:
        """How far the classes of each image lie from each other's reference, squared, in standard deviations."""
        return self.table["within"].to_numpy()

    @cached_property
    def largest(self) -> Floats:
        """The largest x and y of each image's boxes."""
        return self.table.select("right", "bottom").to_numpy()

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames that differ."""
        first: list[Frame] = ["scaled"] if self._untold else ["original", "scaled"]
        pictured = self._boxes["picture_width"].null_count() < len(self._boxes)
        if pictured and not any(self.equal("picture", frame) for frame in first):
            first.append("picture")
        return [*first, "fraction", "percent"]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The frames that differ, and the errors that are known."""
        return [*self.frames, *(name for name in self.sides if name not in FRAMES)]

    def equal(self, one: Candidate, other: Candidate) -> bool:
        """Whether two frames are the same for all images."""
        return one == other or bool(np.allclose(self.sides[one], self.sides[other]))

    @cached_property
    def least(self) -> Floats:
        """How far each image lies from the reference by the candidate that is nearest."""
        distances: Floats = np.min([self.distances(self.offsets[name]) for name in self.candidates], axis=0)
        return distances

    @cached_property
    def spread(self) -> float:
        """How much wider than the reference's the places vary: so much less they prove.

        Each image is taken by what explains it best, as there may be two frames.
        """
        return max(1.0, float(self.least.mean()) / 2)

    def distances(self, offset: Floats) -> Floats:
        """How far each image lies from the reference, squared, in standard deviations."""
        distances: Floats = (offset**2 * self.weights).sum(axis=1)
        return distances

    def fitting(self, name: Candidate) -> Flags:
        """Whether all boxes of each image fit."""
        slack = SLACK_OF_UNITS * self.sides[name] if name in ("fraction", "percent") else SLACK_PX
        fitting: Flags = np.all(self.largest <= self.sides[name] + slack, axis=1)
        return fitting

    def fit(self, name: Candidate) -> bool:
        """Whether all boxes but a few bad rows fit."""
        return len(self._boxes.filter(~fits(name))) <= allowed(self._boxes)

    def reach(self, name: Candidate) -> tuple[float, float]:
        """How far over the frame's width and height the boxes reach, but for a few bad rows."""
        if not len(self):
            return 0.0, 0.0
        shares = np.sort(self.largest / self.sides[name], axis=0)
        bad = min(int(MISFIT_SHARE * len(shares)), len(shares) - 1)
        x, y = shares[-1 - bad].tolist()
        return x, y

    def product(self, a: Floats, b: Floats) -> float:
        """Under the covariance of each image's own offset plus one that all images share (Sherman & Morrison 1950)."""
        w = self.weights
        shared = (a * w).sum(axis=0) * (b * w).sum(axis=0) / (_POPULATION**-2 + w.sum(axis=0))
        return float(((a * b * w).sum(axis=0) - shared).sum())

    def badness(self, name: Candidate) -> float:
        """Minus twice the log-likelihood, but for a constant and the classes of an image among each other."""
        return self.product(self.offsets[name], self.offsets[name])

    def total(self, name: Candidate) -> float:
        """The same with these."""
        return self.badness(name) + float(self.within.sum())

    def off(self, offset: Floats, some: Flags | None = None) -> float:
        """How far all or some images together lie from the reference, squared, in standard deviations."""
        return float((self._mean(offset, some) ** 2 * self.information(some)).sum())

    def shift(self, offset: Floats, some: Flags) -> float:
        """The one number that is nearest to the mean offsets of some images in x and y."""
        return float(np.average(self._mean(offset, some), weights=self.information(some)))

    def information(self, some: Flags | None = None) -> Floats:
        """Of the mean of the offsets, in x and y."""
        weights = self.weights if some is None else self.weights[some]
        information: Floats = 1 / (_POPULATION**2 + self.spread / weights.sum(axis=0))
        return information

    def _mean(self, offset: Floats, some: Flags | None) -> Floats:
        some = np.ones(len(self), dtype=np.bool_) if some is None else some
        mean: Floats = np.average(offset[some], axis=0, weights=self.weights[some])
        return mean
