"""Where attested files lie: OUT, a store that is a folder, or a remote. Each file is hashed as it streams by."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from radloop import manifest, tree
from radloop.catalog import attestations
from radloop.catalog.attested import Seen
from radloop.progress import Progress, silent
from radloop.storage import Store

_TOPS: Final = (manifest.UNIT, manifest.MODELS, manifest.ATTESTATIONS, "feedback", "reviews", attestations.AUDIT)
_OF_PEOPLE: Final = ("feedback", "reviews", attestations.AUDIT)  # what only OUT has
_OUTS_OWN: Final = (*_OF_PEOPLE, "logs", "private", "raw", "store")  # by any of these a folder is OUT, whatever is gone
_TRAINERS_OWN: Final = (".cache", ".npy")  # what training leaves in a dataset's folders
_AT_ONCE: Final = 2**20  # bytes
_BATCH: Final = 500  # files of a remote
_TOLD: Final = 500  # files between two words of progress


class Place(Protocol):
    """Files by name, relative to OUT or to the store."""

    def names(self) -> dict[str, int]:
        """How large each file is that an attestation may speak of."""

    def look(self, names: Iterable[str], *, progress: Progress = silent) -> dict[str, Seen]:
        """What they are; those that are gone, or cannot be read, are left out."""

    def get(self, name: str) -> bytes | None:
        """The bytes of a small file; None where it is not there."""

    def start(self, name: str, size: int) -> str | None:
        """The SHA-256 of the first bytes of a file; None where it is not there."""


class FolderPlace:
    """OUT, or a folder that is a store."""

    def __init__(self, root: Path, elsewhere: Mapping[str, Path] | None = None) -> None:
        """`elsewhere`: where feedback and reviews lie, if not below `root`."""
        self.root = root
        self._tops = {top: root / top for top in _TOPS} | dict(elsewhere or {})
        self._known: dict[tuple[int, ...], Seen] = {}  # of one file with several names

    def folder(self, top: str) -> Path:
        """Where the files lie whose names begin so."""
        return self._tops[top]

    @property
    def is_store(self) -> bool:
        """Whether nothing lies here of what only OUT has."""
        return not any(self._tops.get(top, self.root / top).is_dir() for top in _OUTS_OWN)

    def names(self) -> dict[str, int]:
        """How large each file is that an attestation may speak of."""
        found = dict[str, int]()
        if (stones := self.root / tree.TOMBSTONES).is_file():
            found[tree.TOMBSTONES] = stones.stat().st_size
        for top, folder in self._tops.items():
            found |= {f"{top}/{name}": size for name, size in _walk(folder)}
        return found

    def look(self, names: Iterable[str], *, progress: Progress = silent) -> dict[str, Seen]:
        """What they are; those that are gone, or cannot be read, are left out."""
        asked, found = sorted(names), {}
        for done, name in enumerate(asked):
            if not done % _TOLD:
                progress("hash", done, len(asked), "files")
            try:
                with self._path(name).open("rb", buffering=0) as file:
                    found[name] = self._seen(file)
            except OSError:
                continue
        progress("hash", len(asked), len(asked), "files")
        return found

    def get(self, name: str) -> bytes | None:
        """The bytes of a small file; None where it is not there."""
        try:
            return self._path(name).read_bytes()
        except OSError:
            return None

    def start(self, name: str, size: int) -> str | None:
        """The SHA-256 of the first bytes of a file; None where it is not there."""
        try:
            with self._path(name).open("rb", buffering=0) as file:
                return _start(file, size)
        except OSError:
            return None

    def _path(self, name: str) -> Path:
        top, slash, rest = name.partition("/")
        return self._tops.get(top, self.root / top) / rest if slash else self.root / name

    def _seen(self, file: BinaryIO) -> Seen:
        told = os.fstat(file.fileno())
        same = (told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)
        if told.st_nlink == 1:
            return _seen(file)
        if same not in self._known:
            self._known[same] = _seen(file)
        return self._known[same]


class StorePlace:
    """A remote. What lies there is brought here some files at a time, hashed, and removed."""

    def __init__(self, store: Store) -> None:
        """Look at nothing yet."""
        self._store = store
        self.md5s: dict[str, str | None] = {}  # as the store tells them, after `names`

    def names(self) -> dict[str, int]:
        """How large each file is that an attestation may speak of."""
        found = dict[str, int]()
        for top in (top for top in _TOPS if top not in _OF_PEOPLE):
            listing = {f"{top}/{key}": stored for key, stored in self._store.list(top).items() if _is_shown(key)}
            found |= {name: stored.bytes for name, stored in listing.items()}
            self.md5s |= {name: stored.md5 for name, stored in listing.items()}
        return found

    def look(self, names: Iterable[str], *, progress: Progress = silent) -> dict[str, Seen]:
        """What they are; those that are gone, or cannot be read, are left out."""
        asked, found, done = sorted(names), dict[str, Seen](), 0
        waiting = iter(asked)
        while some := list(islice(waiting, _BATCH)):
            with tempfile.TemporaryDirectory() as folder:
                for name, path in self._store.fetch("", some, Path(folder)).items():
                    with path.open("rb", buffering=0) as file:
                        found[name] = _seen(file)
            done += len(some)
            progress("hash", done, len(asked), "files")
        return found

    def get(self, name: str) -> bytes | None:
        """The bytes of a small file; None where it is not there."""
        return self._store.get(name)

    def start(self, name: str, size: int) -> str | None:
        """The SHA-256 of the first bytes of a file; None where it is not there."""
        data = self._store.get(name)
        return None if data is None else hashlib.sha256(data[:size]).hexdigest()


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """(name, size) of every file in a folder and in the folders in it, but for what is hidden or temporary."""
    pending = [("", folder)]
    while pending:
        prefix, current = pending.pop()
        try:
            entries = os.scandir(current)
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if _is_shown(entry.name):
                        pending.append((f"{prefix}{entry.name}/", Path(entry.path)))
                elif _is_shown(entry.name):
                    yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size


def _is_shown(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and not name.endswith((".tmp", *_TRAINERS_OWN))


def _seen(file: BinaryIO) -> Seen:
    size, sha256, md5 = 0, hashlib.sha256(), hashlib.md5()
    while data := file.read(_AT_ONCE):
        size += len(data)
        sha256.update(data)
        md5.update(data)
    return Seen(size, sha256.hexdigest(), md5.hexdigest())


def _start(file: BinaryIO, size: int) -> str:
    sha256 = hashlib.sha256()
    while size and (data := file.read(min(size, _AT_ONCE))):
        sha256.update(data)
        size -= len(data)
    return sha256.hexdigest()
