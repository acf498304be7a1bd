"""The field's fixed words. Nothing heavy is imported here: the command line reads them before it knows its command."""

from enum import IntEnum
from typing import Final, Literal, get_args

Split = Literal["training", "validation", "test", "staging", "canary", "production"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)
HELD_OUT: Final[tuple[Split, ...]] = ("validation", "test", "staging", "canary")

# Images of the incoming unit, which are in no split yet: those that may train, and the share that measures instead.
INCOMING: Final = "incoming"
AUDIT: Final = "audit"
WITHHELD: Final = (*HELD_OUT, AUDIT)  # what never trains
Gated = Literal["staging", "canary"]  # where a challenger has to hold its own, in this order
# What of a store the simulator shows, and what feedback is on.
Part = Literal[Split, "incoming"]
Seen = Literal[Split, "incoming", "audit"]

ConfidenceUnit = Literal["fraction", "percent"]
# Which of the images that wait are listed (`feedback.worklists`).
Worklist = Literal["all", "next", "mine", "unread", "twice", "disputed", "suspects"]
# In which order images wait (`feedback.orders`).
Order = Literal["queue", "random", "uncertainty", "yield"]

# What the labels of a folder are written in; auto: as the files are.
Format = Literal["auto", "csv", "coco", "yolo", "voc", "label-studio", "cvat", "rsna", "nih"]

TimeUnit = Literal["iso", "seconds", "milliseconds"]  # since 1970, where it is a number

# Whether names of PNG and JPEG files that come in are image ids, or pseudonyms stand in their place.
PictureNames = Literal["keep", "hide"]
# How it is decided which predictions are labels: one confidence for all, or one a class that held-out images prove.
Policy = Literal["threshold", "calibrated"]
# Whose boxes a label holds: one reader's each, or all readers' fused.
LabelKind = Literal["per-reader", "consensus"]
# What of a dataset is exported: a split, or the re-training data beside it.
RETRAIN: Final = "retrain"
ExportPart = Literal[Split, "retrain"]
# The tools that a dataset is exported for, each in its own format.
ExportFormat = Literal["coco", "webdataset", "parquet", "croissant", "label-studio", "cvat"]
# The tools that people read in, and whose exports become reviews.
ReviewFormat = Literal["label-studio", "cvat"]
# What people say there of an image as a whole: its boxes, or none, are right; it is rejected.
REVIEWED: Final = "Reviewed"
UNREADABLE: Final = "Not readable"

# What an attestation speaks of.
AttestedPart = Literal[
    "dataset", "retrain", "incoming", "versions", "models", "feedback", "reviews", "audit", "attestations"
]

# What the user says of the frame that the boxes are in; auto: nothing.
Boxes = Literal["auto", "original", "picture", "scaled", "fraction", "percent"]


class Exit(IntEnum):
    """How a command ends."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    REFUSED_ROWS = 3  # rows were refused and --strict was given: nothing was written
    GATE_MISSED = 4  # the challenger does not follow the champion
    DUE = 5  # it is time to look, or to train again


def several(number: int, what: str) -> str:
    """A number of things.

    >>> several(1, "image"), several(1200, "box"), several(2, "class")
    ('1 image', '1,200 boxes', '2 classes')
    """
    ending = "" if number == 1 else "es" if what.endswith(("x", "s")) else "s"
    return f"{number:,} {what}{ending}"
