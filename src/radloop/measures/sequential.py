"""Has a figure changed? Asked of a stream, as often as one likes, at one rate of false alarms.

The unit of time is a block: whole days until there are enough images in it, since images of one day resemble each
other. Each block's mean is compared with what all blocks before it let expect (a self-starting chart, Hawkins 1987): a
number that is standard normal where nothing changes, however short the stream is yet. An e-detector (Shin, Ramdas,
Rinaldo 2023) adds up bets against that. docs/measures.md has the formulas, docs/monitoring.md what they find.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

Floats = npt.NDArray[np.float64]

LEAST_UNITS: Final = 20  # of a block
LEAST_EXPECTED: Final = 5  # units with and without a finding in a block (Cochran 1954)
LEARNING: Final = 12  # blocks that only teach what is usual
BETS: Final = (0.25, 0.5, 1.0, 2.0)  # standard deviations of a block's mean by which it may have moved
MOST: Final = 3.0  # standard deviations: what lies further out counts, and teaches, as this
SURE: Final = 0.95  # share of the years with no more false alarms than accepted
CAUTION: Final = 3.0  # times the threshold of independent blocks: docs/monitoring.md, "How it was set"

_FAR: Final = (3, 4, 5, 6)  # blocks so far apart that they do not resemble each other any more
_USUAL: Final = (0.2, 10)  # what blocks resemble the one before where nothing is known, worth so many blocks


class Day(NamedTuple):
    """The units of one figure on one day: a person's images of a day are one unit."""

    day: int  # any whole number that grows by time
    units: int
    total: float  # the sum of their values


@dataclass(frozen=True)
class Block:
    """Whole days with enough units."""

    first: int
    last: int  # day
    units: int
    total: float


@dataclass(frozen=True)
class Followed:
    """What came of one figure."""

    units: int
    blocks: tuple[Block, ...]
    enough: bool  # a block has been tested
    statistic: float  # of the e-detector; where it alarmed, as it was then
    alarm: int | None  # the place of the block that alarmed
    begin: int | None  # the place of the block from which on it speaks of a change
    direction: Literal["up", "down"] | None

    @property
    def usual(self) -> float:
        """The mean before the change."""
        return _mean(self.blocks[: self.begin])

    @property
    def lately(self) -> float:
        """The mean from the change to the alarm; without an alarm that of the newest block."""
        last = len(self.blocks) if self.alarm is None else self.alarm + 1
        return _mean(self.blocks[last - 1 if self.begin is None else self.begin : last])


def accepted(rate: int) -> float:
    """The mean number a year of which there are more than `rate` in 5 of 100 years (Poisson).

    >>> round(accepted(1), 3)
    0.355
    """
    return float(special.gammaincinv(rate + 1, 1 - SURE))


def threshold(rate: int, weight: float, blocks_a_year: float) -> float:
    """Where a figure alarms that has the share `weight` of the accepted `rate` of false alarms a year over all figures.

    An e-detector that alarms at A takes at least A blocks on average to do so without a change (Shin et al. 2023,
    section 2).
    """
    return CAUTION * blocks_a_year / (accepted(rate) * weight)


def follow(days: Sequence[Day], limit: float, *, share: bool) -> Followed:
    """Follow one figure day by day to its first alarm, where the e-detector reaches `limit`.

    days: by time, closed: none gets more units later. share: the values are shares or yes (1) and no (0). What comes
    later changes nothing of what was found before.
    """
    size = _size(days) if share else LEAST_UNITS
    blocks = () if size is None else tuple(_blocks(days, size))
    values = [_level(block) if share else block.total / block.units for block in blocks]
    surprises = np.array(_surprises(values))
    statistic, best = _detector(surprises)
    units = sum(day.units for day in days)
    if not len(statistic):
        return Followed(units, blocks, False, 0.0, None, None, None)
    reached = np.flatnonzero(statistic >= limit)
    at = int(reached[0]) if len(reached) else len(statistic) - 1
    if not len(reached):
        return Followed(units, blocks, True, float(statistic[at]), None, None, None)
    side, bet = divmod(int(best[at]), len(BETS))
    sign = 1 if side == 0 else -1
    gained = np.cumsum(_logs(sign * surprises[: at + 1], BETS[bet]))
    begin = int(np.argmin(np.append(0.0, gained[:-1])))
    return Followed(
        units,
        blocks,
        True,
        float(statistic[at]),
        LEARNING + at,
        LEARNING + begin,
        "up" if sign > 0 else "down",
    )


def missing(days: Sequence[Day], *, share: bool) -> str:
    """Why nothing can be said of a figure yet."""
    units = sum(day.units for day in days)
    if share and _size(days) is None:
        total = round(sum(day.total for day in days))
        return (
            f"too few to say: {total:,} with and {units - total:,} without, and {LEARNING * LEAST_EXPECTED} are needed"
        )
    return f"too few to say: the first {LEARNING} blocks teach what is usual"


def _size(days: Sequence[Day]) -> int | None:
    """Units of a block of shares: so many that LEAST_EXPECTED with and without are expected. None: too few yet."""
    units, total = 0, 0.0
    for day in days:
        units, total = units + day.units, total + day.total
        rarer = min(total, units - total)
        if rarer >= LEARNING * LEAST_EXPECTED:
            return max(LEAST_UNITS, math.ceil(LEAST_EXPECTED * units / rarer))
    return None


