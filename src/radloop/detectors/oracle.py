"""A detector that knows the truth and errs like a radiologist, more or less: for demos, evaluation and review."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import boxes, domain
from radloop.detectors.chance import of_image
from radloop.predictions import LOW_CONFIDENCE, Picture, Predictions
from radloop.readers import Boxes, Classes, reading
from radloop.tables import EDGES
from radloop.taxonomy import Taxonomy

_NOTHING: Final = (np.empty((0, 4)), np.empty(0, dtype=np.int64))

# How far apart the evidence for true and for false findings lies, in standard deviations: an area under the ROC
# curve of 0.96. What is true and false before any evidence: boxes per image in data like VinDr-CXR, 29 % of which
# have a finding, as `readers.reading` misses and invents them.
_SEPARATION: Final = 2.5
_TRUE, _MISSED, _FALSE = 0.98, 0.31, 0.61
_SUREST: Final = 0.99


class Oracle:
    """The truth with `noise` times a radiologist's misses, false alarms and jitter (`readers.reading`)."""

    name = "oracle"

    def __init__(
        self, truth: pl.DataFrame, classes: Taxonomy, *, noise: float, seed: int = 0, min_confidence: float
    ) -> None:
        """`truth` is TRUTH; images without a box in it are normal."""
        self.version = f"noise-{noise:g}"
        self._noise, self._seed, self._min_confidence = noise, seed, min_confidence
        self._truth, self._domain = _by_image(truth), domain.of(classes)

    def predict(self, picture: Picture) -> Predictions:
        """What is seen, as far as it is more likely than LOW_CONFIDENCE to be true."""
        rng = of_image(picture.image_id, seed=self._seed)
        known, classes = self._truth.get(picture.image_id, _NOTHING)
        habits, place = self._domain.habits, self._domain.typical_box
        seen = reading(known, classes, habits, place=place, rng=rng, noise=self._noise)
        confidences = self._confidences(seen.origins >= 0, rng)
        doubted = self._noise * rng.uniform(0.0, self._min_confidence)  # what every image has
        least = min(LOW_CONFIDENCE, self._min_confidence)
        kept = np.flatnonzero((confidences > least) & (seen.boxes[:, 2:] > seen.boxes[:, :2]).all(axis=1))
        return Predictions.parted(
            seen.classes[kept],
            confidences[kept],
            boxes.xyxy_to_cxcywh(seen.boxes[kept]),
            highest_score=float(confidences.max(initial=doubted)),
            min_confidence=self._min_confidence,
            kept_from=least,
        )

    def _confidences(self, true: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """How likely each finding is true (Bayes): evidence is normal around one mean if it is, another if not."""
        evidence = rng.standard_normal(len(true)) + np.where(true, _SEPARATION / 2, -_SEPARATION / 2)
        odds = np.exp(_SEPARATION * evidence) * _TRUE * max(1 - _MISSED * self._noise, 0.05)
        return np.minimum(odds / (odds + _FALSE * self._noise), _SUREST)


def _by_image(truth: pl.DataFrame) -> dict[str, tuple[Boxes, Classes]]:
    found = truth.filter(pl.col("class_id").is_not_null()).sort("image_id", "class_id", *EDGES)
    return {
        str(image_id): (rows.select(EDGES).to_numpy(), rows["class_id"].to_numpy().astype(np.int64))
        for (image_id,), rows in found.group_by("image_id", maintain_order=True)
    }
