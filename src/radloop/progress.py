"""How a step says how far it is, without knowing whether anybody looks."""

from typing import Protocol


class Progress(Protocol):
    """Called as `progress(what, done, total, unit)`, at most some ten times a second for each `what`.

    `what` names the work ("pictures", "upload"), `unit` is what is counted ("files", "bytes"). `total` may grow.
    """

    def __call__(self, what: str, done: int, total: int, unit: str = "files") -> None: ...


def silent(what: str, done: int, total: int, unit: str = "files") -> None:
    """Nobody looks."""


class Parts:
    """Tells pieces of work as one: each goes on where those before it ended."""

    def __init__(self, progress: Progress) -> None:
        """Nothing was done yet."""
        self._progress = progress
        self._done: dict[str, int] = {}

    def part(self) -> Progress:
        """How the next piece is told."""
        before = dict(self._done)

        def tell(what: str, done: int, total: int, unit: str = "files") -> None:
            start = before.get(what, 0)
            self._done[what] = start + done
            self._progress(what, start + done, start + total, unit)

        return tell
