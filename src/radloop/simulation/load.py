"""How much arrives when: the stages, the arrivals on a clock and the order of the pictures. Pure."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from radloop.errors import UsageError

MOST_STAGES: Final = 1000
MOST_WORKERS: Final = 1000
MOST_PER_SECOND: Final = 10_000.0

_WORKERS: Final = "workers"
_POISSON: Final = "poisson"


def parse_pattern(text: str) -> tuple[int, ...]:
    """The load of each stage: `1,2,3,5,3,2,1`, with or without brackets; 0 is a pause. Raises UsageError.

    >>> parse_pattern("[1, 2, 3]")
    (1, 2, 3)
    """
    inner = re.fullmatch(r"\s*\[(.*)\]\s*|(.*)", text, re.DOTALL)
    parts = (inner[1] if inner and inner[1] is not None else text).split(",", MOST_STAGES)
    if not all(re.fullmatch(r"\s*[0-9]{1,4}\s*", part) for part in parts) or len(parts) > MOST_STAGES:
        raise UsageError(f"--load-pattern {text[:60]!r}: whole numbers are meant, such as 1,2,3,5,3,2,1 or [1,2,3].")
    pattern = tuple(int(part.strip()) for part in parts)  # int knows fewer kinds of space than \s
    if max(pattern) > MOST_WORKERS or not any(pattern):
        raise UsageError(f"--load-pattern {text[:60]!r}: a stage's load is 0 to {MOST_WORKERS}, not all of them 0.")
    return pattern


def parse_arrival(text: str) -> float | None:
    """Arrivals per second for a load of 1 (`poisson:2.5`); None where workers take one picture after the other.

    Raises UsageError.

    >>> parse_arrival("poisson:2.5"), parse_arrival("workers")
    (2.5, None)
    """
    if text == _WORKERS:
        return None
    kind, _, number = text.partition(":")
    if kind == _POISSON and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", number):
        rate = float(number)
        if 0 < rate <= MOST_PER_SECOND:
            return rate
    raise UsageError(
        f"--arrival {text[:60]!r}: workers, or poisson:RATE with up to {MOST_PER_SECOND:g} arrivals a second."
    )


def arrivals(per_second: float, seconds: float, *, rng: np.random.Generator) -> Iterator[float]:
    """The moments of a Poisson process, in seconds from its begin, each before its end."""
    if per_second <= 0:
        return
    moment = 0.0
    while (moment := moment + rng.exponential(1 / per_second)) < seconds:
        yield moment


def order(count: int, *, seed: int) -> Iterator[int]:
    """The numbers 0..count-1 for ever, shuffled: each once before any comes again."""
    rng = np.random.default_rng(seed)
    while count:
        yield from rng.permutation(count).tolist()
