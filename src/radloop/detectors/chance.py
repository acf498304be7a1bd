"""A detector that never looks: findings as often as is known of their classes, wherever they may lie."""

import threading
from hashlib import md5
from typing import Final

import numpy as np

from radloop import boxes, domain
from radloop.predictions import Picture, Predictions
from radloop.taxonomy import Taxonomy

_MORE_BOXES: Final = 8.2 / 3 - 1  # three readers draw 8.2 boxes on an image with a finding; the first is certain
_NOTHING: Final = 0.3  # the share of images; 0.71 in the data, but a short run shall have something to show


class Chance:
    """Predictions that follow from the seed and the image's id alone; the picture is never decoded."""

    name = "random"
    version = "1"

    def __init__(
        self, classes: Taxonomy, *, seed: int = 0, inference_ms: float = 0, stop: threading.Event | None = None
    ) -> None:
        """An answer takes `inference_ms`; once `stop` is set, no time at all."""
        self._domain = domain.of(classes)
        self._seed = seed
        self._inference_s = inference_ms / 1000
        self._stop = stop or threading.Event()

    def predict(self, picture: Picture) -> Predictions:
        """Confidences are uniform in 0.5..1, also that nothing is found."""
        if self._inference_s > 0:
            self._stop.wait(self._inference_s)
        rng = of_image(picture.image_id, seed=self._seed)
        if rng.random() < _NOTHING:
            return Predictions.sorted([], [], [], highest_score=rng.uniform(0.0, 0.5))
        known = self._domain
        class_ids = rng.choice(len(known.shares), size=1 + rng.poisson(_MORE_BOXES), p=known.shares)
        xyxy = np.clip([known.typical_box(class_id, rng) for class_id in class_ids.tolist()], 0.0, 1.0)
        return Predictions.sorted(class_ids, rng.uniform(0.5, 1.0, len(class_ids)), boxes.xyxy_to_cxcywh(xyxy))


def of_image(image_id: str, *, seed: int) -> np.random.Generator:
    """The random numbers of one image: the same in any thread, in any order."""
    return np.random.default_rng(int.from_bytes(md5(f"{seed} {image_id}".encode()).digest()[:8], "big"))
