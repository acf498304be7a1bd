"""The largest rate of Poisson arrivals that keeps a latency bound, by the rules of MLPerf Inference's Server scenario.

A rate keeps the bound where at most 1 % of its requests take longer. That is said of a rate as soon as its requests
say it with 99 % confidence, however often one looks (LoadGen's early stopping), else after 270,336 requests by their
share (Reddi et al. 2020, table IV: 99 % confidence and a margin of 0.05 %). Requests in a queue resemble their
neighbours, which MLPerf leaves aside: here they count for as many independent ones as they are worth.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, Protocol

import numpy as np
from scipy import special

from radloop.measures import latency
from radloop.measures.intervals import Floats
from radloop.simulation.load import MOST_PER_SECOND

SHARE: Final = 0.99  # of requests keep the bound
CONFIDENCE: Final = 0.99
ENOUGH: Final = 270_336  # requests: the share is known to 0.05 %; 262,742, rounded up to a multiple of 8,192
LEAST_SECONDS: Final = 60.0  # of arrivals, before a rate keeps the bound
LATE_SHARE: Final = 0.01  # of requests that may be sent late; of more the load was another
LATE_OF_BOUND: Final = 0.05  # of the bound after its moment a request is late, and not before hospital.LATE_SECONDS
TOLERANCE: Final = 0.03  # between the rates that keep the bound and miss it

_LOOKS: Final = (*(int(64 * 1.25**look) for look in range(38)), ENOUGH)
_ERROR: Final = (1 - CONFIDENCE) / len(_LOOKS)  # of one look (Bonferroni)
_BUDGETS: Final = (2_048, 8_192, 32_768, 131_072, ENOUGH)  # requests a rate may take, from coarse to fine
_GLANCE: Final = 4.0  # times the bound that a rate is sent for while it is doubled: a backlog has grown over it by then
_BOUNDS: Final = 100  # times the bound that a stream lasts before it says anything, unless half of it is over
_LOWEST: Final = 1 / 256  # of the first rate: below it no rate is looked for

Verdict = Literal["kept", "missed", "unclear", "late"]


class Load(Protocol):
    """What sends requests."""

    def send(self, rate: float, queries: int) -> Generator[Floats]:
        """The latencies in ms of a fresh stream of `rate` requests a second, in the order of arrival, as they come.

        inf: no answer, or none yet and more than the bound has gone by. It ends with `queries`, or where time is over;
        closing it ends the load.
        """

    @property
    def late_share(self) -> float:
        """The share of the newest stream's requests that were not sent at their moment."""


@dataclass(frozen=True)
class Trial:
    """One rate, and what its requests said. late: the requests were not sent at their moments."""

    rate: float  # requests a second
    bound_ms: float
    latencies_ms: Floats  # in the order of arrival; inf: no answer
    verdict: Verdict

    @property
    def queries(self) -> int:
        """How many requests were looked at."""
        return len(self.latencies_ms)

    @property
    def over(self) -> int:
        """How many of them took longer than the bound, or failed."""
        return int(np.count_nonzero(self.latencies_ms > self.bound_ms))

    @property
    def by_count(self) -> bool:
        """Whether there are enough requests to take their share for it."""
        return self.queries >= ENOUGH

    @cached_property
    def worth(self) -> float:
        """How many independent requests they are worth."""
        return _worth(self.latencies_ms, self.bound_ms)


@dataclass(frozen=True)
class Capacity:
    """What is known of the largest rate that keeps the bound."""

    trials: tuple[Trial, ...]

    @property
    def kept(self) -> Trial | None:
        """The largest rate that keeps the bound."""
        return max((trial for trial in self.trials if trial.verdict == "kept"), key=_rate, default=None)

    @property
    def missed(self) -> Trial | None:
        """The smallest rate that misses it."""
        return min((trial for trial in self.trials if trial.verdict == "missed"), key=_rate, default=None)

    @property
    def late(self) -> Trial | None:
        """The smallest rate of which nothing is known, for its requests were not sent at their moments."""
        return min((trial for trial in self.trials if trial.verdict == "late"), key=_rate, default=None)

    @property
    def is_found(self) -> bool:
        """Whether the two are close to each other."""
        kept, missed = self.kept, self.missed
        return kept is not None and missed is not None and _are_close(kept.rate, missed.rate)


