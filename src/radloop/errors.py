"""Every error that radloop raises on purpose.

    RadloopError                 main() prints its one line and exits 1
    ├── UsageError               an invalid flag or setting; exit 2
    ├── SourceError              annotations or pictures are unavailable
    │   ├── AnnotationError      the table as a whole cannot be used (a single bad row is data, see rejected.csv)
    │   │   └── RefusedError     too many of its rows are refused
    │   ├── DownloadError        Kaggle refused, or the download is damaged
    │   └── DicomError           a DICOM file cannot become a picture
    ├── StrictError              rows or files were refused and --strict was given; exit 3
    ├── TaxonomyError            the classes of a dataset or a model cannot be used
    ├── SplitError               groups and split sizes cannot both be kept
    ├── DatasetError             the dataset on disk is missing, damaged or not ours
    │   └── NewerFormatError     a file was written by a newer radloop
    ├── AttestationError         a signature does not hold, or what was signed cannot be read
    ├── StoreError               the object store refused, failed, or holds something else
    ├── BusyError                another run holds this folder
    ├── AuditError               the audit log cannot be written or read
    ├── EngineError              processes or the cluster cannot do the work
    ├── FeedbackError            a feedback or review file cannot be used
    ├── PacsError                the PACS refused, or holds something else
    │   └── TransientPacsError   it may answer the next time: unreachable, timeout, 5xx
    └── DetectorError            the detector cannot answer, and another try will not help
        └── TransientDetectorError   it may answer the next time: timeout, refused, 5xx

A message names the thing, the value and the way out.
"""

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from radloop import visible
from radloop.words import Exit

if TYPE_CHECKING:
    import polars as pl

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises on hostile bytes


class RadloopError(Exception):
    """The base of all: one sentence for a person, on one line, no traceback."""

    exit: ClassVar[Exit] = Exit.FAILED  # how a command ends for it

    def __str__(self) -> str:
        return visible.line(super().__str__())


class UsageError(RadloopError):
    """An invalid flag or setting."""

    exit = Exit.WRONG_USAGE


class SourceError(RadloopError):
    """Annotations or pictures are unavailable."""


class AnnotationError(SourceError):
    """The annotations as a whole cannot be used."""


class RefusedError(AnnotationError):
    """So many rows are refused that nothing is built from the others; `rejected` are those rows (tables.REJECTED)."""

    def __init__(self, message: str, *, rejected: "pl.DataFrame") -> None:
        super().__init__(message)
        self.rejected = rejected


class StrictError(RadloopError):
    """Rows or files were refused and --strict was given: nothing was written. `rejected`: rows (tables.REJECTED)."""

    exit = Exit.REFUSED_ROWS

    def __init__(self, message: str, *, rejected: "pl.DataFrame | None" = None) -> None:
        super().__init__(message)
        self.rejected = rejected


class DownloadError(SourceError):
    """Kaggle refused, or what it sent is damaged."""


class DicomError(SourceError):
    """A DICOM file cannot become a picture. `code` says under what to count it: "multi-frame", "no-pixels" …

    Its sentence names no person: no identifier, and no text that the file holds.
    """

    def __init__(self, message: str, *, code: str = "unusable") -> None:
        super().__init__(message)
        self.code = code


class TaxonomyError(RadloopError):
    """The classes of a dataset or a model cannot be used, or are not each other's."""


class SplitError(RadloopError):
    """Groups and split sizes cannot both be kept."""


class DatasetError(RadloopError):
    """The dataset on disk is missing, damaged or not ours."""


class NewerFormatError(DatasetError):
    """A file was written by a newer radloop, and nothing of it is read."""


class AttestationError(RadloopError):
    """A signature does not hold, or what was signed cannot be read."""


class StoreError(RadloopError):
    """The object store refused, failed, or holds something else."""


class BusyError(RadloopError):
    """Another run holds this folder."""


class AuditError(RadloopError):
    """The audit log cannot be written, and so nothing is done; or it cannot be read."""


class EngineError(RadloopError):
    """The processes or the cluster that should do the work cannot."""


class FeedbackError(RadloopError):
    """A feedback or review file cannot be used. `code` says under what to count it: "not-json", "box-outside" …"""

    def __init__(self, message: str, *, code: str = "unusable") -> None:
        super().__init__(message)
        self.code = code


class PacsError(RadloopError):
    """The PACS refused, or holds something else. `code` says under what to count it: "gone", "refused" …"""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code


class TransientPacsError(PacsError):
    """The PACS did not answer this time; another try may succeed."""

    def __init__(self, message: str, *, code: str = "unavailable") -> None:
        super().__init__(message, code=code)


class DetectorError(RadloopError):
    """The detector cannot answer, and another try will not help. `kind` says under what to count it: "timeout" …"""

    def __init__(self, message: str, *, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


class MisreadDetectorError(DetectorError):
    """Every answer of the detector would be misread: it writes its boxes otherwise than they are read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="answer")


class TransientDetectorError(DetectorError):
    """The detector did not answer this time; another try may succeed."""
