"""From which confidence on a class of a model is a label, and what a confidence is worth: proven on held-out images.

The cutoffs that are tried are fixed beforehand, and the bounds of all of them hold together in 95 of 100 cases, class
by class (Bonferroni): so the lowest one may be taken whose bound reaches the wish, however many were looked at.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Final

import numpy as np
import polars as pl

from radloop.catalog import judging
from radloop.catalog.judging import Matched
from radloop.catalog.rule import Calibration, Rule, Threshold
from radloop.errors import FeedbackError
from radloop.measures import calibration, intervals
from radloop.measures.evaluation import Looked
from radloop.tables import DETECTOR
from radloop.taxonomy import Taxonomy

SPLIT: Final = "validation"  # test judges, staging and canary compare: what chooses here would wear them
CUTOFFS: Final = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # those below the rule's `doubtful` are not tried
ERROR: Final = 0.05  # how often one of a class's bounds may be too high
PROVEN: Final = pl.Schema(  # `Threshold`, a row each
    {
        **dict.fromkeys(DETECTOR, pl.String()),
        "class_name": pl.String(),
        "above": pl.Float64(),
        "boxes": pl.Int64(),
        "groups": pl.Int64(),
        "precision": pl.Float64(),
        "low": pl.Float64(),
        "too_few": pl.Boolean(),
        "reach": pl.Float64(),
    }
)


def by(rule: Rule, judged: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame) -> Rule:
    """The rule with the thresholds and calibrations of every model that was shown images of SPLIT.

    judged: the feedback (`guard.judge`); boxes: every box of it (`Records.every_box`); readings: those of the dataset.
    A rule of another policy stays as it is.
    """
    if rule.policy == "threshold":
        return rule
    shown = judging.newest(judged).filter("complete", split=SPLIT)
    models = shown.select(DETECTOR).unique().sort(DETECTOR).rows()
    here = {model: judging.matched(judging.part(shown, model[0], model[1], SPLIT), boxes, readings) for model in models}
    return replace(
        rule,
        thresholds=tuple(one for model, known in here.items() for one in thresholds(model, known, rule)),
        calibrations=tuple(_calibration(model, known, rule) for model, known in here.items()),
    )


def table(rule: Rule, classes: Taxonomy) -> pl.DataFrame:
    """PROVEN: the thresholds of a rule, as people read them."""
    named = [asdict(one) | {"class_name": classes.name(one.class_id)} for one in rule.thresholds]
    return pl.DataFrame(named, schema=PROVEN)


def out_of_reach(rule: Rule, classes: Taxonomy) -> tuple[str, ...]:
    """What is to be said where no class of any model has a threshold, and how one gets one."""
    if not rule.thresholds or any(one.above is not None for one in rule.thresholds):
        return ()
    known = [one for one in rule.thresholds if one.reach is not None]
    best = max(known, key=lambda one: one.reach or 0, default=None)
    most = f"; the most is {best.reach:.2f}, of {classes.name(best.class_id)}" if best else ""
    return (
        f"no class has a threshold: of none it is proven that {rule.precision:g} of its boxes are right{most}. Without "
        f"a review nothing trains; a lower --precision, or more images of {SPLIT}, give labels",
    )


def require(unproven: pl.DataFrame) -> None:
    """Raise FeedbackError where the rule needs something of models (DETECTOR) that nobody has shown images of SPLIT."""
    if unproven.height:
        names = " and ".join(judging.name(*one) for one in unproven.select(DETECTOR).iter_rows())
        raise FeedbackError(
            f"--policy calibrated needs feedback of {names} on the split {SPLIT}, whose truth is known, and there is "
            f"none. `radloop simulate --splits {SPLIT} --detector …` shows it these images."
        )


def thresholds(model: tuple[str, str], here: Matched, rule: Rule) -> Iterator[Threshold]:
    """One for each class that the model (name, version) told above `Rule.doubtful`."""
    cutoffs = [rule.doubtful, *(one for one in CUTOFFS if one > rule.doubtful)]
    looked = Looked(here.images)
    told = looked.of(here.boxes).filter(pl.col("confidence") > rule.doubtful)
    best = ERROR / len(cutoffs)
    for (class_id,), own in told.sort("class_id").group_by("class_id", maintain_order=True):
        group = looked.group(own)
        confidence, correct = own["confidence"].to_numpy(), own["correct"].to_numpy()
        above = confidence[np.newaxis] > np.array(cutoffs)[:, np.newaxis]
        key, box = np.nonzero(above)
        every, right = (
            intervals.per_group(key, group[box], value[box], len(cutoffs), looked.groups)
            for value in (np.ones(own.height), correct)
        )
        low = intervals.least_share(right, every, error=best)
        held = np.flatnonzero(low >= rule.precision)
        at = int(held[0]) if len(held) else 0
        groups = intervals.groups_with(every)
        counted = int(every.sum(axis=1)[at])
        yield Threshold(
            *model,
            class_id=int(class_id),
            above=cutoffs[at] if len(held) else None,
            boxes=counted,
            groups=int(groups[at]),
            precision=float(right.sum(axis=1)[at] / counted),
            low=None if np.isnan(low[at]) else float(low[at]),
            reach=None if np.isnan(low).all() else float(np.nanmax(low)),
            too_few=not len(held) and bool(np.isnan(low[0]) or best ** (1 / groups[0]) < rule.precision),
        )


def _calibration(model: tuple[str, str], here: Matched, rule: Rule) -> Calibration:
    """Ten bins of confidence over all classes, made to never fall by isotonic regression.

    A bin's share is that of its boxes and half a right and half a wrong one more (Jeffreys): none is worth nothing.
    """
    from scipy.optimize import isotonic_regression  # not before it is needed

    told = here.boxes.filter(pl.col("confidence") > rule.doubtful)
    bins = calibration.calibration(told, here.images).filter(pl.col("predictions") > 0)
    if bins.is_empty():
        return Calibration(*model, (), ())
    number = bins["predictions"].to_numpy()
    share = (bins["correct"].to_numpy() * number + 0.5) / (number + 1)
    right = isotonic_regression(share, weights=number).x
    return Calibration(*model, tuple(bins["confidence"].to_list()), tuple(float(one) for one in right))
