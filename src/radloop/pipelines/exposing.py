"""The loop, looked at every so often -> what Prometheus asks for: `radloop monitor --serve`."""

import importlib.util
import ipaddress
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from radloop import __version__
from radloop.errors import RadloopError, UsageError
from radloop.options import Monitor
from radloop.pipelines.metrics.lines import Log
from radloop.pipelines.metrics.state import State, look
from radloop.progress import Progress, silent
from radloop.simulation import stopping
from radloop.simulation.journal import Journal, new_run_id

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_LATE: Final = 3  # intervals after which what was seen is told no more


@dataclass(frozen=True)
class Exposed:
    """What became of a server, at its end."""

    address: str
    looks: int
    failures: int
    log: Path
    notes: tuple[str, ...] = ()


@dataclass
class _Seen:
    """What the looks found so far; the thread that looks replaces it, those that answer read it."""

    state: State | None = None  # None: the last look could not read the loop, or there was none yet
    at: datetime | None = None  # when the last one began that could
    ended: float = 0.0  # of the monotonic clock
    seconds: float = 0.0
    looks: int = 0
    failures: int = 0


class Collector:
    """What a scrape is answered: of the last look, and no older than a few intervals."""

    def __init__(self, options: Monitor) -> None:
        """Look at nothing yet."""
        self.seen = _Seen()
        self._options: Monitor = options
        self._lock = threading.Lock()
        self._logs = dict(zip(("simulate", "watch"), map(Log, options.logs), strict=True))

    def is_well(self) -> bool:
        """Whether the last look could read the loop, and is not too long ago."""
        seen = self.seen
        late = _LATE * self._options.every.seconds + seen.seconds
        return seen.state is not None and time.monotonic() - seen.ended <= late

    def collect(self) -> "Iterator[Metric]":
        """As prometheus_client asks for it."""
        from radloop.pipelines.metrics import families

        seen, up = self.seen, self.is_well()
        yield from families.of_looks(
            __version__,
            up=up,
            every_s=self._options.every.seconds,
            seconds=seen.seconds,
            failures=seen.failures,
            at=seen.at,
        )
        if up and seen.state is not None:
            yield from families.of(seen.state)
        with self._lock:
            told = {program: log.read() for program, log in self._logs.items()}
            yield from families.of_logs(told)

    def look(self, journal: Journal, progress: Progress) -> None:
        """Look once; where that fails nothing of an earlier look is told any more, and the log says why."""
        begin, now, before = time.monotonic(), datetime.now(UTC), self.seen
        state, failures, at = None, before.failures, before.at
        try:
            state = look(self._options, now, progress)
            at = now
        except (RadloopError, OSError, pl.exceptions.PolarsError) as why:
            failures += 1
            journal.write("look-failed", message=str(why))
            told = f"the loop cannot be read: {why} It is looked at again in"
            progress(told, int(self._options.every.seconds), 0, "seconds")
        if state is not None and before.state is None:
            journal.write("look", feedback=state.feedback, reviews=state.reviews)
        end = time.monotonic()
        self.seen = _Seen(state, at, end, end - begin, before.looks + 1, failures)


def expose(options: Monitor, *, progress: Progress = silent) -> Exposed:
    """Look every so often and answer Prometheus, until SIGTERM or Ctrl-C.

    Raises UsageError where prometheus_client is missing, or the address cannot be listened on. A loop that cannot be
    read ends nothing: `radloop_up` is 0 then.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        raise UsageError("radloop monitor --serve needs prometheus_client: pip install 'radloop[monitor]'.")
    from prometheus_client import CollectorRegistry, ProcessCollector

    from radloop.pipelines.metrics import server

    stop, path = threading.Event(), Path(os.devnull) if options.dry_run else options.out / "logs" / "monitor.log"
    collector, registry = Collector(options), CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    with (
        stopping.by_signals(stop),
        server.serving(options.host, options.port, registry, collector.is_well) as address,
        Journal(path, new_run_id()) as journal,
    ):
        journal.write("start", address=address, every_seconds=options.every.seconds)
        progress(f"Prometheus is answered at {address}: looks", 0, 0, "seconds")
        while not stop.is_set():
            collector.look(journal, progress)
            stop.wait(options.every.seconds)
        journal.write("end", looks=collector.seen.looks, failures=collector.seen.failures)
    return Exposed(address, collector.seen.looks, collector.seen.failures, path, _notes(options.host))


def _notes(host: str) -> tuple[str, ...]:
    try:
        alone = ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = host == "localhost"
    return () if alone else (f"whoever reached {host} could read the metrics: they ask for no password",)
