"""What the boxes say of the frame that they are in: whether they fit, and whether they lie where findings lie.

Where a finding lies in a chest does not depend on how many pixels the film has. So in the right frame the boxes'
middles, as fractions of the frame, lie where that class lies on chest films, and do not follow the frame's size. In a
wrong frame they follow the ratio of the right frame to the wrong one, with the power 1. docs/scale-proof.md has the
derivation, and how often it errs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    Factor,
    Floats,
    Frame,
    Part,
    allowed,
    films_of,
    fits,
    frame_of,
    usual_side,
)
from radloop.tables import SCALED_SIDE_PX

FEWEST_BOXES: Final = 50  # below, the places prove nothing
FEWEST_FILMS: Final = 5

_DECISIVE: Final = 8.0  # natural log of the likelihood ratio
_DECISIVE_ALONE: Final = 40.0  # the same for a single film
_MISFIT: Final = 3.0  # what one film with a box that does not fit adds to it: bad rows are some 20 times rarer
_LEAST_POWER: Final = 0.8  # of the sizes' ratio, half-way being 0.5
_TYPICAL_FILM_PX: Final = (2400, 2750)  # where only the size of the 1024×1024 pictures is known
_POPULATION: Final = np.array([0.05, 0.1])  # how far all films of a hospital may lie off in x, y: one sd of the log
_OFF: Final = 16.0  # squared distance of all films from the reference, in sd: chi-squared of two, 1 in 3,000
_BACK: Final = 4.0  # the same, where a factor explains it
_FILM_DECISIVE: Final = 5.0  # log likelihood ratio that makes one film count; 1 in 500 of sound ones has it
_PART_DECISIVE: Final = 16.0  # their sum: two films that only just count are no part
_PART_SHARE: Final = 0.01  # of the films; a smaller part cannot be told from odd films
_LEFT: Final = 0.05  # of a part's films, at least, lie in the frame of the rest; else it is the whole
_STRONG: Final = 100.0  # for what needs no places: a film that does not fit into one frame and does into the other
_HARDER: Final = 1.5  # for a part in a frame that is fitted to it
_SMALLER: Final = 0.75  # a factor of a part; a larger one cannot be told of single films
_WRONG_SCALE: Final = 0.8  # has to be found before "prove" is said

Flags = npt.NDArray[np.bool_]
_S: Final = float(SCALED_SIDE_PX)


@dataclass(frozen=True)
class _Votes:
    away: Flags  # of each film, whether it speaks for another frame
    gain: float  # what they say together, as a log-likelihood ratio
    part: bool  # some do, and others speak for the frame
    whole: bool  # some do, and hardly one speaks for the frame


class Evidence:
    """What the boxes say of the frames, film by film.

    boxes: image_id, class_id, x_min, y_min, x_max, y_max as they came; width and height of the original, picture_width
    and picture_height, null where they are not known. middles: where the boxes of each class lie, or None.
    """

    def __init__(self, boxes: pl.DataFrame, middles: Floats | None) -> None:
        self._boxes, self._middles = boxes, middles
        sized = boxes.filter(pl.col("width").is_not_null())
        square = (pl.col("width") == SCALED_SIDE_PX) & (pl.col("height") == SCALED_SIDE_PX)
        self.only_scaled_sizes = not sized.is_empty() and bool(sized.select(square.all()).item())
        self._untold = sized.is_empty() or self.only_scaled_sizes
        self._asked = boxes if self._untold else sized

    @cached_property
    def _films(self) -> pl.DataFrame:
        films = films_of(self._asked, self._middles)
        if self._untold:
            width, height = _TYPICAL_FILM_PX
            films = films.with_columns(width=pl.lit(width), height=pl.lit(height))
        return films.with_columns(
            pl.coalesce(f"picture_{side}", side).alias(f"picture_{side}") for side in ("width", "height")
        )

    @cached_property
    def _weights(self) -> Floats:
        return self._films.select("weight_x", "weight_y").to_numpy()

    @cached_property
    def _sides(self) -> dict[Candidate, Floats]:
        """Per candidate the width and height of each film's frame."""
        known: list[Candidate] = [*SIDES]
        if self._untold:
            known = ["scaled", "picture", "fraction", "percent", "scaled twice"]
        sides = {
            name: self._films.select(width=width, height=height).to_numpy()
            for name, (width, height) in SIDES.items()
            if name in known
        }
        return sides | {"original": sides["scaled"]} if self._untold else sides

    @cached_property
    def _offsets(self) -> dict[Candidate, Floats]:
        """Per candidate, how far each film's findings lie from the reference in x and y, as logarithms."""
        middles = self._films.select("middle_x", "middle_y").to_numpy()
        return {name: middles - np.log(side) for name, side in self._sides.items()}

    @cached_property
    def frames(self) -> list[Frame]:
        """The frames that differ."""
        first: list[Frame] = ["scaled"] if self._untold else ["original", "scaled"]
        pictured = self._boxes["picture_width"].null_count() < len(self._boxes)
        if pictured and not any(self._equal("picture", frame) for frame in first):
            first.append("picture")
        return [*first, "fraction", "percent"]

    @cached_property
    def _candidates(self) -> list[Candidate]:
        """The frames, and the errors that are known."""
        return [*self.frames, *(name for name in self._sides if name not in FRAMES)]

    @property
    def places(self) -> bool:
        """Whether it is known where the boxes should lie."""
        return self._middles is not None

    @property
    def films(self) -> int:
        """How many films were asked."""
        return len(self._films)

    @cached_property
    def _spread(self) -> float:
        """How much wider than the reference's the places vary: so much less they prove."""
        least = np.min([self._distances(self._offsets[name]) for name in self._candidates], axis=0)
        return max(1.0, float(least.mean()) / 2)  # each film by what explains it best: there may be two frames

    @cached_property
    def _many(self) -> bool:
        return self._middles is not None and len(self._boxes) >= FEWEST_BOXES and self.films >= FEWEST_FILMS

    @property
    def _decisive(self) -> float:
        """The log-likelihood ratio that decides: one odd film alone has to be very odd."""
        return _DECISIVE if self.films > 1 else _DECISIVE_ALONE

    def best(self) -> Frame | None:
        """The frame that explains the boxes decisively better than every other, with places where they should be."""
        if not self._many:
            return None
        inside = [name for name in self._candidates if self._off(self._offsets[name]) < _OFF and self.fit(name)]
        best = min(inside, key=self._badness, default=None)
        if best is None:
            return None
        frame = frame_of(best)
        others = [name for name in self.frames if name != frame and not self._equal(name, frame)]
        return frame if all(self._wins(best, other) for other in others) else None

    def proves(self, frame: Frame) -> bool:
        """Whether the boxes lie where they should in `frame`, and would be found if they were 0.8 times as large."""
        if not self._many or self.best() is None or not self._equal(self.best() or frame, frame):
            return False
        offset = self._offsets[frame]
        return self._off(offset) < _OFF < self._off(offset + np.log(_WRONG_SCALE))

    def better_than(self, frame: Frame) -> Candidate | None:
        """The candidate that explains the boxes best, where it does so decisively better than `frame`."""
        if not self.places:
            return None
        better: dict[Candidate, float] = {
            name: self._total(name) for name in self._candidates if self._wins(name, frame)
        }
        for name, turned in self._turned(frame).items():
            gain = (self._total(frame) - turned._total(frame)) / (2 * self._spread)
            if gain > self._decisive and turned.fit(frame) and self._votes(self._leans(frame)[name]).whole:
                better[name] = turned._total(frame)
        return min(better, key=lambda name: better[name], default=None)

    def part(self, frame: Frame) -> Part | None:
        """The films that lie in another frame than `frame`, in which others do lie: more than 1 % and one."""
        leans = self._leans(frame)
        votes: dict[Candidate | Factor, _Votes] = {name: self._votes(lean) for name, lean in leans.items()}
        if any(vote.whole for vote in votes.values()):
            return None
        parts = {
            name: vote
            for name, vote in votes.items()
            if vote.part
            and self._lie(self._offset(name, frame), vote.away)
            and self._lie(self._offset(frame, frame), ~vote.away)
        }
        if not parts and self.places:
            parts = {factor: vote for factor, vote in self._factors_of_part(frame) if vote.part}
        if not parts:
            return None
        name = max(parts, key=lambda one: parts[one].gain)
        return Part(name, tuple(self._films["image_id"].filter(pl.Series(parts[name].away))), self.films)

    def factor(self, frame: Frame) -> Factor | None:
        """What single factor brings the boxes to where they should lie, decisively better than `frame` does."""
        if not self.places:
            return None
        off, badness = self.films > 1 and self._off(self._offsets[frame]) > _OFF, self._badness(frame)
        found = {}
        for factor, offset in self._factors(frame, self._all):
            gain = (badness - self._badness_of(offset)) / (2 * self._spread)
            if self._off(offset) < _BACK and (off or gain > self._decisive):
                found[factor] = gain
        return max(found, key=lambda factor: found[factor], default=None)

    def is_off(self, frame: Frame) -> bool:
        """Whether the boxes lie where such findings do not lie."""
        return self._many and self._off(self._offsets[frame]) > _OFF

    def reach(self, name: Candidate) -> tuple[float, float]:
        """How far over the frame's width and height the boxes reach, but for a few bad rows."""
        if self._films.is_empty():
            return 0.0, 0.0
        shares = np.sort(self._films.select("right", "bottom").to_numpy() / self._sides[name], axis=0)
        bad = min(int(MISFIT_SHARE * len(shares)), len(shares) - 1)
        x, y = shares[-1 - bad].tolist()
        return x, y

    def explanations(self, frame: Frame) -> Sequence[Candidate]:
        """What the boxes fit into, though not into `frame`; the best by their places first."""
        fitting = [name for name in self._candidates if not self._equal(name, frame) and self.fit(name)]
        return fitting if self._middles is None else sorted(fitting, key=self._badness)

    def fit(self, name: Candidate) -> bool:
        """Whether all boxes but a few bad rows fit."""
        return len(self._boxes.filter(~fits(name))) <= allowed(self._boxes)

    def _equal(self, one: Candidate, other: Candidate) -> bool:
        return one == other or bool(np.allclose(self._sides[one], self._sides[other]))

    def _votes(self, lean: Floats, harder: float = 1.0) -> "_Votes":
        """Which films speak against a frame, by the log-likelihood ratios of each."""
        away, here = lean > _FILM_DECISIVE, int((lean < -_FILM_DECISIVE).sum())
        count, fewest = int(away.sum()), harder * max(2.0, _PART_SHARE * self.films)
        decisive, gain = count >= fewest, float(lean[away].sum())
        decisive &= gain > harder * _PART_DECISIVE
        rest = here >= max(fewest, _LEFT * count)
        return _Votes(away, gain, part=decisive and rest, whole=decisive and not rest)

    def _factors(self, frame: Frame, some: Flags) -> Iterator[tuple[Factor, Floats]]:
        """The factors that bring some films to the reference, and the offsets of all films with each."""
        square = self._offsets["scaled"] + np.log(_S)
        scale = float(np.exp(self._shift(square, some)))
        largest = float(np.quantile(self._films.select("right", "bottom").to_numpy()[some], 0.99))
        usual = usual_side(scale, 2 * float(np.sqrt(1 / self._information(some).sum())), largest)
        yield Factor(usual or round(scale), usual is not None, scale), square - np.log(scale)
        of = "original" if frame == "scaled" else frame
        scale = float(np.exp(self._shift(self._offsets[of], some)))
        yield Factor(None, False, scale), self._offsets[of] - np.log(scale)

    def _factors_of_part(self, frame: Frame) -> Iterator[tuple[Factor, "_Votes"]]:
        """The factors that bring those films to the reference that one brings there."""
        offset, weights = self._offsets[frame], self._weights
        shift = (offset * weights).sum(axis=1) / weights.sum(axis=1)
        gain = shift**2 * weights.sum(axis=1) / (2 * self._spread)
        some = (gain > _FILM_DECISIVE) & (shift < np.log(_SMALLER))
        if not some.any() or some.all() or not self._lie(offset, ~some):
            return
        for factor, moved in self._factors(frame, some):
            if self._lie(moved, some):
                lean = (self._distances(offset) - self._distances(moved)) / (2 * self._spread)
                yield factor, self._votes(np.where(some | (lean < 0), lean, 0.0), _HARDER)

    def _leans(self, frame: Frame) -> dict[Candidate, Floats]:
        """Per candidate, the log-likelihood ratio of each film for it against `frame`."""
        here = self._fitting(frame)
        leans: dict[Candidate, Floats] = {}
        for name in self._candidates:
            if self._equal(name, frame):
                continue
            there = self._fitting(name)
            lean = np.where(there & ~here, _STRONG, np.where(here & ~there, -_STRONG, 0.0))
            if name == "fraction":
                lean = np.where(there, _STRONG, -_STRONG)
            elif self._middles is not None:
                gain = self._distances(self._offsets[frame]) - self._distances(self._offsets[name])
                lean = gain / (2 * self._spread) + _MISFIT * (there * 1.0 - here * 1.0)
                lean = np.where(there | (lean < 0), lean, 0.0)
            leans[name] = lean
        for name, turned in self._turned(frame).items():
            gain = self._distances(self._offsets[frame]) - turned._distances(turned._offsets[frame])
            gain += self._within - turned._within
            lean = gain / (2 * self._spread)
            leans[name] = np.where(turned._fitting(frame) | (lean < 0), lean, 0.0)
        return leans

    def _offset(self, name: "Candidate | Factor", frame: Frame) -> Floats | None:
        if self._middles is None or isinstance(name, Factor):
            return None
        turned = self._turned(frame).get(name)
        return self._offsets[name] if turned is None else turned._offsets[frame]

    def _lie(self, offset: Floats | None, some: Flags) -> bool:
        """Whether some films lie where they should, or it is not known where."""
        return offset is None or self._middles is None or self._off(offset, some) < _OFF

    def _distances(self, offset: Floats) -> Floats:
        """How far each film lies from the reference, squared, in standard deviations."""
        distances: Floats = (offset**2 * self._weights).sum(axis=1)
        return distances

    @cached_property
    def _within(self) -> Floats:
        """How far the classes of each film lie from each other's reference, squared, in standard deviations."""
        return self._films["within"].to_numpy()

    def _fitting(self, name: Candidate) -> Flags:
        """Whether all boxes of each film fit."""
        slack = SLACK_OF_UNITS * self._sides[name] if name in ("fraction", "percent") else SLACK_PX
        reach = self._films.select("right", "bottom").to_numpy()
        fitting: Flags = np.all(reach <= self._sides[name] + slack, axis=1)
        return fitting

    def _turned(self, frame: Frame) -> dict[Candidate, "Evidence"]:
        """What boxes would say whose y is counted from below, or whose x and y stand in each other's place."""
        if not self.places:
            return {}
        height = SIDES[frame][1]
        below = self._asked.with_columns(y_min=height - pl.col("y_max"), y_max=height - pl.col("y_min"))
        axes = {"x_min": "y_min", "y_min": "x_min", "x_max": "y_max", "y_max": "x_max"}
        swapped = self._asked.rename(axes).select(self._asked.columns)
        return {"y from below": Evidence(below, self._middles), "axes swapped": Evidence(swapped, self._middles)}

    def _wins(self, name: Candidate, over: Frame) -> bool:
        offset, step = self._offsets[over], self._offsets[name] - self._offsets[over]
        length = self._product(step, step)
        power = -self._product(offset, step) / length if length > 0 else 0.0
        misfits = int((~self._fitting(over)).sum()) - int((~self._fitting(name)).sum())
        log_ratio = length * (power - 0.5) / self._spread + _MISFIT * misfits
        sound = self._off(self._offsets[name]) < _OFF and self.fit(name)
        return sound and power > _LEAST_POWER and log_ratio > self._decisive

    def _badness(self, name: Candidate) -> float:
        """Minus twice the log-likelihood, but for a constant."""
        return self._badness_of(self._offsets[name])

    def _badness_of(self, offset: Floats) -> float:
        return self._product(offset, offset)

    def _total(self, name: Candidate) -> float:
        return self._badness(name) + float(self._within.sum())

    def _product(self, a: Floats, b: Floats) -> float:
        """Under the covariance of each film's own offset plus one that all films share (Sherman & Morrison 1950)."""
        w = self._weights
        shared = (a * w).sum(axis=0) * (b * w).sum(axis=0) / (_POPULATION**-2 + w.sum(axis=0))
        return float(((a * b * w).sum(axis=0) - shared).sum())

    @cached_property
    def _all(self) -> Flags:
        return np.ones(self.films, dtype=np.bool_)

    def _information(self, some: Flags | None = None) -> Floats:
        """Of the mean of the films' offsets, in x and y."""
        weights = self._weights if some is None else self._weights[some]
        information: Floats = 1 / (_POPULATION**2 + self._spread / weights.sum(axis=0))
        return information

    def _off(self, offset: Floats, some: Flags | None = None) -> float:
        """How far the films together lie from the reference, squared, in standard deviations."""
        some = self._all if some is None else some
        mean = np.average(offset[some], axis=0, weights=self._weights[some])
        return float((mean**2 * self._information(some)).sum())

    def _shift(self, offset: Floats, some: Flags) -> float:
        """The one number that is nearest to the mean offsets of some films in x and y."""
        mean = np.average(offset[some], axis=0, weights=self._weights[some])
        return float(np.average(mean, weights=self._information(some)))
