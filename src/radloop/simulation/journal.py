"""The log of a run: JSON lines, each written whole, so that a kill leaves no half of one.

A run holds a lock on its log from its start to its end, also where it is killed: so others know whether it still plays.
"""

import fcntl
import json
import os
import re
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from radloop import files, visible
from radloop.progress import Progress, silent

_FRESH_SECONDS: Final = 120.0  # where a file system has no locks: a log that was written to since belongs to a run;
# and so long a run that was announced may take to start
_LOOK_SECONDS: Final = 1.0  # how often it is looked whether a run has ended
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode
_CREDENTIALS: Final = re.compile(r"//[^/\s\"]+@")  # a password may hold an @


def new_run_id() -> str:
    """An id that no other run has, also after a kill."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


class Journal:
    """Appends to `path`; may be written to from many threads, and from many processes."""

    def __init__(self, path: Path, run_id: str) -> None:
        """Every line says which run it is of."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._run_id = run_id
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        self._end_cut_line()

    def write(self, event: str, **fields: Any) -> None:
        """One line: the time, the event, the run, and `fields`; user names and passwords in addresses are left out."""
        line = {"time": datetime.now(UTC).isoformat(), "event": event, "run_id": self._run_id, **fields}
        text = _encode(line)
        if "//" in text:
            text = _CREDENTIALS.sub("//", text)
        files.write_all(self._descriptor, visible.in_json(text).encode() + b"\n")

    def adopt(self, log: Path) -> None:
        """Append the whole lines of another log, each in one piece."""
        with log.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    files.write_all(self._descriptor, line)

    def _end_cut_line(self) -> None:
        """A full disk or a lost machine can cut a line in half: what comes now must not be glued to it."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            files.write_all(self._descriptor, b"\n")

    def __enter__(self) -> Self:
        """Nothing more is opened."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error that ends the run is its last line."""
        if error is not None:
            self.write("failed", message=str(error) or type(error).__name__)
        os.close(self._descriptor)


def running(log: Path) -> tuple[str, ...]:
    """The runs that have started, have not ended, and are alive, by the log that they write to.

    Where none is, but compose has announced one a moment ago, that one.
    """
    begun, announced = _begun(log)
    if begun and _is_held(log):
        return begun
    return announced


def wait(log: Path, seconds: float, *, progress: Progress = silent) -> tuple[str, ...]:
    """Wait until nothing plays any more that writes to `log`, or for so long; the runs that still do then."""
    begin = time.monotonic()
    names = running(log)
    while names and (waited := time.monotonic() - begin) < seconds:
        progress(f"waiting for run {names[0]} of the simulator to end", int(waited), int(seconds), "seconds")
        time.sleep(min(_LOOK_SECONDS, seconds - waited))
        names = running(log)
    return names


def _begun(log: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The runs without an end, in the order of their starts; and one that was just announced and has not started."""
    begun: dict[str, None] = {}
    announced: dict[str, float] = {}
    try:
        with log.open("rb") as lines:
            for line in lines:
                if not any(event in line for event in (b'"start"', b'"end"', b'"failed"', b'"announced"')):
                    continue
                try:
                    told = json.loads(line)
                    event, run_id = told["event"], str(told["run_id"])
                    when = datetime.fromisoformat(told["time"]).timestamp() if event == "announced" else 0.0
                except (ValueError, LookupError, TypeError, RecursionError):  # cut off, or not ours
                    continue
                if event == "announced":
                    announced = {run_id: when}
                elif event == "start":
                    announced = {}
                    begun[run_id] = None
                elif event in ("end", "failed"):
                    begun.pop(run_id, None)
    except OSError:
        return (), ()
    now = time.time()
    return tuple(begun), tuple(run_id for run_id, when in announced.items() if 0 <= now - when < _FRESH_SECONDS)


def _is_held(log: Path) -> bool:
    """Whether a living run holds the log."""
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        try:
            descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - os.fstat(descriptor).st_mtime < _FRESH_SECONDS
    finally:
        os.close(descriptor)
    return False
