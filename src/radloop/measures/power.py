"""How likely does a challenger pass, before anybody looks at it? From the champion's own answers on these images.

The test is one of non-inferiority (Wellek 2010, "Testing Statistical Hypotheses of Equivalence and Noninferiority",
2nd ed., chapter 2): a challenger passes where the lower bound of the paired difference of mAP, at the one-sided level
alpha, lies above -margin. With a standard error s of that difference and a true difference d it passes with the
probability Phi((margin + d) / s - z), z the bound's own quantile (Julious 2004, "Sample sizes for clinical trials with
Normal data", Statistics in Medicine 23:1921, section 5), which leaves s to be known beforehand.

s is that of an equal challenger as it may be: it gives the same confidences to the same number of true and of false
boxes of each class, but to others of them, in an order that agrees with the champion's to `agreement` (the correlation
of normal scores; a Gaussian copula of two readings of one case, as in the multi-reader model of Roe and Metz 1997,
Academic Radiology 4:298). So its mAP is the champion's own, exactly. Its paired bootstrap is the one that the test
itself makes on these images, few boxes of a class and all.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from scipy import stats

from radloop.measures import intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.evaluation import DrawnPrecision
from radloop.taxonomy import Taxonomy

WORST: Final = 0.03  # a challenger that is worse by as much must not pass: the largest margin that is chosen
WISH: Final = 0.8  # with which an equal one shall pass
AGREEMENT: Final = 0.9
_MISSED: Final = -1.0
_CHALLENGERS: Final = 4  # that are made up; their standard errors differ by a few percent


@dataclass(frozen=True)
class Plan:
    """What the test of mAP can tell on these images, before the challenger is looked at."""

    margin: float
    alpha: float
    groups: int  # those with boxes of a class, on average: what the bound's quantile is widened for
    images: int
    spread: float | None  # the standard error that the difference of an equal challenger is expected to have
    agreement: float

    def passing(self, difference: float) -> float | None:
        """The probability that a challenger passes whose mAP differs by `difference`; None where nothing is known."""
        if not self.spread:
            return None
        return float(stats.norm.cdf((self.margin + difference) / self.spread - quantile(self.alpha, self.groups)))

    @property
    def images_needed(self) -> int | None:
        """How many such images let an equal challenger pass with WISH at a margin of WORST."""
        if not self.spread:
            return None
        needed = WORST / (quantile(self.alpha, self.groups) + float(stats.norm.ppf(WISH)))
        return math.ceil(self.images * (self.spread / needed) ** 2)


def quantile(alpha: float, groups: int) -> float:
    """How many standard errors the lower bound lies below the difference: Student's, as of `groups` groups."""
    enough = max(groups, intervals.LEAST_FOR_DRAWS)
    return float(stats.t.ppf(1 - alpha, enough - 1) * math.sqrt(enough / (enough - 1)))


def lower_bound(difference: float, spread: float, groups: int, alpha: float) -> float:
    """The one-sided lower bound of a difference at the level alpha, from the standard error of its draws.

    Of the bounds that docs/gates.md compares it keeps its level best where classes have few boxes.
    """
    return difference - quantile(alpha, groups) * spread


def margin(spread: float | None, alpha: float, groups: int) -> float:
    """The smallest margin that lets an equal challenger pass with WISH; at most WORST.

    >>> round(margin(0.009, 0.025, 10_000), 4), margin(0.02, 0.025, 10_000)
    (0.0252, 0.03)
    """
    if not spread:
        return WORST
    return min(WORST, (quantile(alpha, groups) + float(stats.norm.ppf(WISH))) * spread)


def plan(
    matched: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
    classes: Taxonomy,
    *,
    alpha: float,
    chosen: float | None = None,
    agreement: float = AGREEMENT,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Plan:
    """The plan from the champion's boxes (`evaluation.match`), with the margin `chosen`; None: the one chosen by power.

    truth: TRUTH; images: image_id, group.
    """
    own = DrawnPrecision.of_matched(matched, truth, images, classes, resamples=resamples, seed=seed)
    groups = int(own.groups[-1])
    rng, squares = np.random.default_rng(seed), []
    for _ in range(_CHALLENGERS):
        other = equal(matched, truth, agreement, rng)
        drawn = DrawnPrecision.of_matched(other, truth, images, classes, resamples=resamples, seed=seed)
        squares.append(intervals.spread(drawn.ap[-1:] - own.ap[-1:])[0] ** 2)
    known = groups >= intervals.LEAST_FOR_DRAWS and bool(np.isfinite(squares).all())
    spread = math.sqrt(float(np.mean(squares))) if known else None
    return Plan(
        margin=margin(spread, alpha, groups) if chosen is None else chosen,
        alpha=alpha,
        groups=groups,
        images=images["image_id"].n_unique(),
        spread=spread,
        agreement=agreement,
    )


def equal(matched: pl.DataFrame, truth: pl.DataFrame, agreement: float, rng: np.random.Generator) -> pl.DataFrame:
    """The boxes of an equal challenger: the champion's confidences, dealt anew among a class's true and false boxes.

    A box of the truth that the champion missed is dealt to, too: the challenger misses as many, but others.
    """
    boxes = pl.concat([matched.select("image_id", "class_id", "confidence", "correct"), _missed(matched, truth)])
    confidence = boxes["confidence"].to_numpy()
    dealt, chance = confidence.copy(), rng.random(len(confidence))  # that breaks ties
    kind = boxes["class_id"].to_numpy().astype(np.int64) * 2 + boxes["correct"].to_numpy()
    for each in np.unique(kind):
        rows = np.flatnonzero(kind == each)
        place = np.empty(len(rows))
        place[np.lexsort((chance[rows], confidence[rows]))] = np.arange(len(rows)) + 0.5
        score = agreement * stats.norm.ppf(place / len(rows))
        score += math.sqrt(1 - agreement**2) * rng.standard_normal(len(rows))
        dealt[rows[np.argsort(score)]] = np.sort(confidence[rows])
    changed = boxes.with_columns(confidence=pl.Series(dealt)).filter(pl.col("confidence") > _MISSED)
    return changed.sort("confidence", descending=True, maintain_order=True)


def _missed(matched: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """A row for each box of the truth that no box found, with the confidence _MISSED."""
    pile = ["image_id", "class_id"]
    found = matched.filter("correct").group_by(pile).agg(found=pl.len())
    left = truth.group_by(pile, maintain_order=True).agg(known=pl.len()).join(found, on=pile, how="left")
    missed = left.with_columns(missed=pl.col("known").cast(pl.Int64) - pl.col("found").fill_null(0).cast(pl.Int64))
    rows = missed.select(*pile, pl.col("missed").clip(0)).select(pl.exclude("missed").repeat_by("missed")).explode(pile)
    return rows.drop_nulls().with_columns(confidence=pl.lit(_MISSED), correct=pl.lit(value=True))
