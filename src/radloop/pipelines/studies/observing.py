"""One study of a PACS, looked at: its images as pictures and what a detector says of them, and the reports of people.

Nothing is written here but what leads back from a pseudonym; so any number of threads can look at any number of
studies, and one that was looked at twice is nothing else than one that was looked at once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from radloop.dataset.incoming import Arrival
from radloop.dicom import report, report_reader, wrapping
from radloop.dicom.intake import Taken
from radloop.dicom.pseudonyms import Pseudonyms
from radloop.dicom.report_reader import Report
from radloop.errors import (
    BusyError,
    DetectorError,
    DicomError,
    FeedbackError,
    MisreadDetectorError,
    PacsError,
    RadloopError,
    SourceError,
    StoreError,
    TransientDetectorError,
    TransientPacsError,
)
from radloop.feedback import answers, records
from radloop.feedback.records import Feedback, Model, PictureMeasures, Simulated
from radloop.pacs import FATAL, Instance, Pacs
from radloop.pacs.ledger import Done, Ledger
from radloop.pipelines.arrivals import arriving
from radloop.pipelines.studies.picturing import Made
from radloop.predictions import Detector, Picture
from radloop.recipe import Recipe
from radloop.taxonomy import Taxonomy

T = TypeVar("T")

IMAGE: Final = "image"
OURS: Final = "our-report"
REPORT: Final = "report"
OTHER: Final = "other"  # of a modality that nobody asked for

_PASSING: Final = (TransientPacsError, TransientDetectorError, BusyError, StoreError)
_PAUSE_SECONDS: Final = 1.0  # doubled with each try
_LONGEST_PAUSE_SECONDS: Final = 60.0


class Stopped(Exception):  # noqa: N818  no error: the run was told to end
    """The run ends before something that was waited for."""


class Patience:
    """Waits for what is gone, and says so: the PACS, the detector, the store, another run in the folder."""

    def __init__(self, stop: threading.Event, say: Callable[[str, float], None]) -> None:
        """`say(why, seconds)` tells each wait."""
        self._stop, self._say = stop, say

    def __call__(self, call: Callable[[], T]) -> T:
        """What `call` returns, as soon as it can. Raises Stopped, and any error that will not pass."""
        pause = _PAUSE_SECONDS
        while True:
            try:
                return call()
            except _PASSING as passing:
                self._say(str(passing), pause)
            if self._stop.wait(pause):
                raise Stopped
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True)
class Observer:
    """Who looks, and by what rules."""

    pacs: Pacs
    detector: Detector
    classes: Taxonomy
    recipe: Recipe
    make: Callable[[bytes], Made]  # the picture of a DICOM file
    pseudonyms: Pseudonyms
    ledger: Ledger
    patience: Patience
    feedback: Path  # where it lies
    modalities: Sequence[str]
    run_id: str

    @property
    def model(self) -> Model:
        """Of the detector."""
        return Model(name=self.detector.name, version=self.detector.version)


@dataclass(frozen=True)
class Image:
    """An image that became a picture, and the detector's answer."""

    instance: Instance
    header: Any  # its DICOM dataset without pixels
    taken: Taken
    arrival: Arrival
    feedback: Feedback
    is_new: bool  # False: it was written before, and stays as it is

    @property
    def image_id(self) -> str:
        """Its pseudonym."""
        return self.taken.image_id


@dataclass
class Study:
    """What was found in a study that was not known. `done` are the objects that need nothing more."""

    study_uid: str
    objects: int = 0  # all that it has
    images: list[Image] = field(default_factory=list)
    reports: list[tuple[Instance, Report]] = field(default_factory=list)  # of people
    done: list[Done] = field(default_factory=list)
    failed: list[tuple[Done, RadloopError]] = field(default_factory=list)  # that may succeed another time

    @property
    def has_news(self) -> bool:
        """Whether it held anything that was not known."""
        return bool(self.images or self.reports or self.done or self.failed)


