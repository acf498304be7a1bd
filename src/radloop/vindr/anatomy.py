"""One patient's build for each image id, and where in it a finding lies that was measured in a typical chest.

Coordinates are fractions of the picture, x to the right and y down; the patient's right lung is on the left.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from radloop.readers import Box
from radloop.vindr.places import typical_box

# the chest that places.typical_box speaks of
_TYPICAL_HALF: Final = 0.37
_TYPICAL_APEX, _TYPICAL_BASE = 0.11, 0.78


@dataclass(frozen=True)
class Anatomy:
    """One patient's build and how the radiograph was taken."""

    midline: float  # x of the spine at half height
    tilt: float  # radians
    turn: float  # away from the detector: by how much one half looks wider than the other
    half: float  # from the spine to the side of the rib cage
    apex: float  # y of the top of the lungs
    base: float  # y of the costophrenic angles
    barrel: float  # how far down the lungs reach their full width
    domes: tuple[float, float]  # top of the right and left diaphragm, 0 apex .. 1 base
    heart: Box
    knob: Box  # the aortic arch
    rib_gap: float
    rib_drop: float  # of the posterior ribs, from the spine to the side
    rib_rise: float  # of the anterior ribs, from the side to the front
    rib_contrast: float
    neck: float  # half its width
    wall: float  # of soft tissue outside the rib cage
    shoulder: float  # y
    armpit: float  # y
    clavicle: float  # y at its inner end
    clavicle_rise: float
    scapula: float  # how far it lies over the lung
    bust: float  # density of soft tissue over the lower lungs
    lung: float  # brightness of the lungs
    dense: float  # brightness of heart and abdomen
    gamma: float
    noise: float  # standard deviation of the grain, in gray values

    def roof(self, u: float) -> float:
        """Where the rib cage begins above a point, 0 apex .. 1 base; `u` from the spine (0) to the side (1)."""
        return self.barrel * (1 - math.pow(max(0.0, 1 - u * u), 1 / 3))

    def box(self, box: Box) -> Box:
        """Where a box of the typical chest lies in this one; inside the rib cage, inside the picture."""
        x_scale, y_scale = self.half / _TYPICAL_HALF, (self.base - self.apex) / (_TYPICAL_BASE - _TYPICAL_APEX)
        x, y = (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - _TYPICAL_APEX
        half_width, half_height = (box[2] - box[0]) / 2 * x_scale, (box[3] - box[1]) / 2 * y_scale
        room = max(0.0, self.half * 1.02 - half_width)
        x = min(max(x * x_scale, -room), room)
        y = self.apex + max(y * y_scale, (self.base - self.apex) * self.roof(abs(x) / self.half))
        y = max(min(y, self.base + 0.03 - half_height), self.apex - 0.01 + half_height)
        x, y = self.midline + x + self.tilt * (y - 0.5), y - self.tilt * x
        return (
            max(x - half_width, 0.005),
            max(y - half_height, 0.005),
            min(x + half_width, 0.995),
            min(y + half_height, 0.995),
        )


def anatomy(image_id: str) -> Anatomy:
    """The build of the patient with this image id: always the same for the same id."""
    rng = np.random.default_rng(seed_of(image_id))
    spread: Iterator[float] = iter(rng.uniform(-1.0, 1.0, 32).tolist())

    def around(middle: float, by: float) -> float:
        return middle + by * next(spread)

    midline, half = around(0.5, 0.03), around(0.37, 0.045)
    apex, base = around(0.11, 0.045), around(0.775, 0.065)
    length = base - apex
    heart_width, heart_height = 2 * half * around(0.45, 0.055), length * around(0.42, 0.07)
    heart_x, heart_y = midline + half * around(0.13, 0.04), apex + length * around(0.77, 0.03)
    knob_x, knob_y, knob_radius = (
        midline + half * around(0.085, 0.03),
        apex + length * around(0.34, 0.04),
        around(0.034, 0.008),
    )
    return Anatomy(
        midline=midline,
        tilt=around(0.0, 0.05),
        turn=around(0.0, 0.06),
        half=half,
        apex=apex,
        base=base,
        barrel=around(0.62, 0.12),
        domes=(around(0.85, 0.07), around(0.89, 0.07)),
        heart=(
            heart_x - heart_width / 2,
            heart_y - heart_height / 2,
            heart_x + heart_width / 2,
            heart_y + heart_height / 2,
        ),
        knob=(knob_x - knob_radius, knob_y - knob_radius, knob_x + knob_radius, knob_y + knob_radius),
        rib_gap=length * around(0.099, 0.014),
        rib_drop=around(0.36, 0.1),
        rib_rise=around(0.34, 0.1),
        rib_contrast=around(0.08, 0.03),
        neck=around(0.095, 0.02),
        wall=around(0.08, 0.06),
        shoulder=around(0.13, 0.06),
        armpit=around(0.52, 0.2),
        clavicle=apex + around(0.075, 0.035),
        clavicle_rise=around(0.045, 0.05),
        scapula=around(0.9, 0.15),
        bust=max(0.0, around(0.03, 0.14)),
        lung=around(0.17, 0.06),
        dense=around(0.87, 0.05),
        gamma=around(1.0, 0.18),
        noise=around(2.6, 0.9),
    )


def place(body: Anatomy, class_id: int, rng: np.random.Generator) -> Box:
    """Where a finding of the class could lie in this patient."""
    return body.box(typical_box(class_id, rng))


def seed_of(image_id: str) -> int:
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")
