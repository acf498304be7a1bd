"""One run of the simulator, played in this process or dealt out to the nodes of a cluster.

Each node plays some of the workers with some of the pictures, on the one clock of the run: a share whose node is
lost is played again elsewhere from where the clock is by then. Feedback goes to the one folder of the run. Each
attempt has a log of its own beside the run's, for a shared file system appends from one machine only; in the end the
run's log takes them over, and what an attempt that was lost had done is counted from its lines.
"""

import json
import math
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from radloop import engines
from radloop.engines import Engine
from radloop.feedback import answers, records
from radloop.feedback.records import Feedback, Model, PictureMeasures, Simulated
from radloop.predictions import Detector, Picture
from radloop.progress import Progress, silent
from radloop.simulation import drifting, hospital, metadata
from radloop.simulation.drifting import Drift
from radloop.simulation.hospital import Answer, Plan, Tally, Visit
from radloop.simulation.journal import Journal, new_run_id
from radloop.taxonomy import Taxonomy
from radloop.words import Seen

_RUNNING: Final = "running"  # the file that says that nobody has stopped the run
_LOOK_SECONDS: Final = 0.5  # how often it is looked for
_LEAD_SECONDS: Final = 5.0  # from dealing out to the first picture: what nodes need to start Python
_ROOM_BYTES: Final = 256 << 20  # of pictures that a process keeps in memory
_CPUS: Final = 0.5  # of a share: so that the shares of a lost node find room on the others at once


class Making(Protocol):
    """Makes the detector in the process that asks it. Raises what `detectors.create` raises."""

    def __call__(self, *, stop: threading.Event) -> Detector: ...


class Shown(NamedTuple):
    """One picture as it arrives."""

    image_id: str
    split: Seen | None
    path: Path
    md5: str
    phash: str
    measures: PictureMeasures
    recipe: str | None = None  # that it was made by

    def read(self) -> Picture:
        """The picture, as a detector takes it."""
        return Picture(self.image_id, self.path.read_bytes())


class _Kept:
    """The pictures that came first stay in memory, as many as have room; reading one costs more than the rest."""

    def __init__(self, room: int = _ROOM_BYTES) -> None:
        self._lock, self._room = threading.Lock(), room
        self._by_md5: dict[str, bytes] = {}

    def show(self, shown: Shown) -> Picture:
        """The picture, as a detector takes it."""
        data = self._by_md5.get(shown.md5)
        if data is not None:
            return Picture(shown.image_id, data)
        picture = shown.read()
        with self._lock:
            if shown.md5 not in self._by_md5 and len(picture.data) <= self._room:
                self._room -= len(picture.data)
                self._by_md5[shown.md5] = picture.data
        return picture


@dataclass(frozen=True)
class Run:
    """What all feedback of one run shares."""

    id: str
    model: Model
    classes: Taxonomy
    feedback: Path
    log: Path
    seed: int
    durable: bool

    @classmethod
    def new(cls, detector: Detector, **fields: Any) -> "Run":
        """A run with an id of its own."""
        return cls(id=new_run_id(), model=Model(name=detector.name, version=detector.version), **fields)


@dataclass(frozen=True)
class Share:
    """What one process plays: some of the load and some of the pictures, or all."""

    run: Run
    plan: Plan
    make: Making
    shown: Sequence[Sequence[Shown]]  # by stage
    with_finding: Sequence[bool]  # by picture
    drifts: Sequence[Drift]

    def shown_on(self, visit: Visit) -> Shown:
        """The picture of a visit, as its stage shows it."""
        return self.shown[visit.stage - 1][visit.picture]


def play(
    share: Share,
    detector: Detector,
    journal: Journal,
    *,
    stop: threading.Event,
    attempt: str = "",
    progress: Progress = silent,
) -> list[Tally]:
    """Play a share in this process. `attempt` is a name, where the share may be played more than once."""
    clerk, kept = _Clerk(share.run, journal, attempt), _Kept()
    return hospital.run(
        share.plan,
        detector,
        choose=hospital.choices(
            share.with_finding, seed=share.plan.seed, share=partial(drifting.share_with_finding, share.drifts)
        ),
        show=lambda visit: kept.show(share.shown_on(visit)),
        tell=lambda answer: clerk.tell(answer, share.shown_on(answer.visit)),
        stop=stop,
        progress=progress,
    )


