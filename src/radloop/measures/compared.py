"""Two detectors, or one by two truths, on the same images: is the difference more than chance?

Each draw takes the same groups for both, so that what is hard about an image cancels out (a paired bootstrap).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from radloop.measures import bootstrap, intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.curves import RATES, Drawn
from radloop.measures.evaluation import DrawnPrecision, Looked
from radloop.measures.intervals import LEAST_FOR_DRAWS, Floats, ratio
from radloop.tables import CLASS_ID
from radloop.taxonomy import Taxonomy

FIGURES: Final = ("ap", "recall", "sensitivity", "cpm")
ONE: Final = RATES.index(1.0)  # the rate of false boxes an image that `sensitivity` is of


@dataclass(frozen=True)
class Side:
    """One of the two, on the images of both."""

    predictions: pl.DataFrame  # DETECTIONS
    boxes: pl.DataFrame  # `evaluation.match` of them and of
    truth: pl.DataFrame  # TRUTH
    cut: float | None  # `catalog.kept.cut`


def compare(
    first: Side,
    second: Side,
    images: pl.DataFrame,
    classes: Taxonomy,
    *,
    min_confidence: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """Columns: figure, class_id, class_name, truth_first, truth_second (boxes), groups, first, second, difference.

    The difference is second - first, with its interval (difference_low, difference_high) over `groups` with truth and
    its standard error (difference_spread), that of its draws.
    A row for each of FIGURES and each class that either truth has, and (class_id null) for all: mAP, and of the others
    all boxes together. ap: at IoU 0.4. recall: of the boxes strictly above min_confidence. sensitivity: at one false
    box an image. cpm: `curves.Froc`. Null where either has no truth, or keeps too few boxes to tell.
    """
    drawn = [_drawn(side, images, classes, min_confidence, resamples, seed) for side in (first, second)]
    known = [side.pop("truth")[:, 0].astype(np.int64) for side in drawn]
    groups = np.minimum(*(side.pop("groups")[:, 0].astype(np.int64) for side in drawn))
    groups_of_mean = np.minimum(*(side.pop("groups of mean")[:, 0].astype(np.int64) for side in drawn))
    everything = pl.DataFrame(
        {"class_id": [None], "class_name": [None]}, {"class_id": CLASS_ID, "class_name": pl.String}
    )
    names = pl.concat([classes.table(), everything]).with_columns(
        truth_first=pl.Series(known[0]), truth_second=pl.Series(known[1])
    )
    tables = []
    for figure in FIGURES:
        one, other = (side[figure] for side in drawn)
        counted = groups_of_mean if figure == "ap" else groups
        told = intervals.of_difference("difference", one, other, counted)
        sides = {"groups": counted, "first": one[:, 0], "second": other[:, 0]}
        spread = {"difference_spread": intervals.spread(other - one)}
        tables.append(
            names.select(pl.lit(figure).alias("figure"), pl.all()).hstack(pl.DataFrame(sides | told | spread))
        )
    found = pl.concat(tables).with_columns(pl.col(pl.Float64).fill_nan(None))
    return found.filter(pl.max_horizontal("truth_first", "truth_second") > 0)


def words(row: Mapping[str, Any]) -> str:
    """How it reads whether the second is better than the first; row: of `compare`.

    >>> words({"groups": 30, "difference": 0.1, "difference_low": 0.02, "difference_high": 0.2})
    'better'
    >>> words({"groups": 30, "difference": 0.1, "difference_low": -0.02, "difference_high": 0.2})
    'cannot be told apart'
    """
    low, high = row["difference_low"], row["difference_high"]
    if row["difference"] is None:
        return "not known"
    if row["groups"] < LEAST_FOR_DRAWS:
        return "too few to say"
    if low is None or high is None:
        return "the same in every draw"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "cannot be told apart"


def _drawn(
    side: Side, images: pl.DataFrame, classes: Taxonomy, min_confidence: float, resamples: int, seed: int
) -> dict[str, Floats]:
    """Each figure, [class or all, draw], and how many boxes and groups it counts: [class or all, 1]."""
    asked = {"resamples": resamples, "seed": seed}
    precision = DrawnPrecision.of(side.predictions, side.truth, images, classes, **asked)
    froc = Drawn.of(side.boxes, side.truth, images, classes, cut=side.cut, **asked)
    complete = froc.complete(side.cut)[:, :, np.newaxis]
    at = np.where(complete, froc.at, np.nan)
    here = Looked(images)
    weights = bootstrap.draw_images(here.groups, resamples, seed)
    labels = here.of(side.boxes).filter("correct", pl.col("confidence") > min_confidence)
    right, known = (here.counts(rows, classes) @ weights for rows in (labels, here.of(side.truth)))
    return {
        "truth": precision.known[:, np.newaxis],
        "groups": froc.groups[:, np.newaxis],
        "groups of mean": precision.groups[:, np.newaxis],
        "ap": precision.ap,
        "recall": ratio(right, known),
        "sensitivity": at[:, ONE],
        "cpm": at.mean(axis=1),
    }
