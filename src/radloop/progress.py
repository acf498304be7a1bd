"""How a step says how far it is, without knowing whether anybody looks."""

from typing import Protocol


class Progress(Protocol):
    """Called as `progress(what, done, total, unit)`, at most some ten times a second for each `what`.

    `what` names the work ("pictures", "upload"), `unit` is what is counted ("files", "bytes"). `total` may grow.
    """

    def __call__(self, what: str, done: int, total: int, unit: str = "files") -> None: ...


def silent(what: str, done: int, total: int, unit: str = "files") -> None:
    """Nobody looks."""
