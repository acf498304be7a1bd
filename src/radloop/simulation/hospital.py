"""The run: pictures arrive stage by stage, the detector answers or fails, and what came of each is told at once.

With workers, each takes the next picture when it has its answer: a slow detector slows the arrivals down. With a
rate, pictures arrive on a clock whatever the detector does, and latency counts from the intended moment; so a stall
shows in the latency of all that had to wait (coordinated omission; Tene, "How NOT to Measure Latency").
"""

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from radloop.errors import DetectorError, MisreadDetectorError, TransientDetectorError
from radloop.predictions import Detector, Picture, Predictions
from radloop.progress import Progress, silent
from radloop.simulation import load

TRIES: Final = 3
BACKOFF_SECONDS: Final = 0.1  # doubled with each try, give or take half of it
MOST_AT_ONCE: Final = 256  # open requests where arrivals come on a clock
LATE_SECONDS: Final = 0.01  # an arrival that is sent later than this after its moment counts as late
_LOOK_SECONDS: Final = 0.1  # how often progress is told
_GRACE_SECONDS: Final = 5.0  # that requests in flight have when a run is stopped; then a detector is told to give up
_TURN_SECONDS: Final = 0.05  # how long a thread waits for its turn to tell before it tells beside the others
_LOOK_AGAIN_SECONDS: Final = 1.0  # how often a detector that is not there yet is looked for, at the latest


class Visit(NamedTuple):
    """One picture that arrives: its number in the run, in which stage (from 1), which picture."""

    number: int
    stage: int
    picture: int


class Answer(NamedTuple):
    """What came of a visit: predictions or an error. Times are of the clock of the run, in seconds."""

    visit: Visit
    predictions: Predictions | None
    error: DetectorError | None
    intended: float  # when it should have been sent
    started: float
    ended: float
    tries: int

    @property
    def latency_ms(self) -> float:
        """From the intended moment to the answer, all tries and all waiting included."""
        return (self.ended - self.intended) * 1000


@dataclass
class Tally:
    """What came of a stage, or of all."""

    stage: int
    load: int
    seconds: float = 0.0
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    late: int = 0  # sent, but not at its moment
    dropped: int = 0  # never sent: nothing was free for as long as a request may take
    latencies_ms: list[float] = field(default_factory=list)  # of answers and errors

    @property
    def requests(self) -> int:
        """All that were sent and ended."""
        return self.answered + self.errors.total()

    def add(self, answer: Answer) -> None:
        """Count one visit that ended."""
        self.latencies_ms.append(answer.latency_ms)
        self.retries += answer.tries - 1
        self.late += answer.started - answer.intended > LATE_SECONDS
        if answer.error is None:
            self.answered += 1
        else:
            self.errors[answer.error.kind] += 1


@dataclass(frozen=True)
class Plan:
    """What a run is told. `per_second`: arrivals a second for a load of 1; None: the load is a number of workers."""

    loads: Sequence[int]
    stage_seconds: float
    per_second: float | None = None
    patience_seconds: float = 5.0  # how long an arrival waits for a free place before it is dropped
    seed: int = 0
    elapsed_seconds: float = 0.0  # how long the run is going on already, where another machine has begun it


