"""Whose desk it is, what is on it, and what comes next: one reader's work in one browser window."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

import polars as pl

from radloop.feedback import listing
from radloop.feedback.worklists import Claims
from radloop.words import Worklist

NO_READER_ID: Final = "A Reader ID has 1 to 50 letters, digits and -; it is part of a file's name."
_ON_DESK: Final = 2  # the image that is read, and the next
_REMEMBERED: Final = 10_000  # messages whose answer is kept, so that one that comes again does nothing again


class Answers:
    """What each message was answered, for all windows of a server. A message that comes again is not acted on again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._given: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    def once(self, reader: str, message: str, act: Callable[[], str | None]) -> str | None:
        """What `act` returned, the first time or now: None, or the sentence why it was refused."""
        with self._lock:
            name = (reader, message)
            if name not in self._given:
                self._given[name] = act()
                while len(self._given) > _REMEMBERED:
                    self._given.popitem(last=False)
            return self._given[name]


@dataclass
class Work:
    """One reader's work in one window. Images are claimed as long as they are on the desk, or next."""

    reader: str | None = None
    kind: Worklist = "next"
    wrong: str = ""  # about the Reader ID that was given
    notice: str = ""
    current: str | None = None  # feedback ids
    following: str | None = None
    wanted: str | None = None  # what the address names, until it is on the desk
    left: list[tuple[str, str]] = field(default_factory=list)  # feedback_id, image_id: what the worklist still has
    held: dict[str, str] = field(default_factory=dict)  # the same of what this window has claimed
    skipped: list[str] = field(default_factory=list)  # feedback ids, the last one last
    taken: list[str] = field(default_factory=list)  # ids of messages that were heard
    refused: dict[str, str] | None = None  # id, feedback_id, error of the last verdict that was not saved
    is_listed: bool = False
    tab: str = ""  # the browser's tab, the same after a reload
    disputed: frozenset[str] = frozenset()  # feedback ids
    suspected: Mapping[str, Any] = field(default_factory=dict)  # feedback id -> what may be wrong with its labels
    seen: frozenset[str] = frozenset()  # files of reviews when the worklist was made

    def begin(self, work: pl.DataFrame, disputed: Iterable[str], folder: Path) -> None:
        """Begin the worklist `work` (feedback_id, image_id); what was skipped comes behind all others.

        `disputed` are the feedback files that wait for a final read, in this worklist or not.
        """
        rows = list(work.select("feedback_id", "image_id").iter_rows())
        skipped = {feedback_id: place for place, feedback_id in enumerate(self.skipped, 1)}
        self.left = sorted(rows, key=lambda row: skipped.get(row[0], 0))
        self.seen = frozenset(names(folder))
        self.disputed = frozenset(disputed)
        self.is_listed = True

    def open(self, feedback_id: str, image_id: str, claims: Claims) -> None:
        """Put this very image on the desk; who else has it is told in `notice`."""
        if self.current != feedback_id:
            self.close(claims)
        self.current = feedback_id
        self.held[feedback_id] = image_id
        other = claims.claim(image_id, self.reader or "", self.tab)
        self.notice = f"{other} has this image on the desk, too." if other else ""

    def advance(self, claims: Claims, folder: Path) -> None:
        """Put the first image on the desk that nobody else has or has read meanwhile, and the one after it in line."""
        read = {name.rpartition("/")[2].split(".")[0] for name in names(folder) if name not in self.seen}
        self.left = [one for one in self.left if one[0] not in read]
        found: list[str] = [] if self.current is None else [self.current]
        for feedback_id, image_id in self.left:
            if len(found) == _ON_DESK:
                break
            if feedback_id not in found and claims.claim(image_id, self.reader or "", self.tab) is None:
                self.held[feedback_id] = image_id
                found.append(feedback_id)
        self.current, self.following = [*found, None, None][:_ON_DESK]

    def done(self, feedback_id: str, claims: Claims, *, again: bool = False) -> None:
        """Take an image off the desk; one that was skipped comes `again` behind all others."""
        theirs = [one for one in self.left if again and one[0] == feedback_id]
        self.left = [one for one in self.left if one[0] != feedback_id] + theirs
        self.skipped = [one for one in self.skipped if one != feedback_id] + [feedback_id] * again
        if feedback_id in self.held:
            claims.release(self.held.pop(feedback_id), self.reader or "", self.tab)
        if self.current == feedback_id:
            self.current, self.notice = None, ""

    def close(self, claims: Claims) -> None:
        """Give back all that this window has."""
        for image_id in self.held.values():
            claims.release(image_id, self.reader or "", self.tab)
        self.held, self.current, self.following, self.notice = {}, None, None, ""

    def heard(self, message: str) -> None:
        """Remember that a message was taken in."""
        self.taken = [*self.taken[-50:], message]


def names(folder: Path) -> list[str]:
    """The files in a folder of reviews; none where it cannot be read."""
    try:
        return listing.names(folder)
    except OSError:
        return []
