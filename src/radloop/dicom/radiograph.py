"""One DICOM file: what radloop needs of its header, its pixels not decoded yet; or why it cannot become a picture.

No sentence of a refusal repeats a text of the file, so that it may stand in a log. docs/dicom.md lists the codes.
"""

import io
import logging
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

from radloop import pixels
from radloop.dicom import frames, header, kept, views
from radloop.dicom.frames import Frame
from radloop.errors import DicomError, SourceError

MAX_UNPACKED: Final = 3 * pixels.MAX_PIXELS  # bytes of a deflated file: the largest picture, and a header

_MAX_READS: Final = 200_000  # of a header; a radiograph has some hundred elements, of one to three reads each
_SEQUENCES: Final = ("ViewCodeSequence", "ModalityLUTSequence", "VOILUTSequence")
_MAX_SEQUENCE: Final = 4_000_000  # bytes; a table of 65,536 entries has 131,072
_PREAMBLE: Final = 128
_PIXELS: Final = 0x7FE00010
_FIRST_PIXELS: Final = 0x7FE00008  # of numbers with a fraction, as 0009
_MIN_STEP_MM, _MAX_STEP_MM = 0.001, 10  # between pixels; any other number is none, and may be somebody's
_STEP_DIGITS: Final = 4  # 0.1 µm: of many digits a number may be somebody's, too
_QUIET: Final = r"(pydicom|radloop\.dicom)(\.|$)"  # modules
_UID: Final = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class Radiograph:
    """A single-frame image. What may tell a person apart stands here in clear: it stays within the `dicom` room."""

    dataset: Any  # pydicom.Dataset, without the pixels
    frame: Frame  # the pixels, not decoded
    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    issuer: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None  # between rows, between columns
    view: str  # of views.KNOWN; empty where that is not told
    modality: str
    study_date: date | None
    site: str


class _PixelElement(NamedTuple):
    """Where the pixels of a file begin, and what their element says of them."""

    tag: int
    vr: str | None
    length: int
    at: int


def read(data: bytes, *, frontal_only: bool = False) -> Radiograph:
    """The radiograph in a file's bytes. Raises DicomError with the code and the sentence why there is none."""
    library()
    try:
        return _read(data, frontal_only=frontal_only)
    except DicomError:
        raise
    except Exception as broken:  # pydicom promises no particular one for hostile bytes
        raise DicomError("its header cannot be read: cut off or damaged", code="damaged") from broken


def uid(data: bytes) -> str:
    """The SOPInstanceUID of a file that perhaps makes no picture; empty where it tells none. As bounded as `read`."""
    library()
    try:
        dataset, *_ = _parse(data)
        return header.text(dataset, "SOPInstanceUID")
    except Exception:  # noqa: BLE001  pydicom promises no particular one for hostile bytes
        return ""


def library() -> Any:
    """pydicom, which says nothing: its warnings repeat values of a file. Raises SourceError where it is missing."""
    try:
        import pydicom
    except ImportError as missing:
        raise SourceError("DICOM files need pydicom: pip install 'radloop[dicom]'.") from missing
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    # For good, and once: what `catch_warnings` changes in one thread, another changes back
    if warnings.filters[:1] != [("ignore", None, Warning, re.compile(_QUIET), 0)]:
        warnings.filterwarnings("ignore", module=_QUIET)
    return pydicom


def _read(data: bytes, *, frontal_only: bool) -> Radiograph:
    dataset, syntax, frame_data, element = _parse(data)
    if not syntax:
        raise DicomError("it does not say how its pixels are packed (TransferSyntaxUID)", code="transfer-syntax")
    _check_sequences(dataset)
    kept.limit(dataset)
    if element is None:
        raise DicomError("it holds no pixels: a report or another object, or the file is cut off", code="no-pixels")
    if element.tag != _PIXELS:
        raise DicomError("its pixels are numbers with a fraction, which no radiograph has", code="float-pixels")
    if header.whole(dataset, "NumberOfFrames", 1) != 1:
        raise DicomError("it holds several pictures (multi-frame), or none", code="multi-frame")
    if header.text(dataset, "BurnedInAnnotation").upper() == "YES":
        raise DicomError("text is burnt into its pixels (BurnedInAnnotation is YES)", code="burnt-in")
    view = views.of(dataset)
    if frontal_only and view not in views.FRONTAL:
        if view:
            raise DicomError(f"its view is {view}, not frontal (PA or AP)", code="not-frontal")
        raise DicomError("it does not say that its view is frontal (PA or AP)", code="view-unknown")
    sop_instance_uid = header.text(dataset, "SOPInstanceUID")
    if not _UID.fullmatch(sop_instance_uid):
        raise DicomError("it has no valid SOPInstanceUID: nothing tells it from other pictures", code="no-uid")

    frame = _frame(dataset, syntax, element, frame_data)
    return Radiograph(
        dataset=dataset,
        frame=frame,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=header.text(dataset, "SOPClassUID"),
        study_uid=header.text(dataset, "StudyInstanceUID"),
        series_uid=header.text(dataset, "SeriesInstanceUID"),
        patient_id=header.text(dataset, "PatientID"),
        issuer=header.text(dataset, "IssuerOfPatientID"),
        rows=frame.rows,
        columns=frame.columns,
        spacing_mm=_spacing(dataset),
        view=view,
        modality=header.text(dataset, "Modality"),
        study_date=_date(header.text(dataset, "StudyDate")),
        site=header.text(dataset, "InstitutionName"),
    )


