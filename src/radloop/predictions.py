"""What a detector is given and what it answers: the one interface that every detector has."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from radloop import pixels

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
class Predictions:
    """The detections on one image, the most confident first.

    Shapes: class_ids (n,) of the dataset, confidences (n,) in [0, 1], cxcywh_norm (n, 4) as fractions of the picture.
    highest_score is the highest raw class score of all candidates, also of those below the detector's threshold: where
    nothing was found, its complement is how sure the detector is of that. model_version is that of the model that
    answered; None: the detector's own.
    """

    class_ids: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]
    cxcywh_norm: npt.NDArray[np.float64]
    highest_score: float = NOTHING_ABOVE
    model_version: str | None = None

    @classmethod
    def sorted(
        cls,
        class_ids: npt.ArrayLike,
        confidences: npt.ArrayLike,
        cxcywh_norm: npt.ArrayLike,
        highest_score: float | None = None,
    ) -> Self:
        """Predictions that come in any order."""
        classes = np.asarray(class_ids, dtype=np.int64).reshape(-1)
        scores = np.asarray(confidences, dtype=np.float64).reshape(-1)
        boxes = np.asarray(cxcywh_norm, dtype=np.float64).reshape(-1, 4)
        order = np.lexsort((classes, -scores))
        highest = float(scores.max(initial=0.0)) if highest_score is None else highest_score
        return cls(classes[order], scores[order], boxes[order], highest)


class Detector(Protocol):
    """Anything that answers predictions for a picture; safe to call from many threads.

    Raises TransientDetectorError where another try may succeed, DetectorError where none can.
    """

    name: str
    version: str

    def predict(self, picture: Picture) -> Predictions: ...
