"""One model of how radiologists disagree: what they miss, what they see that is not there, how they draw a box.

The rates are aggregates of the 4,146 VinDr-CXR images with a finding that R8, R9 and R10 read together, the edges of
all matched boxes; docs/synthetic.md says how each was measured, and what was set by hand. The synthetic source, the
oracle detector and simulated reviews share them.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]  # (n, 4): x_min, y_min, x_max, y_max as fractions of the picture
Classes = npt.NDArray[np.int64]  # (n,): 0..13
Box = tuple[float, float, float, float]
Place = Callable[[int, np.random.Generator], Box]  # where a finding of a class could lie

READERS: Final = tuple(f"R{number}" for number in range(1, 18))
MEASURED: Final = ("R8", "R9", "R10")  # the only three who drew enough boxes to be told apart

# Per class: how often each measured reader reports it where it is, and where it is not (a latent class model,
# Dawid & Skene 1979); how many of several boxes a reader who reports the class draws; how far each edge strays
# (x_min, y_min, x_max, y_max: one standard deviation as a fraction of the box's side).
_HABITS: Final = np.array(
    [
        # seen by R8,  R9,  R10    wrongly by R8, R9,  R10    drawn  edges
        [0.88, 0.94, 0.92, 0.049, 0.228, 0.151, 1.00, 0.098, 0.032, 0.031, 0.165],  # aortic enlargement
        [0.47, 0.65, 0.85, 0.001, 0.007, 0.011, 0.90, 0.095, 0.081, 0.067, 0.261],  # atelectasis
        [0.66, 0.72, 0.44, 0.017, 0.026, 0.007, 0.70, 0.094, 0.090, 0.085, 0.085],  # calcification
        [0.91, 0.84, 0.93, 0.056, 0.060, 0.072, 1.00, 0.012, 0.145, 0.015, 0.096],  # cardiomegaly
        [0.73, 0.61, 0.35, 0.017, 0.017, 0.007, 0.85, 0.083, 0.077, 0.065, 0.077],  # consolidation
        [0.83, 0.82, 0.66, 0.015, 0.017, 0.012, 0.95, 0.103, 0.112, 0.089, 0.064],  # ILD
        [0.64, 0.72, 0.62, 0.026, 0.032, 0.018, 0.80, 0.088, 0.087, 0.085, 0.094],  # infiltration
        [0.41, 0.79, 0.74, 0.022, 0.092, 0.071, 0.70, 0.099, 0.124, 0.085, 0.094],  # lung opacity
        [0.54, 0.81, 0.86, 0.012, 0.036, 0.045, 0.65, 0.077, 0.072, 0.064, 0.063],  # nodule, mass
        [0.52, 0.76, 0.74, 0.013, 0.119, 0.059, 0.70, 0.098, 0.102, 0.113, 0.096],  # other lesion
        [0.78, 0.95, 0.92, 0.005, 0.076, 0.028, 0.85, 0.092, 0.153, 0.102, 0.142],  # pleural effusion
        [0.65, 0.83, 0.69, 0.043, 0.239, 0.051, 0.75, 0.118, 0.155, 0.135, 0.179],  # pleural thickening
        [0.97, 0.89, 0.85, 0.001, 0.003, 0.004, 0.90, 0.035, 0.033, 0.049, 0.038],  # pneumothorax
        [0.84, 0.87, 0.82, 0.027, 0.103, 0.041, 0.75, 0.104, 0.113, 0.101, 0.143],  # pulmonary fibrosis
    ]
)
_SEEN, _WRONG = _HABITS[:, 0:3].T, _HABITS[:, 3:6].T
_DRAWN, _EDGES = _HABITS[:, 6], _HABITS[:, 7:11]
_CARE_SPREAD: Final = 0.6  # some boxes are drawn with care, some are not: the log of the factor on all four edges
_LARGEST_STRAY: Final = 0.35  # of the side, so that a box keeps a third of it

# Per class, in a typical chest: how far the middle lies from the midline and its spread, the same for its height,
# width and height with the spread of their logarithms, and the share that lies in the patient's right half.
_PLACES: Final = np.array(
    [
        [0.075, 0.015, 0.350, 0.03, 0.120, 0.20, 0.130, 0.22, 0.00],  # the arch bulges to the patient's left
        [0.170, 0.050, 0.400, 0.13, 0.220, 0.30, 0.200, 0.40, 0.60],
        [0.190, 0.070, 0.420, 0.15, 0.063, 0.60, 0.068, 0.60, 0.50],
        [0.050, 0.015, 0.650, 0.03, 0.430, 0.10, 0.150, 0.20, 0.00],  # so does the heart
        [0.190, 0.050, 0.470, 0.13, 0.190, 0.30, 0.200, 0.40, 0.60],
        [0.190, 0.030, 0.520, 0.06, 0.230, 0.20, 0.400, 0.30, 0.50],
        [0.180, 0.050, 0.450, 0.13, 0.190, 0.30, 0.200, 0.40, 0.55],
        [0.190, 0.060, 0.500, 0.13, 0.160, 0.45, 0.158, 0.50, 0.55],
        [0.200, 0.070, 0.480, 0.15, 0.045, 0.60, 0.043, 0.60, 0.55],
        [0.190, 0.070, 0.500, 0.16, 0.120, 0.60, 0.130, 0.65, 0.55],
        [0.300, 0.030, 0.730, 0.03, 0.100, 0.50, 0.115, 0.50, 0.50],
        [0.170, 0.040, 0.160, 0.02, 0.095, 0.40, 0.060, 0.40, 0.50],
        [0.250, 0.020, 0.360, 0.10, 0.230, 0.25, 0.320, 0.45, 0.60],
        [0.180, 0.050, 0.360, 0.14, 0.120, 0.45, 0.110, 0.50, 0.55],
    ]
)
_LARGEST_SIDE: Final = (0.60, 0.60)
_SHAPE_CORRELATION: Final = 0.8  # of the logarithms of width and height
_EFFUSION: Final = 10
_WALL, _BASE = 0.375, 0.80  # the side of the rib cage, from the midline; the floor of the chest


class Reading(NamedTuple):
    """What one reader drew. `origins` is the index of the true box behind each, -1 for a false alarm."""

    boxes: Boxes
    classes: Classes
    origins: npt.NDArray[np.int64]


def typical_box(class_id: int, rng: np.random.Generator) -> Box:
    """A box where findings of the class lie in a typical chest, of a size they have."""
    offset, offset_sd, level, level_sd, width, width_sd, height, height_sd, right = _PLACES[class_id].tolist()
    a, b, c, d = rng.standard_normal(4).tolist()
    side = -1 if rng.random() < right else 1  # the patient's right is the picture's left
    x = 0.5 + side * (offset + offset_sd * a)
    y = level + level_sd * b
    d = _SHAPE_CORRELATION * c + math.sqrt(1 - _SHAPE_CORRELATION**2) * d
    half_width = min(width * math.exp(width_sd * c), _LARGEST_SIDE[0]) / 2
    half_height = min(height * math.exp(height_sd * d), _LARGEST_SIDE[1]) / 2
    if class_id == _EFFUSION:
        x, y = 0.5 + side * (_WALL - half_width), _BASE - half_height  # fluid falls, and climbs the wall
    return x - half_width, y - half_height, x + half_width, y + half_height


def reading(
    boxes: Boxes,
    classes: Classes,
    *,
    rng: np.random.Generator,
    reader: str | None = None,
    noise: float = 1.0,
    place: Place = typical_box,
) -> Reading:
    """What a reader draws where the truth is `boxes` of `classes`: misses, false alarms and jitter.

    `noise` scales all three: 0 is the truth itself, 1 a radiologist. `reader` is one of MEASURED; anybody else reads
    like their mean. Boxes that coincide stay one rectangle. `place` says where a false alarm of a class may lie;
    a class that is in the picture raises none.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    classes = np.asarray(classes, dtype=np.int64)
    seen, wrong = _rates(reader)
    counts = np.bincount(classes, minlength=len(_HABITS))

    missed_class = rng.random(len(_HABITS)) < noise * (1 - seen)
    left_out = (rng.random(len(classes)) < noise * (1 - _DRAWN[classes])) & (counts[classes] > 1)
    kept = np.flatnonzero(~missed_class[classes] & ~left_out)
    drawn = _jitter(boxes, classes, rng=rng, noise=noise)[kept]

    alarms = np.flatnonzero((rng.random(len(_HABITS)) < noise * wrong) & (counts == 0))
    if not len(alarms):
        return Reading(drawn, classes[kept], kept)
    invented = np.clip([place(class_id, rng) for class_id in alarms.tolist()], 0.0, 1.0)
    return Reading(
        np.concatenate([drawn, invented]),
        np.concatenate([classes[kept], alarms]),
        np.concatenate([kept, np.full(len(alarms), -1)]),
    )


def _rates(reader: str | None) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if reader in MEASURED:
        return _SEEN[MEASURED.index(reader)], _WRONG[MEASURED.index(reader)]
    return _SEEN.mean(axis=0), _WRONG.mean(axis=0)


def _jitter(boxes: Boxes, classes: Classes, *, rng: np.random.Generator, noise: float) -> Boxes:
    """The boxes as one hand draws them: every edge on its own, boxes that coincide alike."""
    if not len(boxes):
        return boxes
    number: dict[tuple[float, ...], int] = {}
    which = [number.setdefault(tuple(box), len(number)) for box in boxes.tolist()]
    first = [which.index(rectangle) for rectangle in range(len(number))]
    rectangles = boxes[first]
    care = np.exp(_CARE_SPREAD * rng.standard_normal((len(number), 1)))
    stray = rng.standard_normal(rectangles.shape) * _EDGES[classes[first]] * care * noise
    sides = np.tile(rectangles[:, 2:] - rectangles[:, :2], 2)
    strayed: Boxes = rectangles + np.clip(stray, -_LARGEST_STRAY, _LARGEST_STRAY) * sides
    return np.clip(strayed, 0.0, 1.0)[which]
