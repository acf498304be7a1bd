"""A structured report that was made elsewhere, or by radloop: who observed what, where it follows TID 1500."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from radloop.codes import Code
from radloop.dicom import content
from radloop.dicom.radiograph import library
from radloop.dicom.report import COMPREHENSIVE_SR, TEMPLATE, Box, Device, Edges, Observed, Person
from radloop.errors import DicomError

# Enhanced, Comprehensive and Comprehensive 3D SR.
REPORTS: Final = ("1.2.840.10008.5.1.4.1.1.88.22", COMPREHENSIVE_SR, "1.2.840.10008.5.1.4.1.1.88.34")
MOST_FINDINGS: Final = 10_000

_SLACK_PX: Final = 0.5  # how far a corner of a rectangle may be off


@dataclass(frozen=True)
class Report:
    """A report as it was read. Names and UIDs stand here in clear."""

    study_uid: str
    sop_instance_uid: str
    observer: Device | Person
    written_at: datetime  # without a zone where the report tells none
    images: tuple[Observed, ...]


def read(data: bytes) -> Report:
    """The report in a file's bytes. Raises DicomError with a code for what is none, or not of this template."""
    pydicom = library()
    try:
        return _report(pydicom.dcmread(io.BytesIO(data)))
    except DicomError:
        raise
    except Exception as broken:  # pydicom promises no particular one for hostile bytes
        raise DicomError("not a DICOM report, or damaged", code="not-dicom") from broken


def _report(dataset: Any) -> Report:
    if str(dataset.get("SOPClassUID")) not in REPORTS or _template(dataset) != TEMPLATE:
        raise DicomError("not a report of the template TID 1500", code="not-a-report")
    if str(dataset.get("CompletionFlag")) != "COMPLETE":
        raise DicomError("a report that is not complete", code="not-complete")
    items = list(dataset.ContentSequence)
    images: dict[str, Observed] = {}
    for group in _groups(items):
        _observe(images, list(group.get("ContentSequence", ())))
    if not images:
        raise DicomError("a report that says nothing of any image", code="no-image")
    return Report(
        study_uid=str(dataset.StudyInstanceUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        observer=_observer(items),
        written_at=_written_at(dataset),
        images=tuple(images.values()),
    )


def _groups(items: Sequence[Any]) -> Iterator[Any]:
    found = [one for item in items if _is(item, content.MEASUREMENTS) for one in item.get("ContentSequence", ())]
    if len(found) > MOST_FINDINGS:
        raise DicomError(f"{len(found)} findings are more than are read ({MOST_FINDINGS})", code="too-large")
    return (one for one in found if _is(one, content.GROUP))


def _observe(images: dict[str, Observed], items: Sequence[Any]) -> None:
    """Add what a group says to what was observed on its image."""
    code = _value_of(items, content.FINDING)
    if code is None:
        raise DicomError("a finding without a code", code="no-finding")
    whole = code.key in (content.NOTHING.key, content.NOT_READABLE.key)
    regions = [item for item in items if item.get("ValueType") == "SCOORD"]
    if len(regions) != (0 if whole else 1):
        raise DicomError("a finding without one region, or a region without a finding", code="region-missing")
    image = _image(regions[0].get("ContentSequence", ()) if regions else items)
    before = images.get(image)
    if before is not None and (whole or not before.boxes):
        raise DicomError("an image with findings and without any", code="findings-contradict")
    certainty = next((_certainty(item) for item in items if _is(item, content.CERTAINTY)), None)
    if whole:
        images[image] = Observed(image, certainty=certainty, readable=code.key == content.NOTHING.key)
    else:
        known = before or Observed(image)
        images[image] = replace(known, boxes=(*known.boxes, Box(code, _rectangle(regions[0]), certainty)))


def _image(items: Sequence[Any]) -> str:
    """The UID of the one image among the items."""
    found = [str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in items if _shows(item)]
    if len(found) != 1:
        raise DicomError("a finding that is not on one image", code="no-image")
    return found[0]


def _shows(item: Any) -> bool:
    return bool(item.get("ValueType") == "IMAGE")


def _rectangle(region: Any) -> Edges:
    """The box that a polyline of five points closes, along rows and columns."""
    numbers = [float(one) for one in region.GraphicData]
    points = list(zip(numbers[::2], numbers[1::2], strict=False))
    if region.get("GraphicType") != "POLYLINE" or len(numbers) != 10 or not all(map(math.isfinite, numbers)):
        raise DicomError("a region that is not a closed polyline of five points", code="not-a-box")
    left, top, right, bottom = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    around = [(left, top), (right, top), (right, bottom), (left, bottom)]
    turns = (around[start:] + around[:start] for start in range(4))
    rings = [ring for turn in turns for ring in ([*turn, turn[0]], [turn[0], *turn[:0:-1], turn[0]])]
    if not any(all(math.dist(*pair) <= _SLACK_PX for pair in zip(points, ring, strict=True)) for ring in rings):
        raise DicomError("a region that is not a rectangle along rows and columns", code="not-a-box")
    return left, top, right, bottom


def _observer(items: Sequence[Any]) -> Device | Person:
    kind = _value_of(items, content.OBSERVER_TYPE)
    if kind is not None and kind.key == content.DEVICE.key:
        return Device(next((str(one.TextValue) for one in items if _is(one, content.MODEL)), ""))
    named = next((str(one.PersonName) for one in items if _is(one, content.PERSON_NAME)), "")
    if not named.strip("^= "):
        raise DicomError("a report that does not say who has observed", code="no-observer")
    return Person(named)


def _written_at(dataset: Any) -> datetime:
    try:
        day, clock = str(dataset.ContentDate), str(dataset.ContentTime)[:6].ljust(6, "0")
        time = datetime.strptime(f"{day} {clock}", "%Y%m%d %H%M%S")  # noqa: DTZ007  its zone comes next
        zone = str(dataset.get("TimezoneOffsetFromUTC") or "")
        if not zone:
            return time
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        return time.replace(tzinfo=timezone(-away if zone[0] == "-" else away))
    except (ValueError, AttributeError) as wrong:
        raise DicomError("a report that does not tell when it was written", code="no-time") from wrong


def _certainty(item: Any) -> float | None:
    measured = item.get("MeasuredValueSequence") or ()
    share = float(measured[0].NumericValue) / 100 if measured else -1.0
    return share if 0 <= share <= 1 else None


def _value_of(items: Sequence[Any], concept: Code) -> Code | None:
    found = (item for item in items if item.get("ValueType") == "CODE" and _is(item, concept))
    return next((_code(item.ConceptCodeSequence[0]) for item in found), None)


def _is(item: Any, concept: Code) -> bool:
    named: Any = item.get("ConceptNameCodeSequence") or ()
    return bool(named) and _code(named[0]).key == concept.key


def _code(item: Any) -> Code:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def _template(dataset: Any) -> str:
    named = dataset.get("ContentTemplateSequence") or ()
    return str(named[0].get("TemplateIdentifier", "")) if named else ""