class _Bracket:
    """What is known so far, and what sends the next requests."""

    def __init__(self, load: Load, bound_ms: float) -> None:
        self._load, self._bound_ms = load, bound_ms
        self.low, self.high = 0.0, math.inf  # keeps the bound, misses it
        self.trials: list[Trial] = []

    def ask(self, rate: float, queries: int) -> Verdict:
        trial = _try(self._load, rate, queries, self._bound_ms)
        self.trials.append(trial)
        if trial.verdict == "kept":
            self.low = max(self.low, rate)
        elif trial.verdict != "unclear":
            self.high = min(self.high, rate)
        return trial.verdict

    @property
    def is_close(self) -> bool:
        return _are_close(self.low, self.high)


def search(load: Load, *, bound_ms: float, start: float, goes_on: Callable[[], bool] = lambda: True) -> Capacity:
    """Double the rate from `start` until it misses the bound, then halve what is between, with ever more requests.

    Where too few requests tell nothing of a rate, those halfway to either end are asked, then more requests are. It
    ends where the rate is known to TOLERANCE, where there is none, or where `goes_on` says no.
    """
    known, rate = _Bracket(load, bound_ms), start
    while goes_on() and math.isinf(known.high) and rate <= MOST_PER_SECOND:
        known.ask(rate, max(_LOOKS[0], math.ceil(_GLANCE * rate * bound_ms / 1000)))
        rate *= 2
    for budget in _BUDGETS:
        while goes_on() and not known.is_close and start * _LOWEST < known.high < math.inf:
            middle = _between(known.low, known.high)
            queries = max(budget, math.ceil(LEAST_SECONDS * known.high))
            if known.ask(middle, queries) != "unclear":
                continue
            for other in (_between(known.low, middle), _between(middle, known.high)):
                if goes_on() and known.low < other < known.high:
                    known.ask(other, queries)
            break
    return Capacity(tuple(known.trials))


def _try(load: Load, rate: float, queries: int, bound_ms: float) -> Trial:
    """Send requests until they say whether the rate keeps the bound, or until there are `queries`."""
    looks = [look for look in _LOOKS if look < queries] + [queries]
    latencies, verdict = np.empty(0), None
    with closing(load.send(rate, queries)) as stream:
        for some in stream:
            latencies = np.concatenate([latencies, some])
            while verdict is None and looks and len(latencies) >= looks[0]:
                verdict = judge(latencies[: looks.pop(0)], rate, bound_ms)
            if verdict is not None:
                break
    if verdict is None and len(latencies) >= max(ENOUGH, rate * LEAST_SECONDS):
        verdict = "kept" if np.mean(latencies > bound_ms) <= 1 - SHARE else "missed"
    if verdict is not None and load.late_share > LATE_SHARE:
        verdict = "late"
    return Trial(rate, bound_ms, latencies, verdict or "unclear")


def judge(latencies_ms: Floats, rate: float, bound_ms: float) -> Verdict | None:
    """Whether the rate keeps or misses the bound; None: these requests do not say it.

    By the binomial distribution (LoadGen's `early_stopping.cc`), of as many requests as they are worth.
    """
    seconds, worth = len(latencies_ms) / rate, _worth(latencies_ms, bound_ms)
    over = worth * np.count_nonzero(latencies_ms > bound_ms) / len(latencies_ms)
    is_long = seconds >= _BOUNDS * bound_ms / 1000
    if is_long and seconds >= LEAST_SECONDS and special.betainc(worth - over, over + 1, SHARE) <= _ERROR:
        return "kept"
    if over and (is_long or over >= worth / 2) and special.betainc(over, worth - over + 1, 1 - SHARE) <= _ERROR:
        return "missed"
    return None


def _worth(latencies_ms: Floats, bound_ms: float) -> float:
    """How many independent requests they are worth for the share over the bound: by how near to it neighbours come.

    Those over it are few at first, and come together; those over half of it come together before them.
    """
    return latency.worth(np.clip(latencies_ms, bound_ms / 2, bound_ms))


def _between(low: float, high: float) -> float:
    return math.sqrt(low * high) if low else high / 2


def _are_close(low: float, high: float) -> bool:
    return high <= low * (1 + TOLERANCE)


def _rate(trial: Trial) -> float:
    return trial.rate
