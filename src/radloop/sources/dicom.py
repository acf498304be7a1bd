"""A folder of DICOM files as a source: pictures by a recipe, and labels that lie beside them.

OUT/raw/images/<image_id>.png, files.jsonl     pictures, and what became of each file (`dicom_pictures`)
OUT/raw/files.parquet                          the same as a table
OUT/raw/labels.parquet, train_meta.csv         the labels under pseudonyms, and the originals' sizes
OUT/private/files.csv                          which file a pseudonym stands for: the only place that tells
"""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from radloop import files, sealed, spreadsheets
from radloop.dicom import radiograph
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.engines import Local
from radloop.errors import SourceError
from radloop.progress import Progress, silent
from radloop.recipe import Recipe
from radloop.sources import Wanted, dicom_labels, dicom_pictures, folder, formats
from radloop.sources.bundle import Bundle
from radloop.sources.dicom_pictures import IMAGES, Made
from radloop.sources.formats import csv as tables
from radloop.sources.formats import kept
from radloop.sources.raw import SOURCE, Boxes, RawData
from radloop.words import Format

PREFIX: Final = "dicom:"
NAME: Final = "dicom"  # what summary.json says: no path

_LABELS, _SIZES, _FILES, _PRIVATE = "labels.parquet", "train_meta.csv", "files.parquet", "files.csv"
_SCALED: Final = tables.NAMES[2:]


class Dicom:
    """A folder of DICOM files."""

    def __init__(self, wanted: Wanted) -> None:
        """Look at nothing yet."""
        self._wanted = wanted
        self._recipe = wanted.recipe or Recipe()
        self.recipe = str(self._recipe)
        self._folder = Path(wanted.source.removeprefix(PREFIX)).absolute()

    def foresee(self) -> None:
        """No picture is made before `extract`. Raises SourceError where files, labels or pydicom are missing."""
        radiograph.library()
        self._labels()
        self._names()

    def extract(self, into: Path, *, progress: Progress = silent) -> RawData:
        """Make the pictures that are not there yet; whoever stops it leaves no source for `transform`."""
        wanted = self._wanted
        radiograph.library()
        bundle, form = self._labels()
        names = self._names()
        (into / SOURCE).unlink(missing_ok=True)
        own = Pseudonyms.open(into.parent)
        made = dicom_pictures.make(
            self._folder,
            names,
            into,
            self._recipe,
            own,
            frontal_only=wanted.frontal_only,
            engine=Local(wanted.jobs),
            progress=progress,
        )
        _write_private(made, own)
        _require_pictures(made, own.folder / _PRIVATE)
        labels = formats.reader(form).read(bundle)
        hidden = dicom_labels.under_pseudonyms(labels, made, own, name=bundle.path.name)
        files.write_atomic(into / _LABELS, kept.encode(hidden))
        table = dicom_pictures.table(made.values())
        files.write_atomic(into / _FILES, sealed.encode(table))
        files.write_atomic(into / _SIZES, _sizes(table))
        return RawData(
            NAME,
            into / _LABELS,
            _frame(wanted.boxes, labels.boxes, bundle),
            into / _SIZES,
            into / IMAGES,
            classes=labels.classes,
            format=form,
            table=bundle.path.name,
            recipe=self.recipe,
            files=into / _FILES,
        )

    def _labels(self) -> tuple[Bundle, Format]:
        """Where the labels lie, and their format."""
        try:
            return folder.labels_of(self._folder, self._wanted.annotations, self._wanted.format)
        except SourceError as missing:
            if self._wanted.annotations is not None or not self._folder.is_dir():
                raise
            raise SourceError(
                f"{missing} Pictures without labels become no dataset: bring them in by "
                f"`radloop ingest --from {self._folder}`."
            ) from missing

    def _names(self) -> list[str]:
        names = dicom_pictures.find(self._folder)
        if not names:
            raise SourceError(f"{self._folder} holds no DICOM file, nor do the folders in it.")
        return names


def _require_pictures(made: Mapping[str, Made], listed: Path) -> None:
    """Raise SourceError where not one file makes a picture."""
    codes = Counter(one.code for one in made.values())
    if None not in codes:
        code, count = codes.most_common(1)[0]
        reason = next(one.reason for one in made.values() if one.code == code)
        raise SourceError(
            f"None of the {len(made):,} DICOM files makes a picture, {count:,} for this reason: {reason}. "
            f"{listed} says it of each."
        )


def _frame(said: Boxes, fixed: Boxes, bundle: Bundle) -> Boxes:
    """The frame of the boxes: what the user says, what the format fixes, else the pixels of the DICOM files.

    A format whose boxes are in pixels of the pictures means the files.
    """
    if said != "auto":
        return said
    if fixed not in ("auto", "picture"):
        return fixed
    return "scaled" if bundle.path.name in _SCALED else "original"


def _sizes(table: pl.DataFrame) -> bytes:
    """The bytes of train_meta.csv: Rows as dim0, Columns as dim1."""
    known = table.drop_nulls(["image_id", "width", "height"]).unique("image_id")
    return known.select("image_id", dim0="height", dim1="width").sort("image_id").write_csv().encode()


def _write_private(made: Mapping[str, Made], own: Pseudonyms) -> None:
    """Say of each file in clear which pseudonym it has, or why it gave no picture, where nobody else looks."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "image_id", "code", "reason"))
    told = ((name, one) for name, one in made.items() if not one.is_forgotten)
    texts = ((name, one.image_id, one.code, one.reason) for name, one in told)
    rows.writerows([spreadsheets.cell(text or "") for text in row] for row in texts)
    data = text.getvalue().encode(errors="surrogateescape")
    files.write_atomic(own.folder / _PRIVATE, data, mode=0o600)
