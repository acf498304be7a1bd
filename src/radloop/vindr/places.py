"""Where the findings of each of VinBigData's classes lie in a chest, and how large they are."""

import math
from typing import Final

import numpy as np

Box = tuple[float, float, float, float]  # corners as fractions of the picture

# Per class, in a typical chest: how far the middle lies from the midline and its spread, the same for its height,
# width and height with the spread of their logarithms, and the share that lies in the patient's right half.
_TYPICAL: Final = np.array(
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

# Where the middles of a class's boxes lie, as fractions of width and height (median of an image), and their spread (one
# standard deviation of the logarithm). Aorta and heart tell most: they lie in the middle of every chest.
MIDDLES: Final = np.array(
    [
        [0.565, 0.335, 0.08, 0.14],  # aortic enlargement
        [0.40, 0.35, 0.45, 0.41],  # atelectasis
        [0.45, 0.38, 0.52, 0.37],  # calcification
        [0.57, 0.61, 0.08, 0.10],  # cardiomegaly
        [0.38, 0.44, 0.45, 0.29],  # consolidation
        [0.45, 0.49, 0.38, 0.23],  # ILD
        [0.40, 0.41, 0.45, 0.34],  # infiltration
        [0.39, 0.43, 0.50, 0.37],  # lung opacity
        [0.40, 0.42, 0.55, 0.37],  # nodule, mass
        [0.38, 0.44, 0.56, 0.43],  # other lesion
        [0.30, 0.68, 0.87, 0.20],  # pleural effusion
        [0.38, 0.29, 0.61, 0.73],  # pleural thickening
        [0.34, 0.37, 0.53, 0.46],  # pneumothorax
        [0.40, 0.37, 0.51, 0.38],  # pulmonary fibrosis
    ]
)


def typical_box(class_id: int, rng: np.random.Generator) -> Box:
    """A box where findings of the class lie in a typical chest, of a size they have."""
    offset, offset_sd, level, level_sd, width, width_sd, height, height_sd, right = _TYPICAL[class_id].tolist()
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
