"""The items of a structured report's tree, and the concepts that radloop's reports are made of (PS3.16, TID 1500)."""

from collections.abc import Sequence
from typing import Any, Final

from radloop.codes import Code, private
from radloop.dicom.writing import code, dataset
from radloop.words import UNREADABLE

TITLE: Final = Code("126000", "DCM", "Imaging Measurement Report")
LANGUAGE: Final = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH: Final = Code("en-US", "RFC5646", "English (United States)")
OBSERVER_TYPE: Final = Code("121005", "DCM", "Observer Type")
PERSON: Final = Code("121006", "DCM", "Person")
DEVICE: Final = Code("121007", "DCM", "Device")
PERSON_NAME: Final = Code("121008", "DCM", "Person Observer Name")
DEVICE_UID: Final = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME: Final = Code("121013", "DCM", "Device Observer Name")
MANUFACTURER: Final = Code("121014", "DCM", "Device Observer Manufacturer")
MODEL: Final = Code("121015", "DCM", "Device Observer Model Name")
PROCEDURE: Final = Code("121058", "DCM", "Procedure reported")
CHEST_RADIOGRAPH: Final = Code("399208008", "SCT", "Plain chest X-ray")
MEASUREMENTS: Final = Code("126010", "DCM", "Imaging Measurements")
GROUP: Final = Code("125007", "DCM", "Measurement Group")
TRACKING: Final = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Final = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING: Final = Code("121071", "DCM", "Finding")
REGION: Final = Code("111030", "DCM", "Image Region")
SOURCE: Final = Code("260753009", "SCT", "Source")
CERTAINTY: Final = Code("111012", "DCM", "Certainty of Finding")
PERCENT: Final = Code("%", "UCUM", "Percent")
EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT: Final = Code("121106", "DCM", "Comment")

NOTHING: Final = Code("373572006", "SCT", "Clinical finding absent")
NOT_READABLE: Final = private(UNREADABLE)

_OBSERVED: Final = "HAS OBS CONTEXT"


def container(relationship: str, concept: Code, content: Sequence[Any] = (), *, template: str = "") -> Any:
    """An item that holds others; the root has no relationship."""
    item = _item(relationship, "CONTAINER", concept)
    item.ContinuityOfContent = "SEPARATE"
    if template:
        item.ContentTemplateSequence = [dataset(MappingResource="DCMR", TemplateIdentifier=template)]
    if content:
        item.ContentSequence = list(content)
    return item


def coded(relationship: str, concept: Code, value: Code) -> Any:
    """An item whose value is a code."""
    item = _item(relationship, "CODE", concept)
    item.ConceptCodeSequence = [code(value)]
    return item


def text(relationship: str, concept: Code, value: str) -> Any:
    """An item whose value is a text."""
    item = _item(relationship, "TEXT", concept)
    item.TextValue = value
    return item


def uid(concept: Code, value: str) -> Any:
    """An item of the context of observation whose value is a UID."""
    item = _item(_OBSERVED, "UIDREF", concept)
    item.UID = value
    return item


def person(name: str) -> Any:
    """The item that names a person who has observed."""
    item = _item(_OBSERVED, "PNAME", PERSON_NAME)
    item.PersonName = name
    return item


def percent(share: float) -> Any:
    """How certain a finding is, from 0 to 1."""
    item = _item("CONTAINS", "NUM", CERTAINTY)
    number = f"{100 * share:.6f}".rstrip("0").rstrip(".")
    item.MeasuredValueSequence = [dataset(NumericValue=number, MeasurementUnitsCodeSequence=[code(PERCENT)])]
    return item


def polyline(points: Sequence[float], image: Any) -> Any:
    """A region of an image: column and row of each point, (0, 0) the upper left corner of the first pixel."""
    item = _item("CONTAINS", "SCOORD", REGION)
    item.GraphicType, item.GraphicData = "POLYLINE", list(points)
    item.ContentSequence = [source("SELECTED FROM", image)]
    return item


def source(relationship: str, image: Any) -> Any:
    """An item that is an image, by its dataset."""
    item = _item(relationship, "IMAGE", SOURCE)
    item.ReferencedSOPSequence = [reference(image)]
    return item


def reference(image: Any) -> Any:
    """What leads to an image within its series."""
    return dataset(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _item(relationship: str, kind: str, concept: Code) -> Any:
    item = dataset(ValueType=kind, ConceptNameCodeSequence=[code(concept)])
    if relationship:
        item.RelationshipType = relationship
    return item
