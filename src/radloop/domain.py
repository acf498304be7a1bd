"""What is known of a taxonomy's findings beyond their names: where they lie, how often they come, how readers err.

For VinBigData's classes it was measured (`radloop.vindr`). Of any others only what holds for findings in general is
known, and whoever needs more says so.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from radloop import codes
from radloop.codes import Code
from radloop.readers import Box, Floats, Habits, Place
from radloop.taxonomy import Taxonomy
from radloop.vindr import classes, habits, places
from radloop.vindr import codes as terminology

_SIDE: Final = (0.14, 0.45)  # of a finding nobody measured: the median and the spread of the logarithm
_LARGEST: Final = 0.5


@dataclass(frozen=True)
class Domain:
    """What is known of the findings of one taxonomy."""

    habits: Habits
    shares: Floats  # of all boxes, by class
    typical_box: Place  # where a finding of a class could lie, of a size it could have
    middles: (
        Floats | None
    )  # of each class's boxes in a picture, and their spread (`vindr.places.MIDDLES`); None: unknown


def of(taxonomy: Taxonomy) -> Domain:
    """What is known of the classes of `taxonomy`."""
    return VINDR if taxonomy == classes.TAXONOMY else _general(len(taxonomy))


def codes_of(taxonomy: Taxonomy) -> tuple[Code, ...]:
    """What each class is called outside, in the order of their numbers."""
    return terminology.CODES if taxonomy == classes.TAXONOMY else codes.of_names(taxonomy)


def _anywhere(class_id: int, rng: np.random.Generator) -> Box:
    """A box anywhere in the picture, but for its rim."""
    middle, spread = _SIDE
    width, height = np.minimum(middle * np.exp(spread * rng.standard_normal(2)), _LARGEST)
    x, y = rng.uniform((0.05, 0.05), (0.95 - width, 0.95 - height))
    return float(x), float(y), float(x + width), float(y + height)


def _measured() -> Habits:
    return Habits(habits.MEASURED, habits.SEEN, habits.WRONG, habits.DRAWN, habits.EDGES)


@lru_cache(maxsize=16)
def _general(count: int) -> Domain:
    """Readers who see each class as well as VinBigData's see theirs on average; and so many false alarms in all."""
    known = _measured()
    readers = len(known.measured)
    wrong = known.wrong.sum(axis=1, keepdims=True) / max(count, len(known))
    return Domain(
        habits=Habits(
            known.measured,
            seen=np.broadcast_to(known.seen.mean(axis=1, keepdims=True), (readers, count)),
            wrong=np.broadcast_to(wrong, (readers, count)),
            drawn=np.full(count, known.drawn.mean()),
            edges=np.broadcast_to(known.edges.mean(axis=0), (count, 4)),
        ),
        shares=np.full(count, 1 / count),
        typical_box=_anywhere,
        middles=None,
    )


VINDR: Final = Domain(
    habits=_measured(),
    shares=classes.ROWS / classes.ROWS.sum(),
    typical_box=places.typical_box,
    middles=places.MIDDLES,
)
