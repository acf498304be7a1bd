"""The formats that labels come in. Each is one module: `find` tells whether files are of it, `read` gives Labels."""

from dataclasses import replace
from importlib import import_module
from typing import Final, Protocol, cast

import polars as pl

from radloop.errors import SourceError
from radloop.sources import raw
from radloop.sources.bundle import Bundle
from radloop.sources.formats import csv, kept
from radloop.sources.formats.labels import Labels as Labels
from radloop.sources.raw import RawData
from radloop.words import Format

FORMATS: Final[tuple[Format, ...]] = (
    "csv",
    "coco",
    "rsna",
    "nih",
    "yolo",
    "voc",
    "label-studio",
    "cvat",
)  # each a module of this folder
_TABLES: Final = (".csv", ".csv.gz", ".tsv", ".txt")


class Reader(Protocol):
    """A module of this folder."""

    def find(self, bundle: Bundle) -> tuple[str, ...]:
        """The names of the files of this format, by their names and their first bytes. Raises SourceError."""

    def read(self, bundle: Bundle) -> Labels:
        """The labels in all of them. Raises AnnotationError where they cannot be used as a whole."""


def reader(name: Format) -> Reader:
    """The module of a format."""
    return cast(Reader, import_module(f"radloop.sources.formats.{name.replace('-', '_')}"))


def detect(bundle: Bundle) -> Format:
    """The format of the files in a bundle. Raises SourceError where it is none or may be several."""
    found = {name: names for name in FORMATS if (names := reader(name).find(bundle))}
    if len(found) == 1:
        return next(iter(found))
    if not found and bundle.path.is_file() and bundle.ending(*_TABLES):
        return "csv"
    if not found:
        raise SourceError(
            f"{bundle.path} holds none of {', '.join(csv.NAMES)}, and no labels in another format that radloop reads "
            f"({', '.join(FORMATS[1:])}). Name the file or folder that has them with --annotations, or say --format."
        )
    shown = " and ".join(f"{name} ({files[0]})" for name, files in found.items())
    raise SourceError(f"{bundle.path} holds labels of several formats: {shown}. Say which with --format.")


def read(data: RawData) -> Labels:
    """The labels of a source. Raises AnnotationError, SourceError."""
    if data.recipe is not None:  # of DICOM files: kept with pseudonyms in the place of ids
        labels = kept.read(data.annotations, decimal=None if data.format == "csv" else "point")
    else:
        labels = reader(data.format).read(Bundle(data.annotations))
    rejected = labels.rejected.with_columns(source=pl.lit(data.name))
    own = (*raw.unmade(data), *labels.notes)
    notes = own if data.format == "csv" else (f"the labels were read as {data.format}", *own)
    return replace(labels, rejected=rejected, classes=data.classes or labels.classes, notes=notes)
