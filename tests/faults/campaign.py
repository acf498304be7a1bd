"""The campaign: every step of the loop, every call that changes a file, every fault; and what must hold then.

Each trial begins with the same folder, runs a command that a fault strikes, looks at what that left behind, runs the
command again undisturbed and compares with a run that nothing ever disturbed.
"""

import errno
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import tracer
from PIL import Image
from power import Record, State
from tracer import Fault, Run
from typer.main import get_command

import made_up
from radloop import cli, manifest, summaries  # noqa: F401  imported here, so that no run has to
from radloop.catalog import audit_lines
from radloop.detectors import chance  # noqa: F401
from radloop.errors import FeedbackError
from radloop.feedback import records, reviews
from radloop.pipelines import ingesting, offline, online, retraining, reviewing  # noqa: F401
from radloop.storage import folder, rclone  # noqa: F401
from radloop.vindr.classes import TAXONOMY

SIZES = ("--sizes", "training=1,validation=1,test=1,production=3,staging=0,canary=0")
HOSPITAL = ("--load-pattern", "1", "--arrival", "poisson:40", "--stage-seconds", "0.2", "--inference-ms", "5")
VERSION = "VERSION"  # in a command: the version before the current one
LOG = "out/logs/online_data.log"
AUDIT_LOGS = ("out/audit", "out/reviews/.audit")
HOUR_NS = 3600 * 10**9

Tree = dict[str, bytes]


