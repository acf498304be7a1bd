"""Do two sets differ on the images that both hold? Each image is compared with itself.

Two time windows of feedback often hold the same images. Such sets resemble each other more than chance would have it,
so that a test of independent sets alarms too seldom; what changed on each image says more. `drift.compare` makes these
tests; docs/measures.md tells how often each alarms where there is nothing to find.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

Floats = npt.NDArray[np.float64]

Test = Literal["mcnemar", "signed-rank"]

LEAST_CHANGEABLE: Final = 5  # images with yes, and with no, in either set: fewer changes cannot alarm at 5 %
_CHUNK: Final = 4_000_000  # signs drawn at once


@dataclass(frozen=True)
class Pairs:
    """The answers to one question on the images that have one in both sets, in one order."""

    presence: bool  # yes (1) or no (0), else a number
    first: Floats
    second: Floats

    @classmethod
    def of(cls, first: pl.DataFrame, second: pl.DataFrame, summary: str) -> "Pairs":
        """From two tables of images (`drift.of_annotations`, `drift.of_feedback`)."""
        sides = first.select("image_id", first=summary), second.select("image_id", second=summary)
        joined = sides[0].join(sides[1], on="image_id").drop_nulls().sort("image_id")
        answers = (joined[side].cast(pl.Float64).to_numpy() for side in ("first", "second"))
        return cls(first.schema[summary] == pl.Boolean, *answers)

    @property
    def test(self) -> Test:
        """McNemar's test of yes and no, Wilcoxon's signed-rank test of numbers."""
        return "mcnemar" if self.presence else "signed-rank"

    @property
    def scores(self) -> Floats:
        """What each image adds to the shift; 0 where its answer is the same."""
        change = self.second - self.first
        if self.presence:
            return np.asarray(change / max(len(change), 1))
        ranks = stats.rankdata(np.abs(change))
        return np.asarray(np.sign(change) * ranks / max(ranks.sum(), 1))

    @property
    def shift(self) -> float:
        """Second against first, in [-1, 1]: the difference of the shares, or the rank-biserial correlation.

        The latter (Kerby 2014) counts images that do not change: 1 where all grow, 0 where none does.
        """
        return float(self.scores.sum())

    @property
    def spread(self) -> float:
        """Standard error of the shift where each image is as likely to grow as to fall."""
        return float(np.sqrt((self.scores**2).sum()))

    def enough(self, least_images: int) -> bool:
        """Whether a test could alarm at its level."""
        if len(self.first) < least_images:
            return False
        if not self.presence:
            return bool(np.ptp(np.concatenate([self.first, self.second])) > 0)
        yes, no = np.maximum(self.first, self.second).sum(), (1 - np.minimum(self.first, self.second)).sum()
        return bool(min(yes, no) >= LEAST_CHANGEABLE)

    def p_value(self) -> float:
        """Two-sided; 1 where no image changes.

        McNemar's exact test, mid-p (Fagerland, Lydersen and Laake 2013), or Wilcoxon's with unchanged images ranked
        (Pratt 1959), the normal approximation given the ranks, so that ties need no correction.
        """
        if self.presence:
            grew, fell = int((self.second > self.first).sum()), int((self.second < self.first).sum())
            law = stats.binom(grew + fell, 0.5)
            fewer = min(grew, fell)
            return min(1.0, float(2 * law.cdf(fewer) - law.pmf(fewer))) if grew + fell else 1.0
        return float(2 * stats.norm.sf(abs(self.shift) / self.spread)) if self.spread else 1.0

    def permuted(self, permutations: int, rng: np.random.Generator) -> float:
        """The p-value by exchanging the two answers of each image at random, the observed ones counted in."""
        scores = self.scores[self.scores != 0]
        observed, at_least = abs(self.shift), 0
        step = max(_CHUNK // max(len(scores), 1), 1)
        for start in range(0, permutations, step):
            signs = rng.integers(0, 2, size=(min(step, permutations - start), len(scores)), dtype=np.int8)
            at_least += int((np.abs((2.0 * signs - 1) @ scores) >= observed * (1 - 1e-12)).sum())
        return (1 + at_least) / (1 + permutations)
