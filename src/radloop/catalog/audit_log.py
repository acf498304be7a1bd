"""OUT/audit: who did what, when and from where, a line each, to which is only ever added.

`<n>.jsonl` holds JSON lines; each names the SHA-256 of the line before it (`previous`), also over the end of a file. A
deed is a line before it (`begun`) and one after it (`done`, or `not-done`): what was killed in between has one of them,
and the next run adds what became of it. `.head.json` holds the last line's number and hash, so that a log that was cut
is seen. Nothing here names a patient, an image or a secret.
"""

import fcntl
import hashlib
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from radloop import files
from radloop.catalog import audit_lines
from radloop.catalog.audit_lines import BEGINNING, FOLDER, HEAD, From, Head, Line, State, Value, What
from radloop.errors import UNDECODABLE, AuditError

LARGEST_FILE: Final = 8 * 2**20  # bytes; then the next one begins
_LONGEST_TEXT: Final = 200
_LOCK: Final = ".lock"  # held while a line is written
_AT_WORK: Final = ".at-work.lock"  # held, shared, by all who are between the two lines of a deed


@dataclass
class Deed:
    """What is being done; what comes of it may be told until it is done."""

    seq: int
    old: Value = None
    new: Value = None


@dataclass
class AuditLog:
    """Adds to the log in a folder (OUT/audit), from any number of threads and processes."""

    folder: Path
    command: str
    who: str = ""  # else the account
    durable: bool = False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    largest_file: int = LARGEST_FILE
    _came: From = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is written before the first deed."""
        self._came = From(_plain(socket.gethostname()), _plain(self.command))
        self.who = _plain(self.who) or _account()

    @contextmanager
    def deed(
        self,
        what: What,
        subject: str,
        *,
        old: Value = None,
        new: Value = None,
        who: str = "",
        client: str | None = None,
    ) -> Iterator[Deed]:
        """Tell that something is begun, and that it is done, or was not.

        Raises AuditError, before anything is done, where the log cannot be written.
        """
        whose = {"who": who, "client": client}
        with self._at_work():
            told = Deed(self._add(what, "begun", subject=subject, old=old, new=new, **whose), old, new)
            try:
                yield told
            except Exception:
                with suppress(AuditError):
                    self._add(what, "not-done", of=told.seq, subject=subject, **whose)
                raise
            try:
                self._add(what, "done", of=told.seq, subject=subject, old=told.old, new=told.new, **whose)
            except AuditError as failed:
                raise AuditError(
                    f"It was done ({what} {subject}), and {self.folder} could not be told so ({failed.__cause__}). The "
                    "next run tells it: free space on that disk, or let this account write there."
                ) from failed

    def begin(self, new: Value) -> None:
        """Begin the log, with what is known of the time before it; nothing where it has begun."""
        with self._held(_LOCK, fcntl.LOCK_EX), self._explained():
            end = _End.of(self.folder)
            if not end.seq and not end.torn:
                self._end_at(self._append(end, "log-begins", new=new))

    def record(self, what: What, subject: str, *, old: Value = None, new: Value = None) -> None:
        """Tell of something that needs no line before it. Raises AuditError."""
        self._add(what, "done", subject=subject, old=old, new=new)

    def settle(self, happened: Callable[[Line], bool | None]) -> int:
        """Tell of each deed that was cut off what became of it, if `happened` knows; returns of how many.

        Nothing is told while others are at work here: what is open may be theirs.
        """
        if not self.folder.is_dir():
            return 0
        settled = 0
        with self._alone() as alone:
            for line in audit_lines.open_deeds(self.folder) if alone else ():
                outcome = happened(line)
                if outcome is not None:
                    state: State = "done" if outcome else "not-done"
                    self._add(line.what, state, of=line.seq, subject=line.subject, new=line.new, later=True)
                    settled += 1
        return settled

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._held(_AT_WORK, fcntl.LOCK_SH):
            yield

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        try:
            with self._held(_AT_WORK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield True
        except BlockingIOError:
            yield False

    @contextmanager
    def _held(self, name: str, how: int) -> Iterator[None]:
        with self._explained():
            self.folder.mkdir(mode=files.OWN_FOLDER, parents=True, exist_ok=True)
            descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.OWN_FILE)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as failed:
            raise AuditError(
                f"{self.folder} cannot be written ({failed.strerror or failed}), and nothing is done that cannot be "
                "logged: nothing was changed. Free space on that disk, or let this account write there."
            ) from failed

    def _add(self, what: str, state: State, *, subject: str, **told: Any) -> int:
        """Write a line, whose other fields are `told`, under the lock; returns its number."""
        with self._held(_LOCK, fcntl.LOCK_EX), self._explained():
            end = _End.of(self.folder)
            if end.torn:
                cut = {"bytes": len(end.torn), "sha256": hashlib.sha256(end.torn).hexdigest()}
                os.truncate(end.path, end.size)
                end = self._append(end, "torn-line", new=cut)
            elif not end.seq:
                end = self._append(end, "log-begins")
            end = self._append(end, what, state=state, subject=_plain(subject), **told)
            self._end_at(end)
            return end.seq

    def _end_at(self, end: "_End") -> None:
        data = audit_lines.encode_head(Head(end.seq, end.sha256))
        files.write_atomic(self.folder / HEAD, data, durable=self.durable, mode=files.OWN_FILE)

    def _append(self, end: "_End", what: str, *, who: str = "", client: str | None = None, **told: Any) -> "_End":
        line = Line(
            seq=end.seq + 1,
            time=self.now().isoformat(),
            who=_plain(who) or self.who,
            what=what,
            came=msgspec.structs.replace(self._came, client=client and _plain(client)),
            previous=end.sha256,
            **told,
        )
        data = msgspec.json.encode(line)
        path = end.path if end.size < self.largest_file else self.folder / audit_lines.file_name(end.number + 1)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, files.OWN_FILE)
        try:
            size = os.fstat(descriptor).st_size
            try:
                files.write_all(descriptor, data + b"\n")
            except OSError:
                os.ftruncate(descriptor, size)  # a disk that got full took a part of it
                raise
            if self.durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if self.durable and path != end.path:
            files.flush_folder(self.folder)
        return _End(path, int(path.stem), size + len(data) + 1, line.seq, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class _End:
    """Where the log ends."""

    path: Path
    number: int  # of the file
    size: int  # of its whole lines
    seq: int = 0
    sha256: str = BEGINNING
    torn: bytes = b""  # what stands behind the last whole line: its writer was killed, or power was lost

    @classmethod
    def of(cls, folder: Path) -> "_End":
        """The end of a log. Raises AuditError where its last line cannot be read."""
        there = audit_lines.paths(folder)
        if not there:
            return cls(folder / audit_lines.file_name(1), 1, 0)
        *earlier, path = there
        last, torn = audit_lines.last_line(path)
        size = path.stat().st_size - len(torn)
        holder = path
        if last is None and earlier:  # the file was begun, and nothing whole is in it yet
            holder = earlier[-1]
            last = audit_lines.last_line(holder)[0] or b""
        seq, sha256 = (0, BEGINNING) if last is None else cls.of_line(holder, last)
        return cls(path, int(path.stem), size, seq, sha256, torn)

    @staticmethod
    def of_line(path: Path, data: bytes) -> tuple[int, str]:
        """Number and hash of a line."""
        try:
            return audit_lines.decode(data).seq, hashlib.sha256(data).hexdigest()
        except UNDECODABLE as broken:
            raise AuditError(
                f"{path}: its last line is not one of radloop's ({broken}), so that nothing can follow it. See "
                "`radloop audit verify`; then move the folder aside, and a new log begins."
            ) from broken


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)[:_LONGEST_TEXT]


def _account() -> str:
    try:
        return _plain(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container's own
        return f"uid-{os.getuid()}"


def of(out: Path, command: str, *, durable: bool = False) -> AuditLog:
    """The log of OUT: of all that is published, promoted, forgotten and restored."""
    return AuditLog(out / FOLDER, command, durable=durable)


@contextmanager
def still(folder: Path) -> Iterator[None]:
    """Hold off whoever adds a line to the log in a folder; where there is none, or it cannot be held, nobody."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def head(folder: Path) -> Head | None:
    """The last line of the log in a folder, to be kept elsewhere; None where there is no log. Raises AuditError."""
    if not audit_lines.paths(folder):
        return None
    end = _End.of(folder)
    return Head(end.seq, end.sha256)
