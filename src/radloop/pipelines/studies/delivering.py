"""What was found in a few studies, written: pictures, feedback, reports back into the PACS, reviews, and the ledger.

In this order, so that a kill anywhere and a second run end in one feedback an image, one report a study and model, and
one review a person's report: the feedback's id is of image and model, the report's UID of study and model, its images
are in the ledger before it is stored, and the ledger calls a study done last of all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from radloop import domain, files, manifest
from radloop.detectors.chance import Chance
from radloop.errors import DetectorError
from radloop.feedback import conventions
from radloop.options import Watch
from radloop.pacs.ledger import Done
from radloop.pipelines import ingesting
from radloop.pipelines.arrivals.registering import Register
from radloop.pipelines.ingesting import TakenIn
from radloop.pipelines.studies import answering, reported
from radloop.pipelines.studies.answering import REFUSED
from radloop.pipelines.studies.observing import IMAGE, OTHER, OURS, REPORT, Image, Observer, Study
from radloop.pipelines.studies.reported import Desk, Told
from radloop.progress import silent
from radloop.simulation.journal import Journal
from radloop.storage import Store, publish

_MOST_TRIES: Final = 3  # of an object that neither the PACS nor the detector can deal with
_MOST_FAILURES: Final = 10  # of a detector in a row: then it is broken, and not the pictures
_MADE_UP: Final = "random boxes, to try the chain: no findings"
_DIGITS: Final = 16  # of a study's pseudonym in the log


@dataclass
class Tally:
    """What a run has done so far."""

    studies: int = 0
    images: int = 0  # that were new
    feedback: int = 0
    reports: int = 0
    reviews: int = 0
    waits: int = 0  # times that something was gone
    splits: Counter[str] = field(default_factory=Counter)  # of the images that were answered
    refused: Counter[str] = field(default_factory=Counter)  # objects, by code


class Delivery:
    """Writes what one run finds."""

    def __init__(
        self,
        options: Watch,
        observer: Observer,
        register: Register,
        store: Store,
        journal: Journal,
        tally: Tally,
    ) -> None:
        self._options: Watch = options
        self._observer, self._register, self._store = observer, register, store
        self._journal, self._codes = journal, domain.codes_of(observer.classes)
        self._desk = Desk(
            feedback=observer.feedback,
            reviews=options.reviews_folder,
            classes=observer.classes,
            codes=self._codes,
            pseudonyms=observer.pseudonyms,
            zone=replace(conventions.OWN, time_zone=options.time_zone).zone,
            sees_results=options.send_results == "sr",
            durable=options.durable,
        )
        made_up = (_MADE_UP,) if observer.detector.name == Chance.name else ()
        self._remark = ", ".join((*made_up, *([options.remark] if options.remark else [])))
        self._tries: Counter[str] = Counter()
        self._failures = 0  # of the detector, in a row
        self._unpublished = True
        self.tally = tally

    def finish(self, batch: Sequence[Study]) -> None:
        """Write all of it. Raises Stopped where the run ends while something is waited for."""
        if not batch:
            return
        for study in batch:
            self._wait_for_the_rest(study)
        images = [image for study in batch for image in study.images]
        taken = self._take_in(images)
        splits = dict(taken.images.select("image_id", "split").iter_rows()) if taken else {}
        for study in batch:
            study.images = [answering.signed(image, splits) for image in study.images]
        answered = [image for study in batch for image in study.images if image.image_id in splits]
        durable = self._options.durable
        self.tally.feedback += answering.write(self._observer, answered, durable=durable)
        ours = self._report(batch, splits)
        told = reported.write(self._desk, [found for study in batch for _, found in study.reports])
        self._record(batch, taken, ours)
        self._tell(batch, splits, told)

    def publish(self) -> None:
        """Bring the unit to the store, where it is not there yet, with what came in elsewhere since."""

        def publishing() -> None:
            with files.locked(self._options.out, durable=self._options.durable):
                self._register.refresh()
                after = self._register.bring(self._store)
                if self._register.table.height:
                    unit, prefix = self._register.unit, manifest.INCOMING_UNIT
                    publish.publish(unit, self._store, prefix=prefix, after=after, progress=silent)

        if self._unpublished:
            self._observer.patience(publishing)
            self._unpublished = False

    def _wait_for_the_rest(self, study: Study) -> None:
        """Leave out images whose report was planned before a kill, while another image of it is to be tried again.

        A report without that image would be stored in the place of the one that speaks of it. They are looked at again
        with it, for as long as it is not given up.
        """
        to_come = {done.sop_instance_uid for done, _ in study.failed if self._is_tried_again(done)}
        if to_come and self._options.send_results != "none":
            wait = answering.waiting(self._observer, study.study_uid, to_come)
            study.images = [one for one in study.images if one.instance.sop_instance_uid not in wait]

    def _is_tried_again(self, done: Done) -> bool:
        return self._tries[done.sop_instance_uid] + 1 < _MOST_TRIES

    def _take_in(self, images: Sequence[Image]) -> TakenIn | None:
        if not images:
            return None

        def taking() -> TakenIn:
            with files.locked(self._options.out, durable=self._options.durable):
                arrivals = [image.arrival for image in images]
                return ingesting.take_in(self._register, arrivals, audit_share=self._options.audit_share)

        taken = self._observer.patience(taking)
        self.tally.images += len(taken.new)
        self._unpublished |= bool(taken.new)
        return taken

    def _report(self, batch: Sequence[Study], splits: Mapping[str, str]) -> dict[str, list[Done]]:
        """{study: the reports that radloop has stored in it}."""
        if self._options.send_results == "none":
            return {}
        with self._observer.ledger.together():
            made = [
                one
                for study in batch
                for one in answering.reports(
                    self._observer,
                    study.study_uid,
                    [image for image in study.images if image.image_id in splits],
                    self._codes,
                    self._remark,
                )
            ]
        refused = answering.store(self._observer, made)
        self.tally.reports += len(made) - len(refused)
        if refused:
            self.tally.refused["report-refused"] += len(refused)
        stored: dict[str, list[Done]] = {}
        with self._observer.ledger.together():
            for one in made:
                self._observer.ledger.end(one.planned, REFUSED if one in refused else answering.STORED)
                if one not in refused:
                    done = Done(one.planned.study_uid, one.sop_instance_uid, OURS)
                    stored.setdefault(one.planned.study_uid, []).append(done)
        return stored

    def _record(self, batch: Sequence[Study], taken: TakenIn | None, ours: Mapping[str, list[Done]]) -> None:
        """Call objects and studies done, in one step."""
        codes = dict(taken.refused.select("place", "code").iter_rows()) if taken else {}
        with self._observer.ledger.together():
            for study in batch:
                uid, reports = study.study_uid, ours.get(study.study_uid, [])
                images = [
                    Done(uid, image.instance.sop_instance_uid, codes.get(image.image_id, IMAGE), image.image_id)
                    for image in study.images
                ]
                people = [Done(uid, instance.sop_instance_uid, REPORT) for instance, _ in study.reports]
                failed, again = self._failed(study)
                done = [*images, *people, *study.done, *failed]
                self._observer.ledger.record([*done, *reports])
                if not again:
                    self._observer.ledger.count(uid, study.objects + len(reports))
                self.tally.studies += bool(study.images)
                self.tally.refused.update(
                    one.outcome for one in done if one.outcome not in (IMAGE, REPORT, OURS, OTHER)
                )

    def _failed(self, study: Study) -> tuple[list[Done], bool]:
        """What of a study is given up, and whether something of it is to be tried again.

        Raises the detector's error where it answers nothing any more.
        """
        given_up, again = [], False
        self._failures = 0 if study.images else self._failures
        for done, why in study.failed:
            if isinstance(why, DetectorError):
                self._failures += 1
                if self._failures >= _MOST_FAILURES:
                    raise why
            if self._is_tried_again(done):
                again = True
            else:
                given_up.append(done)
            self._tries[done.sop_instance_uid] += 1
        return given_up, again

    def _tell(self, batch: Sequence[Study], splits: Mapping[str, str], told: Told) -> None:
        """A line for each study and image, by pseudonyms."""
        self.tally.reviews += len(told.written)
        self.tally.refused.update(f"review-{code}" for _, code in told.refused)
        for study in batch:
            lines: list[dict[str, Any]] = []
            for image in study.images:
                if split := splits.get(image.image_id):
                    self.tally.splits[split] += 1
                    lines.append(_line(image, split))
            for line in lines:
                self._journal.write("image", **line)
            refused = Counter(one.outcome for one in study.done if one.outcome not in (OURS, OTHER))
            number = self._observer.pseudonyms.keyed("study", study.study_uid)[:_DIGITS]
            self._journal.write("study", study=number, images=len(lines), refused=dict(refused))
        for review in told.written:
            about = {"image_id": review.image_id, "reviewer": review.reviewer, "verdict": review.verdict}
            self._journal.write("review", feedback_id=review.feedback_id, **about)
        for image_id, code in told.refused:
            self._journal.write("review-refused", image_id=image_id, code=code)


def _line(image: Image, split: str) -> dict[str, Any]:
    told = image.feedback
    return {
        "image_id": image.image_id,
        "split": split,
        "class_id": told.class_id,
        "confidence": told.confidence,
        "latency_ms": told.latency_ms,
        "feedback_id": told.feedback_id,
        "is_new": image.is_new,
    }
