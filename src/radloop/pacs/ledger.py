"""What was done of a PACS already: a small database in OUT/private, so that a kill at any moment loses nothing.

It holds UIDs in clear. Whatever it does not hold is done again, and ends in the same files and the same reports.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from radloop.dicom.quarantine import HELD
from radloop.errors import UNDECODABLE, DatasetError

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS studies (study_uid TEXT PRIMARY KEY, objects INTEGER);
CREATE TABLE IF NOT EXISTS objects (
    study_uid TEXT, sop_instance_uid TEXT, outcome TEXT NOT NULL, image_id TEXT,
    PRIMARY KEY (study_uid, sop_instance_uid));
CREATE TABLE IF NOT EXISTS reports (
    study_uid TEXT, model TEXT, number INTEGER, images TEXT NOT NULL, outcome TEXT,
    PRIMARY KEY (study_uid, model, number));
"""
_FORGET_STUDIES: Final = """
DELETE FROM studies WHERE study_uid IN (SELECT study_uid FROM objects WHERE image_id = ? AND outcome = ?)
"""
# {table: its columns}, as they were from the first release on.
_COLUMNS: Final = {
    "studies": ["study_uid", "objects"],
    "objects": ["study_uid", "sop_instance_uid", "outcome", "image_id"],
    "reports": ["study_uid", "model", "number", "images", "outcome"],
}
# What hinders a sound database: a full disk, a lock, rights.
_HINDERED: Final = {
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
}
_END: Final = "UPDATE reports SET outcome = ? WHERE study_uid = ? AND model = ? AND number = ?"


class Done(NamedTuple):
    """What became of an object: a word, or the code of a refusal."""

    study_uid: str
    sop_instance_uid: str
    outcome: str
    image_id: str | None = None


class Planned(NamedTuple):
    """A report that is to be stored: its number among those of its model in the study, and its images by UID."""

    study_uid: str
    model: str
    number: int
    images: tuple[str, ...]


class Ledger:
    """The database; safe to be asked from many threads."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it, for its owner alone."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._path, self._lock = path, threading.RLock()
        with _in_a_sentence(path):
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_TABLES}")
                _require_sound(self._database)
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        """Nothing more is opened."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._database.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is written within, or nothing of it."""
        with self._asked() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _in_a_sentence(self._path):
            yield self._database

    def counts(self) -> dict[str, int]:
        """{study: how many objects it had when all of them were done}."""
        with self._asked() as database:
            return dict(database.execute("SELECT study_uid, objects FROM studies"))

    def count(self, study_uid: str, objects: int) -> None:
        """All objects of a study are done, so many."""
        with self._asked() as database:
            database.execute("REPLACE INTO studies VALUES (?, ?)", (study_uid, objects))

    def known(self, study_uid: str) -> set[str]:
        """The objects of a study that are done."""
        with self._asked() as database:
            rows = database.execute("SELECT sop_instance_uid FROM objects WHERE study_uid = ?", (study_uid,))
            return {uid for (uid,) in rows}

    def record(self, done: Iterable[Done]) -> None:
        """Objects that are done."""
        rows = [(one.study_uid, one.sop_instance_uid, one.outcome, one.image_id) for one in done]
        with self._asked() as database:
            database.executemany("REPLACE INTO objects VALUES (?, ?, ?, ?)", rows)

    def held(self) -> set[str]:
        """The ids of the images that wait for a person."""
        with self._asked() as database:
            rows = database.execute("SELECT image_id FROM objects WHERE outcome = ?", (HELD,))
            return {image_id for (image_id,) in rows}

    def look_again(self, image_ids: Collection[str]) -> None:
        """Held images that are to be asked for again."""
        with self.together():
            for image_id in image_ids:
                self._database.execute(_FORGET_STUDIES, (image_id, HELD))
                self._database.execute("DELETE FROM objects WHERE image_id = ? AND outcome = ?", (image_id, HELD))

    def forget(self, image_ids: Collection[str]) -> int:
        """Take images away, also from the reports that speak of them; how many there were.

        Of their studies stays how many objects they have, by which they are not asked for again.
        """
        taken = 0
        with self.together():
            for image_id in image_ids:
                question = "SELECT sop_instance_uid, study_uid FROM objects WHERE image_id = ?"
                for uid, study in self._database.execute(question, (image_id,)).fetchall():
                    self._take_from_reports(uid, study)
                    taken += 1
                self._database.execute("DELETE FROM objects WHERE image_id = ?", (image_id,))
        if taken:  # a database keeps the bytes of what is deleted
            with self._asked() as database:
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return taken

    def _take_from_reports(self, uid: str, study_uid: str) -> None:
        question = "SELECT model, number, images FROM reports WHERE study_uid = ?"
        for model, number, images in self._database.execute(question, (study_uid,)).fetchall():
            left = json.dumps([one for one in _uids(images) if one != uid])
            which = (left, study_uid, model, number)
            self._database.execute(
                "UPDATE reports SET images = ? WHERE study_uid = ? AND model = ? AND number = ?", which
            )

    def reports(self, study_uid: str, model: str) -> list[tuple[Planned, bool]]:
        """The reports of a model in a study, in the order of their numbers, and whether each was stored or given up."""
        question = "SELECT number, images, outcome FROM reports WHERE study_uid = ? AND model = ? ORDER BY number"
        with self._asked() as database:
            rows = database.execute(question, (study_uid, model)).fetchall()
            return [(Planned(study_uid, model, number, _uids(images)), bool(end)) for number, images, end in rows]

    def plan(self, report: Planned) -> None:
        """A report that will be stored, before it is: after a kill it speaks of the same images."""
        values = (report.study_uid, report.model, report.number, json.dumps(report.images))
        with self._asked() as database:
            database.execute("INSERT INTO reports VALUES (?, ?, ?, ?, NULL)", values)

    def end(self, report: Planned, outcome: str) -> None:
        """A report that was stored, or refused for good."""
        which = (outcome, report.study_uid, report.model, report.number)
        with self._asked() as database:
            database.execute(_END, which)


