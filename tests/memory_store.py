"""An object store in memory, for what no real server does at exactly the right moment."""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from radloop.progress import Progress, silent
from radloop.storage.change import Outcome, Stored
from radloop.storage.layout import key_in
from radloop.storage.objects import ObjectStore
from radloop.storage.quickest import Arrived, ignored


class KilledError(BaseException):
    """Stands for kill -9: nothing of radloop runs after it."""


class MemoryStore(ObjectStore):
    """An object store that can be killed at any request, can lag, and can keep no MD5s."""

    can_copy = True

    def __init__(self, *, can_copy: bool = True, keeps_md5: bool = True) -> None:
        self.address = "memory:"
        self.objects: dict[str, bytes] = {}
        self.can_copy = can_copy
        self.keeps_md5 = keeps_md5
        self.requests_left = sys.maxsize
        self.lag: dict[str, Stored | None] = {}  # what the next listing still shows of these keys
        self.refused: set[str] = set()
        self.uploaded: list[str] = []
        self.trace: list[str] = []

    def _request(self, what: str) -> None:
        self.trace.append(what)
        if self.requests_left == 0:
            raise KilledError
        self.requests_left -= 1

    def preflight(self) -> None: ...

    def close(self) -> None: ...

    def list(self, prefix: str = "", *, progress: Progress = silent) -> dict[str, Stored]:
        shown = {
            key: Stored(len(data), hashlib.md5(data).hexdigest() if self.keeps_md5 else None)
            for key, data in self.objects.items()
        }
        for key, stale in self.lag.items():
            if stale is None:
                shown.pop(key, None)
            else:
                shown[key] = stale
        self.lag = {}
        cut = len(prefix) + 1 if prefix else 0
        return {key[cut:]: stored for key, stored in shown.items() if not prefix or key.startswith(f"{prefix}/")}

    def top(self) -> set[str]:
        return {key.split("/")[0] for key in self.objects}

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def fetch(self, prefix: str, keys: Iterable[str], into: Path, *, progress: Progress = silent) -> dict[str, Path]:
        paths = {}
        for key in keys:
            self._request(f"GET {key}")
            if key_in(prefix, key) in self.objects:
                paths[key] = into / key
                paths[key].parent.mkdir(parents=True, exist_ok=True)
                paths[key].write_bytes(self.objects[key_in(prefix, key)])
        return paths

    def put(self, key: str, data: bytes) -> None:
        self._request(f"PUT {key}")
        self.objects[key] = data

    def upload(
        self, root: Path, prefix: str, keys: Iterable[str], *, progress: Progress = silent, arrived: Arrived = ignored
    ) -> Outcome:
        error = None
        for key in keys:
            self._request(f"PUT {prefix}/{key}")
            if key in self.refused:
                self.refused.remove(key)
                error = "503 Service Unavailable"
            else:
                self.objects[key_in(prefix, key)] = (root / key).read_bytes()
                self.uploaded.append(key)
                arrived([key])
        return Outcome(error)

    def copy(self, prefix: str, sources: Mapping[str, str], *, progress: Progress = silent) -> Outcome:
        assert self.can_copy
        gone = set()
        for target, source in sources.items():
            self._request(f"COPY {prefix}/{target}")
            if key_in(prefix, source) in self.objects:
                self.objects[key_in(prefix, target)] = self.objects[key_in(prefix, source)]
            else:
                gone.add(target)
        return Outcome("object not found" if gone else None, frozenset(gone))

    def delete(self, prefix: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._request(f"DELETE {prefix}/{key}")
            self.objects.pop(key_in(prefix, key), None)
