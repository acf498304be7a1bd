"""The lines of the audit log: what each says, and whether they are the ones that were written."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from radloop.errors import UNDECODABLE

FOLDER: Final = "audit"  # in OUT
HEAD: Final = ".head.json"  # hidden: what is only added to lies beside it
BEGINNING: Final = "0" * 64  # what the first line follows
_TAIL: Final = 2**16  # bytes of a file that its last line is looked for in, before all of it
_FILE: Final = re.compile(r"([0-9]{6})\.jsonl")

State = Literal["begun", "done", "not-done"]
What = Literal[
    "log-begins", "torn-line",
    "review", "promote", "rollback", "load", "retrain", "ingest", "prune", "forget", "restore",
]  # fmt: skip
Value = str | int | Mapping[str, str | int | None] | None


class From(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a deed came from."""

    host: str
    command: str
    client: str | None = None  # the address of a browser


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line."""

    seq: int
    time: str  # ISO 8601, UTC
    who: str  # a Reader ID, or the account that the command ran under
    what: str  # What, or what a later radloop tells of
    state: State = "done"
    of: int | None = None  # the number of the line `begun` that this one ends
    later: bool = False  # whether a later run found out what became of it
    subject: str = ""
    came: From = msgspec.field(name="from")
    old: Value = None
    new: Value = None
    previous: str  # SHA-256 of the line before, without its end


class Head(msgspec.Struct, frozen=True):
    """The last line, as the writers knew it."""

    seq: int
    sha256: str


_LINE: Final = msgspec.json.Decoder(Line)
_HEAD: Final = msgspec.json.Decoder(Head)

decode: Final = _LINE.decode


def encode_head(head: Head) -> bytes:
    """The bytes of HEAD."""
    return msgspec.json.encode(head) + b"\n"


def file_name(number: int) -> str:
    """The name of the file with this number."""
    return f"{number:06d}.jsonl"


def paths(folder: Path) -> list[Path]:
    """The files of a log, in order."""
    return sorted(path for path in folder.glob("*.jsonl") if _FILE.fullmatch(path.name))


def lines(folder: Path) -> Iterator[Line]:
    """Every line of a log that can be read, in order."""
    for path in paths(folder):
        with path.open("rb") as file:
            for data in file:
                with suppress(*UNDECODABLE):
                    yield _LINE.decode(data)


def last_line(path: Path) -> tuple[bytes | None, bytes]:
    """The last whole line of a file, without its end; None where it has none. And what stands behind it."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for start in (max(0, size - _TAIL), 0):
            file.seek(start)
            whole, end, torn = file.read().rpartition(b"\n")
            if b"\n" in whole:
                break
    return (whole.rpartition(b"\n")[2] if end else None), torn


def open_deeds(folder: Path) -> list[Line]:
    """The lines `begun` that no line ends."""
    return unended(lines(folder))


def unended(told: Iterable[Line]) -> list[Line]:
    """The lines `begun` among these that none of them ends."""
    begun: dict[int, Line] = {}
    for line in told:
        if line.state == "begun":
            begun[line.seq] = line
        elif line.of is not None:
            begun.pop(line.of, None)
    return list(begun.values())


@dataclass(frozen=True)
class Fault:
    """What is wrong with a log, and where."""

    file: str
    line: int | None
    code: str
    reason: str


@dataclass(frozen=True)
class Told:
    """A log as it was read: its lines, and what is wrong with them."""

    lines: tuple[Line, ...]
    places: tuple[tuple[str, int], ...]  # file and number in it of each line
    faults: tuple[Fault, ...]
    hashes: Mapping[int, str]  # of each line by its seq


