"""Where annotations and pictures come from. `named` gives the source that a person names; each ends in RawData."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radloop.errors import UsageError
from radloop.progress import Progress
from radloop.recipe import Recipe
from radloop.sources.raw import RawData
from radloop.taxonomy import Taxonomy
from radloop.words import Boxes, Format


@dataclass(frozen=True)
class Wanted:
    """What is asked of a source; each takes of it what concerns it."""

    source: str
    annotations: Path | None = None  # a file, folder or zip in the place of the source's own
    format: Format = "auto"
    boxes: Boxes = "auto"
    classes: Taxonomy | None = None  # of a synthetic source
    seed: int = 0
    jobs: int = 1
    annotations_only: bool = False
    recipe: Recipe | None = None  # how pictures are made of DICOM files; None: nobody said
    frontal_only: bool = False  # of DICOM files


class Source(Protocol):
    """Annotations and pictures, to be brought to a folder of this machine."""

    @property
    def recipe(self) -> str | None:
        """That the pictures are made by of DICOM files; None where they come as pictures."""

    def foresee(self) -> RawData | None:
        """The data where they lie on this machine already; None where they have to be brought first.

        Raises now what would make `extract` fail after long work: no folder, no number, no credentials.
        """

    def extract(self, into: Path, *, progress: Progress) -> RawData:
        """Bring the data to the folder `into`, or say where they lie. Raises SourceError or UsageError."""


def named(wanted: Wanted) -> Source:
    """The source of that name: `kaggle`, `synthetic:N`, `dicom:FOLDER`, else a folder.

    Raises UsageError for a wish it cannot meet.
    """
    if wanted.source.startswith("dicom:"):
        from radloop.sources.dicom import Dicom

        return Dicom(wanted)
    if wanted.recipe or wanted.frontal_only:
        option = "--recipe" if wanted.recipe else "--frontal-only"
        raise UsageError(
            f"{option} is for DICOM files: the pictures of {wanted.source} are taken as they are. Omit it."
        )
    made = wanted.source == "kaggle" or wanted.source.startswith("synthetic:")
    if made and wanted.format not in ("auto", "csv"):
        raise UsageError(f"--format {wanted.format} is for a folder: the labels of {wanted.source} are csv. Omit it.")
    if wanted.source == "kaggle":
        from radloop.sources.kaggle import Kaggle

        return Kaggle(wanted)
    if wanted.source.startswith("synthetic:"):
        from radloop.sources.synthetic import Synthetic

        return Synthetic(wanted)
    from radloop.sources.folder import Folder

    return Folder(wanted)
