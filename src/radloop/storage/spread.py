"""A remote that all nodes of a cluster send to. What is sent, and in which order, stays with the one who publishes."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from radloop import engines, manifest
from radloop.engines import Engine
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.change import Outcome
from radloop.storage.quickest import Arrived, ignored
from radloop.storage.rclone import RcloneStore

_SHARD: Final = 512  # files: some seconds of work for a node, beside a fifth of a second for starting its rclone
_PATIENCE: Final = 6  # shards in a row that failed: then the server is down, not busy


class SpreadStore(RcloneStore):
    """A remote of rclone's. A file that is sent twice, because a node was lost, is the same object twice."""

    finds_quickest = False  # each node has a line of its own

    def __init__(self, address: str, engine: Engine) -> None:
        """Start nothing yet."""
        super().__init__(address)
        self._engine = engine

    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        """Send the files `root`/key from all nodes, a shard of them at a time; a few of them from here."""
        names, root = list(keys), root.absolute()
        if len(names) <= _SHARD:
            return super().upload(root, prefix, names, progress=progress, arrived=arrived)
        self._engine.require(engines.same_files([root / manifest.NAME, root / names[0], root / names[-1]]))
        return self._spread("uploaded files", partial(upload_shard, self.address, root, prefix), names, progress)

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        """Let the server make {target: source}, asked by all nodes; a few of them from here."""
        if len(sources) <= _SHARD:
            return super().copy(prefix, sources, progress=progress)
        return self._spread("server copies", partial(copy_shard, self.address, prefix), list(sources.items()), progress)

    def _spread(
        self, what: str, act: Callable[[list[Any]], tuple[int, Outcome]], items: list[Any], progress: Progress
    ) -> Outcome:
        self._engine.require(partial(_refusal, self.address))
        shards = [items[start : start + _SHARD] for start in range(0, len(items), _SHARD)]
        done, streak, error, gone = 0, 0, None, frozenset[str]()
        for count, outcome in self._engine.map(act, shards):
            streak = streak + 1 if outcome.error else 0
            error, gone = outcome.error or error, gone | outcome.gone
            if streak == _PATIENCE:
                break
            done += count
            progress(what, done, len(items))
        return Outcome(error, gone)


def upload_shard(address: str, root: Path, prefix: str, keys: list[str]) -> tuple[int, Outcome]:
    """Send the files `root`/key from this machine: how many, and how it ended."""
    with closing(RcloneStore(address)) as store:
        return len(keys), store.upload(root, prefix, keys)


def copy_shard(address: str, prefix: str, sources: list[tuple[str, str]]) -> tuple[int, Outcome]:
    """Let the server make (target, source), asked by this machine: how many, and how it ended."""
    with closing(RcloneStore(address)) as store:
        return len(sources), store.copy(prefix, dict(sources))


def _refusal(address: str) -> str | None:
    """What keeps this machine from sending to `address`."""
    try:
        with closing(RcloneStore(address)) as store:
            store.preflight()
    except StoreError as refused:
        return f"cannot reach the store: {str(refused).rstrip('.')}. Every node needs rclone and its configuration"
    return None
