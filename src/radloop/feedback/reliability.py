"""How far a detector can be believed, by its own boxes on images of validation and test.

Of a box: how likely one of its confidence is right. Of a finding of the readers: how likely the detector would have had
it with more confidence than it has. Nothing is told of a detector of which these images hold too little truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from radloop.boxes import Floats
from radloop.tables import DETECTOR

# Whose truth is looked at. Nothing that is chosen here judges a model or becomes a label: it says which images people
# look at first. Staging and canary compare models, and each look wears them.
SPLITS: Final = ("validation", "test")
LEAST: Final = 20  # boxes of the truth on these images, and as many of the detector: fewer tell nothing
_PRIOR: Final = 10  # boxes of all classes that count for each class beside its own
Ints = NDArray[np.integer]
Detector = tuple[str, str]  # model, version; "" where the feedback does not name it


@dataclass(frozen=True)
class Reliable:
    """One detector on images of SPLITS."""

    confidence: Floats  # ascending,
    right: Floats  # and the share of boxes of about this confidence that are right, never falling
    found: pl.DataFrame  # class_id, confidence: of each box of the truth, of the box that found it; 0 where none did

    def is_right(self, confidence: Floats) -> Floats:
        """How likely boxes of this `confidence` are right."""
        return np.interp(confidence, self.confidence, self.right)

    def finds(self, class_id: Ints, confidence: Floats) -> Floats:
        """How likely true boxes of these classes are found with more than this `confidence`.

        A class's share is drawn towards that of all classes, as by ten boxes more: of few boxes little is known.
        """
        classes, found = self.found["class_id"].to_numpy(), self.found["confidence"].to_numpy()
        of_all = _above(found, confidence) / len(found)
        share = np.empty(len(confidence))
        for one in np.unique(class_id):
            own, here = found[classes == one], class_id == one
            share[here] = (_above(own, confidence[here]) + _PRIOR * of_all[here]) / (len(own) + _PRIOR)
        return share


def of(judged: pl.DataFrame, boxes: pl.DataFrame, readings: pl.DataFrame) -> Mapping[Detector, Reliable]:
    """Each detector of which enough is known, by its newest feedback on each image of SPLITS.

    judged: as by `guard.judge`. boxes: every box that feedback keeps (`Records.every_box`). readings: the dataset's.
    """
    if judged.filter(pl.col("split").is_in(SPLITS)).is_empty():
        return {}
    from radloop.catalog import judging  # and with it an evaluation, which a queue without such images does not need

    newest = judging.newest(judged).filter(pl.col("split").is_in(SPLITS)).sort("image_id")
    known: dict[Detector, Reliable] = {}
    for (model, version), looked in newest.group_by(DETECTOR):
        outcomes = judging.outcomes(looked, boxes, readings)
        drawn, said = outcomes.filter(outcome="truth"), outcomes.filter(pl.col("outcome") != "truth")
        if min(drawn.height, said.height) >= LEAST:
            found = drawn.select("class_id", pl.col("confidence").fill_null(0.0))
            known[str(model), str(version)] = Reliable(*_calibrated(said), found)
    return dict(sorted(known.items()))


def _above(values: Floats, limits: Floats) -> Floats:
    """How many of the values are above each limit."""
    return len(values) - np.searchsorted(np.sort(values), limits, side="right").astype(np.float64)


def _calibrated(said: pl.DataFrame) -> tuple[Floats, Floats]:
    """Isotonic regression of right on confidence (Zadrozny and Elkan 2002), one point for each flat part.

    Right and wrong are drawn inwards as by Platt (1999, section 2.2): few boxes that are all right are not certain.
    """
    from scipy.optimize import isotonic_regression

    right = pl.col("outcome") == "true"
    count, hits = said.select(pl.len(), right.sum()).row(0)
    target = pl.when(right).then((hits + 1) / (hits + 2)).otherwise(1 / (count - hits + 2))
    steps = said.group_by("confidence").agg(target.mean().alias("right"), boxes=pl.len()).sort("confidence")
    fitted = isotonic_regression(steps["right"].to_numpy(), weights=steps["boxes"].to_numpy()).x
    flat = (
        steps.with_columns(right=fitted)
        .group_by("right")
        .agg((pl.col("confidence") * pl.col("boxes")).sum() / pl.col("boxes").sum())
    )
    flat = flat.sort("right")
    return flat["confidence"].to_numpy(), flat["right"].to_numpy()
