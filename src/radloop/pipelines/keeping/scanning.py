"""Which files of OUT a backup holds, and which it leaves out."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from radloop import files, manifest, storage
from radloop.catalog import audit_lines, audit_log
from radloop.dicom import pseudonyms
from radloop.errors import StoreError
from radloop.feedback import logged
from radloop.options import Backup

KNOWN_FOLDER: Final = "backup"  # in OUT/private: what this machine knows of vaults, and what it is packing
MADE_AGAIN: Final = {
    "cache": "read again from the files",
    "raw": "`radloop extract` brings it again",
    "export": "`radloop export` makes it again",
}
_LOCK: Final = ".lock"
_TEMPORARY: Final = ".tmp"
_DATABASE: Final = ".db"
_BESIDE_DATABASE: Final = ("-wal", "-shm", "-journal")
_LOOKS: Final = 20  # at a folder to which people add


@dataclass(frozen=True)
class Found:
    """One file, as it was when it was listed."""

    path: str  # in a backup, relative to OUT
    place: Path  # on this machine
    size: int
    mode: int
    mtime_ns: int
    inode: tuple[int, int]

    @property
    def is_private(self) -> bool:
        """Whether it is its owner's alone: what leads back to patients, and secrets."""
        return self.path.startswith(f"{pseudonyms.FOLDER}/") or not self.mode & files.OTHERS


@dataclass(frozen=True)
class Scan:
    """All files, and the modes of their folders."""

    found: list[Found]
    folders: dict[str, int]
    left_out: tuple[str, ...]
    withheld: int = 0  # files that are private, and may not go where the backup goes


def scan(options: Backup, work: Path) -> Scan:
    """List all of OUT that is kept. What others only add to comes last: reviews, then the feedback that they speak of.

    Databases are copied below `work` first, whole, also while somebody writes to them.
    """
    out, found, folders = options.out, list[Found](), dict[str, int]()
    places = _places(options)
    tops = sorted(entry.name for entry in os.scandir(out)) if out.is_dir() else []
    left_out = tuple(f"{name}/: {why}" for name, why in MADE_AGAIN.items() if name in tops)
    for name in tops:
        if name in MADE_AGAIN or name in places or name.startswith("."):
            continue
        found += _below(out / name, name, folders, work)
    for name, place in places.items():
        if place.is_dir():
            listed = _settled if name == "reviews" else _below
            found += listed(place, name, folders, work)
    ours = f"{pseudonyms.FOLDER}/{KNOWN_FOLDER}"
    folders = {path: mode for path, mode in folders.items() if not f"{path}/".startswith(f"{ours}/")}
    kept = [one for one in found if not one.path.startswith(f"{ours}/")]
    return Scan([_whole(one, work) for one in kept], folders, left_out)


def _places(options: Backup) -> dict[str, Path]:
    """What has a place of its own, in the order in which it is read."""
    store = {} if storage.is_remote(options.store_address) else {"store": Path(options.store_address)}
    if store and store["store"].resolve() == options.out.resolve():
        store = {}  # the dataset in OUT is the store's
    return {**store, "reviews": options.reviews_folder, "feedback": options.feedback_folder}


def _settled(place: Path, name: str, folders: dict[str, int], work: Path) -> list[Found]:
    """The files of a folder once two listings agree: then whatever a file speaks of is among them."""
    before = list[Found]()
    for _ in range(_LOOKS):
        now = list(_below(place, name, folders, work))
        if {one.path for one in now} == {one.path for one in before}:
            break
        before = now
    return now


def _below(place: Path, name: str, folders: dict[str, int], work: Path) -> Iterator[Found]:
    """The files of a folder, or the file itself, by name; links are not followed, and not kept."""
    status = place.lstat()
    if stat.S_ISREG(status.st_mode):
        if not _is_passing(place.name):
            yield Found(name, place, status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns,
                        (status.st_dev, status.st_ino))  # fmt: skip
        return
    if not stat.S_ISDIR(status.st_mode):
        return
    folders[name] = stat.S_IMODE(status.st_mode)
    if name in logged.NAMES.values():
        yield from _log(place, name, work)
        return
    for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False) and entry.name.startswith(".") and entry.name != logged.FOLDER:
            continue  # what a command that was cut off has left
        if not manifest.is_safe_key(entry.name) or not entry.name.isprintable():
            raise StoreError(f"{place / entry.name!r} has a name that no backup can hold. Rename it.")
        try:
            yield from _below(Path(entry.path), f"{name}/{entry.name}", folders, work)
        except FileNotFoundError:
            continue  # it went while we looked


def _log(place: Path, name: str, work: Path) -> Iterator[Found]:
    """An audit log as it is at one moment: lines may be added after that, and its head is replaced, so it is copied."""
    with audit_log.still(place):
        for path in sorted(place.iterdir()):
            for one in _below(path, f"{name}/{path.name}", {}, work):
                yield _copy(one, work) if path.name == audit_lines.HEAD else one


def _copy(one: Found, work: Path) -> Found:
    copy = work / one.path.replace("/", "-")
    copy.write_bytes(one.place.read_bytes())
    status = copy.stat()
    return replace(one, place=copy, size=status.st_size, inode=(status.st_dev, status.st_ino))


def _is_passing(name: str) -> bool:
    is_lock = name.startswith(".") and name.endswith(_LOCK)
    return is_lock or name.endswith((_TEMPORARY, *_BESIDE_DATABASE))


def _whole(one: Found, work: Path) -> Found:
    """A database as a copy of its own."""
    if not (one.path.startswith(f"{pseudonyms.FOLDER}/") and one.path.endswith(_DATABASE)):
        return one
    copy = work / one.path.replace("/", "-")
    with closing(sqlite3.connect(one.place)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    return Found(one.path, copy, copy.stat().st_size, one.mode, one.mtime_ns, one.inode)
