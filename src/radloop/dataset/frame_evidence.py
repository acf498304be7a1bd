"""What the boxes say of the frame that they are in: whether they fit, and whether they lie where findings lie.

Where a finding lies in a chest does not depend on how many pixels the image has. So in the right frame the boxes'
middles, as fractions of the frame, lie where that class lies on chest images, and do not follow the frame's size. In a
wrong frame they follow the ratio of the right frame to the wrong one, with the power 1. docs/scale-proof.md has the
derivation, and how often it errs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from radloop.dataset.frame_candidates import FRAMES, SIDES, Candidate, Factor, Floats, Frame, Part, frame_of, usual_side
from radloop.dataset.frame_images import Flags, Images
from radloop.dataset.frame_sizes import smaller_part

FEWEST_BOXES: Final = 50  # below, the places prove nothing
FEWEST_IMAGES: Final = 5

_DECISIVE: Final = 8.0  # natural log of the likelihood ratio
_DECISIVE_ALONE: Final = 40.0  # the same for a single image
_MISFIT: Final = 3.0  # what one image with a box that does not fit adds to it: bad rows are some 20 times rarer
_LEAST_POWER: Final = 0.8  # of the sizes' ratio, half-way being 0.5
_OFF: Final = 12.0  # squared distance of all images from the reference, in sd: chi-squared of two, 1 in 400
_OFF_AND_SHORT: Final = 6.0  # the same, where no box reaches as far as those of such images do
_SHORT: Final = 0.82  # of either side; on every second image a box reaches further
_BACK: Final = 4.0  # as _OFF, where a factor explains it
_IMAGE_DECISIVE: Final = 5.0  # log likelihood ratio that makes one image count; 1 in 500 of sound ones has it
_PART_DECISIVE: Final = 16.0  # their sum: two images that only just count are no part
_PART_SHARE: Final = 0.01  # of the images; a smaller part cannot be told from odd images
_LEFT: Final = 0.05  # of a part's images, at least, lie in the frame of the rest; else it is the whole
_HARDER: Final = 2.0  # for a part that is turned, or in a frame that is fitted to it: odd images look like these
_SMALLER: Final = 0.75  # a factor of a part; a larger one cannot be told of single images
_STRONG: Final = 100.0  # for what needs no places: an image that does not fit into one frame and does into the other
_WRONG_SCALE: Final = np.log(0.8)  # has to be found before "prove" is said


@dataclass(frozen=True)
class _Votes:
    away: Flags  # of each image, whether it speaks for another frame
    gain: float  # what they say together, as a log-likelihood ratio
    part: bool  # some do, and others speak for the frame
    whole: bool  # some do, and hardly one speaks for the frame


class Evidence:
    """What the boxes say of the frames, image by image.

    boxes: image_id, class_id, x_min, y_min, x_max, y_max as they came; width and height of the original, picture_width
    and picture_height, null where they are not known. middles: where the boxes of each class lie, or None.
    """

    def __init__(self, boxes: pl.DataFrame, middles: Floats | None) -> None:
        self._middles = middles
        self.images = Images(boxes, middles)
        self._many = middles is not None and len(boxes) >= FEWEST_BOXES and len(self.images) >= FEWEST_IMAGES
        self._turned: dict[Frame, dict[Candidate, Images]] = {}
        self._leaning: dict[Frame, dict[Candidate, Floats]] = {}

    @property
    def places(self) -> bool:
        """Whether it is known where the boxes should lie."""
        return self._middles is not None

    @cached_property
    def best(self) -> Frame | None:
        """The frame that explains the boxes decisively better than every other, with places where they should be."""
        if not self._many:
            return None
        images = self.images
        inside = [name for name in images.candidates if self._lie_in(name) and images.fit(name)]
        best = min(inside, key=images.badness, default=None)
        if best is None:
            return None
        frame = frame_of(best)
        others = [name for name in images.frames if not images.equal(name, frame)]
        return frame if all(self._wins(best, other) for other in others) else None

    def proves(self, frame: Frame) -> bool:
        """Whether the boxes lie where they should in `frame`, and would be found if they were 0.8 times as large."""
        if self.best is None or not self.images.equal(self.best, frame):
            return False
        offset, reach = self.images.offsets[frame], self._reach(frame)
        not_shrunk = reach > _SHORT or self._gain(frame, offset - _WRONG_SCALE) < -_DECISIVE
        not_turned = all(
            self._turned_gain(turned, frame) < -_DECISIVE for turned in self._turned_images(frame).values()
        )
        not_turned &= self._turned_gain(self._mirrored(frame), frame) < -_DECISIVE
        away = max(int(self._votes(lean).away.sum()) for lean in self._leans(frame).values())
        alike = away <= max(1.0, _PART_SHARE * len(self.images))
        would_be_found = self._are_off(offset + _WRONG_SCALE, reach * np.exp(_WRONG_SCALE))
        return not_shrunk and not_turned and alike and would_be_found and self._is_no_error(frame)

    def better_than(self, frame: Frame) -> Candidate | None:
        """The candidate that explains the boxes best, where it does so decisively better than `frame`."""
        if not self.places:
            return None
        better: dict[Candidate, float] = {
            name: self.images.total(name) for name in self.images.candidates if self._wins(name, frame)
        }
        for name, turned in self._turned_images(frame).items():
            if self._turned_gain(turned, frame) > self._decisive and turned.fit(frame) and self._is_whole(name, frame):
                better[name] = turned.total(frame)
        return min(better, key=lambda name: better[name], default=None)

    def part(self, frame: Frame) -> Part | None:
        """The images that lie in another frame than `frame`, in which others do lie: more than 1 % and one."""
        leans = self._leans(frame)
        if any(self._is_whole(name, frame) for name in leans):
            return None
        votes: dict[Candidate | Factor, _Votes] = {
            name: vote
            for name, lean in leans.items()
            if (vote := self._votes(lean, 1.0 if name in SIDES else _HARDER)).part
            and self._are_two(vote.away, name, frame)
        }
        if not votes and self.places:
            votes = {factor: vote for factor, vote in self._factors_of_part(frame) if vote.part}
        if votes:
            name = max(votes, key=lambda one: votes[one].gain)
            return self._named(name, votes[name].away)
        smaller = None if self.places else smaller_part(self.images, frame)
        return None if smaller is None else self._named(*smaller)

    def odd(self, frame: Frame) -> Part | None:
        """The images that lie in another of the frames, where they are too few to be a part."""
        leans = {name: lean for name, lean in self._leans(frame).items() if name in FRAMES}
        name = max(leans, key=lambda one: int((leans[one] > _DECISIVE).sum()), default=None)
        if name is None or not (leans[name] > _DECISIVE).any():
            return None
        return self._named(name, leans[name] > _DECISIVE)

    def factor(self, frame: Frame) -> Factor | None:
        """What single factor brings the boxes to where they should lie, decisively better than `frame` does."""
        if not self.places:
            return None
        off = len(self.images) > 1 and not self._lie_in(frame)
        found = {}
        for factor, offset in self._factors(frame, np.ones(len(self.images), dtype=np.bool_)):
            gain = self._gain(frame, offset)
            if self.images.off(offset) < _BACK and (off or gain > self._decisive):
                found[factor] = gain
        return max(found, key=lambda factor: found[factor], default=None)

    def is_off(self, frame: Frame) -> bool:
        """Whether the boxes lie where such findings do not lie."""
        return self._many and not self._lie_in(frame)

    def is_mirrored(self, frame: Frame) -> bool:
        """Whether boxes that are off lie where they should with x counted from the right edge."""
        mirrored = self._mirrored(frame)
        return self._turned_gain(mirrored, frame) > self._decisive and self._lie(mirrored.offsets[frame])

    def explanations(self, frame: Frame) -> Sequence[Candidate]:
        """What the boxes fit into, though not into `frame`; the best by their places first."""
        images = self.images
        fitting = [name for name in images.candidates if not images.equal(name, frame) and images.fit(name)]
        return sorted(fitting, key=images.badness) if self.places else fitting

    @property
    def _decisive(self) -> float:
        """The log-likelihood ratio that decides: one odd image alone has to be very odd."""
        return _DECISIVE if len(self.images) > 1 else _DECISIVE_ALONE

    def _wins(self, name: Candidate, over: Frame) -> bool:
        images = self.images
        offset, step = images.offsets[over], images.offsets[name] - images.offsets[over]
        length = images.product(step, step)
        power = -images.product(offset, step) / length if length > 0 else 0.0
        misfits = int((~images.fitting(over)).sum()) - int((~images.fitting(name)).sum())
        log_ratio = length * (power - 0.5) / images.spread + _MISFIT * misfits
        sound = self._lie_in(name) and images.fit(name)
        return sound and power > _LEAST_POWER and log_ratio > self._decisive

    def _gain(self, frame: Frame, offset: Floats) -> float:
        """The log-likelihood ratio for other offsets than those in `frame`."""
        return (self.images.badness(frame) - self.images.product(offset, offset)) / (2 * self.images.spread)

    def _lie_in(self, name: Candidate) -> bool:
        """Whether all images together lie where they should by a candidate, and reach as far."""
        return not self._are_off(self.images.offsets[name], self._reach(name))

    def _are_off(self, offset: Floats, reach: float) -> bool:
        off = self.images.off(offset)
        return off > _OFF or (off > _OFF_AND_SHORT and reach < _SHORT and len(self.images) >= FEWEST_IMAGES)

    def _reach(self, name: Candidate) -> float:
        return max(self.images.reach(name))

    def _is_no_error(self, frame: Frame) -> bool:
        """Whether the boxes are decisively less likely, or do not fit, with each of the errors that are known."""
        images = self.images
        errors = [name for name in images.candidates if name not in FRAMES and not images.equal(name, frame)]
        return all(self._gain(frame, images.offsets[name]) < -_DECISIVE or not images.fit(name) for name in errors)

    def _named(self, frame: Candidate | Factor, some: Flags) -> Part:
        return Part(frame, tuple(self.images.table["image_id"].filter(pl.Series(some))), len(self.images))

    def _turned_images(self, frame: Frame) -> dict[Candidate, Images]:
        """The images whose y is counted from below, or whose x and y stand in each other's place."""
        if not self.places:
            return {}
        if frame not in self._turned:
            asked, height = self.images.asked, SIDES[frame][1]
            below = asked.with_columns(y_min=height - pl.col("y_max"), y_max=height - pl.col("y_min"))
            axes = {"x_min": "y_min", "y_min": "x_min", "x_max": "y_max", "y_max": "x_max"}
            swapped = asked.rename(axes).select(asked.columns)
            turned = {"y from below": below, "axes swapped": swapped}
            self._turned[frame] = {name: Images(boxes, self._middles) for name, boxes in turned.items()}  # type: ignore[misc]
        return self._turned[frame]

    def _mirrored(self, frame: Frame) -> Images:
        """The images with x from the right: a wrong scale looks like it, so that it names nothing by itself."""
        width = SIDES[frame][0]
        return Images(
            self.images.asked.with_columns(x_min=width - pl.col("x_max"), x_max=width - pl.col("x_min")), self._middles
        )

    def _turned_gain(self, turned: Images, frame: Frame) -> float:
        """The log-likelihood ratio for turned images."""
        return (self.images.total(frame) - turned.total(frame)) / (2 * self._spread(frame))

    def _spread(self, frame: Frame) -> float:
        """As `Images.spread`, where turned images may be what explains one best."""
        turned = [images.distances(images.offsets[frame]) for images in self._turned_images(frame).values()]
        return max(1.0, float(np.min([self.images.least, *turned], axis=0).mean()) / 2)

    def _leans(self, frame: Frame) -> dict[Candidate, Floats]:
        """Per candidate, the log-likelihood ratio of each image for it against `frame`."""
        if frame not in self._leaning:
            self._leaning[frame] = self._lean(frame)
        return self._leaning[frame]

    def _lean(self, frame: Frame) -> dict[Candidate, Floats]:
        images, leans = self.images, dict[Candidate, Floats]()
        here, fit = images.fitting(frame), images.fit(frame)
        for name in images.candidates:
            if images.equal(name, frame):
                continue
            there = images.fitting(name)
            lean = np.where(there & ~here, _STRONG, np.where(here & ~there, -_STRONG, 0.0))
            if name == "fraction":
                lean = np.where(there, _STRONG, -_STRONG)
            elif self.places:
                gain = images.distances(images.offsets[frame]) - images.distances(images.offsets[name])
                lean = gain / (2 * images.spread) + _MISFIT * (there * 1.0 - here * 1.0)
                lean = np.where(there | (lean < 0), lean, 0.0)
            elif fit:  # single boxes that do not are bad rows
                continue
            leans[name] = lean
        for name, turned in self._turned_images(frame).items():
            gain = images.distances(images.offsets[frame]) - turned.distances(turned.offsets[frame])
            lean = (gain + images.within - turned.within) / (2 * self._spread(frame))
            leans[name] = np.where(turned.fitting(frame) | (lean < 0), lean, 0.0)
        return leans

    def _votes(self, lean: Floats, harder: float = 1.0) -> _Votes:
        """Which images speak against a frame, by the log-likelihood ratio of each."""
        away, here = lean > _IMAGE_DECISIVE, int((lean < -_IMAGE_DECISIVE).sum())
        count, fewest = int(away.sum()), harder * max(2.0, _PART_SHARE * len(lean))
        gain = float(lean[away].sum())
        decisive = count >= fewest and gain > harder * _PART_DECISIVE
        rest = here >= max(fewest, _LEFT * count)
        return _Votes(away, gain, part=decisive and rest, whole=decisive and not rest)

    def _is_whole(self, name: Candidate, frame: Frame) -> bool:
        """Whether all images speak for a candidate and, where it is known, lie where they should by it."""
        return self._votes(self._leans(frame)[name]).whole and self._lie(self._offset(name, frame))

    def _are_two(self, away: Flags, name: Candidate, frame: Frame) -> bool:
        """Whether some images lie where they should by a candidate and the rest in `frame`."""
        return self._lie(self._offset(name, frame), away) and self._lie(self._offset(frame, frame), ~away)

    def _lie(self, offset: Floats | None, some: Flags | None = None) -> bool:
        return offset is None or self.images.off(offset, some) < _OFF

    def _offset(self, name: Candidate, frame: Frame) -> Floats | None:
        if not self.places:
            return None
        turned = self._turned_images(frame).get(name)
        return self.images.offsets[name] if turned is None else turned.offsets[frame]

    def _factors(self, frame: Frame, some: Flags) -> Iterator[tuple[Factor, Floats]]:
        """The factors that bring some images to the reference, and the offsets of all images with each."""
        images = self.images
        scale = float(np.exp(images.shift(images.middles, some)))
        error = 2 / float(np.sqrt(images.information(some).sum()))
        usual = usual_side(scale, error, float(np.quantile(images.largest[some], 0.99)))
        yield Factor(usual or round(scale), usual is not None, scale), images.middles - np.log(scale)
        offset = images.offsets["original" if frame == "scaled" else frame]
        shift = images.shift(offset, some)
        yield Factor(None, False, float(np.exp(shift))), offset - shift

    def _factors_of_part(self, frame: Frame) -> Iterator[tuple[Factor, _Votes]]:
        """The factors that bring those images to the reference that one brings there."""
        images = self.images
        offset, weight = images.offsets[frame], images.weights.sum(axis=1)
        shift = (offset * images.weights).sum(axis=1) / weight
        some = (shift**2 * weight / (2 * images.spread) > _IMAGE_DECISIVE) & (shift < np.log(_SMALLER))
        if not some.any() or some.all() or not self._lie(offset, ~some):
            return
        for factor, moved in self._factors(frame, some):
            if self._lie(moved, some):
                lean = (images.distances(offset) - images.distances(moved)) / (2 * images.spread)
                yield factor, self._votes(np.where(some | (lean < 0), lean, 0.0), _HARDER)
