"""The log of a run: JSON lines, each written whole, so that a kill leaves no half of one."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from radloop import files

_CREDENTIALS: Final = re.compile(r"//[^/\s\"]+@")  # a password may hold an @


class Journal:
    """Appends to `path`; may be written to from many threads, and from many processes."""

    def __init__(self, path: Path, run_id: str) -> None:
        """Every line says which run it is of."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._run_id = run_id
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._end_cut_line()

    def write(self, event: str, **fields: Any) -> None:
        """One line: the time, the event, the run, and `fields`; user names and passwords in addresses are left out."""
        line = {"time": datetime.now(UTC).isoformat(), "event": event, "run_id": self._run_id, **fields}
        text = _CREDENTIALS.sub("//", json.dumps(line, ensure_ascii=False))
        files.write_all(self._descriptor, text.encode(errors="replace") + b"\n")  # of a path that is not UTF-8

    def adopt(self, log: Path) -> None:
        """Append the whole lines of another log, each in one piece."""
        with log.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    files.write_all(self._descriptor, line)

    def _end_cut_line(self) -> None:
        """A full disk or a lost machine can cut a line in half: what comes now must not be glued to it."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            files.write_all(self._descriptor, b"\n")

    def __enter__(self) -> Self:
        """Nothing more is opened."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An error that ends the run is its last line."""
        if error is not None:
            self.write("failed", message=str(error) or type(error).__name__)
        os.close(self._descriptor)