def counts_of(path: Path) -> dict[str, int]:
    """`Ledger.counts` of a database that others may be writing to; nothing is written."""
    with _looked_at(path) as database:
        return dict(database.execute("SELECT study_uid, objects FROM studies"))


def count_of(path: Path, image_ids: Collection[str]) -> int:
    """How many objects of a database are these images; nothing is written."""
    with _looked_at(path) as database:
        rows = database.execute("SELECT image_id FROM objects WHERE image_id IS NOT NULL")
        return sum(image_id in image_ids for (image_id,) in rows)


@contextmanager
def _looked_at(path: Path) -> Iterator[sqlite3.Connection]:
    """The database as it stands, to read; with what another process has written to its log alone."""
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    address = f"{path.absolute().as_uri()}?{how}"
    with _in_a_sentence(path), closing(sqlite3.connect(address, uri=True)) as database:
        _require_sound(database)
        yield database


def _uids(told: str) -> tuple[str, ...]:
    try:
        return tuple(msgspec.json.decode(told, type=list[str]))
    except UNDECODABLE as broken:
        raise sqlite3.DatabaseError("images of a report that cannot be read") from broken


def _require_sound(database: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError where a page is damaged, or a table is another's."""
    (told,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if told != "ok":
        raise sqlite3.DatabaseError(told)
    for table, columns in _COLUMNS.items():
        found = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        if found != columns:
            raise sqlite3.DatabaseError(f"table {table} has the columns {', '.join(found)}")


@contextmanager
def _in_a_sentence(path: Path) -> Iterator[None]:
    """Raises DatasetError where the database cannot be asked: it is damaged, or something hinders it."""
    try:
        yield
    except sqlite3.IntegrityError:  # the caller's: a report that is planned twice
        raise
    except sqlite3.Error as error:
        # the lower byte is the kind; what Python's own module says of a row has no code
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _HINDERED:
            raise DatasetError(
                f"{path} cannot be read or written ({error}). Is the disk full, or the file another user's? Then run "
                "the same command again."
            ) from error
        raise DatasetError(
            f"{path} is damaged ({error}). Move it away with its -wal and -shm, and run the same command again: what "
            "it held is asked of the PACS again, and ends in the same files and reports."
        ) from error
