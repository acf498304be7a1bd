"""A document that is too large to be held: it is made anew, part by part, each time that it is read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from radloop import sums


@dataclass(frozen=True)
class Made:
    """Its parts, the same each time; its size and sums."""

    parts: Callable[[], Iterable[bytes]]
    size: int
    sums: sums.Sums

    @classmethod
    def of(cls, parts: Callable[[], Iterable[bytes]]) -> "Made":
        """Make it once, to see its size and sums."""
        return cls(parts, *sums.of_parts(parts()))

    def write(self, path: Path) -> None:
        """Write it to a new file."""
        with path.open("xb") as file:
            file.writelines(self.parts())

    def is_in(self, path: Path) -> bool:
        """Whether the file holds it. Raises FileNotFoundError where there is none."""
        return path.stat().st_size == self.size and sums.of_file(path) == self.sums
