"""Results as a DICOM structured report: TID 1500, each box a closed polyline in the image's own pixels.

A report speaks of the images of one study. Every image is named: by its boxes, or by a group that says that nothing
was found, or that it cannot be read. Who observed is a device (a model) or a person. The same study, observer and
findings give the same bytes. `radloop.dicom.report_reader` reads one.
"""

import io
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from radloop.codes import PRIVATE, Code
from radloop.dicom import content, writing
from radloop.dicom.radiograph import library

COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"
TEMPLATE: Final = "1500"

_IMPLEMENTATION: Final = "2.25.118046023129441370386498301722186480841"
_SERIES_NUMBER: Final = 9000
_LONGEST_DESCRIPTION: Final = 64  # characters of DICOM's LO
# What a report has of its image: by it a PACS finds patient and study. No other text of an image goes in.
_FILED_UNDER: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_OPTIONAL: Final = "IssuerOfPatientID"  # the others have to be there, and may be empty

Edges = tuple[float, float, float, float]  # xyxy in pixels, (0, 0) the upper left corner of the first pixel
Keyed = Callable[[str, str], str]  # (kind, text) to 32 hex digits, as `Pseudonyms.keyed`


@dataclass(frozen=True)
class Device:
    """A model that has observed: its name and version, and the recipe of the pictures that it was shown."""

    model: str
    recipe: str = ""


@dataclass(frozen=True)
class Person:
    """A person who has observed, by name: to be made a pseudonym before anything is written elsewhere."""

    name: str


@dataclass(frozen=True)
class Box:
    """A finding and where it is; certainty from 0 to 1."""

    code: Code
    xyxy_px: Edges
    certainty: float | None = None


@dataclass(frozen=True)
class Observed:
    """What was observed on one image. Without a box, and readable: that nothing was found."""

    sop_instance_uid: str
    boxes: tuple[Box, ...] = ()
    certainty: float | None = None  # that nothing was found
    readable: bool = True


def sop_uid(study_uid: str, observer: Device | Person, number: int, keyed: Keyed) -> str:
    """The UID of a report in a study; `number` 1 is the observer's first, others are of images that came later."""
    return _uid(keyed, "report", study_uid, _name(observer), str(number))


def header(data: bytes) -> Any:
    """The dataset of an image's file, without its pixels."""
    return library().dcmread(io.BytesIO(data), stop_before_pixels=True)


def make(
    images: Sequence[tuple[Any, Observed]],
    observer: Device | Person,
    *,
    number: int = 1,
    written_at: datetime,
    keyed: Keyed,
    remark: str = "",
) -> bytes:
    """The file of a report on images of one study: each with its DICOM dataset, whose pixels are not looked at.

    Every UID follows from what `keyed` makes of study and observer. `remark` stands in the report and in the
    description of its series, such as "not for clinical use".
    """
    first = images[0][0]
    study_uid, at = str(first.StudyInstanceUID), written_at.astimezone(UTC)
    own = sop_uid(study_uid, observer, number, keyed)
    report = writing.dataset(SpecificCharacterSet="ISO_IR 192")
    for keyword in _FILED_UNDER:
        if keyword in first:
            report[keyword] = first[keyword]
        elif keyword != _OPTIONAL:
            setattr(report, keyword, "")
    report.update(
        writing.dataset(
            SOPClassUID=COMPREHENSIVE_SR,
            SOPInstanceUID=own,
            Modality="SR",
            Manufacturer="radloop",
            SeriesInstanceUID=_uid(keyed, "series", study_uid, _name(observer)),
            SeriesNumber=_SERIES_NUMBER,
            SeriesDescription=_description(observer, remark),
            InstanceNumber=number,
            ReferencedPerformedProcedureStepSequence=[],
            PerformedProcedureCodeSequence=[],
            ContentDate=f"{at:%Y%m%d}",
            ContentTime=f"{at:%H%M%S}",
            TimezoneOffsetFromUTC="+0000",
            CodingSchemeIdentificationSequence=[
                writing.dataset(CodingSchemeDesignator=PRIVATE, CodingSchemeName="radloop")
            ],
            CompletionFlag="COMPLETE",
            VerificationFlag="UNVERIFIED",
            CurrentRequestedProcedureEvidenceSequence=[_evidence(images)],
        )
    )
    report.update(_tree(images, observer, own, keyed, remark))
    return writing.file(report, implementation=_IMPLEMENTATION)


