"""A document that is too large to be held: it is made anew, part by part, each time that it is read."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Made:
    """Its parts, the same each time; its size and MD5."""

    parts: Callable[[], Iterable[bytes]]
    size: int
    md5: str

    @classmethod
    def of(cls, parts: Callable[[], Iterable[bytes]]) -> "Made":
        """Make it once, to see its size and MD5."""
        size, found = 0, hashlib.md5()
        for part in parts():
            size += len(part)
            found.update(part)
        return cls(parts, size, found.hexdigest())

    def write(self, path: Path) -> None:
        """Write it to a new file."""
        with path.open("xb") as file:
            file.writelines(self.parts())

    def is_in(self, path: Path) -> bool:
        """Whether the file holds it. Raises FileNotFoundError where there is none."""
        with path.open("rb") as file:
            return path.stat().st_size == self.size and hashlib.file_digest(file, "md5").hexdigest() == self.md5
