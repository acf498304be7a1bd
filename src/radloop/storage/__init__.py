"""Where datasets are kept: a folder, or any remote that rclone knows.

A key is a "/"-separated name relative to the store; a unit is a prefix with a manifest of its own (`organized`,
`organized/retrain`). What a store holds is changed by `storage.publish` only: it computes the change, and each store
commits it its own way. A new store is a module with such a class and its line in `open_store`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from radloop.engines import HERE, Engine
from radloop.progress import Progress, silent
from radloop.storage.change import Change, Stored, Transfers

_REMOTE: Final = re.compile(r"[\w.+@][\w.+@ -]*:")  # rclone's own rule for the names of remotes


class Store(Protocol):
    """Can be read, and commits a change its own way. Nobody asks which kind it is."""

    @property
    def address(self) -> str:
        """How the user names it."""

    def preflight(self) -> None:
        """Raise StoreError now for what would make a long run fail at its end."""

    def rehearse(self) -> None:
        """`preflight`, and where only a try tells whether this user may write, one small object that goes again."""

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        """Everything under `prefix`, by key relative to it; empty where there is nothing."""

    def top(self) -> set[str]:
        """The first parts of all keys."""

    def get(self, key: str) -> bytes | None:
        """The bytes of one small object; None where it is missing."""

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        """Bring objects to this machine in one go: where each of `keys`, relative to `prefix`, lies now.

        A folder brings nothing, it says where they lie already; a remote writes below `into`. Nothing is verified
        here, and keys that the store does not hold are left out.
        """

    def admit(self, root: Path, prefix: str) -> None:
        """Raise StoreError where the folder `root` cannot be published as the unit `prefix`; nothing is read."""

    def recover(self, prefix: str) -> None:
        """Put in order what a killed `commit` left of a unit, as far as that is no matter of the next change."""

    def foresee(self, change: Change) -> Transfers:
        """What `commit` would do; nothing is written."""

    def commit(self, change: Change, *, progress: Progress = silent) -> Transfers:
        """Make the change, verified by size and MD5; write nothing where none is needed.

        Killed at any moment it leaves the old unit or the new one, or a marker that tells readers to wait; the next
        commit ends in the same bytes as one that nothing disturbed. Raises DatasetError where the change's files are
        not what their manifest says, StoreError where the store refuses or fails.
        """

    def close(self) -> None:
        """End what was started for this store; it starts again when it is used again."""


def open_store(address: str, *, engine: Engine = HERE, durable: bool = False) -> Store:
    """`name:path` is a remote of rclone (name it as in `rclone listremotes`), anything else a folder.

    The text alone decides, never what happens to exist. The nodes of an `engine` of many machines send to a remote
    together; a folder is linked into, which one machine does best. With `durable` a folder is flushed to its
    disk before a commit ends; a remote answers for its own disks.
    """
    from radloop.storage.folder import FolderStore
    from radloop.storage.rclone import RcloneStore
    from radloop.storage.spread import SpreadStore

    if not is_remote(address):
        return FolderStore(Path(address), durable=durable)
    return SpreadStore(address, engine) if engine.many_machines else RcloneStore(address)


def is_remote(address: str) -> bool:
    """Whether `address` names a remote of rclone.

    >>> is_remote("chi_tacc:object-persist-project19"), is_remote("./data/store"), is_remote("data/a:b")
    (True, False, False)
    """
    return _REMOTE.match(address) is not None
