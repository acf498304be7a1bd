"""Many histories, one after the other in one process, and what came of them together."""

import atexit
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from . import windows
from .play import Played, Player, drawn, shrunk
from .world import World

_MEMORY: Final = Path("/dev/shm")


@dataclass
class Told:
    """What came of some histories."""

    histories: int = 0
    requests: int = 0
    switches: int = 0  # of the baton, in the middle of a step
    endings: dict[str, int] = field(default_factory=dict)  # "step: how it ended"
    wrong: dict[int, list[str]] = field(default_factory=dict)  # by seed

    def lines(self) -> list[str]:
        """A table of how steps ended, and what went wrong."""
        kinds = ("done", "refused", "killed")
        names = sorted({one.split(": ")[0] for one in self.endings})
        rows = [[name, *(str(self.endings.get(f"{name}: {kind}", 0)) for kind in kinds)] for name in names]
        table = ["| step | " + " | ".join(kinds) + " |", "|---|" + "--:|" * len(kinds)]
        table += ["| " + " | ".join(row) + " |" for row in rows]
        told = f"{self.histories:,} histories, {self.requests:,} requests, {self.switches:,} changes of the baton: "
        told += f"{len(self.wrong)} went wrong."
        return [*table, "", told, *(f"seed {seed}: {what[0]}" for seed, what in sorted(self.wrong.items()))]


def together(parts: Iterable[Told]) -> Told:
    """The sum of parts."""
    whole = Told()
    for part in parts:
        whole.histories += part.histories
        whole.requests += part.requests
        whole.switches += part.switches
        whole.endings = dict(Counter(whole.endings) + Counter(part.endings))
        whole.wrong |= part.wrong
    return whole


@cache
def player() -> Player:
    """This process's world, in memory where the machine has a place there."""
    base = Path(tempfile.mkdtemp(prefix="radloop-histories-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    return Player(World(base / "world"))


def play_some(first: int, count: int) -> Told:
    """The histories of seeds that follow each other."""
    told = Told()
    for seed in range(first, first + count):
        history = drawn(seed)
        played = player().play(history)
        told.histories += 1
        told.requests += played.requests
        told.switches += played.switches
        told.endings = dict(Counter(told.endings) + Counter(played.endings))
        if played.wrong:
            told.wrong[seed] = played.wrong
    return told


def play_windows(every: int) -> dict[str, str]:
    """What went wrong with the histories of `windows`, by name."""
    chosen = [*list(windows.stopped())[::every], *windows.swept(every)]
    return {name: wrong[0] for name, history in chosen if (wrong := player().play(history).wrong)}


def play_one(seed: int, *, shrink: bool) -> int:
    """One history, told; 1 where it goes wrong."""
    history = drawn(seed)
    played = player().play(history, traced=not shrink)
    if played.wrong and shrink:
        what = _kind(played.wrong)
        history = shrunk(player(), history, lambda one: what in map(_first, one.wrong))
        played = player().play(history, traced=True)
    _tell(str(history).splitlines(), played)
    return 1 if played.wrong else 0


def _kind(wrong: Sequence[str]) -> str:
    return _first(wrong[0])


def _first(sentence: str) -> str:
    """What goes wrong, whatever it goes wrong with."""
    return " ".join(sentence.split()[:2])


def _tell(history: Iterable[str], played: Played) -> None:
    print(*history, "", *played.told, "", *(played.wrong or ["nothing went wrong"]), sep="\n")
