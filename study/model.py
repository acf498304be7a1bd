"""A detector of one seed: trained on labels, calibrated on validation, asked about pictures; tables in, tables out."""

import copy
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from scipy.special import expit
from study import net
from study.loop import LEAST
from study.patients import Cohort
from training.small_net import Floats, platt

from radloop.measures import evaluation
from radloop.tables import DETECTIONS, EDGES

_MOST: Final = 6  # boxes of one class on one picture


@dataclass(frozen=True)
class Model:
    """A trained net and its calibration."""

    net: net.Detector
    scale: Floats  # slope and shift, by class

    def predict(self, cohort: Cohort) -> pl.DataFrame:
        """DETECTIONS of every box above LEAST; the feedback's id is the image's."""
        return _table(_calibrated(net.predict(self.net, cohort.pictures, keep=_MOST), self.scale), cohort)


def train(
    cohort: Cohort, labels: pl.DataFrame, start: net.Detector, *, steps: int, rate: float, seed: int
) -> net.Detector:
    """A copy of a net that has learned `labels` (image_id, class_id, EDGES; weight, ignore) of a cohort's pictures."""
    learned = copy.deepcopy(start)
    at = {image_id: number for number, image_id in enumerate(cohort.ids)}
    wanted = net.targets(
        len(cohort.ids),
        np.array([at[image_id] for image_id in labels["image_id"]], dtype=np.int64),
        labels.select(EDGES).to_numpy().clip(0, 1),
        labels["class_id"].to_numpy().astype(np.int64),
        labels["weight"].to_numpy(),
        labels["ignore"].to_numpy(),
    )
    net.fit(learned, cohort.pictures, wanted, steps=steps, rate=rate, seed=seed)
    return learned


def calibrated(trained: net.Detector, validation: Cohort) -> Model:
    """The net with a scale by which a score is the share of such boxes that are right, at IoU 0.4."""
    found = net.predict(trained, validation.pictures, keep=_MOST)
    identity = np.stack([np.ones(net.CLASSES), np.zeros(net.CLASSES)])
    ranked = evaluation.match(_table(_calibrated(found, identity, least=0.0), validation), validation.consensus())
    confidence = ranked["confidence"].to_numpy().clip(1e-7, 1 - 1e-7)
    scale = platt(
        np.log(confidence / (1 - confidence)),
        ranked["correct"].to_numpy(),
        ranked["class_id"].to_numpy().astype(np.int64),
        net.CLASSES,
    )
    return Model(trained, scale)


def _calibrated(found: net.Found, scale: Floats, least: float = LEAST) -> net.Found:
    """Boxes with their confidence in the place of the logit; those above `least`."""
    places, logits, corners = found
    slope, shift = scale[:, places[:, 1]]
    confidence = expit(slope * logits + shift)
    kept = confidence > least
    return net.Found(places[kept], confidence[kept], corners[kept])


def _table(found: net.Found, cohort: Cohort) -> pl.DataFrame:
    """DETECTIONS; the feedback's id is the image's."""
    places, confidence, corners = found
    names = np.array(cohort.ids)[places[:, 0]]
    columns = {"feedback_id": names, "image_id": names, "class_id": places[:, 1], "confidence": confidence}
    return pl.DataFrame(columns | dict(zip(EDGES, corners.T.astype(np.float64), strict=True))).cast(dict(DETECTIONS))
