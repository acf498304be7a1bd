"""What radloop writes as DICOM is made of: datasets, the items of code sequences, and the bytes of a file."""

import io
from typing import Any, Final

from radloop.codes import Code
from radloop.dicom.radiograph import library

_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"


def dataset(**values: Any) -> Any:
    """A pydicom dataset of these keywords."""
    made = library().Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def code(told: Code) -> Any:
    """A code as an item of a code sequence."""
    return dataset(CodeValue=told.value, CodingSchemeDesignator=told.scheme, CodeMeaning=told.meaning)


def file(whole: Any, *, implementation: str) -> bytes:
    """The bytes of a dataset's file (PS3.10); `implementation` is the UID of what writes it."""
    pydicom = library()
    meta = whole.file_meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.UID(_EXPLICIT_LITTLE_ENDIAN)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = whole.SOPClassUID, whole.SOPInstanceUID
    meta.ImplementationClassUID = implementation
    into = io.BytesIO()
    pydicom.dcmwrite(into, whole, enforce_file_format=True)
    return into.getvalue()
