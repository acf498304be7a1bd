"""A folder of one's own as a source: it is read where it lies and never changed."""

import zipfile
from pathlib import Path
from typing import Final

from radloop import files
from radloop.errors import SourceError
from radloop.progress import Progress, silent
from radloop.sources import Wanted, formats
from radloop.sources.bundle import Bundle
from radloop.sources.formats import csv
from radloop.sources.raw import Boxes, RawData
from radloop.words import Format

PICTURES: Final = ("train", "images", ".")
SUFFIXES: Final = (".png", ".jpg", ".jpeg")
SIZES: Final = "train_meta.csv"


class Folder:
    """A folder that is read where it lies."""

    recipe = None

    def __init__(self, wanted: Wanted) -> None:
        """Look at nothing yet."""
        self._wanted = wanted

    def foresee(self) -> RawData:
        """What lies there."""
        wanted = self._wanted
        return find(Path(wanted.source), annotations=wanted.annotations, form=wanted.format, boxes=wanted.boxes)

    def extract(self, into: Path, *, progress: Progress = silent) -> RawData:
        """The same: nothing is copied."""
        return self.foresee()


def find(folder: Path, *, annotations: Path | None = None, form: Format = "auto", boxes: Boxes = "auto") -> RawData:
    """The labels, sizes and pictures of `folder`; `annotations` names labels that go before those in it.

    A table of `csv.NAMES` goes before files of any other format. Raises SourceError, with what was looked for, where
    the folder, the labels or the pictures are missing.
    """
    folder = folder.absolute()
    if zipfile.is_zipfile(folder):
        raise SourceError(f"{folder} is a zip. Unpack it and pass the folder: only labels are read from one.")
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder. Pass the folder that holds the pictures, kaggle, or synthetic:N.")
    labels, form = labels_of(folder, annotations, form)
    pictures = next((folder / name for name in _places(form) if _has_picture(folder / name)), None)
    if pictures is None:
        raise SourceError(
            f"{folder} holds no picture ({', '.join(SUFFIXES)}), neither in train/, nor in images/, nor itself. "
            f"Are they DICOM files? Then pass --source dicom:{folder}."
        )
    beside = labels.path if labels.path.is_dir() else labels.path.parent
    sizes = _first_file(beside, (SIZES,)) or _first_file(folder, (SIZES,)) if form == "csv" else None
    return RawData("folder", labels.path, boxes, sizes, pictures, format=form)


def labels_of(folder: Path, annotations: Path | None, form: Format) -> tuple[Bundle, Format]:
    """The labels in `folder`, or those that `annotations` names, and their format. Raises SourceError."""
    labels = Bundle(annotations or folder)
    if form == "auto":
        form = "csv" if annotations is None and csv.find(labels) else formats.detect(labels)
    if form == "csv" and labels.path.is_dir():
        labels = Bundle(labels.path / _table(labels))
    return labels, form


def _table(labels: Bundle) -> str:
    """The CSV of a folder. Raises SourceError where it has none."""
    found = csv.find(labels)
    if not found:
        raise SourceError(f"{labels.path} holds none of {', '.join(csv.NAMES)}. Pass --annotations FILE.")
    return found[0]


def _places(form: Format) -> tuple[str, ...]:
    """Where pictures may lie. Beside a CSV the first that has any; other formats name those that they mean."""
    return PICTURES if form == "csv" else (".",)


def _first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _has_picture(folder: Path) -> bool:
    try:
        return any(entry.name.lower().endswith(SUFFIXES) for entry in files.walk_visible(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as refused:
        raise SourceError(f"{folder} cannot be read: {refused.strerror}.") from refused