@dataclass(frozen=True)
class Step:
    """One command on one state of the folder. `units` are what it replaces: always the old one or the new one."""

    name: str
    start: str
    told: tuple[str, ...]
    units: tuple[str, ...] = ()
    adds: bool = False  # a run does not repeat the last one, but adds to it
    durable: bool = False  # with --durable

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line."""
        return (*self.told, "--durable") if self.durable else self.told

    @property
    def parts(self) -> tuple[str, ...]:
        """What of the place it may touch."""
        return ("films", "out", "tmp", "remote" if self.remote else "store")

    @property
    def remote(self) -> bool:
        """Whether rclone takes part."""
        return any(argument.startswith("disk:") for argument in self.arguments)

    @property
    def loses_power(self) -> bool:
        """Whether the power is cut in it: it knows --durable, and no other machine has what it writes."""
        return self.durable and not self.remote

    @property
    def journaled(self) -> bool:
        """Whether readers are kept away by a marker while the unit changes, as there is no rename."""
        return self.remote and not self.adds


_OUT, _STORE, _REMOTE = ("--out", "out"), ("--store", "store"), ("--store", "disk:remote")
_TRANSFORM = ("transform", *_OUT, *SIZES, "--seed", "1")
_SIMULATE = ("simulate", *_OUT, *HOSPITAL, "--drift", "brightness:0.3@1")
_INGEST = ("ingest", *_OUT, "--from", "films/new")
_ROLLBACK = ("rollback", *_OUT, "--data", VERSION, *_STORE)

STEPS = (
    Step("transform, the first", "extracted", _TRANSFORM, ("out/organized",), durable=True),
    Step("transform", "old", _TRANSFORM, ("out/organized",), durable=True),
    Step("load to a folder", "new", ("load", *_OUT, *_STORE), ("store/organized",), durable=True),
    Step("load to a remote", "new", ("load", *_OUT, *_REMOTE), ("remote/organized",)),
    Step("export", "new", ("export", *_OUT, "--format", "coco"), ("out/export/coco",)),
    Step("simulate from a folder", "cold", (*_SIMULATE, *_STORE), adds=True, durable=True),
    Step("simulate from a remote", "cold", (*_SIMULATE, *_REMOTE), adds=True, durable=True),
    Step("review", "unreviewed", ("review", *_OUT, "--simulated"), durable=True),
    Step("retrain to a folder", "reviewed", ("retrain", *_OUT, *_STORE), ("store/organized/retrain",), durable=True),
    Step("retrain to a remote", "reviewed", ("retrain", *_OUT, *_REMOTE), ("remote/organized/retrain",)),
    Step("ingest to a folder", "came", (*_INGEST, *_STORE), ("store/organized/incoming",), durable=True),
    Step("ingest to a remote", "came", (*_INGEST, *_REMOTE), ("remote/organized/incoming",)),
    Step("rollback", "loaded", _ROLLBACK, ("store/organized", "out/organized"), durable=True),
    Step("prune", "loaded", ("prune", *_OUT, "--keep", "1", *_STORE), ("store/organized",), durable=True),
)


@dataclass(frozen=True)
class Kind:
    """One kind of fault: what it is called, and whether it can strike at a call."""

    name: str
    make: Callable[[int], Fault]
    strikes: Callable[[tracer.Call], bool] = lambda call: True
    remote_only: bool = False
    every: int = 1  # which calls it strikes: it hardly matters where it does


KINDS = (
    Kind("killed before it", lambda at: Fault(at, "kill")),
    Kind("killed half-way through it", lambda at: Fault(at, "half"), lambda call: call.size > 1),
    Kind("radloop killed, rclone left", lambda at: Fault(at, "kill radloop"), remote_only=True, every=3),
    Kind("rclone killed", lambda at: Fault(at, "kill rclone"), remote_only=True, every=3),
    Kind(
        "disk full",
        lambda at: Fault(at, "error", error=errno.ENOSPC, lasting=True),
        lambda call: call.name in tracer.TAKES_SPACE,
    ),
    Kind(
        "disk full half-way through it",
        lambda at: Fault(at, "full", error=errno.ENOSPC, lasting=True),
        lambda call: call.size > 1,
    ),
    Kind("I/O error", lambda at: Fault(at, "error", error=errno.EIO), lambda call: call.name in tracer.CHANGES),
    Kind(
        "read-only from then on",
        lambda at: Fault(at, "error", error=errno.EROFS, lasting=True),
        lambda call: call.name in tracer.CHANGES,
    ),
    Kind("killed, then the clock set back", lambda at: Fault(at, "kill"), every=5),
    Kind("a second run meanwhile", lambda at: Fault(at, "hold"), every=5),
)
# What one more run makes of a disk after a loss of power, where the first was without --durable.
MENDED = "mended by the same command"
REFUSED = "refused in a sentence"
TOLD = "`check` tells"
BROKEN = "exit 0, something is missing"
LOST = "what was there before is lost"
OUTCOMES = (MENDED, REFUSED, TOLD, BROKEN, LOST)

CLOCK, MEANWHILE = KINDS[-2].name, KINDS[-1].name


@dataclass
class Tally:
    """What came of all trials of one kind at one step."""

    points: int = 0
    right: int = 0  # trials that ended as they must
    lost: int = 0  # trials that lost anything
    failures: list[str] = field(default_factory=list)

    def add(self, wrong: list[str]) -> None:
        """Count a trial by what was wrong with it."""
        self.points += 1
        self.right += not wrong
        self.lost += any("lost" in what for what in wrong)
        self.failures += wrong[:1]


@dataclass(frozen=True)
class Outage:
    """A run, and what was there before it."""

    step: Step
    before: Tree
    calls: int
    record: Record

    def states(self, every: int, seed: int, number: int) -> Iterator[tuple[int, State]]:
        """What the disk may hold after every so many calls, and after the last: each content once."""
        seen = set()
        for point in sorted({*range(1 + seed % every, self.calls, every), self.calls}):
            for order in ("ordered", "any order"):
                lot = random.Random(f"{self.step.name} {seed} {point} {order}")
                for state in self.record.states(point, order, lot, number):
                    known = (state.digest, point == self.calls)
                    if known not in seen:
                        seen.add(known)
                        yield point, state


class Campaign:
    """A place to work in, with every state that a step starts from."""

    def __init__(self, base: Path) -> None:
        """Play the loop once, undisturbed, and keep its states."""
        self.base, self.place, self.log = base, base / "place", base / "log"
        self._states = base / "states"
        for made in (self.place / "tmp", self._states):
            made.mkdir(parents=True)
        (base / "rclone.conf").write_text(f"[disk]\ntype = alias\nremote = {self.place}\n")
        os.environ |= {"RCLONE_CONFIG": str(base / "rclone.conf"), "TMPDIR": str(self.place / "tmp"), "COLUMNS": "300"}
        cli.app = get_command(cli.app)  # made once, not in every run
        Image.init()
        self._expected: dict[str, Tree] = {}  # by step: what it ends in
        self._settled: dict[str, Tree] = {}  # and after one more run
        self._calls: dict[str, list[tracer.Call]] = {}
        self._logged: dict[tuple[str, int], str] = {}  # the hash of each line of the audit logs before a step
        self._play()

    def _play(self) -> None:
        place = self.place
        tracer.plainly(lambda: made_up.films(place / "films", 6) is None, output=self.log)
        self._do("extract", "--source", "films", *_OUT)
        self._keep("extracted")
        self._do("transform", *_OUT, *SIZES)
        (place / "out/organized/notes.txt").write_text("of a person\n")
        for store in (_STORE, _REMOTE):
            self._do("load", *_OUT, *store)
        self._do("simulate", *_OUT, *HOSPITAL, *_STORE)
        self._do("review", *_OUT, "--simulated")
        for store in (_STORE, _REMOTE):
            self._do("retrain", *_OUT, *store)
        self._keep("old")
        shutil.rmtree(place / "out/cache")
        self._keep("cold")
        self._begin("old")
        self._do("export", *_OUT, "--format", "coco")  # of the version before
        self._do("transform", *_OUT, *SIZES, "--seed", "1")
        self._keep("new")
        self.version = json.loads((place / "store/organized/summary.json").read_bytes())["version"]
        self._do("load", *_OUT, *_STORE)
        self._keep("loaded")
        self._begin("old")
        for number, store in enumerate((_STORE, _REMOTE)):
            self._come(number)
            self._do(*_INGEST, *store)
        self._come(2)
        self._come(3)
        self._keep("came")
        self._begin("old")
        self._do("simulate", *_OUT, *HOSPITAL, "--seed", "1", *_STORE)
        shutil.rmtree(place / "out/reviews")
        self._keep("unreviewed")
        self._do("review", *_OUT, "--simulated")
        self._keep("reviewed")

    def _come(self, number: int) -> None:
        """One more picture, that nobody has labelled; the first is one of the dataset's under another name."""
        films = sorted((self.place / "films/train").iterdir())
        new = self.place / "films/new" / f"{number}.png"
        new.parent.mkdir(exist_ok=True)
        turned = Image.open(films[number]).transpose(Image.Transpose.ROTATE_90) if number else Image.open(films[0])
        turned.save(new)

    def _do(self, *arguments: str) -> None:
        if tracer.plainly(lambda: self._radloop(arguments), output=self.log) != 0:
            raise RuntimeError(f"{arguments}: {self.log.read_text()}")

    def _keep(self, name: str) -> None:
        subprocess.run(["cp", "-a", self.place, self._states / name], check=True)

    def _begin(self, name: str, parts: tuple[str, ...] = ("",)) -> None:
        shutil.rmtree(self.place)
        if parts != ("",):
            self.place.mkdir()
        kept = [self._states / name / part for part in parts if (self._states / name / part).exists()]
        subprocess.run(["cp", "-a", *kept, self.place], check=True)
        self._logged = dict(self._lines())

    def undisturbed(self, step: Step) -> list[tracer.Call]:
        """The calls of a run without a fault; what it ends in is what all others must end in.

        And one more after it in what it ends in: a second review settles what the first left disputed.
        """
        if step.name not in self._calls:
            self._begin(step.start, step.parts)
            done = self._traced(step)
            if done.status != 0:
                raise RuntimeError(f"{step.name}: {self.log.read_text()}")
            self._calls[step.name] = done.calls
            self._ends_in(step)
        return self._calls[step.name]

    def _ends_in(self, step: Step) -> None:
        self._expected[step.name] = tree(self.place)
        self._do(*step.arguments)
        self._settled[step.name] = tree(self.place)

    def _traced(self, step: Step, fault: Fault | None = None, meanwhile: Callable[[], None] | None = None) -> Run:
        return tracer.run(
            lambda: self._radloop(step.arguments), self.place, output=self.log, fault=fault, meanwhile=meanwhile
        )

    def outage(self, step: Step) -> Outage:
        """A run without a fault, with all that it changed: what a loss of power at any call may leave follows."""
        self._begin(step.start, step.parts)
        before, record = tree(self.place), Record(self.place)
        done = tracer.run(lambda: self._radloop(step.arguments), self.place, output=self.log, watcher=record)
        if done.status != 0:
            raise RuntimeError(f"{step.name}: {self.log.read_text()}")
        self._ends_in(step)
        return Outage(step, before, len(done.calls), record)

    def after_outage(self, outage: Outage, point: int, state: State) -> Iterator[str]:
        """What is not as --durable promises when the power went after the call `point`, or is not after one more run.

        What the log had told by then is there; all is, once the command had said that it was done.
        """
        step = outage.step
        state.put(self.place)
        yield from self._left(step, outage.before)
        now = tree(self.place)
        yield from _untrue(outage.record.holds(LOG, point), now)
        if point == outage.calls and _without_cache(now) != _without_cache(self._expected[step.name]):
            yield f"it had said that all was well, and lost: {self._differs(self._expected[step.name])}"
        wrong = list(self._run_again(step, clock_back=False))
        yield from self._log_faults()
        if step.adds or _without_cache(tree(self.place)) != _without_cache(self._expected[step.name]):
            yield from wrong

    def after_careless_outage(self, outage: Outage, point: int, state: State) -> tuple[str, str]:
        """How a run without --durable ended up, a word of OUTCOMES: what one more run makes of it, and why so."""
        step = outage.step
        state.put(self.place)
        now = tree(self.place)
        lost = [key for key, data in outage.before.items() if _kept(key) and now.get(key) != data]
        if lost:
            return LOST, f"{lost[0]} is not what it was"
        begun = sorted(_without_cache(now).items())
        if point < outage.calls and begun == sorted(_without_cache(outage.before).items()):
            return MENDED, ""
        status = tracer.plainly(lambda: self._radloop(step.arguments), output=self.log)
        said, after = self.log.read_text(), tree(self.place)
        if status != 0:
            return (REFUSED if status == 1 and not list(wrong_words(said)) else BROKEN), said[-400:]
        wrong = list(_unsound(after, now)) if step.adds else []
        if step.adds or _without_cache(after) == _without_cache(self._expected[step.name]):
            return (BROKEN, wrong[0]) if wrong else (MENDED, "")
        differs = self._differs(self._expected[step.name])
        for unit in step.units:
            if tracer.plainly(lambda unit=unit: self._radloop(("check", unit)), output=self.log) == 1:
                return TOLD, differs
        return BROKEN, differs

    def trial(self, step: Step, kind: Kind, at: int) -> Iterator[str]:
        """One fault at the call number `at`: whatever was not as it must be."""
        self.undisturbed(step)
        self._begin(step.start, step.parts)
        before, begin = tree(self.place), max(path.lstat().st_mtime_ns for path in self.place.rglob("*"))
        if kind.name == MEANWHILE:
            yield from self._with_another(step, kind, at, before)
            return
        struck = self._traced(step, kind.make(at))
        said = self.log.read_text()
        where = f"at {at}, {struck.struck or 'not reached'}"
        yield from (f"{where}: {what}" for what in self._left(step, before))
        if struck.hung:
            yield f"{where}: it hung"
        if struck.status == 0:
            if not step.adds and tree(self.place) != self._expected[step.name]:
                yield f"{where}: it said that all was well, {self._differs(self._expected[step.name])}"
        elif struck.status == 1:
            yield from (f"{where}: {what}" for what in wrong_words(said))
        elif struck.status != -9 or not kind.make(at).kind.startswith(("kill", "half")):
            yield f"{where}: it ended with {struck.status}: {said[-300:]}"
        if kind.name == CLOCK:
            for path in self.place.rglob("*"):
                if path.lstat().st_mtime_ns > begin:
                    newer = path.lstat().st_mtime_ns + HOUR_NS
                    os.utime(path, ns=(newer, newer), follow_symlinks=False)
        yield from (f"{where}: {what}" for what in self._again(step, clock_back=kind.name == CLOCK))

    def _again(self, step: Step, *, clock_back: bool = False) -> Iterator[str]:
        """The second run, and what it must end in."""
        yield from self._run_again(step, clock_back=clock_back)
        yield from self._log_faults()

    def _run_again(self, step: Step, *, clock_back: bool) -> Iterator[str]:
        before = tree(self.place)
        status = tracer.plainly(lambda: self._radloop(step.arguments, clock_back=clock_back), output=self.log)
        if status != 0:
            yield f"the second run ended with {status}: {self.log.read_text()[-300:]}"
        elif step.adds:
            yield from self._added(before)
        else:
            first_was_whole = before == self._expected[step.name]
            expected = (self._settled if first_was_whole else self._expected)[step.name]
            if tree(self.place) != expected:
                yield f"after the second run {self._differs(expected)}"

    def _with_another(self, step: Step, kind: Kind, at: int, before: Tree) -> Iterator[str]:
        second: list[tuple[int, str]] = []
        other = self.base / "other-log"

        def start() -> None:
            status = tracer.plainly(lambda: self._radloop(step.arguments), output=other)
            second.append((status, other.read_text()))

        first = self._traced(step, kind.make(at), start)
        where = f"at {at}, {first.struck or 'not reached'}"
        if first.status != 0:
            yield f"{where}: the first run ended with {first.status}: {self.log.read_text()[-300:]}"
        for status, said in second:
            if status == 1:
                yield from (f"{where}: {what}" for what in wrong_words(said))
                if "another radloop run" not in said:
                    yield f"{where}: the second run failed for another reason: {said[-300:]}"
            elif status != 0:
                yield f"{where}: the second run ended with {status}: {said[-300:]}"
        yield from (f"{where}: {what}" for what in self._left(step, before))
        if not step.adds and tree(self.place) != self._expected[step.name]:
            yield f"{where}: after both {self._differs(self._expected[step.name])}"

    def _left(self, step: Step, before: Tree) -> Iterator[str]:
        """What must hold at any moment: nothing is lost, nothing is half there."""
        now = tree(self.place)
        for key, data in before.items():
            if _kept(key) and now.get(key) != data:
                yield f"{key} was {'changed' if key in now else 'lost'}"
        yield from _unsound(now, before)
        yield from self._log_faults()
        for unit in step.units:
            wanted = [_unit(whole, unit) for whole in (before, self._expected[step.name])]
            there = _unit(now, unit)
            yield from _torn_versions(now, unit)
            if step.journaled:
                if "publishing" not in there and not any(whole.items() <= there.items() for whole in wanted):
                    yield f"{unit} is neither the old nor the new, and nothing tells readers to wait"
            elif there not in wanted:
                yield f"{unit} is neither the old nor the new"

    def _lines(self) -> Iterator[tuple[tuple[str, int], str]]:
        """The hash of each line of the audit logs."""
        for name in AUDIT_LOGS:
            for number, sha256 in audit_lines.verify(self.place / name).hashes.items():
                yield (name, number), sha256

    def _log_faults(self) -> Iterator[str]:
        """What is wrong with the audit logs; of a line that was cut in half the next run tells."""
        for name in AUDIT_LOGS:
            for fault in audit_lines.verify(self.place / name).faults:
                if fault.code != "torn-line":
                    yield f"{name}/{fault.file}: {fault.reason}"
        lost = self._logged.items() - dict(self._lines()).items()
        yield from (f"line {number} of {name} is lost" for (name, number), _ in lost)

    def _added(self, before: Tree) -> Iterator[str]:
        """After one more simulation: it has added what it says, and everything is sound."""
        now = tree(self.place)
        yield from _unsound(now, before)
        lost = [key for key in before if key.startswith("out/feedback/") and key not in now and "/." not in key]
        if lost:
            yield f"the second run lost {lost[0]}"
        try:
            lines = [json.loads(line) for line in now[LOG].removeprefix(before.get(LOG, b"")).splitlines() if line]
        except ValueError as broken:
            yield f"the log of the second run is not whole lines: {broken}"
            return
        told = {f"out/feedback/{line['file']}" for line in lines if line["event"] == "request"}
        added = {key for key in now.keys() - before.keys() if key.startswith("out/feedback/")}
        if told != added or lines[-1]["feedback"] != len(added) or not added:
            yield f"the second run told of {len(told)} feedbacks and added {len(added)}"
        left = [key for key in now if key.endswith((".tmp", ".partial"))]
        if left:
            yield f"the second run left {left[0]}"

    def _radloop(self, arguments: tuple[str, ...], *, clock_back: bool = False) -> int:
        os.chdir(self.place)
        if clock_back:
            for module in [module for name, module in sys.modules.items() if name.startswith("radloop.")]:
                if getattr(module, "datetime", None) is datetime:
                    module.datetime = _Earlier
        cli.main([self.version if argument == VERSION else argument for argument in arguments])
        return 0

    def _differs(self, expected: Tree) -> str:
        now = tree(self.place)
        return ", ".join(
            [f"{key} is missing" for key in sorted(expected.keys() - now.keys())[:3]]
            + [f"{key} is left over" for key in sorted(now.keys() - expected.keys())[:3]]
            + [f"{key} differs" for key in sorted(now.keys() & expected.keys()) if now[key] != expected[key]][:3]
        )


