"""The boxes of NIH's ChestX-ray14: `BBox_List_2017.csv`.

`Image Index,Finding Label,Bbox [x,y,w,h],,,`: the name of the third column is four cells, and some copies end each
line with empty ones. It lists boxes alone: nothing says that an image is normal. Boxes are in pixels of the published
pictures, all of 1024×1024.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from radloop.sources.bundle import Bundle
from radloop.sources.formats import box_table
from radloop.sources.formats.labels import Labels, of_table, stem

_HEADER: Final = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")  # in the order of box_table.CELLS
_PATIENT: Final = r"^([0-9]+)_"  # 00013118_008.png is the eighth follow-up of patient 13118


def find(bundle: Bundle) -> tuple[str, ...]:
    """The tables with this header."""
    return box_table.find(bundle, _places)


def _places(header: Sequence[str]) -> Sequence[int] | None:
    return range(len(_HEADER)) if tuple(name.strip() for name in header[: len(_HEADER)]) == _HEADER else None


def read(bundle: Bundle) -> Labels:
    """The boxes, each with its patient as the picture's name tells it."""
    rows, refused = box_table.read(bundle, _places)
    patient = stem(pl.col("file")).str.extract(_PATIENT)
    return of_table(
        rows.with_columns(class_name="label", patient_id=patient),
        refused.with_columns(class_name="label"),
        boxes="scaled",
        notes=["the table lists boxes alone: images without one are unlabelled, none is normal"],
    )
