"""One DICOM file: what radloop needs of its header, its pixels not decoded yet; or why it cannot become a picture."""

import io
from dataclasses import dataclass
from datetime import date
from typing import Any

from radloop import pixels
from radloop.errors import DicomError, SourceError


@dataclass(frozen=True)
class Radiograph:
    """A single-frame image. What may tell a person apart stands here in clear: it stays within the `dicom` room."""

    dataset: Any  # pydicom.Dataset
    sop_instance_uid: str
    sop_class_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    issuer: str
    rows: int
    columns: int
    spacing_mm: tuple[float, float] | None  # between rows, between columns
    view: str
    modality: str
    study_date: date | None
    site: str


def read(data: bytes, *, frontal_only: bool = False) -> Radiograph:
    """The radiograph in a file's bytes. Raises DicomError with the code and the sentence why there is none."""
    pydicom = library()
    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
    except Exception as broken:  # pydicom promises no particular one for hostile bytes
        raise DicomError("not a DICOM file, or damaged", code="not-dicom") from broken
    if "PixelData" not in dataset:
        raise DicomError("it holds no picture (PixelData)", code="no-pixels")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise DicomError("it holds several pictures (multi-frame)", code="multi-frame")
    if _text(dataset, "BurnedInAnnotation").upper() == "YES":
        raise DicomError("text is burnt into its pixels (BurnedInAnnotation is YES)", code="burnt-in")
    view = _text(dataset, "ViewPosition").upper()
    if frontal_only and view not in ("PA", "AP"):
        raise DicomError("its view is not frontal (PA or AP)", code="not-frontal")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns > pixels.MAX_PIXELS:
        raise DicomError(f"{columns}×{rows} px is more than {pixels.MAX_PIXELS // 10**6} million", code="too-large")
    return Radiograph(
        dataset=dataset,
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        sop_class_uid=_text(dataset, "SOPClassUID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        patient_id=_text(dataset, "PatientID"),
        issuer=_text(dataset, "IssuerOfPatientID"),
        rows=rows,
        columns=columns,
        spacing_mm=_spacing(dataset),
        view=view,
        modality=_text(dataset, "Modality"),
        study_date=_date(_text(dataset, "StudyDate")),
        site=_text(dataset, "InstitutionName"),
    )


def library() -> Any:
    """pydicom. Raises SourceError with the way to get it where it is missing."""
    try:
        import pydicom
    except ImportError as missing:
        raise SourceError("DICOM files need pydicom: pip install 'radloop[dicom]'.") from missing
    return pydicom


def _text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _spacing(dataset: Any) -> tuple[float, float] | None:
    told = dataset.get("ImagerPixelSpacing") or dataset.get("PixelSpacing")
    return (float(told[0]), float(told[1])) if told and len(told) == 2 else None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