class _Run:
    def __init__(
        self,
        plan: Plan,
        detector: Detector,
        *,
        choose: Callable[[int], int | None],
        show: Callable[[Visit], Picture],
        tell: Callable[[Answer], None],
        stop: threading.Event,
        progress: Progress,
    ) -> None:
        self._plan, self._detector = plan, detector
        self._choose, self._show, self._tell = choose, show, tell
        self._stop, self._progress = stop, progress
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._number = 0
        self._begin = time.monotonic() - plan.elapsed_seconds
        self._failure: BaseException | None = None
        self.tallies = [Tally(number, loaded) for number, loaded in enumerate(plan.loads, 1)]

    def run(self) -> list[Tally]:
        """All stages, then the requests in flight."""
        on_clock = self._plan.per_second is not None
        places = MOST_AT_ONCE if on_clock else max(self._plan.loads)
        with ExitStack() as after, ThreadPoolExecutor(places, thread_name_prefix="hospital") as pool:
            try:
                for worker in range(0 if on_clock else places):
                    pool.submit(self._guarded, self._work, worker)
                for tally in self.tallies:
                    if on_clock:
                        self._arrive(tally, pool)
                    self._wait_until(self._end(tally.stage), tally)
                    tally.seconds = self._seconds(tally)
                    self._say(tally, ended=not self._stop.is_set())
            except BaseException:
                self._stop.set()
                raise
            finally:
                if self._stop.is_set():
                    after.callback(self._end_soon().cancel)
        if self._failure is not None:
            raise self._failure
        return self.tallies

    def _end_soon(self) -> threading.Timer:
        """Who stops a run is not kept for as long as a request may take."""
        timer = threading.Timer(_GRACE_SECONDS, getattr(self._detector, "give_up", lambda: None))
        timer.daemon = True
        timer.start()
        return timer

    def _seconds(self, tally: Tally) -> float:
        """How long a stage has been going on, or went on."""
        since = time.monotonic() - self._end(tally.stage - 1)
        return min(max(since, 0.0), self._plan.stage_seconds)

    def _end(self, stage: int) -> float:
        return self._begin + stage * self._plan.stage_seconds

    def _work(self, worker: int) -> None:
        """One worker through all stages: it works in those whose load is above its number."""
        for tally in self.tallies:
            end = self._end(tally.stage)
            if worker >= tally.load:
                self._stop.wait(max(end - time.monotonic(), 0.0))
            while time.monotonic() < end and not self._stop.is_set():
                visit = self._visit(tally.stage)
                if visit is None:
                    return
                answer = self._serve(visit)
                if answer.error is not None:  # do not storm a detector that fails at once
                    left = max(end - time.monotonic(), 0.0)
                    self._stop.wait(min(self._backoff(answer.visit, answer.tries), left))

    def _arrive(self, tally: Tally, pool: ThreadPoolExecutor) -> None:
        """Every arrival of one stage, at its moment."""
        rng = np.random.default_rng((self._plan.seed, tally.stage))
        begin = self._end(tally.stage - 1)
        for moment in load.arrivals(tally.load * (self._plan.per_second or 0), self._plan.stage_seconds, rng=rng):
            if begin + moment < self._end(0) + self._plan.elapsed_seconds:
                continue  # it came to the machine that was lost
            self._wait_until(begin + moment, tally)
            if self._stop.is_set():
                return
            if (visit := self._visit(tally.stage)) is not None:
                pool.submit(self._guarded, self._admit, visit, begin + moment)

    def _admit(self, visit: Visit, intended: float) -> None:
        """Serve an arrival, unless it has waited too long for a place."""
        if self._stop.is_set() or time.monotonic() - intended > self._plan.patience_seconds:
            with self._lock:
                self.tallies[visit.stage - 1].dropped += 1
            return
        self._serve(visit, intended)

    def _visit(self, stage: int) -> Visit | None:
        with self._lock:
            picture = self._choose(stage)
            if picture is None:
                return None
            self._number += 1
            return Visit(self._number, stage, picture)

    def _serve(self, visit: Visit, intended: float | None = None) -> Answer:
        """Show the picture until there is an answer, or an error that another try would not mend.

        Without a moment on the clock it was intended when it was sent.
        """
        picture = self._show(visit)
        started = time.monotonic()
        predictions: Predictions | None = None
        error: DetectorError | None = None
        tries = 0
        while predictions is None:
            tries += 1
            try:
                predictions, error = self._detector.predict(picture), None
            except TransientDetectorError as passing:
                error = passing
                if tries == TRIES or not self._pause(visit, tries, self._end(visit.stage)):
                    break
            except MisreadDetectorError:
                raise  # no feedback is better than wrong feedback
            except DetectorError as final:
                error = final
                break
        moment = started if intended is None else intended
        answer = Answer(visit, predictions, error, moment, started, time.monotonic(), tries)
        self._told(answer)
        return answer

    def _told(self, answer: Answer) -> None:
        """Tell what came of a visit, and count it: one thread after the other, unless that takes long.

        Threads that all work at once wait for the interpreter at each call of the system, which costs more than the
        work. A disk that is slow is better asked by many: nobody waits longer than _TURN_SECONDS.
        """
        mine = self._turn.acquire(timeout=_TURN_SECONDS)
        try:
            self._tell(answer)
            with self._lock:
                self.tallies[answer.visit.stage - 1].add(answer)
        finally:
            if mine:
                self._turn.release()

    def _pause(self, visit: Visit, tries: int, end: float) -> bool:
        """Wait before the next try; False where the stage ends, or the run is stopped, before that."""
        seconds = self._backoff(visit, tries)
        return time.monotonic() + seconds < end and not self._stop.wait(seconds)

    def _backoff(self, visit: Visit, tries: int) -> float:
        """Seconds to wait after so many tries in vain."""
        jitter = random.Random(f"{self._plan.seed} {visit.number} {tries}").uniform(0.5, 1.5)
        return BACKOFF_SECONDS * 2.0 ** (tries - 1) * jitter

    def _wait_until(self, moment: float, tally: Tally) -> None:
        while not self._stop.is_set() and (left := moment - time.monotonic()) > 0:
            if self._stop.wait(min(left, _LOOK_SECONDS)):
                break
            self._say(tally)

    def _say(self, tally: Tally, *, ended: bool = False) -> None:
        what = f"stage {tally.stage} of {len(self.tallies)}, load {tally.load}"
        total = math.ceil(self._plan.stage_seconds)
        self._progress(what, total if ended else min(int(self._seconds(tally)), total - 1), total, "seconds")

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        """What no detector's error explains ends the run, and is raised there."""
        try:
            work(*arguments)
        except BaseException as failure:  # noqa: BLE001  raised again by `run`
            self._failure = self._failure or failure
            self._stop.set()


