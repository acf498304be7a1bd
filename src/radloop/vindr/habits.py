"""How VinDr-CXR's radiologists disagree: what they miss, what they see that is not there, how they draw a box.

The rates are aggregates of the 4,146 VinDr-CXR images with a finding that R8, R9 and R10 read together, the edges of
all matched boxes; docs/synthetic.md says how each was measured, and what was set by hand.
"""

from typing import Final

import numpy as np

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
SEEN, WRONG = _HABITS[:, 0:3].T, _HABITS[:, 3:6].T
DRAWN, EDGES = _HABITS[:, 6], _HABITS[:, 7:11]
