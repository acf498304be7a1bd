"""A folder in which files come and go while the server runs."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SETTLED_NS: Final = 2_000_000_000  # a folder changed longer ago can be told from its time alone


class Watched(Generic[T]):
    """A folder that is read again when something came or went; no file in it is ever changed."""

    def __init__(self, folder: Path, read: Callable[[Path, T | None], T]) -> None:
        self._folder, self._read = folder, read
        self._lock = threading.Lock()
        self._changed_ns = self._listed_ns = 0
        self._generation = 0
        self._held: T | None = None

    def now(self) -> tuple[int, T]:
        """How often it was read anew, and what it holds now. Raises OSError where it cannot be read."""
        with self._lock:
            changed_ns = os.stat(self._folder).st_mtime_ns
            settled = self._listed_ns - self._changed_ns > _SETTLED_NS
            if self._held is None or changed_ns != self._changed_ns or not settled:
                self._changed_ns, self._listed_ns = changed_ns, time.time_ns()
                found = self._read(self._folder, self._held)
                self._generation += found is not self._held
                self._held = found
            return self._generation, self._held
