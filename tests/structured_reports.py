"""Structured reports for tests: what a person or a model observed on images of one study."""

import hashlib
import io
from datetime import UTC, datetime

import pydicom

from dicom_files import dicom, gray, uid_of
from radloop import domain
from radloop.dicom import report
from radloop.dicom.report import Box, Observed
from radloop.vindr.classes import TAXONOMY

CODES = domain.codes_of(TAXONOMY)
AT = datetime(2026, 1, 5, 12, 30, 15, tzinfo=UTC)


def keyed(kind, text, key="a key"):
    return hashlib.sha256(f"{key} {kind} {text}".encode()).hexdigest()[:32]


def image(number=1, *, study=1, **tags):
    """The dataset of an image, as it was read from its file."""
    data = dicom(gray(8, 8), number=number, StudyInstanceUID=uid_of(study, 3), **tags)
    return pydicom.dcmread(io.BytesIO(data))


def made(observer, *observed, images=None, **wishes):
    """The report of an observer. observed: (number of the image, what was observed: boxes, or keywords)."""
    pairs = []
    for number, said in observed:
        dataset = (images or {}).get(number) or image(number)
        said = {"boxes": tuple(said)} if isinstance(said, (list, tuple)) else said
        pairs.append((dataset, Observed(str(dataset.SOPInstanceUID), **said)))
    return report.make(pairs, observer, **{"written_at": AT, "keyed": keyed, **wishes})


def box(class_id, *xyxy_px, certainty=None):
    return Box(CODES[class_id], xyxy_px, certainty)
