"""A detector that never looks: findings as often as is known of their classes, wherever they may lie."""

import threading
from hashlib import md5
from typing import Final

import numpy as np

from radloop import boxes, domain
from radloop.predictions import LOW_CONFIDENCE, MIN_CONFIDENCE, Picture, Predictions
from radloop.readers import Box
from radloop.taxonomy import Taxonomy

_MORE_BOXES: Final = 8.2 / 3 - 1  # three readers draw 8.2 boxes on an image with a finding; the first is certain
_LOW_BOXES: Final = 2.0  # beside the detections, below MIN_CONFIDENCE
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
        """Confidences are uniform in 0.5..1, also that nothing is found; below the detections there are some more."""
        if self._inference_s > 0:
            self._stop.wait(self._inference_s)
        rng = of_image(picture.image_id, seed=self._seed)
        found = 0 if rng.random() < _NOTHING else 1 + rng.poisson(_MORE_BOXES)
        class_ids, xyxy = self._boxes(found, rng)
        confidences = rng.uniform(0.5, 1.0, found).tolist()
        highest = max(confidences) if confidences else rng.uniform(0.0, 0.5)
        below = max(min(highest, MIN_CONFIDENCE), LOW_CONFIDENCE)
        more, more_xyxy = self._boxes(rng.poisson(_LOW_BOXES) if highest > LOW_CONFIDENCE else 0, rng)
        return Predictions.parted(
            class_ids + more,
            confidences + rng.uniform(LOW_CONFIDENCE, below, len(more)).tolist(),
            boxes.xyxy_to_cxcywh(np.clip(np.reshape(xyxy + more_xyxy, (-1, 4)), 0.0, 1.0)),
            highest_score=highest,
        )

    def _boxes(self, count: int, rng: np.random.Generator) -> tuple[list[int], list[Box]]:
        """Classes as often as their findings are, each with a box where it may lie."""
        known = self._domain
        class_ids: list[int] = rng.choice(len(known.shares), size=count, p=known.shares).tolist()
        return class_ids, [known.typical_box(class_id, rng) for class_id in class_ids]


def of_image(image_id: str, *, seed: int) -> np.random.Generator:
    """The random numbers of one image: the same in any thread, in any order."""
    return np.random.default_rng(int.from_bytes(md5(f"{seed} {image_id}".encode()).digest()[:8], "big"))
