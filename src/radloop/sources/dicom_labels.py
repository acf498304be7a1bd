"""Labels of DICOM files, with pseudonyms in the place of all that tells a person apart.

A table's image_id is the SOPInstanceUID, else the file's name without its ending: one to one, or not at all. Whatever
stands there in clear goes no further than this module.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

import polars as pl

from radloop import values
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.errors import AnnotationError
from radloop.sources.columns import FILE_PATIENT, PATIENT, STUDY
from radloop.sources.dicom_pictures import Made
from radloop.sources.formats.labels import Labels, stem
from radloop.tables import ANNOTATION_COLUMNS, REJECTED

OF_A_FILE: Final = "dicom-"  # before the code of a file that was refused and has no row
_WAY_OUT: Final = "Write one of the two as image_id, the same for all."


def under_pseudonyms(labels: Labels, made: Mapping[str, Made], pseudonyms: Pseudonyms, *, name: str) -> Labels:
    """The labels with the pictures' ids. Refused are the rows of files that gave no picture, and such files without.

    Of what was forgotten nothing is kept.

    made: by the file's name. Raises AnnotationError where it cannot be told which file an id means (`name` is the
    table's), and where all files are of one patient.
    """
    _require_patients(made)
    shown = labels.rows["image_id"].drop_nulls().unique().to_list()
    meant = _meant(shown, made, pseudonyms, name)
    renamed = {one: meant.get(one) or pseudonyms.keyed("id", one) for one in shown if one}
    refused_first = sorted(made.values(), key=lambda one: one.code is None)  # of two files of an image one may be sound
    files = {one.image_id or one.file: one for one in refused_first}
    image = pl.col("image_id").replace(renamed)
    rows = labels.rows.with_columns(_persons(labels.rows, pseudonyms)).with_columns(image_id=image)
    rows = rows.with_columns(_of_files(files)).drop("place", strict=False)
    refused = {image: one for image, one in files.items() if one.code}
    lost = pl.col("image_id").is_in(list(refused))
    rejected = [
        _ragged(labels, renamed),
        _without(rows.filter(lost), refused),
        _unlabelled(made, set(rows["image_id"])),
    ]
    forgotten = pl.col("image_id").is_in([image for image, one in files.items() if one.is_forgotten])
    return Labels(
        rows.filter(~lost),
        pl.concat(rejected).filter(~forgotten.fill_null(value=False)),
        boxes=labels.boxes,
        classes=labels.classes,
        decimal=labels.decimal,
        notes=labels.notes,
    )


def _require_patients(made: Mapping[str, Made]) -> None:
    """Raise AnnotationError where all pictures are of one patient, so that none could be kept from training."""
    patients = [one.patient for one in made.values() if not one.code]
    if len(patients) > 1 and None not in patients and len(set(patients)) == 1:
        raise AnnotationError(
            f"All {len(patients):,} DICOM files that make a picture name one and the same patient. Where that is no "
            "person (de-identification gave all of them one PatientID), take the tag out of the files, such as by "
            "`dcmodify -ea PatientID`, and tell patients apart by a column patient_id of the table."
        )


def _meant(ids: Collection[str], made: Mapping[str, Made], pseudonyms: Pseudonyms, table: str) -> dict[str, str]:
    """The image that each id means, where it means one."""
    if not ids:
        return {}
    plain = dict(zip(ids, pl.select(stem(pl.lit(pl.Series(ids)).str.strip_chars())).to_series(), strict=True))
    images = {one.image_id for one in made.values()}
    by_uid = {one: image for one, text in plain.items() if (image := pseudonyms.image_id(text)) in images}
    by_uid |= {one: image for one in ids if (image := pseudonyms.image_id(one.strip())) in images}
    stems = defaultdict(set)
    for name, file in made.items():
        stems[PurePosixPath(name).stem].add(file.image_id or file.file)
        stems[PurePosixPath(name).name].add(file.image_id or file.file)
    by_stem = {one: stems[text] for one, text in plain.items() if text in stems}
    if by_uid and all(by_uid.get(one) in found for one, found in by_stem.items()):
        return _one_each(by_uid, table)
    if by_uid and by_stem:
        raise AnnotationError(
            f"{table}: {len(by_uid):,} of its {len(ids):,} image ids are SOPInstanceUIDs and {len(by_stem):,} are "
            f"names of files, and not the same ones: it cannot be told which is meant. {_WAY_OUT}"
        )
    several = sum(len(found) > 1 for found in by_stem.values())
    if several:
        raise AnnotationError(
            f"{table}: {several:,} of its image ids are the name of several DICOM files, in several folders. Write the "
            "SOPInstanceUIDs as image_id."
        )
    if not by_stem and ids:
        raise AnnotationError(
            f"{table}: none of its {len(ids):,} image ids is the SOPInstanceUID or the name (without its ending) of "
            f"one of the {len(made):,} DICOM files. {_WAY_OUT}"
        )
    return _one_each({one: next(iter(found)) for one, found in by_stem.items()}, table)


def _one_each(meant: dict[str, str], table: str) -> dict[str, str]:
    twice = len(meant) - len(set(meant.values()))
    if twice:
        raise AnnotationError(
            f"{table}: {twice:,} image ids mean a DICOM file that another id means, too: written in two ways, or two "
            "files of one image. Write each image's id in one way."
        )
    return meant


def _persons(rows: pl.DataFrame, pseudonyms: Pseudonyms) -> list[pl.Expr]:
    """The table's own columns of patients and studies, under pseudonyms."""
    hidden = []
    for column, hide in ((PATIENT, pseudonyms.patient), (STUDY, lambda text: pseudonyms.keyed("study", text))):
        if column in rows.columns:
            told = rows.select(values.text(column)).to_series()
            known = {one: hide(one) if one else None for one in told.unique()}
            hidden.append(told.replace_strict(known, return_dtype=pl.String).alias(column))
    return [pl.lit(one) for one in hidden]


