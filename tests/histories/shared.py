"""One store that all machines share, and the baton: only one of them runs at a time, until a request hands it on."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memory_store import KilledError
from radloop.errors import StoreError
from radloop.progress import Progress, silent
from radloop.storage.change import Outcome, Stored
from radloop.storage.layout import key_in
from radloop.storage.objects import ObjectStore
from radloop.storage.quickest import Arrived, ignored

ADDRESS: Final = "shared:store"
BUSY: Final = "503 Service Unavailable"

Request = tuple[str, ...]  # what is asked, and of which key


@dataclass
class Objects:
    """What the store holds: the last writer of a key wins, and nothing can be locked."""

    can_copy: bool = True
    keeps_md5: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    watch: Callable[[str, bytes], None] = field(default=lambda key, data: None)  # told of every key that is written

    def answer(self, request: Request, data: bytes | None) -> Any:
        """Do what a request says."""
        kind, key = request[:2]
        if kind == "get":
            return self.objects.get(key)
        if kind == "list":
            prefix, cut = (f"{key}/", len(key) + 1) if key else ("", 0)
            return tuple(
                (one[cut:], len(it), self._md5(it)) for one, it in self.objects.items() if one.startswith(prefix)
            )
        if kind == "top":
            return tuple(sorted({one.split("/")[0] for one in self.objects}))
        if kind == "copy":
            data = self.objects.get(request[2])
            if data is None:
                return "gone"
        if kind == "delete":
            self.objects.pop(key, None)
            return None
        assert data is not None
        self.objects[key] = data
        self.watch(key, data)
        return None

    def _md5(self, data: bytes) -> str | None:
        return md5(data) if self.keeps_md5 else None


_SUMS: dict[bytes, str] = {}


def md5(data: bytes) -> str:
    """The same few thousand contents are asked for again and again."""
    if data not in _SUMS:
        _SUMS[data] = hashlib.md5(data).hexdigest()
    return _SUMS[data]


class Failed:
    """The answer to a request that the server refused."""


FAILED: Final = Failed()

Ask = Callable[[Request, bytes | None], Any]


class Wire(ObjectStore):
    """The store as radloop on one machine has it: every request goes through `ask`."""

    settle_seconds = 0.0
    can_copy = True

    def __init__(self, ask: Ask, *, can_copy: bool) -> None:
        self.address = ADDRESS
        self.can_copy = can_copy
        self._ask = ask

    def _asked(self, request: Request, data: bytes | None = None) -> Any:
        answer = self._ask(request, data)
        if answer is FAILED:
            raise StoreError(f"{self.address}: {BUSY}. Run the same command again when it answers.")
        return answer

    def preflight(self) -> None:
        self.top()

    def close(self) -> None: ...

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        return {key: Stored(size, said) for key, size, said in self._asked(("list", prefix))}

    def top(self) -> set[str]:
        return set(self._asked(("top", "")))

    def get(self, key: str) -> bytes | None:
        return self._asked(("get", key))

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        paths = {}
        for key in keys:
            data = self._asked(("get", key_in(prefix, key)))
            if data is not None:
                paths[key] = into / key
                paths[key].parent.mkdir(parents=True, exist_ok=True)
                paths[key].write_bytes(data)
        return paths

    def put(self, key: str, data: bytes) -> None:
        self._asked(("put", key, md5(data)), data)

    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        error = None
        for key in keys:
            data = (root / key).read_bytes()
            if self._ask(("put", key_in(prefix, key), md5(data)), data) is FAILED:
                error = BUSY
            else:
                arrived([key])
        return Outcome(error)

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        gone, error = set(), None
        for target, source in sources.items():
            answer = self._ask(("copy", key_in(prefix, target), key_in(prefix, source)), None)
            if answer is FAILED:
                error = BUSY
            elif answer == "gone":
                gone.add(target)
        return Outcome(error or ("object not found" if gone else None), frozenset(gone))

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._asked(("delete", key_in(prefix, key)))


class Baton:
    """Who runs. It goes on to the next machine at the requests that a history names, and where one is done."""

    def __init__(self, count: int, switches: Iterable[int]) -> None:
        self.requests = self.changes = 0
        self._switches = frozenset(switches)
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._done = [False] * count
        self._end = threading.Semaphore(0)

    def start(self) -> None:
        """Let the first machine run, and return when all are done."""
        self._turns[0].release()
        self._end.acquire()

    def begin(self, me: int) -> None:
        """Wait for the first turn."""
        self._turns[me].acquire()

    def request(self, me: int) -> None:
        """Count a request, and hand the baton on where the history says so."""
        self.requests += 1
        if self.requests in self._switches:
            self.hand_on(me)

    def hand_on(self, me: int) -> None:
        """Let the next one run that is not done; come back when it is this one's turn again."""
        following = self._next(me)
        if following != me:
            self.changes += 1
            self._turns[following].release()
            self._turns[me].acquire()

    def finish(self, me: int) -> None:
        """Be done."""
        following = self._next(me)
        self._done[me] = True
        (self._end if following == me else self._turns[following]).release()

    def _next(self, me: int) -> int:
        count = len(self._turns)
        others = ((me + step) % count for step in range(1, count))
        return next((one for one in others if not self._done[one]), me)


__all__ = ["ADDRESS", "FAILED", "Baton", "KilledError", "Objects", "Request", "Wire", "md5"]
