"""Feedback, reviews and lines of a log that are on certain images, whoever wrote them and however damaged they are."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

import msgspec

from radloop import files
from radloop.errors import UNDECODABLE, FeedbackError
from radloop.feedback import documents, guard, listing

_ENDINGS: Final = re.compile(guard.ENDINGS)
_READER: Final = re.compile(guard.READER)


class _Named(msgspec.Struct):
    """What a feedback, a review or a line of a log is of; of any type, for nothing here is believed."""

    image_id: Any = None
    image_md5: Any = None
    feedback_id: Any = None


_decode: Final = msgspec.json.Decoder(_Named).decode


@dataclass(frozen=True)
class Wanted:
    """The images, and what else says that a file is on one of them."""

    image_ids: frozenset[str]
    md5s: frozenset[str] = frozenset()
    feedback_ids: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()  # images that are not among them, whose ids may look like theirs

    def is_told_by(self, data: bytes, name: str = "") -> bool:
        """Whether one document, in a file of this name, is on one of the images."""
        last = PurePosixPath(name).name
        try:
            told = _decode(data)
        except UNDECODABLE:
            known = (*self.image_ids, *self.feedback_ids)
            return any(last.startswith(f"{one}.") or b'"%b"' % one.encode() in data for one in known)
        return (
            self._is_ours(told.image_id)
            or (isinstance(told.image_md5, str) and told.image_md5 in self.md5s)
            or (isinstance(told.feedback_id, str) and told.feedback_id in self.feedback_ids)
            or last.partition(".")[0] in self.feedback_ids
        )

    def _is_ours(self, image_id: object) -> bool:
        """Whether this is one of the ids, also written otherwise or with a reader's."""
        if not isinstance(image_id, str) or image_id in self.others:
            return False
        plain = _plain(image_id)
        return image_id in self.image_ids or not self._plain_ids.isdisjoint((plain, _READER.sub("", plain)))

    @cached_property
    def _plain_ids(self) -> frozenset[str]:
        return frozenset(map(_plain, self.image_ids))


@dataclass(frozen=True)
class Found:
    """Files on the images, or with lines on them."""

    whole: tuple[str, ...] = ()  # names relative to the folder
    lines: tuple[str, ...] = ()  # of those of many lines
    feedback_ids: frozenset[str] = frozenset()
    count: int = 0  # documents
    unreadable: int = 0  # files that could not be looked into


def find(folder: Path, wanted: Wanted) -> Found:
    """The files in `folder` and its folders that are on one of the images; nothing where there is no folder."""
    whole, lines, ids, count, unreadable = list[str](), list[str](), set[str](), 0, 0
    names = sorted(listing.names(folder))
    if not names:
        return Found()
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            if listing.has_lines(name):
                told = [line for _, line in documents.lines(directory, name) if isinstance(line, bytes)]
                ours = [line for line in told if wanted.is_told_by(line)]
                lines += [name] if ours else []
            else:
                try:
                    data = documents.read_bytes(directory, name)
                except FeedbackError:
                    data, unreadable = b"", unreadable + 1
                ours = [data] if wanted.is_told_by(data, name) else []
                whole += [name] if ours else []
            count += len(ours)
            ids |= {one for data in ours for one in _ids(data)}
    finally:
        os.close(directory)
    return Found(tuple(whole), tuple(lines), frozenset(ids), count, unreadable)


def remove(folder: Path, found: Found, wanted: Wanted) -> None:
    """Take those files away, and the lines out of files of many; killed and called again it ends the same."""
    for name in found.whole:
        (folder / name).unlink(missing_ok=True)
    for name in found.lines:
        take_lines(folder / name, wanted)


def count_lines(path: Path, wanted: Wanted) -> int:
    """How many lines of a file are on the images; none where there is no file."""
    return sum(wanted.is_told_by(line) for line in _lines(path))


def take_lines(path: Path, wanted: Wanted) -> None:
    """Write a file of many lines without those on the images, the others as they were."""
    files.write_atomic(path, lines_left(path, wanted), mode=path.stat().st_mode & 0o777)


def lines_left(path: Path, wanted: Wanted) -> bytes:
    """The lines of a file that are not on the images."""
    return b"".join(line for line in _lines(path) if not wanted.is_told_by(line))


def _lines(path: Path) -> Iterator[bytes]:
    if path.is_file():
        with path.open("rb") as opened:
            yield from opened


def _ids(data: bytes) -> Iterator[str]:
    """The feedback_id of a document: its own, or that of the bare form."""
    try:
        own = _decode(data).feedback_id
    except UNDECODABLE:
        own = None
    yield own if isinstance(own, str) and own else hashlib.md5(data).hexdigest()


def _plain(image_id: str) -> str:
    return _ENDINGS.sub("", image_id.lower().strip())