def run(
    plan: Plan,
    detector: Detector,
    *,
    choose: Callable[[int], int | None],
    show: Callable[[Visit], Picture],
    tell: Callable[[Answer], None],
    stop: threading.Event,
    progress: Progress = silent,
) -> list[Tally]:
    """Play all stages and return what came of each.

    `choose(stage)` says which picture comes next (never called twice at a time), `show(visit)` brings it, and
    `tell(answer)` is called in the thread of each answer, before it is counted. Where `choose` has none a worker ends,
    and an arrival is none. Once `stop` is set nothing is sent any more; what is in flight ends as usual. What `show`,
    `tell` or the detector raise beside DetectorError stops the run and is raised, and so is MisreadDetectorError.
    """
    return _Run(plan, detector, choose=choose, show=show, tell=tell, stop=stop, progress=progress).run()


def when_ready(make: Callable[[], Detector], *, seconds: float, progress: Progress = silent) -> Detector:
    """The detector that `make` makes, as soon as it can: servers that start together are not ready together.

    Raises the last TransientDetectorError once `seconds` are over, any other error at once.
    """
    begin, pause = time.monotonic(), BACKOFF_SECONDS
    while True:
        try:
            return make()
        except TransientDetectorError:
            waited = time.monotonic() - begin
            if waited + pause > seconds:
                raise
        progress("wait for the detector", int(waited), math.ceil(seconds), "seconds")
        time.sleep(pause)
        pause = min(2 * pause, _LOOK_AGAIN_SECONDS)


def total(tallies: Sequence[Tally]) -> Tally:
    """All stages in one."""
    whole = Tally(0, 0)
    for tally in tallies:
        whole.seconds += tally.seconds
        whole.answered += tally.answered
        whole.errors += tally.errors
        whole.retries += tally.retries
        whole.late += tally.late
        whole.dropped += tally.dropped
        whole.latencies_ms += tally.latencies_ms
    return whole


def together(shares: Sequence[Sequence[Tally]], plan: Plan) -> list[Tally]:
    """What came of each stage, of all who played a share of `plan` at the same time."""
    stages = []
    for number, loaded in enumerate(plan.loads):
        same = [share[number] for share in shares if share]
        stages.append(
            replace(total(same), stage=number + 1, load=loaded, seconds=max((one.seconds for one in same), default=0.0))
        )
    return stages


def choices(
    with_finding: Sequence[bool], *, seed: int, share: Callable[[int], float | None] = lambda stage: None
) -> Callable[[int], int]:
    """A `choose` for `run`: every picture once before any twice, in seeded order.

    Where `share(stage)` says so, that share of pictures has a finding; then the promise holds within either kind.
    A kind that no picture is of is made up for by the other.
    """
    everything = load.order(len(with_finding), seed=seed)
    kinds = [[picture for picture, found in enumerate(with_finding) if found == kind] for kind in (False, True)]
    orders: list[Iterator[int]] = [load.order(len(kind), seed=seed) for kind in kinds]
    coin = np.random.default_rng(seed)

    def choose(stage: int) -> int:
        wanted = share(stage)
        if wanted is None or not all(kinds):
            return next(everything)
        kind = coin.random() < wanted
        return kinds[kind][next(orders[kind])]

    return choose
