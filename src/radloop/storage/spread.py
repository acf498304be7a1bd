"""A remote that all nodes of a cluster send to. Everything but the bytes stays with the one who publishes."""

from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from radloop import engines, manifest
from radloop.engines import Engine
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage import Outcome
from radloop.storage.rclone import RcloneStore

_SHARD: Final = 512  # files: some seconds of work for a node, beside a fifth of a second for starting its rclone
_PATIENCE: Final = 6  # shards in a row that failed: then the server is down, not busy


class SpreadStore(RcloneStore):
    """A remote of rclone's. A file that is sent twice, because a node was lost, is the same object twice."""

    def __init__(self, address: str, engine: Engine) -> None:
        """Start nothing yet."""
        super().__init__(address)
        self._engine = engine

    def upload(self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent) -> Outcome:
        """Send the files `root`/key from all nodes, a shard of them at a time; a few of them from here."""
        names = list(keys)
        if len(names) <= _SHARD:
            return super().upload(root, prefix, names, progress=progress)
        root = root.absolute()
        self._engine.require(engines.same_files([root / manifest.NAME, root / names[0], root / names[-1]]))
        self._engine.require(partial(_refusal, self.address))

        shards = [names[start : start + _SHARD] for start in range(0, len(names), _SHARD)]
        sent, done, outcome, streak = 0, 0, Outcome(), 0
        total = sum((root / name).stat().st_size for name in names)
        for shard, ended in self._engine.map(partial(send_shard, self.address, root, prefix), shards):
            streak = streak + 1 if ended.error else 0
            outcome = ended if ended.error else outcome
            if streak == _PATIENCE:
                break
            done += len(shard)
            sent += sum((root / name).stat().st_size for name in shard)
            progress("upload", sent, total, "bytes")
            progress("uploaded files", done, len(names))
        return outcome


def send_shard(address: str, root: Path, prefix: str, keys: list[str]) -> tuple[list[str], Outcome]:
    """Send the files `root`/key from this machine: the keys, and how it ended."""
    with closing(RcloneStore(address)) as store:
        return keys, store.upload(root, prefix, keys)


def _refusal(address: str) -> str | None:
    """What keeps this machine from sending to `address`."""
    try:
        with closing(RcloneStore(address)) as store:
            store.preflight()
    except StoreError as refused:
        return f"cannot reach the store: {str(refused).rstrip('.')}. Every node needs rclone and its configuration"
    return None
