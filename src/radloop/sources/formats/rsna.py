"""The labels of the RSNA Pneumonia Detection Challenge: `stage_2_train_labels.csv`.

`patientId,x,y,width,height,Target`: the patient is the image. Target 0 says that the image has no lung opacity, also
where it is not normal otherwise. Boxes are in pixels of the challenge's DICOM files, all of 1024×1024.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from radloop import values
from radloop.sources.bundle import Bundle
from radloop.sources.formats import box_table
from radloop.sources.formats.labels import Labels, of_table
from radloop.taxonomy import NOTHING, Taxonomy

CLASS: Final = "Lung Opacity"  # what the challenge's `stage_2_detailed_class_info.csv` calls Target 1
_HEADER: Final = ("patientId", "Target", "x", "y", "width", "height")  # in the order of box_table.CELLS


def find(bundle: Bundle) -> tuple[str, ...]:
    """The tables with the challenge's columns."""
    return box_table.find(bundle, _places)


def _places(header: Sequence[str]) -> Sequence[int] | None:
    names = [name.strip() for name in header]
    return [names.index(name) for name in _HEADER] if sorted(names) == sorted(_HEADER) else None


def read(bundle: Bundle) -> Labels:
    """The rows: a box of the one class, or nothing found. A Target of anything but 0 and 1 is refused."""
    rows, refused = box_table.read(bundle, _places)
    target = values.number("label", "point")
    rows, refused = (_named(table.with_columns(target=target)) for table in (rows, refused))
    known = pl.col("target").is_in([0.0, 1.0])
    strange = rows.filter(~known.fill_null(value=False)).with_columns(
        code=pl.lit("class-unknown"),
        reason=pl.format("Target is neither 0 nor 1: {}", box_table.shown(pl.col("label"))),
    )
    return of_table(
        rows.filter(known),
        pl.concat([refused, strange], how="diagonal"),
        boxes="scaled",
        classes=Taxonomy((CLASS,)),
    )


def _named(table: pl.DataFrame) -> pl.DataFrame:
    name = pl.when(pl.col("target") == 0).then(pl.lit(NOTHING)).when(pl.col("target") == 1).then(pl.lit(CLASS))
    return table.with_columns(patient_id=pl.col("file").str.strip_chars(), class_name=name)
