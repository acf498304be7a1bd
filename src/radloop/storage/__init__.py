"""Where datasets are kept: a folder, or any remote that rclone knows.

A key is a "/"-separated name relative to the store; a unit is a prefix with a manifest of its own (`organized`,
`organized/retrain`). What a store holds is changed by `storage.publish` only.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from radloop.engines import HERE, Engine
from radloop.progress import Progress, silent

_REMOTE: Final = re.compile(r"[\w.+@][\w.+@ -]*:")  # rclone's own rule for the names of remotes


@dataclass(frozen=True)
class Stored:
    """What a listing says of one key. `md5` is None where the store keeps none."""

    bytes: int
    md5: str | None


class Store(Protocol):
    """What every store can do: be read."""

    @property
    def address(self) -> str:
        """How the user names it."""

    def preflight(self) -> None:
        """Raise StoreError now for what would make a long run fail at its end."""

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

    def close(self) -> None:
        """End what was started for this store; it starts again when it is used again."""


@runtime_checkable
class ObjectStore(Store, Protocol):
    """A store without folders and without renames: objects one by one, each whole or not at all.

    Keys are relative to `prefix`. `upload` and `copy` raise StoreError only for what another try cannot mend; what
    came through otherwise is for the next listing to say.
    """

    @property
    def can_copy(self) -> bool:
        """Whether `copy` works."""

    def put(self, key: str, data: bytes) -> None:
        """Write one small object; it is there when this returns."""

    def upload(self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent) -> "Outcome":
        """Send the files `root`/key."""

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> "Outcome":
        """Let the store make each target from its source, {target: source}; no bytes travel."""

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        """Remove objects; what is missing already is no error."""


@dataclass(frozen=True)
class Outcome:
    """How a batch ended: the last error in the store's words, None where there was none; and the keys whose
    source was gone."""

    error: str | None = None
    gone: frozenset[str] = frozenset()


def open_store(address: str, *, engine: Engine = HERE) -> Store:
    """`name:path` is a remote of rclone (name it as in `rclone listremotes`), anything else a folder.

    The text alone decides, never what happens to exist. The nodes of an `engine` of many machines send to a remote
    together; a folder is linked into, which one machine does best.
    """
    from radloop.storage.folder import FolderStore
    from radloop.storage.rclone import RcloneStore
    from radloop.storage.spread import SpreadStore

    if not is_remote(address):
        return FolderStore(Path(address))
    return SpreadStore(address, engine) if engine.many_machines else RcloneStore(address)


def is_remote(address: str) -> bool:
    """Whether `address` names a remote of rclone.

    >>> is_remote("chi_tacc:object-persist-project19"), is_remote("./data/store"), is_remote("data/a:b")
    (True, False, False)
    """
    return _REMOTE.match(address) is not None