def _blocks(days: Sequence[Day], size: int) -> list[Block]:
    """Whole days until a block has `size` units; what is left over waits."""
    blocks: list[Block] = []
    first, units, total = None, 0, 0.0
    for day in days:
        first = day.day if first is None else first
        units, total = units + day.units, total + day.total
        if units >= size:
            blocks.append(Block(first, day.day, units, total))
            first, units, total = None, 0, 0.0
    return blocks


def _level(block: Block) -> float:
    """A share on a scale on which chance is equally large everywhere (Anscombe 1948)."""
    return 2 * math.asin(math.sqrt((block.total + 0.375) / (block.units + 0.75)))


def _surprises(values: Sequence[float]) -> list[float]:
    """How far each block from LEARNING on lies from what those before let expect: standard normal without a change.

    Blocks resemble the one before (`_Learned.likeness`); what is left of each is set beside the mean of what was left
    before it, by the scatter of that (Student's t, as a normal: Wallace 1959).
    """
    learned = _Learned(values[0] if values else 0.0)
    surprises: list[float] = []
    for place, value in enumerate(values):
        if place < LEARNING:
            learned.add(value)
            continue
        expected, scatter = learned.expect()
        if scatter <= 0:  # nothing to measure a change by
            surprises.append(0.0)
            learned.add(value)
            continue
        count = place - 1
        surprises.append(_as_normal((value - expected) / (scatter * math.sqrt(1 + 1 / count)), count - 1))
        learned.add(expected + max(-MOST * scatter, min(MOST * scatter, value - expected)))
    return surprises


class _Learned:
    """What the blocks so far teach, in running sums: of each block but the first (now) and the one before it."""

    def __init__(self, origin: float) -> None:
        self._origin = origin  # sums of squares lose no digits near it
        self._recent: list[float] = []
        self._count = 0  # pairs
        self._now = self._before = self._now2 = self._before2 = self._both = 0.0
        self._apart = dict.fromkeys((1, *_FAR), (0.0, 0))  # squared differences at each lag, and how many

    def add(self, value: float) -> None:
        now = value - self._origin
        for lag in self._apart:
            if len(self._recent) >= lag:
                total, count = self._apart[lag]
                self._apart[lag] = total + (now - self._recent[-lag]) ** 2, count + 1
        if self._recent:
            before = self._recent[-1]
            self._count += 1
            self._now, self._before = self._now + now, self._before + before
            self._now2, self._before2 = self._now2 + now**2, self._before2 + before**2
            self._both += now * before
        self._recent = [*self._recent[1 - max(_FAR) :], now]

    def likeness(self) -> float:
        """How far a block resembles the one before: the autocorrelation at lag 1, not below 0.

        By differences (von Neumann 1941), of neighbours and of blocks far apart, which a change of the level touches
        once; drawn to what is usual while there are few.
        """
        near = self._apart[1][0] / self._apart[1][1]
        far = sum(self._apart[lag][0] for lag in _FAR) / sum(self._apart[lag][1] for lag in _FAR)
        usual, worth = _USUAL
        blocks = self._count + 1
        own = 1 - near / far if far > 0 else 0.0
        return max(0.0, min(0.9, (worth * usual + blocks * own) / (worth + blocks)))

    def expect(self) -> tuple[float, float]:
        """What the next block is likely to be, and the scatter of what was left of those before; 0: there is none."""
        like, count = self.likeness(), self._count
        mean = (self._now - like * self._before) / count
        squares = self._now2 - 2 * like * self._both + like**2 * self._before2 - count * mean**2
        if squares <= 1e-12 * self._now2:
            return self._origin, 0.0
        return self._origin + mean + like * self._recent[-1], math.sqrt(squares / (count - 1))


def _as_normal(t: float, freedom: int) -> float:
    """The standard normal deviate of a value of Student's t (Wallace 1959)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return math.copysign(scale * math.sqrt(freedom * math.log1p(t * t / freedom)), t)


def _logs(surprises: Floats, bet: float) -> Floats:
    """The logarithms of the e-values of a bet on a move up: exp(b u - b²/2) has mean 1 for a standard normal u.

    A u above MOST counts as that, which only makes the mean smaller: one odd block alone never alarms.
    """
    return np.asarray(bet * np.minimum(surprises, MOST) - bet**2 / 2)


def _detector(surprises: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The e-detector after each block, and its strongest part (of BETS up, then of BETS down).

    The mean over the bets and both directions of Shiryaev-Roberts sums: M_t = e_t (M_{t-1} + 1), M_0 = 0.
    """
    logs = np.array([_logs(sign * surprises, bet) for sign in (1, -1) for bet in BETS])
    gained = np.cumsum(logs, axis=1)
    sums = gained + np.logaddexp.accumulate(-np.concatenate([np.zeros((len(logs), 1)), gained[:, :-1]], axis=1), axis=1)
    return np.exp(np.minimum(sums, 700)).mean(axis=0), sums.argmax(axis=0)


def _mean(blocks: Sequence[Block]) -> float:
    return math.fsum(block.total for block in blocks) / sum(block.units for block in blocks)