def look(observer: Observer, study_uid: str) -> Study:
    """Everything in a study that the ledger does not know. Raises Stopped."""
    study, known = Study(study_uid), observer.ledger.known(study_uid)
    for instance in observer.patience(lambda: list(observer.pacs.instances(study_uid))):
        study.objects += 1
        if instance.sop_instance_uid not in known:
            _look_at(observer, study, instance)
    return study


def _look_at(observer: Observer, study: Study, instance: Instance) -> None:
    """Put what an object is into its study; one that cannot be used is a row with a code and holds nothing up."""
    is_report = instance.modality == "SR" or instance.sop_class_uid in report_reader.REPORTS
    if not is_report and instance.modality not in observer.modalities:
        study.done.append(_done(instance, OTHER))
        return
    try:
        data = observer.patience(lambda: observer.pacs.retrieve(instance))
        if is_report:
            _read(study, instance, data)
        else:
            study.images.append(_image(observer, instance, data))
    except DicomError as refused:
        study.done.append(_done(instance, refused.code, observer.pseudonyms.image_id(instance.sop_instance_uid)))
    except SourceError:
        study.done.append(_done(instance, "picture"))
    except FeedbackError as changed:  # it was answered when the dataset had other classes, or the file was changed
        study.done.append(_done(instance, f"feedback-{changed.code.removeprefix('feedback-')}"))
    except PacsError as refused:
        if refused.code in FATAL:
            raise
        study.failed.append((_done(instance, f"pacs-{refused.code}"), refused))
    except MisreadDetectorError:
        raise  # no feedback is better than wrong feedback
    except DetectorError as failed:
        study.failed.append((_done(instance, f"detector-{failed.kind}"), failed))


def _read(study: Study, instance: Instance, data: bytes) -> None:
    found = report_reader.read(data)
    if isinstance(found.observer, report.Person):
        study.reports.append((instance, found))
    else:
        study.done.append(_done(instance, OURS))


def _image(observer: Observer, instance: Instance, data: bytes) -> Image:
    """The picture that the recipe makes of it, and what was said, or is now said, of it."""
    arrived_at = datetime.now(UTC)
    made = observer.make(data)
    taken = made.taken
    if taken.image_id != observer.pseudonyms.image_id(instance.sop_instance_uid):
        raise DicomError("the PACS gave another object than it was asked for", code="another-object")
    arrival = arriving.of_taken(taken, observer.pseudonyms, arrived_at=arrived_at)
    arrival = replace(arrival, looked=made.looked)
    header = report.header(data)
    told, is_new = _answer(observer, made, arrived_at, simulated=_simulated(header, taken))
    return Image(instance, header, taken, arrival, told, is_new)


def _simulated(header: Any, taken: Taken) -> Simulated | None:
    """What marks feedback on a picture that `radloop simulate --pacs` has sent."""
    if header.get("Manufacturer") != wrapping.MANUFACTURER:
        return None
    return Simulated(site=taken.site or "", view=taken.view, device=wrapping.MANUFACTURER)


def _answer(
    observer: Observer, made: Made, arrived_at: datetime, *, simulated: Simulated | None
) -> tuple[Feedback, bool]:
    """The detector's answer, and whether it is new: what was written before stands. It is signed once it is whole."""
    model, taken = observer.model, made.taken
    written = answers.find(observer.feedback, taken.image_id, model)
    if written is not None:
        return records.decode(written.read_bytes(), observer.classes, name=written.name), False
    picture, begin = Picture(taken.image_id, taken.png), time.monotonic()
    predictions = observer.patience(lambda: observer.detector.predict(picture))
    told = answers.feedback(
        taken.image_id,
        predictions,
        observer.classes,
        model,
        timestamp=datetime.now(UTC).isoformat(),
        image_md5=made.looked.md5,
        image_phash=made.looked.phash,
        picture=PictureMeasures(**made.measures._asdict()),
        latency_ms=round(1000 * (time.monotonic() - begin), 3),
        arrived_at=arrived_at.isoformat(),
        run_id=observer.run_id,
        recipe=taken.recipe,
        simulated=simulated,
    )
    return told, True


def _done(instance: Instance, outcome: str, image_id: str | None = None) -> Done:
    return Done(instance.study_uid, instance.sop_instance_uid, outcome, image_id)