def _name(observer: Device | Person) -> str:
    return observer.model if isinstance(observer, Device) else observer.name


def _description(observer: Device | Person, remark: str) -> str:
    what = "AI findings" if isinstance(observer, Device) else "Findings"
    whole = f"{what} ({remark})" if remark else what
    return whole if len(whole) <= _LONGEST_DESCRIPTION else what


def _tree(
    images: Sequence[tuple[Any, Observed]], observer: Device | Person, own: str, keyed: Keyed, remark: str
) -> Any:
    """The tree of the report; the attributes of its root are the report's own."""
    groups: list[Any] = []
    for image, observed in images:
        for said in observed.boxes or (observed,):
            groups.append(_group(image, said, number := len(groups) + 1, _uid(keyed, "finding", own, str(number))))
    comment = content.text("CONTAINS", content.COMMENT, _comment(observer, len(images), remark))
    return content.container(
        "",
        content.TITLE,
        [
            content.coded("HAS CONCEPT MOD", content.LANGUAGE, content.ENGLISH),
            *_observation(observer, keyed),
            content.coded("HAS CONCEPT MOD", content.PROCEDURE, content.CHEST_RADIOGRAPH),
            content.container("CONTAINS", content.MEASUREMENTS, groups),
            content.container("CONTAINS", content.EVALUATIONS, [comment]),
        ],
        template=TEMPLATE,
    )


def _comment(observer: Device | Person, count: int, remark: str) -> str:
    whose = f"AI findings of {observer.model}" if isinstance(observer, Device) else "Findings"
    shown = f", shown as {observer.recipe}" if isinstance(observer, Device) and observer.recipe else ""
    sentence = f" {remark[:1].upper()}{remark[1:].rstrip('.')}." if remark else ""
    return f"{whose} on {count} image{'' if count == 1 else 's'}{shown}.{sentence}"


def _observation(observer: Device | Person, keyed: Keyed) -> list[Any]:
    context = "HAS OBS CONTEXT"
    if isinstance(observer, Person):
        return [content.coded(context, content.OBSERVER_TYPE, content.PERSON), content.person(observer.name)]
    return [
        content.coded(context, content.OBSERVER_TYPE, content.DEVICE),
        content.uid(content.DEVICE_UID, _uid(keyed, "device", observer.model)),
        content.text(context, content.DEVICE_NAME, "radloop"),
        content.text(context, content.MANUFACTURER, "radloop"),
        content.text(context, content.MODEL, observer.model),
    ]


def _group(image: Any, said: Box | Observed, number: int, uid: str) -> Any:
    """A box on an image (TID 1410), or what is said of an image as a whole (TID 1501)."""
    if isinstance(said, Box):
        code, template = said.code, "1410"
        left, top, right, bottom = said.xyxy_px
        where = content.polyline([left, top, right, top, right, bottom, left, bottom, left, top], image)
    else:
        code, template = content.NOTHING if said.readable else content.NOT_READABLE, "1501"
        where = content.source("CONTAINS", image)
    certain = [] if said.certainty is None else [content.percent(said.certainty)]
    items = [
        content.text("HAS OBS CONTEXT", content.TRACKING, f"Finding {number}"),
        content.uid(content.TRACKING_UID, uid),
        content.coded("CONTAINS", content.FINDING, code),
        *certain,
        where,
    ]
    return content.container("CONTAINS", content.GROUP, items, template=template)


def _evidence(images: Sequence[tuple[Any, Observed]]) -> Any:
    """All images, by their series."""
    by_series: dict[str, list[Any]] = {}
    for image, _ in images:
        by_series.setdefault(str(image.SeriesInstanceUID), []).append(content.reference(image))
    return writing.dataset(
        StudyInstanceUID=images[0][0].StudyInstanceUID,
        ReferencedSeriesSequence=[
            writing.dataset(SeriesInstanceUID=series_uid, ReferencedSOPSequence=references)
            for series_uid, references in by_series.items()
        ],
    )


def _uid(keyed: Keyed, kind: str, *parts: str) -> str:
    """A UID of its own root (PS3.5, B.2) that follows from its parts and tells none of them."""
    return f"2.25.{uuid.UUID(hex=keyed(kind, chr(0).join(parts)), version=5).int}"