def tree(place: Path) -> Tree:
    """Every file by key but for what differs from run to run: locks, audit logs, inodes, the temporary folder."""
    found = {}
    for path in place.rglob("*"):
        key = path.relative_to(place).as_posix()
        if not key.startswith(("tmp/", *(f"{name}/" for name in AUDIT_LOGS))) and path.name != ".radloop.lock":
            found[key] = os.readlink(path).encode() if path.is_symlink() else b"/" if path.is_dir() else _content(path)
    return {key: data for key, data in found.items() if data != b"/"}


def _content(path: Path) -> bytes:
    # the cache knows the inodes of this run's files; no polars here, whose threads a forked run would wait for
    if path.name == "pictures.parquet":
        return b"a cache"
    data = path.read_bytes()
    return _PUBLISHED_AT.sub(b'"published_at": ""', data) if path.name == "history.json" else data


_PUBLISHED_AT = re.compile(rb'"published_at": "[^"]*"')


def _without_cache(whole: Tree) -> Tree:
    """But for what is only there to be quicker: its names tell when a file was made."""
    return {key: data for key, data in whole.items() if not key.startswith("out/cache/")}


def _kept(key: str) -> bool:
    """Whether no step may touch this once it is there."""
    return key.startswith(("films/", "out/raw/", "out/feedback/", "out/reviews/")) or key.endswith("notes.txt")


