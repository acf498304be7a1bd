"""Servers of known capacity on a virtual clock: M/M/1, M/D/1 and M/M/c, first come first served.

Times are in service times. What a rate does is simulated exactly (Lindley's recursion); the largest rate that keeps a
bound follows from the distribution of the time that a customer stays (Kleinrock 1975; Erlang 1909 for M/D/1).
"""

import heapq
import math
from collections.abc import Callable, Generator, Iterator
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

Floats = npt.NDArray[np.float64]
Stays = Callable[[float, int, np.random.Generator], Floats]  # rate, queries -> how long each customer stays
SERVICE_MS = 1000.0


class Server:
    """A `Load` that sends to a queue without waiting; `sent` counts what it made up."""

    late_share = 0.0

    def __init__(self, stays: Stays, *, seed: int) -> None:
        self._stays, self._rng, self.sent = stays, np.random.default_rng(seed), 0

    def send(self, rate: float, queries: int) -> Generator[Floats]:
        latencies = self._stays(rate, queries, self._rng) * SERVICE_MS
        self.sent += queries
        yield from np.array_split(latencies, max(queries // 4096, 1))


def one_server(services: Callable[[int, np.random.Generator], Floats]) -> Stays:
    """M/G/1. A customer begins where the one before ends: with sums of services, a running maximum (Lindley 1952)."""

    def stays(rate: float, queries: int, rng: np.random.Generator) -> Floats:
        arrived, served = _arrivals(rate, queries, rng), services(queries, rng)
        total = np.cumsum(served)
        ended: Floats = total + np.maximum.accumulate(arrived - (total - served))
        return ended - arrived

    return stays


def many_servers(servers: int) -> Stays:
    """M/M/c: a customer begins where it arrived and the first of the servers is free."""

    def stays(rate: float, queries: int, rng: np.random.Generator) -> Floats:
        free = [0.0] * servers

        def each() -> Iterator[float]:
            times = zip(_arrivals(rate, queries, rng).tolist(), rng.exponential(size=queries).tolist(), strict=True)
            for arrived, served in times:
                ended = max(arrived, free[0]) + served
                heapq.heapreplace(free, ended)
                yield ended - arrived

        return np.fromiter(each(), np.float64, queries)

    return stays


def _arrivals(rate: float, queries: int, rng: np.random.Generator) -> Floats:
    return np.cumsum(rng.exponential(1 / rate, queries))


def longer_mm1(rate: float, bound: float) -> float:
    """The share of customers who stay longer than the bound: they stay an exponential time."""
    return math.exp(-(1 - rate) * bound)


def longer_md1(rate: float, bound: float) -> float:
    """The same for services that all take 1: Erlang's series of alternating terms, with as many digits as it takes."""
    with localcontext() as context:
        context.prec = 100
        waits, load = Decimal(bound) - 1, Decimal(rate)
        terms = (
            (-load * (waits - number)) ** number / math.factorial(number) * (load * (waits - number)).exp()
            for number in range(int(bound - 1) + 1)
        )
        return float(1 - (1 - load) * sum(terms))


def longer_mmc(servers: int) -> Callable[[float, float], float]:
    """The same for many servers: an exponential service, after an exponential wait with the chance of Erlang's C."""

    def longer(rate: float, bound: float) -> float:
        blocked = 1.0
        for number in range(1, servers + 1):
            blocked = rate * blocked / (number + rate * blocked)
        waits = blocked / (1 - rate / servers * (1 - blocked))
        drain = servers - rate
        if math.isclose(drain, 1):
            drain = 1 + 1e-6
        both = (drain * math.exp(-bound) - math.exp(-drain * bound)) / (drain - 1)
        return (1 - waits) * math.exp(-bound) + waits * both

    return longer


def largest(longer: Callable[[float, float], float], bound: float, servers: int = 1) -> float:
    """The rate at which 1 % stay longer than the bound."""
    return float(brentq(lambda rate: longer(rate, bound) - 0.01, 1e-9, servers * (1 - 1e-9)))


def largest_mdc(servers: int, bound: float) -> float:
    """The same for M/D/c, by a long simulation: services of 1 end in the order in which they began.

    So a customer waits for the one that came `servers` before, and every so-many-th customers are a queue of their own.
    """

    def longer(rate: float, bound: float) -> float:
        arrived = _arrivals(rate, 2_000_000 * servers, np.random.default_rng(0)).reshape(-1, servers)
        turn = np.arange(len(arrived))[:, np.newaxis]
        ended = 1 + turn + np.maximum.accumulate(arrived - turn, axis=0)
        return float(np.mean(ended - arrived > bound))

    return float(brentq(lambda rate: longer(rate, bound) - 0.01, 0.3 * servers, servers * 0.999, xtol=1e-3))


def same(queries: int, rng: np.random.Generator) -> Floats:
    """Services that all take 1."""
    return np.ones(queries)


def exponential(queries: int, rng: np.random.Generator) -> Floats:
    """Services of 1 on average."""
    return rng.exponential(size=queries)


# name: how long customers stay, the bound in service times, the largest rate that keeps it
SERVERS: dict[str, tuple[Stays, float, float]] = {
    "M/M/1, bound 10": (one_server(exponential), 10, largest(longer_mm1, 10)),
    "M/M/1, bound 50": (one_server(exponential), 50, largest(longer_mm1, 50)),
    "M/D/1, bound 5": (one_server(same), 5, largest(longer_md1, 5)),
    "M/D/1, bound 20": (one_server(same), 20, largest(longer_md1, 20)),
    "M/M/4, bound 8": (many_servers(4), 8, largest(longer_mmc(4), 8, 4)),
    "M/M/8, bound 20": (many_servers(8), 20, largest(longer_mmc(8), 20, 8)),
}
