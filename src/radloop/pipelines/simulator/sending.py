"""The simulator as a modality: pictures of a store become DICOM files that a PACS is sent under the staged load."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import polars as pl

from radloop.dicom import radiograph, wrapping
from radloop.dicom.wrapping import Room
from radloop.errors import DetectorError, PacsError, TransientDetectorError, TransientPacsError, UsageError
from radloop.options import Simulate
from radloop.pacs.client import Client
from radloop.pacs.connection import Limits
from radloop.pipelines.simulator import playing
from radloop.pipelines.simulator.playing import Share
from radloop.predictions import Picture, Predictions
from radloop.progress import Progress, silent
from radloop.simulation import hospital, load, metadata
from radloop.simulation.hospital import Answer, Tally
from radloop.simulation.journal import Journal
from radloop.words import several


@dataclass(frozen=True)
class Original:
    """What a dataset knows of the original of a picture."""

    frame: tuple[int, int]  # columns, rows
    group: str


class Modality:
    """A radiography room in the place of a detector: it is shown a picture, and sends it to a PACS."""

    name = "pacs"

    def __init__(self, options: Simulate, originals: Mapping[str, Original], *, stop: threading.Event) -> None:
        """Ask whether the PACS is there.

        Raises TransientDetectorError where it is not yet, PacsError, UsageError, SourceError where pydicom is missing.
        """
        if options.engine != "local":
            raise UsageError("--pacs sends from this machine alone: leave --engine out.")
        radiograph.library()
        limits = Limits(seconds=options.request_timeout, tries=1)  # the hospital tries again
        self._pacs = Client.of(options.pacs or "", options.pacs_auth, limits=limits)
        self._originals, self._seed, self._moment = originals, options.seed, datetime.now(UTC)
        self.version = self._pacs.address
        self.unsent: set[int] = set()  # the numbers of pictures that are not there yet
        try:
            next(self._pacs.studies(), None)
        except TransientPacsError as absent:
            raise TransientDetectorError(str(absent), kind=absent.code) from absent

    @property
    def is_done(self) -> bool:
        """Whether every picture is there; that sets `stop`, too."""
        return not self.unsent

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of it in the end."""
        left = several(len(self.unsent), "picture")
        return (f"the load ended before {left} could be sent",) if self.unsent else ()

    def give_up(self) -> None:
        """End all requests that wait for an answer."""
        self._pacs.give_up()

    def predict(self, picture: Picture) -> Predictions:
        """Send the picture as DICOM; what answers is a PACS, which predicts nothing."""
        site, view, device = metadata.of(picture.image_id, seed=self._seed)
        original = self._originals.get(picture.image_id)
        data = wrapping.wrap(
            picture.gray,
            picture.image_id,
            patient=original.group if original else picture.image_id,
            room=Room(site, view, device, self._moment),
            seed=self._seed,
            frame=original.frame if original else None,
        )
        try:
            self._pacs.store([data])
        except TransientPacsError as passing:
            raise TransientDetectorError(str(passing), kind=passing.code) from passing
        except PacsError as final:
            raise DetectorError(str(final), kind=final.code) from final
        return Predictions.sorted([], [], [])


def originals(annotations: pl.DataFrame) -> dict[str, Original]:
    """What ANNOTATIONS say of the originals of images."""
    known = annotations.unique("image_id").select("image_id", "width", "height", "group")
    return {image_id: Original((width, height), group) for image_id, width, height, group in known.iter_rows()}


def play(
    share: Share, modality: Modality, journal: Journal, *, stop: threading.Event, progress: Progress = silent
) -> list[Tally]:
    """Send every picture once; `stop` is set as soon as all are there. One that fails comes again behind the others."""
    count = len(share.with_finding)
    left = deque(islice(load.order(count, seed=share.plan.seed), count))
    modality.unsent = set(left)

    def tell(answer: Answer) -> None:
        picture, told = answer.visit.picture, playing.line(answer, share.shown_on(answer.visit))
        if answer.error is not None:
            left.append(picture)
            journal.write("error", **told)
            return
        journal.write("sent", **told)
        modality.unsent.discard(picture)
        if not modality.unsent:
            stop.set()

    return hospital.run(
        share.plan,
        modality,
        choose=lambda stage: left.popleft() if left else None,
        show=lambda visit: share.shown_on(visit).read(),
        tell=tell,
        stop=stop,
        progress=progress,
    )