def spread(
    whole: Share, journal: Journal, engine: Engine, *, stop: threading.Event, progress: Progress = silent
) -> list[Tally]:
    """Play `whole` on the machines of `engine`, and write to `journal` what they logged.

    Raises EngineError before anything is sent where a node does not see the pictures or the folders of the run.
    """
    run = replace(whole.run, feedback=whole.run.feedback.absolute(), log=whole.run.log.absolute())
    parts = _parts(run)
    parts.mkdir(parents=True)
    ended: dict[str, list[Tally]] = {}
    lost: list[list[Tally]] = []
    try:
        engine.require(engines.same_files([whole.shown[0][0].path, whole.shown[-1][-1].path]))
        for folder in (run.feedback, parts):
            with engines.shared_folder(folder) as check:
                engine.require(check)
        with ThreadPoolExecutor(1) as pool, _running(parts) as end:
            begin = datetime.now(UTC) + timedelta(seconds=_LEAD_SECONDS)
            shares = deal(replace(whole, run=run), engine.places)
            playing = pool.submit(lambda: dict(engine.map(partial(play_apart, begin), shares, cpus=_CPUS)))
            _watch(playing, whole.plan, begin, stop=stop, end=end, progress=progress)
            ended = playing.result()
    finally:
        for log in sorted(parts.glob("*.log")):
            if log.stem not in ended:
                lost.append(_recount(log, len(whole.plan.loads)))
            journal.adopt(log)
        shutil.rmtree(parts)
    return hospital.together([*ended.values(), *lost], whole.plan)


def deal(whole: Share, count: int) -> list[Share]:
    """At most `count` shares: workers and pictures in turn; arrivals on a clock keep their rate in sum."""
    plan, pictures = whole.plan, len(whole.with_finding)
    count = max(min(count, pictures, *([max(plan.loads)] if plan.per_second is None else [])), 1)

    def share(number: int) -> Share:
        if plan.per_second is None:
            dealt = replace(plan, loads=[len(range(number, loaded, count)) for loaded in plan.loads])
        else:
            dealt = replace(plan, per_second=plan.per_second / count)
        return replace(
            whole,
            plan=replace(dealt, seed=plan.seed + number),
            shown=[stage[number::count] for stage in whole.shown],
            with_finding=whole.with_finding[number::count],
        )

    return [share(number) for number in range(count)]


def play_apart(begin: datetime, share: Share) -> tuple[str, list[Tally]]:
    """Play a share on this machine as one of many, on the clock of the run: the attempt's name and what came of it."""
    attempt, parts = secrets.token_hex(4), _parts(share.run)
    if not _is_there(parts / _RUNNING):
        return attempt, []
    with Journal(parts / f"{attempt}.log", share.run.id) as journal, _stopped_without(parts / _RUNNING) as stop:
        detector = hospital.when_ready(partial(share.make, stop=stop), seconds=share.plan.stage_seconds)
        stop.wait(max(-_elapsed(begin), 0.0))
        share = replace(share, plan=replace(share.plan, elapsed_seconds=max(_elapsed(begin), 0.0)))
        return attempt, play(share, detector, journal, stop=stop, attempt=attempt)


def line(answer: Answer, shown: Shown) -> dict[str, Any]:
    """What the log says of what came of a visit."""
    visit, error = answer.visit, answer.error
    told = {
        "number": visit.number,
        "stage": visit.stage,
        "image_id": shown.image_id,
        "latency_ms": round(answer.latency_ms, 3),
        "tries": answer.tries,
    }
    return told if error is None else told | {"kind": error.kind, "message": str(error)}