def _of_files(files: Mapping[str, Made]) -> list[pl.Expr]:
    """What the files tell of patient and study; a study that they tell goes before the table's."""

    def told(which: Mapping[str, str | None]) -> pl.Expr:
        return pl.col("image_id").replace_strict(which, default=None, return_dtype=pl.String)

    patients = {image: one.patient for image, one in files.items()}
    studies = {image: one.study for image, one in files.items()}
    return [told(patients).alias(FILE_PATIENT), told(studies).alias(STUDY)]


def _ragged(labels: Labels, renamed: Mapping[str, str]) -> pl.DataFrame:
    """What is no row: of its cells, which may have slipped, only ids that sound rows have, too."""
    readers = labels.rows["rad_id"].unique().implode()
    other = [name for name in ANNOTATION_COLUMNS if name not in ("image_id", "rad_id")]
    return labels.rejected.with_columns(
        *(pl.lit(None, pl.String).alias(name) for name in ("place", *other)),
        image_id=pl.col("image_id").replace_strict(dict(renamed), default=None, return_dtype=pl.String),
        rad_id=pl.when(pl.col("rad_id").is_in(readers)).then("rad_id"),
    ).select(REJECTED.names())


def _without(rows: pl.DataFrame, refused: Mapping[str, Made]) -> pl.DataFrame:
    """The rows of files that gave no picture, refused."""
    codes = {image: one.code for image, one in refused.items()}
    reasons = {image: f"the DICOM file makes no picture: {one.reason}" for image, one in refused.items()}
    nothing = pl.lit(None, pl.String)
    return rows.with_columns(
        source=nothing,
        place=nothing,
        code=pl.col("image_id").replace_strict(codes, default=None, return_dtype=pl.String),
        reason=pl.col("image_id").replace_strict(reasons, default=None, return_dtype=pl.String),
    ).select(REJECTED.names())


def _unlabelled(made: Mapping[str, Made], labelled: Collection[str]) -> pl.DataFrame:
    """A refused row for each refused file that no row speaks of."""
    rows: Iterable[dict[str, str | None]] = (
        {"image_id": one.image_id, "code": f"{OF_A_FILE}{one.code}", "reason": one.reason}
        for one in made.values()
        if one.code and (one.image_id or one.file) not in labelled
    )
    return pl.DataFrame(list(rows), schema=REJECTED)
