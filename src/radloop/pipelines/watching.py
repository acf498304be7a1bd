"""A PACS watched: new studies -> pictures -> detector -> feedback, and a report back into each study.

Threads look at studies (`studies.observing`) while the main one writes what was found in the ones before
(`studies.delivering`).
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from radloop import detectors, files, storage
from radloop.catalog.classes import wishes
from radloop.detectors import names, recipes
from radloop.dicom import quarantine, radiograph
from radloop.dicom.pseudonyms import FOLDER, Pseudonyms
from radloop.errors import UsageError
from radloop.feedback import records
from radloop.options import Watch
from radloop.pacs import Pacs, ledger
from radloop.pacs import Study as Listed
from radloop.pacs.client import Client
from radloop.pacs.ledger import Ledger
from radloop.pipelines import promoting
from radloop.pipelines.arrivals.registering import Register
from radloop.pipelines.studies import observing
from radloop.pipelines.studies.delivering import Delivery, Tally
from radloop.pipelines.studies.observing import Observer, Patience, Stopped, Study
from radloop.pipelines.studies.picturing import Maker
from radloop.predictions import Detector
from radloop.progress import Progress, silent
from radloop.recipe import Recipe
from radloop.simulation import stopping
from radloop.simulation.journal import Journal, new_run_id
from radloop.taxonomy import Taxonomy

_OWN: Final = "watch"  # its folder in OUT/private
_BATCH: Final = 8  # studies whose results are written at once
_AHEAD: Final = 8  # studies beyond a batch that are looked at while it is written


@dataclass(frozen=True)
class Watched:
    """What a run did."""

    run_id: str
    address: str
    detector: str
    feedback: Path
    log: Path
    studies: int  # with an image
    images: int  # that were new
    splits: Mapping[str, int]  # of the images that were answered: incoming, audit or a held-out split
    written: int  # feedback
    reports: int  # stored
    reviews: int  # of people's reports
    waits: int  # times that something was gone
    refused: Mapping[str, int]  # objects, by code
    held: int  # pictures that wait for a person
    quarantine: Path  # where
    stopped: bool  # by a signal
    notes: tuple[str, ...]
    done: bool = True  # False with --dry-run: `studies` are those that would be looked at


def watch(
    options: Watch, *, pacs: Pacs | None = None, detector: Detector | None = None, progress: Progress = silent
) -> Watched:
    """Take what is new in a PACS, again and again, until SIGTERM or Ctrl-C, or with `once` until nothing is new.

    A signal ends the run after the studies at hand. What is gone (the PACS, a server of the detector, the store,
    another run that holds OUT) is waited for. `pacs` and `detector` take the place of those that the options name.

    Raises DatasetError where OUT has no dataset, BusyError where another watcher works here, SourceError where pydicom
    is missing, and what cannot pass.
    """
    if options.detector.startswith("oracle"):
        raise UsageError("--detector oracle needs the truth about the images, and nobody knows it of new ones.")
    radiograph.library()
    if options.dry_run:
        return _preview(options, pacs or Client.of(options.pacs, options.pacs_auth))
    stop, run_id = threading.Event(), new_run_id()
    with ExitStack() as until_the_end:
        enter = until_the_end.enter_context
        store = enter(closing(storage.open_store(options.store_address, durable=options.durable)))
        store.preflight()
        options = promoting.named(options, store)
        register = Register(options.out, jobs=options.jobs, progress=progress, durable=options.durable)
        register.refresh()
        register.require_key(store)
        pseudonyms = Pseudonyms.open(options.out)
        enter(files.locked(options.out / FOLDER / _OWN))
        at_hand: list[Detector] = []
        enter(stopping.by_signals(stop, lambda: _give_up(at_hand)))
        journal = enter(Journal(options.watch_log, run_id))
        pacs = pacs or Client.of(options.pacs, options.pacs_auth)
        ledger = enter(Ledger(_ledger(options, pseudonyms, pacs)))
        tally = Tally()
        patience = Patience(stop, partial(_say, journal, progress, tally))
        try:
            made = detector or patience(partial(_detector, options, register.known.taxonomy, stop))
        except Stopped:
            return _summary(options, run_id, pacs.address, options.detector, tally, stopped=True)
        at_hand.append(made)
        recipe = _recipe(options, register.known.recipe)
        observer = Observer(
            pacs=pacs,
            detector=made,
            classes=register.known.taxonomy,
            recipe=recipe,
            make=enter(Maker(options.out, recipe, frontal_only=options.frontal_only, jobs=options.jobs)),
            pseudonyms=pseudonyms,
            ledger=ledger,
            patience=patience,
            feedback=options.feedback_folder,
            modalities=options.modalities,
            run_id=run_id,
        )
        delivery = Delivery(options, observer, register, store, journal, tally)
        return _Rounds(options, observer, delivery, journal, stop, progress).run(tally)


class _Rounds:
    """Looks at the PACS again and again."""

    def __init__(
        self,
        options: Watch,
        observer: Observer,
        delivery: Delivery,
        journal: Journal,
        stop: threading.Event,
        progress: Progress,
    ) -> None:
        self._options: Watch = options
        self._observer, self._delivery = observer, delivery
        self._journal, self._stop, self._progress = journal, stop, progress
        self._sizes: dict[str, tuple[int | None, float]] = {}  # of studies that may still grow, and since when

    def run(self, tally: Tally) -> Watched:
        """Round after round, to the end."""
        observer, options = self._observer, self._options
        files.make_folder(observer.feedback, durable=options.durable, mode=files.OWN_FOLDER)
        records.reclaim(observer.feedback)
        address, model = observer.pacs.address, observer.model.full_name
        heard = recipes.say(observer.detector, [str(observer.recipe)], said=self._options.model_recipe)
        self._journal.write("start", pacs=address, detector=model, recipe=str(observer.recipe), notes=list(heard))
        try:
            self._delivery.publish()
            while self._round() or not options.once:
                if self._stop.wait(0 if options.once else self._options.poll_seconds):
                    break
        except Stopped:
            pass
        stopped = self._stop.is_set()
        self._journal.write("end", stopped=stopped, studies=tally.studies, images=tally.images)
        notes = (*heard, *detectors.notes(observer.detector))
        return _summary(options, observer.run_id, address, model, tally, stopped=stopped, notes=notes)

    def _round(self) -> int:
        """Deal with every study that has something new; returns how many those were."""
        self._ask_for_released()
        studies, batch, count = self._new_studies(), list[Study](), 0
        running: deque[Future[Study]] = deque()
        pool = ThreadPoolExecutor(2 * self._options.jobs + 2, thread_name_prefix="watch")
        try:
            while not self._stop.is_set():
                for listed in islice(studies, _BATCH + _AHEAD - len(running)):
                    running.append(pool.submit(observing.look, self._observer, listed.study_uid))
                if not running:
                    break
                batch.append(running.popleft().result())
                count += batch[-1].has_news
                if len(batch) == _BATCH or not running:
                    self._delivery.finish(batch)
                    self._progress("PACS", count, 0, "studies")
                    batch = []
            self._delivery.finish(batch)
        finally:
            pool.shutdown(cancel_futures=True)
        self._delivery.publish()
        return count

    def _new_studies(self) -> Iterator[Listed]:
        """Those that hold another number of objects than the ledger knows, once they have stopped growing."""
        since = _since(self._options)
        done = self._observer.ledger.counts()
        listed = self._observer.patience(lambda: list(self._observer.pacs.studies(since=since)))
        for study in {study.study_uid: study for study in listed}.values():
            if study.objects is not None and study.objects == done.get(study.study_uid):
                self._sizes.pop(study.study_uid, None)
            elif self._has_settled(study):
                yield study

    def _has_settled(self, study: Listed) -> bool:
        now = time.monotonic()
        size, since = self._sizes.get(study.study_uid, (study.objects, now))
        if size != study.objects:
            since = now
        self._sizes[study.study_uid] = (study.objects, since)
        return now - since >= (0 if self._options.once else self._options.settle_seconds)

    def _ask_for_released(self) -> None:
        """What a person has looked at in quarantine is asked for again."""
        waiting = self._options.out / FOLDER / quarantine.QUARANTINE / quarantine.WAITING
        released = [one for one in self._observer.ledger.held() if not (waiting / f"{one}.png").exists()]
        if released:
            self._observer.ledger.look_again(released)


def _preview(options: Watch, pacs: Pacs) -> Watched:
    """How many studies would be looked at; nothing is written."""
    done: dict[str, int] = {}
    path = _ledger(options, Pseudonyms.open(options.out, writing=False), pacs)
    if path.exists():
        done = ledger.counts_of(path)
    new = sum(study.objects != done.get(study.study_uid) for study in pacs.studies(since=_since(options)))
    whole = _summary(options, "", pacs.address, options.detector, Tally(studies=new), stopped=False)
    return replace(whole, done=False)


def _ledger(options: Watch, pseudonyms: Pseudonyms, pacs: Pacs) -> Path:
    return options.out / FOLDER / _OWN / f"{pseudonyms.keyed('pacs', pacs.address)}.db"


def _since(options: Watch) -> date | None:
    days = options.since_days
    return None if days is None else datetime.now(UTC).date() - timedelta(days=days)


def _detector(options: Watch, classes: Taxonomy, stop: threading.Event) -> Detector:
    return detectors.create(
        options.detector,
        classes=classes,
        seed=options.seed,
        timeout_s=options.request_timeout,
        memory_gb=options.detector_memory,
        wishes=names.wishes(options.model_classes, wishes(None, options.map).renamed),
        triton_url=options.triton_url,
        stop=stop,
    )


def _give_up(at_hand: Sequence[Detector]) -> None:
    """Who stops a run is not kept for as long as a request may take: its study is looked at again by the next."""
    for detector in at_hand:
        getattr(detector, "give_up", lambda: None)()


def _recipe(options: Watch, of_dataset: str | None) -> Recipe:
    """What the user says, else the dataset's own: the detector was trained on such pictures."""
    return options.recipe or (Recipe.parse(of_dataset) if of_dataset else Recipe())


def _say(journal: Journal, progress: Progress, tally: Tally, why: str, seconds: float) -> None:
    """Tell a wait."""
    tally.waits += 1
    journal.write("wait", seconds=seconds, message=why)
    progress(f"waiting: {why}", round(seconds), 0, "seconds")


def _summary(
    options: Watch,
    run_id: str,
    address: str,
    detector: str,
    tally: Tally,
    *,
    stopped: bool,
    notes: tuple[str, ...] = (),
) -> Watched:
    return Watched(
        run_id=run_id,
        address=address,
        detector=detector,
        feedback=options.feedback_folder,
        log=options.watch_log,
        studies=tally.studies,
        images=tally.images,
        splits=dict(tally.splits),
        written=tally.feedback,
        reports=tally.reports,
        reviews=tally.reviews,
        waits=tally.waits,
        refused=dict(tally.refused.most_common()),
        held=quarantine.waiting(options.out),
        quarantine=options.out / FOLDER / quarantine.QUARANTINE,
        stopped=stopped,
        notes=notes,
    )
