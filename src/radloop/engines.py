"""Where shards of work run: in processes of this machine, or on the nodes of a Ray cluster.

A step cuts its work into shards of one plain function and lets an engine map it over them. The function gives the
same result wherever and however often it runs, for a shard is run again when the node that had it is lost.
"""

import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stdout
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import radloop
from radloop import processes
from radloop.errors import EngineError, UsageError

Shard = TypeVar("Shard")
Result = TypeVar("Result")

_IN_FLIGHT: Final = 2  # shards for each CPU of the cluster: one at work, one that waits beside it
_RETRIES: Final = 5  # of a shard whose node or process was lost
_CONNECT_SECONDS: Final = 5.0
_CHECK_SECONDS: Final = 60.0  # a node may have to start Python first
_LEAVE_SECONDS: Final = 20.0  # until a cluster with Ray's own settings counts a node as lost, and some more
_CANCELS: Final = 10  # times that a shard is asked to end, a second apart
_LOOK_SECONDS: Final = 2.0  # how often the cluster is asked whether it still has CPUs
_PATIENCE_SECONDS: Final = 120.0  # with a cluster that has none left: new ones may be on their way


class Engine(Protocol):
    """Where shards run."""

    @property
    def many_machines(self) -> bool:
        """Whether shards run on machines that may not see what this one sees."""

    @property
    def places(self) -> int:
        """How many shards run at once."""

    def map(
        self, function: Callable[[Shard], Result], shards: Collection[Shard], *, cpus: float = 1.0
    ) -> Iterator[Result]:
        """The result of every shard, in any order, as they come; what a shard raises is raised here.

        `cpus` is what a shard takes of a machine: less than 1 where it mostly waits. Shards that were not begun yet
        are dropped when the iterator is closed. Raises EngineError where a process or the cluster is lost for good.
        """

    def require(self, check: Callable[[], str | None]) -> None:
        """Raise EngineError where a machine that shards run on has something to say: what it lacks, as a clause."""


class Local:
    """This process, or `jobs` of this machine."""

    many_machines = False

    def __init__(self, jobs: int = 1) -> None:
        """Nothing is started yet."""
        self.places = jobs

    def map(
        self, function: Callable[[Shard], Result], shards: Collection[Shard], *, cpus: float = 1.0
    ) -> Iterator[Result]:
        """In this process where there is one job or one shard, else in processes that last as long as the iterator."""
        count = min(self.places, len(shards))
        if count <= 1:
            yield from map(function, shards)
            return
        with processes.pool(count) as pool:
            try:
                yield from pool.map(function, shards)
            except BrokenProcessPool as broken:
                raise EngineError(
                    "A worker process died, perhaps for want of memory. What was done before is kept: run the same "
                    "command again, with fewer --jobs."
                ) from broken

    def require(self, check: Callable[[], str | None]) -> None:
        """Nothing to ask: this machine does the work, and says itself what it lacks."""


HERE: Final = Local()


class _NodeError(EngineError):
    """A node has not answered, or went away with what it was doing."""


class Ray:
    """A Ray cluster, of which this machine is a node. One shard takes one CPU."""

    many_machines = True

    def __init__(self, ray: Any) -> None:
        """`ray` is the module, connected; `opened` does that."""
        self._ray = ray

    @property
    def places(self) -> int:
        """The CPUs of the nodes that are there now."""
        return sum(int(node["Resources"]["CPU"]) for node in self._nodes())

    def map(
        self, function: Callable[[Shard], Result], shards: Collection[Shard], *, cpus: float = 1.0
    ) -> Iterator[Result]:
        """Two shards in flight for each CPU, spread over the nodes, also over those that join on the way."""
        run = self._ray.remote(num_cpus=cpus, max_retries=_RETRIES, scheduling_strategy="SPREAD")(_run)
        shared = self._ray.put(function)
        waiting = iter(shards)
        pending: list[Any] = []
        places = looked = alive = 0.0
        try:
            while True:
                if (now := time.monotonic()) - looked > _LOOK_SECONDS:
                    looked, places = now, self.places
                    alive = now if places else alive or now
                    if now - alive > _PATIENCE_SECONDS:
                        raise EngineError(
                            "The Ray cluster has no node with CPUs left. What was done before is kept: start workers "
                            "and run the same command again."
                        )
                room = int(_IN_FLIGHT * max(places, 1) / cpus) - len(pending)
                pending += [run.remote(shared, shard) for shard in islice(waiting, max(room, 0))]
                if not pending:
                    return
                done, pending = self._ray.wait(pending, timeout=_LOOK_SECONDS)
                for reference in done:
                    yield self._result(reference)
        finally:
            if self._ray.is_initialized():  # else all has ended already, and asking for it would start Ray anew
                self._cancel(pending)

    def _cancel(self, pending: list[Any]) -> None:
        """Ask until they have ended: Ray passes over a shard that is just on its way to a worker."""
        for _ in range(_CANCELS):
            if not pending:
                return
            for reference in pending:
                self._ray.cancel(reference, force=True)
            _, pending = self._ray.wait(pending, num_returns=len(pending), timeout=1.0)

    def require(self, check: Callable[[], str | None]) -> None:
        """Ask every node that has CPUs, also whether it has this version of radloop; one that leaves is let go."""
        on = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {
            self._ray.remote(num_cpus=0, scheduling_strategy=on(node["NodeID"], soft=False))(_check).remote(
                radloop.__version__, check
            ): node
            for node in self._nodes()
        }
        silent: list[Any] = []
        if asked:
            _, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=_CHECK_SECONDS)
        self._cancel(silent)
        left = len(asked)
        for reference, node in asked.items():
            name = f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"
            try:
                if reference in silent:
                    raise _NodeError(f"Ray node {name} did not answer within {_CHECK_SECONDS:g} s. Is it well?")
                problem = self._result(reference, on=f" {name}")
            except _NodeError:
                if not self._leaves(node["NodeID"]):
                    raise
                left -= 1
            else:
                if problem:
                    raise EngineError(f"Ray node {name} {problem}.")
        if not left:
            raise EngineError("The Ray cluster has no node with CPUs. Start a worker: ray start --address=HEAD:6379.")

    def _leaves(self, node_id: str) -> bool:
        """Whether the cluster soon counts a node as lost: until then it lists the node as if nothing had happened."""
        end = time.monotonic() + _LEAVE_SECONDS
        while node_id in (node["NodeID"] for node in self._nodes()):
            if time.monotonic() > end:
                return False
            time.sleep(_LEAVE_SECONDS / 100)
        return True

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]

    def _result(self, reference: Any, *, on: str = "") -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as failed:
            if isinstance(failed.cause, ImportError):
                raise EngineError(
                    f"Ray node{on}: {failed.cause}. Every node needs the same Python and the same radloop[ray]."
                ) from failed
            raise failed.cause from failed
        except self._ray.exceptions.RayError as lost:
            reason = str(lost).strip().partition("\n")[0].rstrip(".")
            raise _NodeError(
                f"Ray node{on}: {reason}. What was done before is kept: run the same command again."
            ) from lost


