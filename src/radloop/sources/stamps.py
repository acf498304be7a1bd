"""Findings of any taxonomy: a pattern that belongs to its class alone, in a round stamp inside the box.

A pattern has spokes in its inner and in its outer half, rings, and may be the negative of another: as many as there may
be classes. It is its own mirror image, so that a trainer that mirrors pictures teaches nothing wrong.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from radloop import domain
from radloop.readers import Box
from radloop.taxonomy import Taxonomy

Field = npt.NDArray[np.floating[Any]]  # (rows, columns), float32

ABNORMAL: Final = 0.5  # the share of images with a finding
_MORE: Final = 2.0  # findings beyond the first, on average
_TRIES: Final = 20  # to find a place that no other box covers; then there is one finding less

# The digits of a class's number: 2 × 8 × 3 × 6 × 2 × 2 = 1,152 patterns.
_OUTER: Final = range(2, 10)  # spokes of the outer half
_RINGS: Final = range(1, 4)
_INNER: Final = range(1, 7)  # spokes of the inner half
_MIDDLE: Final = 0.5  # the radius at which the halves meet
_GRAY, _CONTRAST, _COVER = 0.45, 0.4, 0.9  # the stamp's mean brightness, how far it goes from it, how dense it is


def findings(classes: Taxonomy, rng: np.random.Generator) -> Iterator[tuple[int, Box]]:
    """What an ill patient has: at least one finding, each in a place of its own."""
    known = domain.of(classes)
    boxes: list[Box] = []
    for class_id in rng.choice(len(classes), size=1 + rng.poisson(_MORE), p=known.shares).tolist():
        for _ in range(_TRIES):
            box = known.typical_box(class_id, rng)
            if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
                boxes.append(box)
                yield class_id, box
                break


def pattern(class_id: int, p: Field, q: Field) -> Field:
    """The pattern of a class, from -1 to 1, where `p` and `q` go from -1 to 1 across and down its stamp."""
    rest, polarity = divmod(class_id, 2)
    rest, outer = divmod(rest, len(_OUTER))
    rest, rings = divmod(rest, len(_RINGS))
    rest, inner = divmod(rest, len(_INNER))
    turned_inside, turned_outside = rest & 1, rest >> 1 & 1
    radius, angle = np.sqrt(p * p + q * q), np.arctan2(p, -q)
    spokes = np.where(
        radius < _MIDDLE,
        np.cos(_INNER[inner] * angle + np.pi * turned_inside),
        np.cos(_OUTER[outer] * angle + np.pi * turned_outside),
    )
    waves = np.cos(2 * np.pi * _RINGS[rings] * radius)
    values: Field = (0.6 * spokes + 0.4 * waves) * (1 - 2 * polarity)
    return values.astype(np.float32)


def paint(canvas: Field, class_id: int, box: Box) -> None:
    """Press the stamp of a class into a box (fractions of the picture). Changes the canvas (0 dark … 1 bright)."""
    rows, columns = len(canvas), len(canvas[0])
    left, top = round(box[0] * columns), round(box[1] * rows)
    part = canvas[top : max(top + 1, round(box[3] * rows)), left : max(left + 1, round(box[2] * columns))]
    q, p = (
        ((np.arange(size, dtype=np.float32) + 0.5 + begin) / side - middle) * (2 / extent)
        for size, begin, side, middle, extent in (
            (part.shape[0], top, rows, (box[1] + box[3]) / 2, box[3] - box[1]),
            (part.shape[1], left, columns, (box[0] + box[2]) / 2, box[2] - box[0]),
        )
    )
    p, q = p[None, :], q[:, None]
    cover = np.clip((1 - np.sqrt(p * p + q * q)) * 6, 0, _COVER)
    part += cover * (_GRAY + _CONTRAST * pattern(class_id, p, q) - part)
