"""VinBigData's classes, with the numbers of its train.csv, and how often each is drawn."""

from typing import Final

import numpy as np

from radloop.taxonomy import Taxonomy

TAXONOMY: Final = Taxonomy(
    (
        "Aortic enlargement",
        "Atelectasis",
        "Calcification",
        "Cardiomegaly",
        "Consolidation",
        "ILD",
        "Infiltration",
        "Lung Opacity",
        "Nodule/Mass",
        "Other lesion",
        "Pleural effusion",
        "Pleural thickening",
        "Pneumothorax",
        "Pulmonary fibrosis",
    )
)

# Rows of train.csv by class.
ROWS: Final = np.array([7162, 279, 960, 5427, 556, 1000, 1247, 2483, 2580, 2203, 2476, 4842, 226, 4655])
