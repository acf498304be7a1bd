"""A PACS, as the pipelines see it: what studies there are, what is in one, an object's bytes, and storing one."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final, NamedTuple, Protocol

FATAL: Final = ("unauthorized", "untrusted", "redirect")  # codes of a PACS that refuses whatever is asked


class Study(NamedTuple):
    """A study, and how many objects the PACS says it has. Its UID is a patient's: never shown, never logged."""

    study_uid: str
    objects: int | None  # None: the PACS does not tell


class Instance(NamedTuple):
    """Where an object lies and what it is, as the PACS tells without its pixels. Its UIDs are a patient's, too."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str


class Pacs(Protocol):
    """Anything that holds studies; safe to be asked from many threads.

    Raises TransientPacsError where another try may succeed, PacsError (with a code) where none will help.
    """

    address: str  # without user and password: it is shown

    def studies(self, *, since: date | None = None) -> Iterator[Study]:
        """All studies, page by page; with `since` only those whose study date is not before it."""
        ...

    def instances(self, study_uid: str) -> Iterator[Instance]:
        """Everything in a study: images, reports, and whatever else."""
        ...

    def retrieve(self, instance: Instance) -> bytes:
        """The object as a DICOM file (PS3.10), as it was stored. Raises PacsError "gone" where it no longer is."""
        ...

    def store(self, objects: Sequence[bytes]) -> None:
        """Store DICOM files; one that is there already is no error, and stays as it is there."""
        ...
