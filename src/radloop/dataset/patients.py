"""Whose images the rows say they are. A patient's id stays within this module: out of it come hashes alone."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import polars as pl

from radloop import values

_PATIENT, _STUDY = "patient_id", "study_id"
_OF_FILE = "file_patient"  # whom a DICOM file names, beside what the table says
_HASHED: Final = pl.Schema({"image_id": pl.String, "patient": pl.String})


def hashed(rows: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """The patients of every `kept` image (image_id, patient); two, where its rows name two. A study counts as one.

    Ways to write an id that are probably one patient's have a hash in common beside their own (`hashes`).
    """
    tables = [_HASHED.to_frame()]
    if _PATIENT in rows.columns:
        named = _named(rows, _PATIENT)
        every = {told: list(hashes(told)) for told in named["told"].unique()}
        each = pl.col("told").replace_strict(every, return_dtype=pl.List(pl.String))
        tables.append(named.select("image_id", patient=each).explode("patient"))
    for column, kind in ((_STUDY, "study"), (_OF_FILE, "patient")):
        if column in rows.columns:
            named = _named(rows, column)
            one = {told: _hash(kind, told) for told in named["told"].unique()}
            tables.append(named.select("image_id", patient=pl.col("told").replace_strict(one, return_dtype=pl.String)))
    return pl.concat(tables).unique().join(kept, on="image_id", how="semi").sort("image_id", "patient")


def hashes(patient: str) -> tuple[str, ...]:
    """By what the datasets know a patient whose id this is: as it is written, and what all ways to write it share."""
    told = patient.strip()
    return (_hash("patient", told), _hash("plain patient", values.plain_id(told))) if told else ()


def notes(rows: pl.DataFrame) -> Iterator[str]:
    """That ids are probably one patient's, or that there are none; none of them is named."""
    told = [name for name in (_PATIENT, _STUDY, _OF_FILE) if name in rows.columns]
    if told and all(_named(rows, name).is_empty() for name in told):
        yield "no row names a patient: the column for that is empty"
    if _PATIENT not in rows.columns:
        return
    several = _alike(_named(rows, _PATIENT)["told"].unique().to_list())
    if several:
        yield (
            f"{sum(map(len, several.values())):,} ids of patients are probably {len(several):,}: they differ only in "
            "leading zeros, a trailing .0 or the case of letters (as 0012, 12 and 12.0 do). They share a split; write "
            "them in one way"
        )


def _named(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """image_id, told: what each image's rows say."""
    return rows.select("image_id", told=values.text(column)).filter(pl.col("told") != "").unique()


def _alike(ids: list[str]) -> dict[str, list[str]]:
    """The ids that are written in several ways, by what the ways have in common."""
    ways = defaultdict(list)
    for one in ids:
        ways[values.plain_id(one)].append(one)
    return {key: several for key, several in ways.items() if len(several) > 1}


def _hash(kind: str, told: str) -> str:
    """Never published in clear; the same patient has the same hash in every source."""
    return hashlib.sha256(f"radloop {kind}\0{told}".encode()).hexdigest()[:16]