def _unit(whole: Tree, prefix: str) -> Tree:
    """The files of a unit, without the units inside it, which are others'."""
    inside = {key.removeprefix(f"{prefix}/"): data for key, data in whole.items() if key.startswith(f"{prefix}/")}
    return {key: data for key, data in inside.items() if not manifest.is_inner(key)}


def _torn_versions(now: Tree, unit: str) -> Iterator[str]:
    """Every version that the history of a unit promises has its two objects there, as they were written."""
    told = json.loads(now.get(f"{unit}/versions/history.json", b"{}"))
    for version, kept in told.get("kept", {}).items():
        for what, md5 in kept.items():
            data = now.get(f"{unit}/versions/{version}/{what}-{md5}.parquet", b"")
            if hashlib.md5(data).hexdigest() != md5:
                yield f"version {version} is kept, and its {what} is not there"


def _unsound(now: Tree, before: Tree) -> Iterator[str]:
    """Every feedback and review can be read, and what the log tells of is there."""
    for key, data in now.items():
        folder_name, name = key.rpartition("/")[::2]
        if not name.endswith(".json") or before.get(key) == data:
            continue
        try:
            if folder_name == "out/feedback":
                records.decode(data, TAXONOMY, name=name)
            elif folder_name == "out/reviews":
                reviews.decode(data, TAXONOMY, name=name)
        except FeedbackError as wrong:
            yield f"half a file: {wrong}"
    yield from _untrue(now.get(LOG, b""), now)


def _untrue(log: bytes, now: Tree) -> Iterator[str]:
    """What a log tells of is there."""
    for line in log.splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue  # the line that was being written
        if isinstance(told, dict) and told.get("event") == "request" and f"out/feedback/{told['file']}" not in now:
            yield f"the log tells of {told['file']}, which is lost"


_PROGRESS = re.compile(r"[^:]+: [\d.,]+( [kMG]?B)? of [\d.,]+ \S+")


def wrong_words(said: str) -> Iterator[str]:
    """What is not one clear sentence."""
    lines = [line for line in said.splitlines() if not _PROGRESS.fullmatch(line)]
    if len(lines) != 1 or not re.match(r"radloop: .{20,}\.\)?( \(.+\))?$", lines[0]):
        yield f"not one sentence: {' / '.join(lines)[-600:]}"


class _Earlier(datetime):
    """A clock that somebody set back by an hour."""

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) - timedelta(hours=1)
