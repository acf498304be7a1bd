"""Counts of what the logs say of requests: of a log only what is new is read."""

import os
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from radloop.errors import UNDECODABLE

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ANSWERED: Final = (
    "request",
    "image",
    "sent",
)  # events: the simulator's, the watcher's, of a simulator that plays a PACS
FAILED: Final = "error"
RUNS: Final = {"start": "started", "end": "ended", "failed": "failed"}
MOST_WORDS: Final = 30  # kinds of failures and codes of refusals that are told apart
OTHER: Final = "other"
_AT_ONCE: Final = 2**22  # bytes


class _Line(msgspec.Struct):
    event: str
    kind: str = ""
    latency_ms: float | None = None
    refused: dict[str, int] | int | None = None
    code: str = ""


_decode: Final = msgspec.json.Decoder(_Line).decode


@dataclass
class Counts:
    """What one log told so far."""

    answered: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # by kind
    refused: Counter[str] = field(default_factory=Counter)  # objects of a PACS, by code
    runs: Counter[str] = field(default_factory=Counter)
    waits: int = 0  # times that something was gone
    seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))  # answers, by BUCKETS_S
    total_s: float = 0.0

    def add(self, line: bytes) -> None:
        """Count a line; one that is not ours counts nowhere."""
        try:
            told = _decode(line)
        except UNDECODABLE:
            return
        if told.event in ANSWERED:
            self.answered += 1
            if told.latency_ms is not None and 0 <= told.latency_ms < 1e9:
                self.seconds[bisect_left(BUCKETS_S, told.latency_ms / 1000)] += 1
                self.total_s += told.latency_ms / 1000
        elif told.event == FAILED:
            _count(self.failures, told.kind or OTHER, 1)
        elif told.event in RUNS:
            self.runs[RUNS[told.event]] += 1
        elif told.event == "wait":
            self.waits += 1
        elif told.event == "review-refused":
            _count(self.refused, f"review-{told.code or OTHER}", 1)
        elif told.event == "study" and isinstance(told.refused, dict):
            for code, number in told.refused.items():
                _count(self.refused, code, number)


def _count(counter: Counter[str], word: str, number: int) -> None:
    """A log is a file that anybody may have written: the words in it are not many."""
    counter[word[:60] if word in counter or len(counter) < MOST_WORDS else OTHER] += number


class Log:
    """One log, read on from where it was read to; from its beginning where another file has taken its place."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self.counts = Counts()
        self._read = 0  # bytes
        self._file: tuple[int, int] | None = None  # which it was

    def read(self) -> Counts:
        """All that it has told by now, of whole lines; nothing where there is no log."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                this = (status.st_dev, status.st_ino)
                if this != self._file or status.st_size < self._read:
                    self.counts, self._read, self._file = Counts(), 0, this
                file.seek(self._read)
                while lines := file.readlines(_AT_ONCE):
                    if not lines[-1].endswith(b"\n"):
                        lines.pop()  # it is being written
                    if not lines:
                        break
                    for line in lines:
                        self.counts.add(line)
                    self._read += sum(map(len, lines))
        except FileNotFoundError:
            self.counts, self._read, self._file = Counts(), 0, None
        except OSError:  # it may be readable again: what it told stands
            pass
        return self.counts