def verify(folder: Path) -> Told:
    """Read a whole log. A line that was changed, taken out, put in, moved, and a log that was cut, are faults."""
    found, places, faults, hashes = list[Line](), list[tuple[str, int]](), list[Fault](), dict[int, str]()
    expected, previous = 1, BEGINNING
    before: tuple[str, int | None] = (file_name(1), None)
    for place, path in enumerate(paths(folder), 1):
        if int(path.stem) != place and not any(fault.code == "file-missing" for fault in faults):
            faults.append(Fault(file_name(place), None, "file-missing", "it is not there, and files after it are"))
        for number, data in enumerate(_split(path.read_bytes()), 1):
            here = (path.name, number)
            if not data.endswith(b"\n"):
                faults.append(Fault(*here, "torn-line", "the last line is cut; the next run of radloop tells of it"))
                continue
            data = data[:-1]
            try:
                line = _LINE.decode(data)
            except UNDECODABLE as broken:
                faults.append(Fault(*here, "line-changed", f"it is not a line of radloop's: {broken}"))
                previous, expected, before = hashlib.sha256(data).hexdigest(), expected + 1, here
                continue
            faults += _against(line, here, before, expected, previous)
            previous, expected, before = hashlib.sha256(data).hexdigest(), line.seq + 1, here
            hashes[line.seq] = previous
            found.append(line)
            places.append(here)
    faults += _of_head(folder, hashes, expected - 1, before)
    return Told(tuple(found), tuple(places), tuple(faults), hashes)


def is_end_sound(folder: Path) -> bool | None:
    """Whether the log ends as HEAD says, which `verify` says of all of it; None where there is no log."""
    there = [path for path in paths(folder) if path.stat().st_size]
    try:
        told = _HEAD.decode((folder / HEAD).read_bytes())
    except FileNotFoundError:
        return False if there else None
    except UNDECODABLE:
        return False
    if not there:
        return False
    last, torn = last_line(there[-1])
    data = last or b""
    try:
        line = _LINE.decode(data)
    except UNDECODABLE:
        return False
    if torn or (line.seq, hashlib.sha256(data).hexdigest()) == (told.seq, told.sha256):
        return not torn
    return (line.seq, line.previous) == (told.seq + 1, told.sha256)  # a kill leaves one line more than the head knows


def _split(data: bytes) -> list[bytes]:
    """The lines, each with its end; no other byte ends one."""
    *whole, rest = data.split(b"\n")
    return [one + b"\n" for one in whole] + ([rest] if rest else [])


def _against(
    line: Line, here: tuple[str, int], before: tuple[str, int | None], expected: int, previous: str
) -> list[Fault]:
    where = f"line {before[1]} of {before[0]}" if before[1] else "the beginning"
    if line.seq > expected:
        return [
            Fault(*here, "lines-missing", f"it is number {line.seq:,}, and follows {expected - 1:,}: some are gone")
        ]
    if line.seq < expected:
        return [Fault(*here, "line-out-of-place", f"it is number {line.seq:,}, and follows {expected - 1:,}")]
    if line.previous != previous:
        return [
            Fault(*here, "line-changed", f"it follows another line than {where}: one of the two was changed"),
            *([Fault(*before, "line-changed", "the line after it follows another one")] if before[1] else []),
        ]
    return []


def _of_head(folder: Path, hashes: Mapping[int, str], last: int, end: tuple[str, int | None]) -> list[Fault]:
    path = folder / HEAD
    if not hashes and not path.exists():
        return []
    try:
        data = path.read_bytes()
        told = _HEAD.decode(data)
    except (OSError, *UNDECODABLE) as broken:
        return [Fault(HEAD, None, "head-damaged", f"it does not tell the last line ({broken})")]
    if encode_head(told) != data:
        return [Fault(HEAD, None, "head-damaged", "it is not as radloop writes it")]
    if told.seq not in hashes:
        return [Fault(*end, "log-cut", f"the log had {told.seq:,} lines, and ends at {last:,}")]
    if hashes[told.seq] != told.sha256:
        return [Fault(*end, "line-changed", f"line number {told.seq:,} is not the one that was written last")]
    if last > told.seq + 1:  # a kill leaves one line more than the head knows
        return [Fault(*end, "line-inserted", f"the log had {told.seq:,} lines, and has {last:,}")]
    return []
