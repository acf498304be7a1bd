"""Precision against recall, and FROC: how much of the truth is found at how many false boxes an image.

Both are drawn from `evaluation.match`, so that a box counts once and as it does in the average precision. Below the
cut (`catalog.kept`) some or all boxes are missing: what they would add is not known, and nothing here guesses it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop.measures import bootstrap, intervals
from radloop.measures.bootstrap import RESAMPLES
from radloop.measures.evaluation import RECALLS, Looked, precision_at
from radloop.measures.intervals import Floats, Ints, ratio
from radloop.tables import CLASS_ID
from radloop.taxonomy import Taxonomy

RATES: Final = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)  # false boxes an image (Setio et al. 2017, LUNA16)
MOST_STEPS: Final = 2000  # thresholds of a draw; the figure itself has all
MOST_POINTS: Final = 500  # of a curve that is drawn


@dataclass(frozen=True)
class Froc:
    """How much of the truth is found, by class and (null) in all; classes without truth are left out."""

    # class_id, class_name, truth (boxes), rate (false boxes an image), sensitivity with its interval (null where the
    # boxes that were kept do not reach that rate), at_least (what they find), confidence (from which on; null: no box)
    sensitivity: pl.DataFrame
    # class_id, class_name, truth, cpm (the mean over RATES) with its interval, at_least, reached (the highest rate)
    cpm: pl.DataFrame


def of_class(rows: pl.DataFrame, class_id: int | None) -> pl.DataFrame:
    """The boxes of a class; None: of all."""
    return rows if class_id is None else rows.filter(class_id=class_id)


def operating_points(
    matched: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
    *,
    class_id: int | None = None,
    cut: float | None = None,
) -> pl.DataFrame:
    """Each threshold and what the boxes from it on are worth, the most confident first; at most MOST_POINTS of them.

    confidence, boxes, correct, precision, recall (null without truth), false_positives (an image), whole: no box from
    this confidence on is missing. class_id: None for the boxes of all classes together, each matched within its own.
    """
    here = Looked(images)
    rows, known = of_class(here.of(matched), class_id), of_class(here.of(truth), class_id).height
    rows = rows.sort("confidence", descending=True, maintain_order=True)
    confidence, correct = rows["confidence"].to_numpy(), rows["correct"].to_numpy()
    ends = np.flatnonzero(np.diff(confidence, append=-1.0))
    if len(ends) > MOST_POINTS:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(np.int64))]
    right, boxes = correct.cumsum()[ends], ends + 1
    figures = {
        "confidence": confidence[ends],
        "boxes": boxes,
        "correct": right.astype(np.int64),
        "precision": right / boxes,
        "recall": ratio(right, np.full(len(ends), known)),
        "false_positives": ratio(boxes - right, np.full(len(ends), len(here.ids))),
        "whole": confidence[ends] >= (np.inf if cut is None else cut),
    }
    return pl.DataFrame(figures).with_columns(pl.col(pl.Float64).fill_nan(None))


def precision_recall(
    matched: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
    *,
    class_id: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pl.DataFrame:
    """COCO's 101 points, whose mean is the average precision: recall, precision with its interval, confidence.

    The precision is that of the best threshold that finds as much of the truth; confidence is the threshold at which
    so much is found, null where no box is left: there the precision counts as 0 and has no interval. No row without
    truth. class_id as in `operating_points`.
    """
    here = Looked(images)
    rows, known = of_class(here.of(matched), class_id), of_class(here.of(truth), class_id)
    if known.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(("recall", *_interval("precision"), "confidence"), pl.Float64))
    rows = rows.sort("confidence", descending=True, maintain_order=True)
    weights = bootstrap.draw_images(here.groups, resamples, seed)
    boxes = bootstrap.sums(np.zeros(known.height, np.int64), here.group(known), np.ones(known.height), 1, weights)[0]
    group, correct = here.group(rows), rows["correct"].to_numpy()
    drawn = np.full((len(RECALLS), 1 + resamples), np.nan)
    step = max(bootstrap.AT_ONCE // max(len(group), 1), 1)  # draws at a time
    for start in range(0, 1 + resamples, step):
        part = slice(start, start + step)
        drawn[:, part] = precision_at(weights[group, part].astype(float), correct, boxes[part])
    groups = np.full(len(RECALLS), len(np.unique(here.group(known))))
    at = np.searchsorted(correct.cumsum() / known.height, RECALLS, side="left")
    confidence = np.append(rows["confidence"].to_numpy(), np.nan)[at]
    table = pl.DataFrame({"recall": RECALLS} | _holding("precision", drawn, groups) | {"confidence": confidence})
    bounds = pl.col("precision_low", "precision_high")
    beyond = pl.when(pl.col("confidence").is_not_nan()).then(bounds)
    return table.with_columns(beyond).with_columns(pl.col(pl.Float64).fill_nan(None))


def froc(
    matched: pl.DataFrame,
    truth: pl.DataFrame,
    images: pl.DataFrame,
    classes: Taxonomy,
    *,
    cut: float | None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Froc:
    """Sensitivity at RATES of false boxes an image, on all images that were looked at, and its mean (CPM).

    Of each rate the lowest threshold that makes no more false boxes counts. `cut`: the boxes are whole from this
    confidence on, those below it do not count; None: nothing is known of which boxes are missing.
    """
    drawn = Drawn.of(matched, truth, images, classes, cut=cut, resamples=resamples, seed=seed)
    finds = drawn.at[:, :, 0]
    keys, rates, complete = drawn.names, len(RATES), drawn.complete(cut)
    flat = drawn.at.reshape(-1, drawn.at.shape[2])
    told = _holding("sensitivity", np.where(complete.reshape(-1, 1), flat, np.nan), np.repeat(drawn.groups, rates))
    sensitivity = keys[np.repeat(np.arange(keys.height), rates)].hstack(
        pl.DataFrame(
            {"rate": np.tile(RATES, keys.height)}
            | told
            | {"at_least": finds.reshape(-1), "confidence": drawn.confidence.reshape(-1)}
        )
    )
    all_known = np.all(complete, axis=1, keepdims=True)
    mean = np.where(all_known, drawn.at.mean(axis=1), np.nan)
    cpm = keys.hstack(
        pl.DataFrame(
            _holding("cpm", mean, drawn.groups) | {"at_least": finds.mean(axis=1), "reached": drawn.reached},
        )
    )
    told_of = pl.col("truth") > 0, pl.col(pl.Float64).fill_nan(None)
    return Froc(*(table.filter(told_of[0]).with_columns(told_of[1]) for table in (sensitivity, cpm)))


@dataclass(frozen=True)
class Drawn:
    """Sensitivity in each draw of groups, so that two detectors can be compared draw by draw."""

    names: pl.DataFrame  # class_id, class_name, truth; the last row (null) is all
    known: Ints  # [class or all]: boxes of the truth
    groups: Ints  # [class or all]: groups with such
    at: Floats  # [class or all, rate, draw]
    reached: Floats  # [class or all]: the highest rate of false boxes an image
    confidence: Floats  # [class or all, rate]: the lowest threshold that makes no more; NaN: none does

    def complete(self, cut: float | None) -> npt.NDArray[np.bool_]:
        """Whether the boxes from the cut on tell all that is found at a rate: [class or all, rate]."""
        if cut is not None and cut <= 0:
            return np.ones(self.at.shape[:2], dtype=bool)
        return np.asarray((self.reached[:, np.newaxis] >= RATES) | (self.at[:, :, 0] == 1))

    @classmethod
    def of(
        cls,
        matched: pl.DataFrame,
        truth: pl.DataFrame,
        images: pl.DataFrame,
        classes: Taxonomy,
        *,
        cut: float | None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> "Drawn":
        """Arguments as of `froc`."""
        here = Looked(images)
        whole = pl.col("confidence") >= (np.inf if cut is None else cut)
        rows = here.of(matched).filter(whole).sort("confidence", descending=True, maintain_order=True)
        counts = here.counts(here.of(truth), classes)
        weights = bootstrap.draw_images(here.groups, resamples, seed)
        known = counts @ weights
        pictures = np.bincount(here.group(here.ids.to_frame()), minlength=here.groups) @ weights
        class_id, group, correct = rows["class_id"].to_numpy(), here.group(rows), rows["correct"].to_numpy()
        confidence = rows["confidence"].to_numpy()
        at = np.full((len(classes) + 1, len(RATES), 1 + resamples), np.nan)
        reached = np.zeros(len(classes) + 1)
        lowest = np.full((len(classes) + 1, len(RATES)), np.nan)
        for key in np.flatnonzero(known[:, 0]):
            own = np.flatnonzero(class_id == key) if key < len(classes) else np.arange(len(class_id))
            boxes = confidence[own], group[own], correct[own]
            at[key, :, 0] = _sensitivity(*boxes, known[key, :1], pictures[:1], weights[:, :1], most=len(own))[:, 0]
            at[key, :, 1:] = _sensitivity(*boxes, known[key, 1:], pictures[1:], weights[:, 1:], most=MOST_STEPS)
            reached[key] = (~correct[own]).sum() / len(here.ids)
            lowest[key] = _lowest(confidence[own], correct[own], len(here.ids))
        boxes_known = known[:, 0].astype(np.int64)
        return cls(
            names=_names(classes).with_columns(truth=pl.Series(boxes_known)),
            known=boxes_known,
            groups=intervals.groups_with(counts),
            at=at,
            reached=reached,
            confidence=lowest,
        )


def _sensitivity(
    confidence: Floats,
    group: Ints,
    correct: npt.NDArray[np.bool_],
    known: Floats,
    pictures: Floats,
    weights: Floats,
    *,
    most: int,
) -> Floats:
    """Of boxes, the most confident first: what those find that make no more false ones an image: [rate, draw].

    known, pictures: [draw], boxes of the truth and images that were drawn; NaN without any. weights: [group, draw].
    Boxes of one confidence come together; where there are more than `most` confidences, neighbours do, too.
    """
    step = np.cumsum(np.diff(confidence, prepend=confidence[:1]) != 0)
    steps = int(step[-1]) + 1 if len(step) else 0
    if steps > most:
        step, steps = step * most // steps, most
    right, wrong = (bootstrap.sums(step, group, value, steps, weights).cumsum(axis=0) for value in (correct, ~correct))
    place = np.stack([(wrong <= rate * pictures).sum(axis=0) for rate in RATES])  # the first that makes more
    found = np.take_along_axis(np.concatenate([np.zeros((1, len(known))), right]), place, axis=0)
    return np.where(pictures > 0, ratio(found, np.broadcast_to(known, found.shape)), np.nan)


def _lowest(confidence: Floats, correct: npt.NDArray[np.bool_], images: int) -> Floats:
    """The lowest threshold of boxes, the most confident first, that makes no more false ones an image: [rate]."""
    ends = np.flatnonzero(np.diff(confidence, append=-1.0))
    place = np.searchsorted((~correct).cumsum()[ends] / images, RATES, side="right")
    return np.append(np.nan, confidence[ends])[place]


def _holding(name: str, drawn: Floats, groups: Ints) -> dict[str, pl.Series]:
    """`intervals.of_draws`, widened to the figure where the draws lean all to one side of it."""
    told = pl.DataFrame(intervals.of_draws(name, drawn, groups))
    figure, low, high = (pl.col(column) for column in _interval(name))
    held = told.with_columns(
        pl.when(low.is_not_nan()).then(pl.min_horizontal(low, figure)).otherwise(low),
        pl.when(high.is_not_nan()).then(pl.max_horizontal(high, figure)).otherwise(high),
    )
    return {column: held[column] for column in held.columns}


def _interval(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _names(classes: Taxonomy) -> pl.DataFrame:
    """class_id, class_name: of each class, and a last row (null) for all."""
    everything = pl.DataFrame(
        {"class_id": [None], "class_name": [None]}, {"class_id": CLASS_ID, "class_name": pl.String}
    )
    return pl.concat([classes.table(), everything])
