"""Who has which findings, and who reads them: the shape of VinDr-CXR's annotations (docs/synthetic.md)."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from radloop.readers import Box
from radloop.vindr.anatomy import Anatomy, place

ABNORMAL: Final = 4394 / 15_000  # the share of images with a finding

# Who reads: R8, R9 and R10 together nearly all that has a finding; R11..R17 the rest of it; everybody what is normal.
_TRIO: Final = (8, 9, 10)
_TRIO_READS: Final = {True: 4146 / 4394, False: 1355 / 10_606}
# One over the other readings of R1, R2, …: who reads is who has the three shortest of exponential times so long.
_NORMAL_READINGS: Final = (
    1995, 3118, 2285, 1513, 2783, 2041, 1733, 1081, 624, 966, 1413, 1580, 1505, 1300, 1508, 1565, 743,
)  # fmt: skip
_WAITS: Final = {
    True: 1 / np.array([*[1e-9] * 10, 113, 91, 124, 140, 131, 111, 33]),
    False: 1 / np.array(_NORMAL_READINGS),
}

# Per class: how many standard deviations from the mean a patient must be to have it, and how much of that is
# the illness of the whole lung; how often it comes alone, and how many more than two there are on average if not.
_ILLNESS: Final = np.array(
    [
        # rarity  lung  alone  more
        [0.22, -0.25, 1.00, 0.00],  # aortic enlargement
        [2.15, 0.60, 0.94, 0.45],  # atelectasis
        [1.70, 0.25, 0.52, 1.50],  # calcification
        [0.44, -0.40, 1.00, 0.00],  # cardiomegaly
        [1.80, 0.65, 0.81, 0.40],  # consolidation
        [1.86, 0.45, 0.15, 0.65],  # ILD
        [1.64, 0.60, 0.27, 0.40],  # infiltration
        [1.86, 0.60, 0.57, 0.47],  # lung opacity
        [1.36, 0.35, 0.50, 3.50],  # nodule, mass
        [1.62, 0.35, 0.31, 1.60],  # other lesion
        [1.17, 0.50, 0.69, 0.23],  # pleural effusion
        [1.44, 0.35, 0.15, 1.80],  # pleural thickening
        [2.30, 0.50, 0.80, 0.60],  # pneumothorax
        [1.32, 0.45, 0.17, 0.40],  # pulmonary fibrosis
    ]
)
_RARITY, _LUNG, _ALONE, _MORE = _ILLNESS.T
_OWN: Final = np.sqrt(1 - _LUNG**2)
_MOST_BOXES: Final = 17  # of one class

# One rectangle, two names: how often a box of the first class is one of the second as well.
_COMPANIONS: Final = (
    (10, 11, 1.00), (6, 13, 0.65), (4, 7, 0.75), (6, 7, 0.55), (2, 13, 0.40), (8, 7, 0.20), (9, 7, 0.25), (9, 13, 0.20),
    (8, 9, 0.15), (5, 13, 0.25), (5, 6, 0.25), (8, 13, 0.12), (1, 13, 0.40), (7, 13, 0.20),
)  # fmt: skip


def findings(body: Anatomy, rng: np.random.Generator) -> Iterator[tuple[int, Box]]:
    """What an ill patient has: at least one finding, each where that class lies in this body."""
    present = np.zeros(len(_RARITY), dtype=bool)
    while not present.any():
        present = _LUNG * rng.standard_normal() + _OWN * rng.standard_normal(len(_RARITY)) > _RARITY
    for class_id in np.flatnonzero(present).tolist():
        boxes: list[Box] = []
        for _ in range(_number(class_id, rng)):
            box = _apart(boxes, partial(place, body, class_id, rng))
            boxes.append(box)
            yield class_id, box
            for first, second, share in _COMPANIONS:
                if first == class_id and rng.random() < share:
                    yield second, box


def _number(class_id: int, rng: np.random.Generator) -> int:
    if rng.random() < _ALONE[class_id]:
        return 1
    return min(2 + int(rng.exponential(_MORE[class_id]) if _MORE[class_id] else 0), _MOST_BOXES)


def _apart(boxes: list[Box], propose: "partial[Box]") -> Box:
    """A place that no box covers yet; after some tries, any."""
    for _ in range(8):
        box = propose()
        if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
            break
    return box


def readers(*, abnormal: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """Three different readers, in order."""
    if rng.random() < _TRIO_READS[abnormal]:
        return _TRIO
    turn = rng.standard_exponential(len(_WAITS[abnormal])) * _WAITS[abnormal]
    return tuple(sorted((np.argsort(turn)[:3] + 1).tolist()))