class _Bounded(io.BytesIO):
    """The bytes of a header that has an end: each element takes at least one `read`."""

    left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise DicomError("its header has more elements than any picture's", code="too-many-elements")
        return super().read(size)


def _parse(data: bytes) -> tuple[Any, str, memoryview, _PixelElement | None]:
    """The header, the transfer syntax, the (inflated) bytes, and where among them the pixels are."""
    from pydicom.filereader import read_dataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise DicomError("not a DICOM file: it does not say DICM at byte 128", code="not-dicom")
    file = _Bounded(data)
    file.seek(_PREAMBLE + 4)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    syntax = header.text(meta, "TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        data, file = _inflated(data[file.tell() :])
    element, stop_when = _stop_at_pixels(file)
    dataset = read_dataset(file, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian, stop_when=stop_when)
    return dataset, syntax, memoryview(data), element[-1] if element else None


def _check_sequences(dataset: Any) -> None:
    """Refuse a sequence that would take long: it is read only when somebody asks for it, and is then not `_Bounded`."""
    for keyword in _SEQUENCES:
        told = dataset.get_item(keyword)
        if told is not None and isinstance(told.value, bytes) and len(told.value) > _MAX_SEQUENCE:
            raise DicomError(f"its {keyword} is larger than any picture's", code="too-many-elements")


def _inflated(packed: bytes) -> tuple[bytes, _Bounded]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(packed, MAX_UNPACKED)
    if len(data) == MAX_UNPACKED:
        raise DicomError(f"unpacked, it is larger than {MAX_UNPACKED // 10**6} MB", code="too-large")
    if not inflater.eof:
        raise DicomError("its packed bytes are cut off", code="cut-off")
    return data, _Bounded(data)


def _stop_at_pixels(file: io.BytesIO) -> tuple[list[_PixelElement], Callable[..., bool]]:
    found: list[_PixelElement] = []

    def stop(tag: int, vr: str | None, length: int) -> bool:
        if _FIRST_PIXELS <= tag <= _PIXELS:
            found.append(_PixelElement(int(tag), vr, length, file.tell()))
            return True
        return False

    return found, stop


def _frame(dataset: Any, syntax: str, element: _PixelElement, data: memoryview) -> Frame:
    rows, columns = header.whole(dataset, "Rows"), header.whole(dataset, "Columns")
    if min(rows, columns) < 1:
        raise DicomError("it has no rows or no columns", code="bad-header")
    if rows * columns > pixels.MAX_PIXELS:
        raise DicomError(
            f"{columns}×{rows} px is more than {pixels.MAX_PIXELS // 10**6} million pixels", code="too-large"
        )
    allocated = header.whole(dataset, "BitsAllocated")
    stored = header.whole(dataset, "BitsStored", allocated)
    frame = Frame(
        syntax=syntax,
        rows=rows,
        columns=columns,
        samples=header.whole(dataset, "SamplesPerPixel", 1),
        photometric=header.text(dataset, "PhotometricInterpretation"),
        planar=header.whole(dataset, "PlanarConfiguration", 0) == 1,
        allocated=allocated,
        stored=stored,
        high_bit=header.whole(dataset, "HighBit", stored - 1),
        signed=header.whole(dataset, "PixelRepresentation", 0) == 1,
        in_words=element.vr != "OB",
        length=None if element.length == frames.UNDEFINED else element.length,
        data=data[element.at :],
    )
    frames.check(frame)
    return frame


def _spacing(dataset: Any) -> tuple[float, float] | None:
    """In the patient where that is known (PixelSpacing), else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        found = header.numbers(dataset, keyword)
        if len(found) == 2 and all(_MIN_STEP_MM <= step <= _MAX_STEP_MM for step in found):
            return round(found[0], _STEP_DIGITS), round(found[1], _STEP_DIGITS)
    return None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
