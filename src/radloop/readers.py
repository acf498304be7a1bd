"""One model of how radiologists disagree: what they miss, what they see that is not there, how they draw a box.

How often they do is of the classes (`radloop.domain`): measured for VinBigData's, the mean of those for any others. The
synthetic source, the oracle detector and simulated reviews share the model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (n, 4): x_min, y_min, x_max, y_max as fractions of the picture
Classes = npt.NDArray[np.int64]  # (n,): 0..n-1 of the taxonomy
Floats = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]
Place = Callable[[int, np.random.Generator], Box]  # where a finding of a class could lie

_CARE_SPREAD: Final = 0.6  # some boxes are drawn with care, some are not: the log of the factor on all four edges
_LARGEST_STRAY: Final = 0.35  # of the side, so that a box keeps a third of it


@dataclass(frozen=True)
class Habits:
    """How readers read, by class.

    seen: how often each measured reader reports a class where it is, [reader, class]; wrong: and where it is not (a
    latent class model, Dawid & Skene 1979); drawn: how many of several boxes a reader who reports the class draws,
    [class]; edges: how far each edge strays (x_min, y_min, x_max, y_max: one standard deviation as a fraction of the
    box's side), [class, edge].
    """

    measured: tuple[str, ...]
    seen: Floats
    wrong: Floats
    drawn: Floats
    edges: Floats

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.drawn)

    def rates(self, reader: str | None) -> tuple[Floats, Floats]:
        """What a reader sees and invents, [class]; one who was not measured reads like the mean."""
        if reader in self.measured:
            return self.seen[self.measured.index(reader)], self.wrong[self.measured.index(reader)]
        return self.seen.mean(axis=0), self.wrong.mean(axis=0)


class Reading(NamedTuple):
    """What one reader drew. `origins` is the index of the true box behind each, -1 for a false alarm."""

    boxes: Boxes
    classes: Classes
    origins: npt.NDArray[np.int64]


def reading(
    boxes: Boxes,
    classes: Classes,
    habits: Habits,
    *,
    place: Place,
    rng: np.random.Generator,
    reader: str | None = None,
    noise: float = 1.0,
) -> Reading:
    """What a reader draws where the truth is `boxes` of `classes`: misses, false alarms and jitter.

    `noise` scales all three: 0 is the truth itself, 1 a radiologist. Boxes that coincide stay one rectangle. `place`
    says where a false alarm of a class may lie; a class that is in the picture raises none.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    classes = np.asarray(classes, dtype=np.int64)
    seen, wrong = habits.rates(reader)
    counts = np.bincount(classes, minlength=len(habits))

    missed_class = rng.random(len(habits)) < noise * (1 - seen)
    left_out = (rng.random(len(classes)) < noise * (1 - habits.drawn[classes])) & (counts[classes] > 1)
    kept = np.flatnonzero(~missed_class[classes] & ~left_out)
    drawn = _jitter(boxes, habits.edges[classes], rng=rng, noise=noise)[kept]

    alarms = np.flatnonzero((rng.random(len(habits)) < noise * wrong) & (counts == 0))
    if not len(alarms):
        return Reading(drawn, classes[kept], kept)
    invented = np.clip([place(class_id, rng) for class_id in alarms.tolist()], 0.0, 1.0)
    return Reading(
        np.concatenate([drawn, invented]),
        np.concatenate([classes[kept], alarms]),
        np.concatenate([kept, np.full(len(alarms), -1)]),
    )


def _jitter(boxes: Boxes, edges: Floats, *, rng: np.random.Generator, noise: float) -> Boxes:
    """The boxes as one hand draws them: every edge on its own, boxes that coincide alike."""
    if not len(boxes):
        return boxes
    number: dict[tuple[float, ...], int] = {}
    which = [number.setdefault(tuple(box), len(number)) for box in boxes.tolist()]
    first = [which.index(rectangle) for rectangle in range(len(number))]
    rectangles = boxes[first]
    care = np.exp(_CARE_SPREAD * rng.standard_normal((len(number), 1)))
    stray = rng.standard_normal(rectangles.shape) * edges[first] * care * noise
    sides = np.tile(rectangles[:, 2:] - rectangles[:, :2], 2)
    strayed: Boxes = rectangles + np.clip(stray, -_LARGEST_STRAY, _LARGEST_STRAY) * sides
    return np.clip(strayed, 0.0, 1.0)[which]