@contextmanager
def opened(name: Literal["local", "ray"], *, jobs: int = 1, address: str = "auto") -> Iterator[Engine]:
    """The engine that a person names; Ray is left again at the end.

    Raises UsageError for an invalid address, EngineError where Ray is not installed, does not answer, or
    has no node to work on.
    """
    if name == "local":
        yield Local(jobs)
        return
    with redirect_stdout(sys.stderr):  # Ray tells there of lost nodes; it is kept for what a command prints
        ray = _connected(address)
        try:
            engine = Ray(ray)
            engine.require(_nothing)  # who is not there, or has another radloop, is told before long work
            yield engine
        finally:
            ray.shutdown()


def same_files(paths: Iterable[Path]) -> Callable[[], str | None]:
    """A check for `Engine.require`: whether a machine sees these files as this one does, by their size."""
    return partial(_differs, {path.absolute(): path.stat().st_size for path in paths})


@contextmanager
def shared_folder(folder: Path) -> Iterator[Callable[[], str | None]]:
    """A check for `Engine.require`, within the context: whether a machine writes to the same `folder` as this one."""
    probe = folder.absolute() / f".radloop-{secrets.token_hex(8)}.tmp"
    probe.write_text("Seen by all nodes?")
    try:
        yield partial(_cannot_share, probe, probe.stat().st_size)
    finally:
        probe.unlink(missing_ok=True)


def _cannot_share(probe: Path, size: int) -> str | None:
    beside = probe.with_name(f"{probe.name}.{secrets.token_hex(8)}.tmp")
    if problem := _differs({probe: size}):
        return problem
    try:
        beside.touch()
        beside.unlink()
    except OSError as error:
        return f"cannot write to {probe.parent} ({error.strerror}). Every node needs the same user's rights there"
    return None


def _differs(sizes: dict[Path, int]) -> str | None:
    for path, size in sizes.items():
        try:
            seen = os.stat(path).st_size
        except OSError as error:
            return (
                f"cannot see {path} ({error.strerror}). Every node needs that folder under the same name, from a "
                "shared file system"
            )
        if seen != size:
            return f"sees another file as {path} ({seen} bytes, not {size}). Every node needs the same shared folder"
    return None


def _run(function: Callable[[Shard], Result], shard: Shard) -> Result:
    """What Ray runs: it takes plain functions only, no partial ones."""
    return function(shard)


def _nothing() -> None:
    """Nothing is asked of a node but what `_check` asks by itself."""


def _check(version: str, check: Callable[[], str | None]) -> str | None:
    if radloop.__version__ != version:
        return f"has radloop {radloop.__version__}, not {version}. Install the same on every node"
    return check()


def _connected(address: str) -> Any:
    """The module `ray`, connected to the cluster at `address`."""
    if "://" in address:
        raise UsageError(
            f"--ray-address {address}: radloop runs on a node of the cluster and takes auto or HOST:PORT. From "
            "elsewhere, use `ray job submit -- radloop …`."
        )
    try:
        import ray
        import ray.util.scheduling_strategies
        from ray._private import services  # nothing public says what `auto` means
    except ImportError as missing:
        raise EngineError("--engine ray needs Ray: pip install 'radloop[ray]'.") from missing
    try:
        found = services.canonicalize_bootstrap_address(address)
        host, _, port = (found or "").rpartition(":")
        # Ray would wait for ever for a head that is not there, and could not be interrupted
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        ray.init(address=found, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as failed:
        reason = str(failed).strip().partition("\n")[0].rstrip(".")
        raise EngineError(
            f"--ray-address {address}: no Ray cluster can be reached there ({reason}). Start its head with "
            "`ray start --head`, and run radloop on one of its nodes."
        ) from failed
    return ray
