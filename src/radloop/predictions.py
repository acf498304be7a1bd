"""What a detector is given and what it answers: the one interface that every detector has."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from radloop import pixels

MIN_CONFIDENCE: Final = 0.25  # a box above it is a detection; a trainer's own `predict` begins there, too
LOW_CONFIDENCE: Final = 0.05  # above it a box is kept, for measures that ask for every box
MOST_DETECTIONS: Final = 300
MOST_LOW: Final = 100  # boxes that are kept beside the detections: as many as COCO counts in an image
NOTHING_ABOVE: Final = 0.0  # the highest score of a detector that tells none


@dataclass(frozen=True)
class Picture:
    """One picture on its way to a detector: the bytes, decoded only where somebody looks at the pixels."""

    image_id: str
    data: bytes

    @cached_property
    def gray(self) -> npt.NDArray[np.uint8]:
        """The gray values, shape (height, width), as the picture pass has them. Raises SourceError."""
        return pixels.decode(self.data)


@dataclass(frozen=True, slots=True)
class Found:
    """Boxes on one image, the most confident first.

    Shapes: class_ids (n,) of the dataset, confidences (n,) in [0, 1], cxcywh_norm (n, 4) as fractions of the picture.
    """

    class_ids: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]
    cxcywh_norm: npt.NDArray[np.float64]

    def part(self, begin: int, end: int) -> "Found":
        """The boxes of these places."""
        rows = slice(begin, end)
        return Found(self.class_ids[rows], self.confidences[rows], self.cxcywh_norm[rows])


NO_BOXES: Final = Found(np.empty(0, np.int64), np.empty(0), np.empty((0, 4)))


@dataclass(frozen=True, slots=True)
class Predictions(Found):
    """The detections on one image, the most confident first, and beside them what is kept below MIN_CONFIDENCE.

    highest_score is the highest raw class score of all candidates, also of those that are not kept: where nothing was
    found, its complement is how sure the detector is of that. model_version is that of the model that answered; None:
    the detector's own. Every box above kept_from is among the detections and `low`.
    """

    highest_score: float = NOTHING_ABOVE
    model_version: str | None = None
    low: Found = NO_BOXES
    kept_from: float = MIN_CONFIDENCE

    @classmethod
    def sorted(
        cls,
        class_ids: npt.ArrayLike,
        confidences: npt.ArrayLike,
        cxcywh_norm: npt.ArrayLike,
        highest_score: float | None = None,
    ) -> Self:
        """Detections that come in any order."""
        found = _sorted(class_ids, confidences, cxcywh_norm)
        highest = float(found.confidences.max(initial=0.0)) if highest_score is None else highest_score
        return cls(found.class_ids, found.confidences, found.cxcywh_norm, highest)

    @classmethod
    def parted(
        cls,
        class_ids: npt.ArrayLike,
        confidences: npt.ArrayLike,
        cxcywh_norm: npt.ArrayLike,
        *,
        highest_score: float,
        min_confidence: float = MIN_CONFIDENCE,
        kept_from: float = LOW_CONFIDENCE,
    ) -> Self:
        """All boxes above `kept_from`, in any order; those above `min_confidence` are the detections.

        At most MOST_DETECTIONS and MOST_LOW stay; where more there were, kept_from is the confidence of the last.
        """
        found = _sorted(class_ids, confidences, cxcywh_norm)
        sure = int((found.confidences > min_confidence).sum())
        detections, low = found.part(0, min(sure, MOST_DETECTIONS)), found.part(sure, sure + MOST_LOW)
        if sure > MOST_DETECTIONS:
            kept_from = float(detections.confidences[-1])
        elif len(found.class_ids) > sure + MOST_LOW:
            kept_from = float(low.confidences[-1])
        return cls(
            detections.class_ids,
            detections.confidences,
            detections.cxcywh_norm,
            highest_score,
            low=low,
            kept_from=kept_from,
        )


def _sorted(class_ids: npt.ArrayLike, confidences: npt.ArrayLike, cxcywh_norm: npt.ArrayLike) -> Found:
    """The boxes that have an area: of one that the edge cuts to nothing no reader takes the feedback."""
    classes = np.asarray(class_ids, dtype=np.int64).reshape(-1)
    scores = np.asarray(confidences, dtype=np.float64).reshape(-1)
    found = np.asarray(cxcywh_norm, dtype=np.float64).reshape(-1, 4)
    order = np.lexsort((classes, -scores))
    order = order[(found[order, 2:] > 0).all(axis=1)]
    return Found(classes[order], scores[order], found[order])


class Detector(Protocol):
    """Anything that answers predictions for a picture; safe to call from many threads.

    Raises TransientDetectorError where another try may succeed, DetectorError where none can.
    """

    name: str
    version: str

    def predict(self, picture: Picture) -> Predictions: ...
