"""Where backups lie: a folder or a remote that is only ever added to, and of which old things are removed by name.

A vault holds files under FOLDER, each written once and whole, under a name that nothing else ever has.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from radloop import files, storage
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.folder import explained, walk
from radloop.storage.objects import ObjectStore
from radloop.storage.rclone import RcloneStore

FOLDER: Final = "radloop-backup"
_OWNER_FOLDER: Final = 0o700
_OWNER_FILE: Final = 0o600
_TRIES: Final = 3


class Vault(Protocol):
    """What a backup needs of a place."""

    address: str
    leaves_the_house: bool  # what is in it may be read by whoever runs it

    def preflight(self) -> None:
        """Raise StoreError where it cannot be used."""

    def listing(self) -> dict[str, int]:
        """The size of every file by key."""

    def get(self, key: str) -> bytes | None:
        """The bytes of a small one."""

    def put(self, folder: Path, keys: Sequence[str], *, progress: Progress = silent) -> None:
        """Write the files `folder`/key, and verify what was written. Raises StoreError."""

    def fetch(self, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Where each of `keys` lies on this machine now; those that are missing are left out."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove them; what is missing already is no error."""

    def close(self) -> None:
        """End what was started."""


def opened(address: str) -> Vault:
    """The vault of an address: a folder, or a remote of rclone."""
    return ObjectVault(RcloneStore(address)) if storage.is_remote(address) else FolderVault(Path(address))


class FolderVault:
    """A folder, of its owner alone."""

    leaves_the_house = False

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self.address = str(root)
        self._root = root / FOLDER

    def preflight(self) -> None:
        """Raise StoreError where it cannot be written."""
        storage.open_store(self.address).preflight()

    def listing(self) -> dict[str, int]:
        """Of whole files."""
        with explained(self.address):
            return {key: told.st_size for key, told in walk(self._root) if not key.endswith(".tmp")}

    def get(self, key: str) -> bytes | None:
        """None where there is none."""
        with explained(self.address):
            path = self._root / key
            return path.read_bytes() if path.is_file() else None

    def put(self, folder: Path, keys: Sequence[str], *, progress: Progress = silent) -> None:
        """Each by a temporary name and a rename, flushed to the disk, and read again."""
        with explained(self.address):
            for done, key in enumerate(keys, 1):
                target, source = self._root / key, folder / key
                target.parent.mkdir(mode=_OWNER_FOLDER, parents=True, exist_ok=True)
                os.chmod(self._root, _OWNER_FOLDER)
                temporary = target.with_name(f"{target.name}.tmp")
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _OWNER_FILE)
                with source.open("rb") as read, open(descriptor, "wb") as written:
                    shutil.copyfileobj(read, written, 1 << 20)
                    written.flush()
                    os.fsync(written.fileno())
                if sha256(temporary) != sha256(source):
                    raise StoreError(
                        f"{target} is not what was written. Is the disk sound? Run the same command again."
                    )
                os.replace(temporary, target)
                files.flush_folder(target.parent)
                progress("write", done, len(keys))

    def fetch(self, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Where they lie; nothing is copied."""
        paths = {key: self._root / key for key in keys}
        return {key: path for key, path in paths.items() if path.is_file()}

    def delete(self, keys: Iterable[str]) -> None:
        """By name."""
        with explained(self.address):
            for key in keys:
                (self._root / key).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing was started."""


class ObjectVault:
    """A remote, by the requests of its store."""

    leaves_the_house = True

    def __init__(self, store: ObjectStore) -> None:
        """Ask nothing yet."""
        self._store = store
        self.address = store.address

    def preflight(self) -> None:
        """As the store's own."""
        self._store.preflight()

    def listing(self) -> dict[str, int]:
        """From one listing."""
        return {key: stored.bytes for key, stored in self._store.list(FOLDER).items()}

    def get(self, key: str) -> bytes | None:
        """None where there is none."""
        return self._store.get(f"{FOLDER}/{key}")

    def put(self, folder: Path, keys: Sequence[str], *, progress: Progress = silent) -> None:
        """All together; then what the store lists is compared, by size and, where it keeps one, by MD5."""
        if not keys:
            return
        missing, error = list(keys), None
        until = time.monotonic() + self._store.settle_seconds
        for _ in range(_TRIES):
            error = self._store.upload(folder, FOLDER, missing, progress=progress).error
            while (missing := self._missing(folder, missing)) and error is None and time.monotonic() < until:
                time.sleep(1)  # a listing may lag behind
            if not missing:
                return
        raise StoreError(
            f"{self.address}: {missing[0]} is not there as it was sent ({error or 'another size or MD5'})."
        )

    def _missing(self, folder: Path, keys: Sequence[str]) -> list[str]:
        listed = self._store.list(FOLDER)
        return [
            key for key in keys if (there := listed.get(key)) is None or not _is(folder / key, there.bytes, there.md5)
        ]

    def fetch(self, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Below `into`."""
        return self._store.fetch(FOLDER, keys, into, progress=progress)

    def delete(self, keys: Iterable[str]) -> None:
        """By name."""
        self._store.delete(FOLDER, keys)

    def close(self) -> None:
        """End the store's program."""
        self._store.close()


def _is(path: Path, size: int, md5: str | None) -> bool:
    if path.stat().st_size != size:
        return False
    with path.open("rb") as file:
        return md5 is None or hashlib.file_digest(file, "md5").hexdigest() == md5


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
