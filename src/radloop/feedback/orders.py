"""The orders of the queue, by name: by what figure one image is worth a look before another.

An order is a pure function of tables: a figure for each feedback, the most worthwhile first. How many of the places go
by it, by lot and by other ways is the queue's (`feedback.places`). Which of them is the default is told by the study
(docs/loop.md), not by taste.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.words import Order

# Images of training with a class after which one more is worth half as much as the first: the average precision of a
# class grows about with the logarithm of its labels.
HALF: Final = 10


def wanted(images: pl.Expr) -> pl.Expr:
    """How much one more label of a class that so many images of training have is worth, beside the first."""
    return HALF / (HALF + images.fill_null(0))


@dataclass(frozen=True)
class Known:
    """What an order goes by."""

    # feedback_id and three shares: disagreement (of readers on a class found), uncertainty and rarity (of a class)
    factors: pl.DataFrame
    # a row a box, also of those below what counts as found: feedback_id, right (how likely it is), wanted (`wanted` of
    # its class)
    boxes: pl.DataFrame
    seconds: pl.DataFrame  # feedback_id, seconds: what a read of it takes


@dataclass(frozen=True)
class Ordering:
    """One order."""

    says: str  # what it is good for, behind its name
    score: Callable[[Known], pl.DataFrame] | None  # feedback_id, score; None: all places go by lot
    of_all: bool = False  # it also says which image with nothing found is worth a look: these need no places apart


def _product(known: Known) -> pl.DataFrame:
    """disagreement × uncertainty × rarity."""
    return known.factors.select("feedback_id", score=pl.col("disagreement") * pl.col("uncertainty") * pl.col("rarity"))


def _uncertainty(known: Known) -> pl.DataFrame:
    """4p(1-p) of the least certain box."""
    return known.factors.select("feedback_id", score="uncertainty")


def _yield(known: Known) -> pl.DataFrame:
    """Expected findings in a second of reading, each by how much its class wants labels."""
    found = known.boxes.group_by("feedback_id").agg(found=(pl.col("right") * pl.col("wanted")).sum())
    return known.seconds.join(found, on="feedback_id", how="left").select(
        "feedback_id", score=pl.col("found").fill_null(0.0) / pl.col("seconds")
    )


ORDERS: Final[Mapping[Order, Ordering]] = {
    "queue": Ordering("what readers differ on, what the model doubts and what is rare comes first", _product),
    "random": Ordering("by lot alone: what is read is like all that is not", None),
    "uncertainty": Ordering("what the model is least sure of comes first", _uncertainty),
    "yield": Ordering("most findings of rare classes in a minute of reading", _yield, of_all=True),
}
