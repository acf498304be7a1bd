"""Reports of people in a PACS -> reviews of the feedback on their images, where they follow TID 1500."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from radloop.codes import Code
from radloop.dicom.pseudonyms import Origin, Pseudonyms
from radloop.dicom.report import Observed, Person
from radloop.dicom.report_reader import Report
from radloop.errors import FeedbackError
from radloop.feedback import elsewhere, records, reviews
from radloop.feedback.chaining import Chain
from radloop.feedback.elsewhere import Drawn, Opinion
from radloop.feedback.logged import Writer
from radloop.feedback.records import Feedback
from radloop.feedback.reviews import Review
from radloop.pipelines.studies.answering import shown
from radloop.taxonomy import Taxonomy

_SAME_PX: Final = 0.5  # what a box may change by on its way through a viewer
_DIGITS: Final = 10  # of a Reader ID


@dataclass(frozen=True)
class Desk:
    """Where reviews go, and what reports are held against."""

    feedback: Path
    reviews: Path
    classes: Taxonomy
    codes: Sequence[Code]
    pseudonyms: Pseudonyms
    zone: tzinfo  # of a report that tells none
    sees_results: bool  # whether readers are sent the model's boxes
    durable: bool = False

    @cached_property
    def writer(self) -> Writer:
        """Who writes the reviews, and tells the audit log of it."""
        return Writer(self.reviews, self.classes, "radloop watch", durable=self.durable)

    @cached_property
    def chain(self) -> Chain:
        """Where the next review of each reader goes on."""
        return Chain(self.reviews)


@dataclass
class Told:
    """What became of reports."""

    written: list[Review] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # image_id and code


def reader_id(person: Person, pseudonyms: Pseudonyms) -> str:
    """The Reader ID of a person: a keyed pseudonym of the name, in whatever case it is written."""
    name = " ".join(person.name.replace("^", " ").replace("=", " ").split()).casefold()
    return f"pacs-{pseudonyms.keyed('reader', name)[:_DIGITS]}"


def write(desk: Desk, reports: Sequence[Report]) -> Told:
    """Write a review for each image of a report that says something new; twice the same report is once.

    What no review can hold is refused with a code; feedback that a person has said such a thing of waits.
    """
    told, planned = Told(), list[Review]()
    if not reports:
        return told
    ids = {desk.pseudonyms.image_id(one.sop_instance_uid) for found in reports for one in found.images}
    known = _feedback(desk, ids)
    for found in reports:
        for observed in found.images:
            image_id = desk.pseudonyms.image_id(observed.sop_instance_uid)
            about, origin = known.get(image_id), desk.pseudonyms.back(image_id)
            if about is None or origin is None:
                told.refused.append((image_id, "feedback-unknown"))
                continue
            try:
                planned.append(_review(desk, found, observed, about, origin))
            except FeedbackError as wrong:
                told.refused.append((image_id, wrong.code))
                _leave_waiting(desk, found, about, wrong)
    if planned:
        about_ids = {one.feedback_id for one in planned}
        names = [name for name in _names(desk.reviews) if name.split(".")[0] in about_ids]
        there = reviews.read(desk.reviews, desk.classes, names=names) if names else reviews.NONE
        heads = {one.reviewer: desk.chain.previous(one.reviewer) for one in planned}
        told.written = elsewhere.new(
            planned,
            there.reviews,
            lambda name: _load(desk.reviews / name, desk.classes),
            {reviewer: head for reviewer, head in heads.items() if head is not None},
        )
    for review in told.written:
        desk.writer.write(review)
    return told


def _review(desk: Desk, found: Report, observed: Observed, about: Feedback, origin: Origin) -> Review:
    """What one person says of one image. Raises FeedbackError."""
    kind = "found" if observed.boxes else "normal" if observed.readable else "unreadable"
    opinion = Opinion(
        feedback_id=str(about.feedback_id),
        image_id=about.image_id,
        reviewer=_reviewer(desk, found),
        kind=kind,  # type: ignore[arg-type]  # one of three
        findings=_drawn(desk, observed, origin),
        timestamp=_time(found.written_at, desk.zone),
        within=_SAME_PX / min(origin.rows, origin.columns),
    )
    told = {"image_id": about.image_id, "timestamp": datetime.fromisoformat(about.timestamp).replace(microsecond=0)}
    made = elsewhere.review(opinion, {opinion.feedback_id: told}, shown(about, desk.classes.nothing))
    if not desk.sees_results:
        made = msgspec.structs.replace(made, revealed=False, shown=None)
    return reviews.decode(reviews.encode(made), desk.classes, name=reviews.file_name(made))


def _drawn(desk: Desk, observed: Observed, origin: Origin) -> Drawn:
    """Boxes as fractions of the image; what has no class here has the number -1."""
    numbers = {code.key: number for number, code in enumerate(desk.codes)}
    width, height = origin.columns, origin.rows
    drawn = []
    for box in observed.boxes:
        left, top, right, bottom = box.xyxy_px
        edges = (left / width, top / height, right / width, bottom / height)
        drawn.append((numbers.get(box.code.key, -1), edges))
    return drawn


def _time(written_at: datetime, zone: tzinfo) -> datetime:
    return (written_at if written_at.tzinfo else written_at.replace(tzinfo=zone)).astimezone(UTC)


def _reviewer(desk: Desk, found: Report) -> str:
    if not isinstance(found.observer, Person):
        raise FeedbackError("a model's report is no review", code="not-a-person")
    return reader_id(found.observer, desk.pseudonyms)


def _leave_waiting(desk: Desk, found: Report, about: Feedback, wrong: FeedbackError) -> None:
    desk.writer.write_unusable(
        feedback_id=str(about.feedback_id),
        image_id=about.image_id,
        reviewer=_reviewer(desk, found),
        why=f"a structured report: {wrong}",
    )


def _feedback(desk: Desk, image_ids: Collection[str]) -> Mapping[str, Feedback]:
    """The newest feedback on each image that can be read."""
    newest: dict[str, Feedback] = {}
    for name in _names(desk.feedback):
        image_id = name.split(".")[0]
        if image_id in image_ids:
            with suppress(FeedbackError):
                found = records.decode((desk.feedback / name).read_bytes(), desk.classes, name=name)
                if image_id not in newest or newest[image_id].timestamp < found.timestamp:
                    newest[image_id] = found
    return newest


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".json")) if folder.is_dir() else []


def _load(path: Path, classes: Taxonomy) -> Review:
    return reviews.decode(path.read_bytes(), classes, name=path.name)
