"""Histories that no chance draws: a command is held at a request while the other machine's runs."""

from collections.abc import Iterator
from typing import Final

from .play import STOPS, History, Step

_HELD: Final = ("load", "retrain", "ingest")
_MOST: Final = 60  # requests of a command that is held, after those of the steps before it


def stopped() -> Iterator[tuple[str, History]]:
    """Two loads, each held once before one of the writes that matter: where both meet, and where one is whole."""
    for published in (True, False):
        for first in STOPS:
            for second in (None, *STOPS):
                name = f"load held before {first}, load held before {second}, {'a' if published else 'no'} version"
                yield name, _of("load", (), published=published, stops=(first, second))


def swept(every: int = 1) -> Iterator[tuple[str, History]]:
    """A command held at each of its requests, for the same command on the other machine."""
    for name in _HELD:
        for moment in range(1, _MOST, every):
            yield f"{name} held at request {moment}", _of(name, (_before(name) + moment,))


def _before(name: str) -> int:
    """How many requests come before the command that is held; those of `transform`, or of `simulate`."""
    return {"load": 26, "retrain": 11, "ingest": 0}[name]


def _of(
    name: str,
    switches: tuple[int, ...],
    *,
    published: bool = True,
    stops: tuple[str | None, str | None] = (None, None),
) -> History:
    steps = []
    for machine in range(2):
        held = {"stops": stops[machine]}
        if name == "load":
            built = Step("transform", "ba"[machine], hands_on=True)
            steps.append((built, Step("load", **held)))
        elif name == "retrain":
            steps.append((Step("simulate", 1), Step("review", 3), Step("retrain", **held)))
        else:
            steps.append((Step("ingest", machine, **held),))
    return History(tuple(steps), switches, published=published)