class _Clerk:
    """Writes the feedback of one process."""

    def __init__(self, run: Run, journal: Journal, attempt: str) -> None:
        self._run, self._journal, self._attempt = run, journal, attempt
        self._writer = records.Writer(run.feedback, durable=run.durable)
        self._simulated: dict[str, Simulated] = {}  # by image
        self._epoch = datetime.now(UTC) - timedelta(seconds=time.monotonic())

    def tell(self, answer: Answer, shown: Shown) -> None:
        """Write the feedback, then the line that says so: what the log reports is there."""
        told = line(answer, shown)
        if answer.error is not None:
            self._journal.write("error", **told)
            return
        feedback = self._as_feedback(answer, shown)
        name = self._writer.write(feedback)
        self._journal.write("request", **told, class_id=feedback.class_id, confidence=feedback.confidence, file=name)

    def _as_feedback(self, answer: Answer, shown: Shown) -> Feedback:
        """The rich form, whose id follows from its content: run, image and time are part of that."""
        if answer.predictions is None:
            raise ValueError("an answer without predictions gives no feedback")
        told = answers.feedback(
            shown.image_id,
            answer.predictions,
            self._run.classes,
            self._run.model,
            timestamp=self._time(answer.ended),
            split=shown.split,
            image_md5=shown.md5,
            image_phash=shown.phash,
            picture=shown.measures,
            latency_ms=answer.latency_ms,
            stage=answer.visit.stage,
            arrived_at=self._time(answer.intended),
            run_id=self._run.id,
            recipe=shown.recipe,
            simulated=self._metadata(shown.image_id),
        )
        return records.signed(told)

    def _metadata(self, image_id: str) -> Simulated:
        if (simulated := self._simulated.get(image_id)) is None:
            site, view, device = metadata.of(image_id, seed=self._run.seed)
            simulated = self._simulated[image_id] = Simulated(site=site, view=view, device=device)
        return simulated

    def _time(self, moment: float) -> str:
        return (self._epoch + timedelta(seconds=moment)).isoformat()


def _parts(run: Run) -> Path:
    """The folder of the attempts' logs, while the run lasts."""
    return run.log.with_name(f"{run.log.name}.{run.id}")


def _elapsed(begin: datetime) -> float:
    return (datetime.now(UTC) - begin).total_seconds()


@contextmanager
def _running(parts: Path) -> Iterator[Callable[[], None]]:
    """Let the run last until what this yields is called, or to the end of the context."""
    running = parts / _RUNNING
    running.touch()
    try:
        yield partial(running.unlink, missing_ok=True)
    finally:
        running.unlink(missing_ok=True)


@contextmanager
def _stopped_without(running: Path) -> Iterator[threading.Event]:
    """An event that is set once `running` is gone."""
    stop, over = threading.Event(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            if not _is_there(running):
                stop.set()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield stop
    finally:
        over.set()
        looking.join()


def _is_there(file: Path) -> bool:
    """By opening it: NFS asks its server then, and only then."""
    try:
        file.open("rb").close()
    except FileNotFoundError:
        return False
    return True


def _watch(
    playing: Future[Any],
    plan: Plan,
    begin: datetime,
    *,
    stop: threading.Event,
    end: Callable[[], None],
    progress: Progress,
) -> None:
    """Tell how far the run is, and call `end` once `stop` is set, until all have ended."""
    total = math.ceil(plan.stage_seconds * len(plan.loads))
    while not wait([playing], _LOOK_SECONDS).done:
        if stop.is_set():
            end()
        progress("all stages", min(max(int(_elapsed(begin)), 0), total - 1), total, "seconds")
    progress("all stages", total, total, "seconds")


def _recount(log: Path, stages: int) -> list[Tally]:
    """What an attempt that was lost had done, from the whole lines of its log."""
    tallies = [Tally(stage, 0) for stage in range(1, stages + 1)]
    for text in log.read_bytes().splitlines(keepends=True):
        line = json.loads(text) if text.endswith(b"\n") else {}
        if line.get("event") not in ("request", "error"):
            continue
        tally = tallies[line["stage"] - 1]
        tally.latencies_ms.append(line["latency_ms"])
        tally.retries += line["tries"] - 1
        if line["event"] == "request":
            tally.answered += 1
        else:
            tally.errors[line["kind"]] += 1
    return tallies
