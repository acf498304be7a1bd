"""How much a detector takes: pictures on a clock at one rate after the other; nothing is written but the log."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from radloop.errors import DetectorError, UsageError
from radloop.measures import latency
from radloop.measures.intervals import Floats
from radloop.options import Simulate
from radloop.pipelines.simulator.playing import Share
from radloop.predictions import Detector
from radloop.progress import Progress
from radloop.simulation import capacity, hospital, stopping
from radloop.simulation.capacity import Trial
from radloop.simulation.hospital import Answer, Plan, Tally
from radloop.simulation.journal import Journal

# One rate that was tried. requests are those that were looked at, over those of them that took longer than the bound or
# failed. per_second, late, dropped and errors are of all that were sent; latencies from the intended moment.
TRIALS: Final = pl.Schema(
    {
        "rate": pl.Float64,
        "per_second": pl.Float64,
        "seconds": pl.Float64,
        "requests": pl.Int64,
        "over": pl.Int64,
        "errors": pl.Int64,
        "late": pl.Int64,
        "dropped": pl.Int64,
        **latency.PERCENTILES,
        "verdict": pl.String,
        "by_count": pl.Boolean,
    }
)
_LOOK_SECONDS: Final = 0.1
_ALONE: Final = 11  # requests, one after the other, for the first rate; the first warms up


@dataclass(frozen=True)
class Measured:
    """What a detector was found to take."""

    p99_ms: float  # the bound
    rate: float | None  # requests a second: the largest that kept the bound
    missed: float | None  # the smallest that did not
    late: float | None  # the smallest that this machine could not send at its moments: nothing is known of the detector
    is_found: bool  # the two are close to each other
    is_valid: bool  # the rate is found, and no rate was given up because the load could not be sent
    alone_ms: float  # a request without others, the median
    trials: pl.DataFrame  # TRIALS
    errors: dict[str, int]  # by kind, of all rates


def notes(options: Simulate) -> tuple[str, ...]:
    """How long a search may take."""
    if not options.find_capacity:
        return ()
    return (
        f"the largest rate is looked for, for {options.max_minutes:g} minutes at most; a rate near it takes "
        f"{capacity.ENOUGH:,} requests",
    )


def require(options: Simulate) -> None:
    """Refuse what a search for the capacity cannot be told. Raises UsageError."""
    if not options.find_capacity:
        if options.p99_ms is not None:
            raise UsageError("--p99-ms is the bound of --find-capacity: give both, or neither.")
        return
    if options.p99_ms is None:
        raise UsageError("--find-capacity needs a bound: --p99-ms 500 asks for 99 % of requests within half a second.")
    if options.p99_ms >= options.request_timeout * 1000:
        raise UsageError(
            f"--p99-ms {options.p99_ms:g}: a request is given up after {options.request_timeout:g} s. Give a longer "
            "--request-timeout."
        )
    others = {"--drift": options.drift, "--pacs": options.pacs, "--engine ray": options.engine != "local"}
    for name, given in others.items():
        if given:
            raise UsageError(f"--find-capacity asks a detector from this machine, always alike: leave {name} out.")


def find(
    options: Simulate, share: Share, detector: Detector, journal: Journal, *, stop: threading.Event, progress: Progress
) -> Measured:
    """Look for the largest rate that keeps the bound, for `options.max_minutes` at most.

    Raises DetectorError where the detector fails when it is asked alone, and where nothing can be said.
    """
    bound_ms = options.p99_ms or 0.0
    clock = _Clock(
        share, detector, journal, bound_ms=bound_ms, seconds=60 * options.max_minutes, stop=stop, progress=progress
    )
    with stopping.by_signals(stop):
        clock.say()
        alone_ms = _alone(share, detector)
        found = capacity.search(clock, bound_ms=bound_ms, start=500 / alone_ms, goes_on=clock.goes_on)
        clock.say(ended=True)
    kept, missed = found.kept, found.missed
    errors: Counter[str] = sum((stream.errors for stream in clock.streams), Counter())
    if kept is None:
        failed = sum(len(stream.latencies) for stream in clock.streams) == errors.total() > 0
        if failed:
            raise DetectorError(
                f"every request failed: {', '.join(f'{n}× {kind}' for kind, n in errors.most_common())}."
            )
        if missed is None:
            raise DetectorError(f"nothing can be said of the largest rate: {_nothing(found, options, stop)}")
    rows = [_row(trial, stream) for trial, stream in zip(found.trials, clock.streams, strict=True)]
    rate, below, late = (trial.rate if trial else None for trial in (kept, missed, found.late))
    journal.write("end", rate=rate, missed=below, late=late, p99_ms=bound_ms, stopped=stop.is_set())
    return Measured(
        p99_ms=bound_ms,
        rate=rate,
        missed=below,
        late=late,
        is_found=found.is_found,
        is_valid=found.is_found and late is None,
        alone_ms=alone_ms,
        trials=pl.DataFrame(rows, schema=TRIALS),
        errors=dict(errors.most_common()),
    )


def _nothing(found: capacity.Capacity, options: Simulate, stop: threading.Event) -> str:
    """Why no rate is known to keep or to miss the bound, and the way out."""
    if found.late is not None:
        return (
            f"over {capacity.LATE_SHARE:.0%} of {found.late.rate:.3g} requests a second were sent late. Use a machine "
            "that has nothing else to do, or a longer --p99-ms."
        )
    came = f"the {sum(trial.queries for trial in found.trials):,} requests that came"
    if stop.is_set():
        return f"it was stopped by a signal, too early for {came}. Let it run, or set --max-minutes."
    return f"{options.max_minutes:g} minutes were too short for {came}. Raise --max-minutes."


def _alone(share: Share, detector: Detector) -> float:
    """The median of what requests take one after the other, in ms."""
    taken = []
    for number in range(_ALONE):
        picture = share.shown[0][number % len(share.shown[0])].read()
        begin = time.monotonic()
        detector.predict(picture)
        taken.append((time.monotonic() - begin) * 1000)
    return max(float(np.median(taken[1:])), 0.1)


@dataclass
class _Stream:
    """What became of one stream of arrivals. The hospital tells it, in any thread."""

    queries: int
    most_late_seconds: float
    places: float  # open requests from which on a late one is the detector's doing
    next_picture: Callable[[int], int]
    arrived: list[float] = field(default_factory=list)
    free: list[bool] = field(default_factory=list)  # whether there was a place
    latencies: dict[int, float] = field(default_factory=dict)  # ms by number; inf: failed
    errors: Counter[str] = field(default_factory=Counter)
    late: int = 0
    dropped: int = 0
    answered: int = 0
    seconds: float = 0.0
    looked_at: int = 0

    def choose(self, stage: int) -> int | None:
        """The next picture, and when it arrived."""
        if len(self.arrived) >= self.queries:
            return None
        self.free.append(len(self.arrived) - len(self.latencies) < self.places)
        self.arrived.append(time.monotonic())
        return self.next_picture(stage)

    def tell(self, answer: Answer) -> None:
        """Take an answer or an error."""
        number = answer.visit.number
        late = answer.started - answer.intended > self.most_late_seconds and self.free[number - 1]
        self.late += late
        if answer.error is not None:
            self.errors[answer.error.kind] += 1
        self.latencies[number] = math.inf if answer.error else answer.latency_ms

    def known(self, bound_seconds: float) -> Floats:
        """Latencies by order of arrival, as far as it is known of all whether they keep the bound."""
        known: list[float] = []
        now = time.monotonic()
        for number in range(self.looked_at + 1, len(self.arrived) + 1):
            value = self.latencies.get(number)
            if value is None and now - self.arrived[number - 1] <= bound_seconds:
                break
            known.append(math.inf if value is None else value)
        self.looked_at += len(known)
        return np.array(known)

    def end(self, tally: Tally, begin: float, ended: float, patience_seconds: float) -> None:
        """Count what was given up before the stream ended."""
        self.seconds, self.answered = ended - begin, tally.answered
        unanswered = (self.arrived[n - 1] for n in range(1, len(self.arrived) + 1) if n not in self.latencies)
        self.dropped = sum(ended - arrived > patience_seconds for arrived in unanswered)


class _Asked:
    """A detector that is asked at many rates: the end of one rate is not the end of it."""

    def __init__(self, detector: Detector, stop: threading.Event) -> None:
        self.name, self.version, self.predict = detector.name, detector.version, detector.predict
        self._detector, self._stop = detector, stop

    def give_up(self) -> None:
        """Let go of what is asked, where the whole search was stopped."""
        if self._stop.is_set():
            getattr(self._detector, "give_up", lambda: None)()


class _Clock:
    """Sends the pictures of a share to a detector at any rate: the `Load` of a real search."""

    def __init__(
        self,
        share: Share,
        detector: Detector,
        journal: Journal,
        *,
        bound_ms: float,
        seconds: float,
        stop: threading.Event,
        progress: Progress,
    ) -> None:
        self._share, self._detector, self._journal = share, _Asked(detector, stop), journal
        self._bound_seconds, self._seconds, self._stop, self._progress = bound_ms / 1000, seconds, stop, progress
        self._until = time.monotonic() + seconds
        self.streams: list[_Stream] = []

    def goes_on(self) -> bool:
        """Whether there is time, and nobody has stopped it."""
        return not self._stop.is_set() and time.monotonic() < self._until

    def say(self, *, ended: bool = False) -> None:
        """Tell how much of the time is over; it may end before."""
        left, total = max(self._until - time.monotonic(), 0), math.ceil(self._seconds)
        self._progress("largest rate, at most", total if ended else min(int(total - left), total - 1), total, "seconds")

    @property
    def late_share(self) -> float:
        newest = self.streams[-1]
        return newest.late / max(len(newest.latencies), 1)

    def send(self, rate: float, queries: int) -> Generator[Floats]:
        plan = self._share.plan
        # more open requests than keep the bound: whoever is late then waits for the detector
        own = rate * self._bound_seconds > hospital.MOST_AT_ONCE
        stream = _Stream(
            queries,
            max(hospital.LATE_SECONDS, self._bound_seconds * capacity.LATE_OF_BOUND),
            math.inf if own else hospital.MOST_AT_ONCE,
            hospital.choices(self._share.with_finding, seed=plan.seed),
        )
        self.streams.append(stream)
        begin, ended = time.monotonic(), threading.Event()
        told = Plan(
            (1,),
            max(self._until - begin, _LOOK_SECONDS),
            rate,
            patience_seconds=plan.patience_seconds,
            seed=plan.seed + len(self.streams),  # fresh arrivals
        )
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(self._play, told, stream, ended)
            try:
                yield from self._follow(playing, stream)
            finally:
                over = time.monotonic()
                ended.set()
                stream.end(playing.result()[0], begin, over, plan.patience_seconds)
                self._journal.write("trial", rate=rate, requests=stream.looked_at, errors=dict(stream.errors))

    def _follow(self, playing: Future[list[Tally]], stream: _Stream) -> Generator[Floats]:
        while stream.looked_at < stream.queries:
            over = wait([playing], _LOOK_SECONDS).done or not self.goes_on()
            yield stream.known(self._bound_seconds)
            self.say()
            if over:
                return

    def _play(self, plan: Plan, stream: _Stream, ended: threading.Event) -> list[Tally]:
        return hospital.run(
            plan,
            self._detector,
            choose=stream.choose,
            show=lambda visit: self._share.shown_on(visit).read(),
            tell=stream.tell,
            stop=ended,
        )


def _row(trial: Trial, stream: _Stream) -> dict[str, Any]:
    return {
        "rate": trial.rate,
        "per_second": round(stream.answered / stream.seconds, 3) if stream.seconds else 0.0,
        "seconds": round(stream.seconds, 3),
        "requests": trial.queries,
        "over": trial.over,
        "errors": stream.errors.total(),
        "late": stream.late,
        "dropped": stream.dropped,
        **latency.percentiles(trial.latencies_ms),
        "verdict": trial.verdict,
        "by_count": trial.by_count,
    }
