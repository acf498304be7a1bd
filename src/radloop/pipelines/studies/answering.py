"""What a detector said of a batch of studies -> feedback, and one structured report a study and model."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec
import numpy as np
import polars as pl

from radloop import boxes
from radloop.codes import Code
from radloop.dicom import report
from radloop.dicom.report import Box, Device, Observed
from radloop.errors import PacsError
from radloop.feedback import answers, elsewhere, records
from radloop.feedback.records import Feedback
from radloop.feedback.reviews import Shown
from radloop.pacs.ledger import Planned
from radloop.pipelines.studies.observing import Image, Observer
from radloop.tables import EDGES

STORED: Final = "stored"
REFUSED: Final = "refused"  # by the PACS, for good


@dataclass(frozen=True)
class Made:
    """A report, and what it is filed as."""

    planned: Planned
    sop_instance_uid: str
    data: bytes


def signed(image: Image, splits: Mapping[str, str]) -> Image:
    """The image with its feedback whole: the split that it was given, and the id of all that it says."""
    split = splits.get(image.image_id)
    if not image.is_new or split is None:
        return image
    return replace(image, feedback=records.signed(msgspec.structs.replace(image.feedback, split=split)))


def write(observer: Observer, images: Iterable[Image], *, durable: bool) -> int:
    """Write the feedback that was not written before; returns how many."""
    written = 0
    for image in images:
        if (
            image.is_new
            and answers.find(observer.feedback, image.image_id, image.feedback.model or observer.model) is None
        ):
            records.write(observer.feedback, image.feedback, durable=durable)
            written += 1
    return written


def waiting(observer: Observer, study_uid: str, to_come: Collection[str]) -> set[str]:
    """The images, by UID, of planned reports that are not stored yet and speak of one that is `to_come`, too."""
    planned = observer.ledger.reports(study_uid, observer.model.full_name)
    return {uid for one, ended in planned if not ended and set(one.images) & set(to_come) for uid in one.images}


def reports(
    observer: Observer, study_uid: str, images: Sequence[Image], codes: Sequence[Code], remark: str
) -> list[Made]:
    """The reports that speak of these images: those that were planned before a kill, and one of all other images.

    They are planned in the ledger, so that after a kill each is the same.
    """
    by_uid = {image.instance.sop_instance_uid: image for image in images}
    planned = observer.ledger.reports(study_uid, observer.model.full_name)
    told = {uid for one, _ in planned for uid in one.images}
    found = [one for one, ended in planned if not ended]
    if others := tuple(uid for uid in by_uid if uid not in told):
        new = Planned(study_uid, observer.model.full_name, len(planned) + 1, others)
        observer.ledger.plan(new)
        found.append(new)
    return [
        _made(observer, one, [by_uid[uid] for uid in one.images if uid in by_uid], codes, remark)
        for one in found
        if any(uid in by_uid for uid in one.images)
    ]


def store(observer: Observer, made: Sequence[Made]) -> list[Made]:
    """Store reports, all at once where the PACS takes them; returns those that it refuses."""
    if not made:
        return []
    try:
        observer.patience(lambda: observer.pacs.store([one.data for one in made]))
        return []
    except PacsError as refused:
        if len(made) == 1 and refused.code == REFUSED:
            return list(made)
        if refused.code != REFUSED:
            raise
    return [lost for one in made for lost in store(observer, [one])]


def shown(feedback: Feedback, nothing: int) -> list[Shown]:
    """The boxes of a feedback as a report shows them: inside the picture, the most confident first."""
    found = feedback.found(nothing)
    corners = boxes.cxcywh_to_xyxy(np.array([one.bbox for one in found]).reshape(-1, 4))
    table = pl.DataFrame(corners, schema=list(EDGES), orient="row").with_columns(
        feedback_id=pl.lit(feedback.feedback_id),
        class_id=pl.Series([one.class_id for one in found], dtype=pl.Int64),
        confidence=pl.Series([one.confidence for one in found], dtype=pl.Float64),
    )
    return elsewhere.shown(table, [str(feedback.feedback_id)]).get(str(feedback.feedback_id), [])


def _made(observer: Observer, planned: Planned, images: Sequence[Image], codes: Sequence[Code], remark: str) -> Made:
    device = Device(planned.model, str(observer.recipe))
    keyed = observer.pseudonyms.keyed
    data = report.make(
        [(image.header, _observed(image, observer.classes.nothing, codes)) for image in images],
        device,
        number=planned.number,
        written_at=max(datetime.fromisoformat(image.feedback.timestamp) for image in images),
        keyed=keyed,
        remark=remark,
    )
    return Made(planned, report.sop_uid(str(images[0].header.StudyInstanceUID), device, planned.number, keyed), data)


def _observed(image: Image, nothing: int, codes: Sequence[Code]) -> Observed:
    """The feedback in the image's own pixels."""
    told, size = image.feedback, np.array([image.taken.width, image.taken.height] * 2)
    found = shown(told, nothing)
    corners = boxes.cxcywh_to_xyxy(np.array([one.bbox for one in found]).reshape(-1, 4)) * size
    return Observed(
        image.instance.sop_instance_uid,
        tuple(
            Box(codes[one.class_id], tuple(edges), one.confidence)
            for one, edges in zip(found, corners.tolist(), strict=True)
        ),
        certainty=None if found else told.confidence,
    )
