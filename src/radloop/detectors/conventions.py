"""Whether a model writes its boxes as they are read: in pixels of the input, as centre and size or as corners.

The shape of an output does not tell. A model that writes fractions or the other form answers boxes in the wrong place
at 0.95, so the first answers are looked at, and where they can only mean something else the run stops. No answer
without a detection tells anything.
"""

import threading
from typing import Final, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from radloop.detectors.names import Scores
from radloop.detectors.yolo import ENDED, Shape
from radloop.errors import MisreadDetectorError

_Boxes = npt.NDArray[np.float64]

_ANSWERS: Final = 20  # with a detection; then the model is believed
_FEW_ANSWERS: Final = 3  # before boxes that lie badly prove anything
_FRACTION: Final = 1.5  # a model in pixels that answers less finds something in the last pixel of a corner
_SLACK_PX: Final = 1.0
_OUTSIDE: Final = 0.05  # of a side: as far as a right box reaches beyond the input now and then
_NEARER: Final = 3
_STRIDES: Final = ((8, 16, 32), (8, 16), (8, 16, 32, 64))

_PIXELS: Final = (
    "boxes as fractions from 0 to 1, not in pixels of its input of {width} × {height}. Export it without normalising "
    "(Ultralytics: model.export(format='onnx')), or multiply them by the input's width and height inside the model."
)
_CENTRE: Final = (
    "boxes as {form}, not as centre and size (xc yc w h). Export it without what turns them into those (Ultralytics: "
    "model.export(format='onnx')), or let it suppress by itself and write rows x1 y1 x2 y2 confidence class."
)
_CORNERS: Final = (
    "rows whose first four numbers are not corners (x1 y1 x2 y2): a right or lower edge lies before the left or upper "
    "one. Are they centre and size? Turn them into corners inside the model (x1 = xc - w/2, x2 = xc + w/2, …)."
)


class _Answer(NamedTuple):
    boxes: _Boxes  # (n, 4), as the model has written them
    sure: npt.NDArray[np.bool_]  # which of them are detections


class Conventions:
    """What the answers of one model, so far, tell of its boxes; safe to be asked from many threads."""

    def __init__(self, model: str, shape: Shape, scores: Scores) -> None:
        """`model` is what an error calls it."""
        self._model, self._shape, self._scores = model, shape, scores
        self._lock = threading.Lock()
        self._seen: list[_Boxes] = []  # the detections of each answer that had some
        self._wrong: str | None = None

    def require(self, output: npt.NDArray[np.floating], *, min_confidence: float) -> None:
        """Raise MisreadDetectorError where this and the answers before it can only mean something else.

        `output` is one that `yolo.decode` takes. A model that writes what is read is never stopped, however small,
        large or alike its boxes are.
        """
        if len(self._seen) >= _ANSWERS and self._wrong is None:
            return
        rows = output.shape[2] == ENDED
        answer = _of_rows(output[0], min_confidence) if rows else self._of_anchors(output[0], min_confidence)
        with self._lock:
            if self._wrong is None and answer.sure.any():
                self._seen.append(answer.boxes[answer.sure])
                self._wrong = self._judge_rows() if rows else self._judge_anchors(answer)
            if self._wrong is not None:
                self._refuse(self._wrong)

    def _refuse(self, wrong: str) -> NoReturn:
        raise MisreadDetectorError(f"{self._model} answers {wrong}")

    def _of_anchors(self, output: npt.NDArray[np.floating], min_confidence: float) -> _Answer:
        confidences = output[4:][list(self._scores.columns)].max(axis=0)
        return _Answer(output[:4].T.astype(np.float64), confidences > min_confidence)

    def _judge_rows(self) -> str | None:
        seen = np.concatenate(self._seen)
        if self._are_fractions(seen):
            return self._fractions()
        return None if (seen[:, 2:] >= seen[:, :2] - _SLACK_PX).all() else _CORNERS

    def _judge_anchors(self, answer: _Answer) -> str | None:
        seen = np.concatenate(self._seen)
        if self._are_fractions(seen):
            return self._fractions()
        form = self._form_by_grid(answer.boxes) or self._form_by_edges(seen)
        return form and _CENTRE.format(form=form)

    def _fractions(self) -> str:
        return _PIXELS.format(width=self._shape.width, height=self._shape.height)

    def _are_fractions(self, seen: _Boxes) -> bool:
        return bool((np.abs(seen) <= _FRACTION).all() and seen.any())

    def _form_by_grid(self, found: _Boxes) -> str | None:
        """The form in which the boxes lie about the points of the net's own grid, where they do not as they stand.

        An answer that is the same for all points lies at most twice as far from them in one form as in another, if it
        lies in the input at all: three times as near is proof.
        """
        points = _grid(self._shape, len(found))
        if points is None:
            return None

        def away(middles: _Boxes) -> float:
            return float(np.median(np.abs(middles - points).sum(axis=1)))

        as_it_stands = away(found[:, :2])
        if _are_ordered(found).mean() > 0.99 and _NEARER * away((found[:, :2] + found[:, 2:]) / 2) < as_it_stands:
            return "corners (x1 y1 x2 y2)"
        if _NEARER * away(found[:, :2] + found[:, 2:] / 2) < as_it_stands:
            return "upper left corner and size (x1 y1 w h)"
        return None

    def _form_by_edges(self, seen: _Boxes) -> str | None:
        """Corners, where all detections can be those and most of them, as centre and size, reach out of the input."""
        if len(self._seen) < _FEW_ANSWERS or not _are_ordered(seen).all():
            return None
        sides = np.array([self._shape.width, self._shape.height], dtype=np.float64)
        slack = _OUTSIDE * sides
        if not ((seen[:, :2] >= -slack) & (seen[:, 2:] <= sides + slack)).all():
            return None
        low, high = seen[:, :2] - seen[:, 2:] / 2, seen[:, :2] + seen[:, 2:] / 2
        outside = ((low < -slack) | (high > sides + slack)).any(axis=1)
        return "corners (x1 y1 x2 y2)" if outside.mean() > 0.5 else None


def _of_rows(output: npt.NDArray[np.floating], min_confidence: float) -> _Answer:
    return _Answer(output[:, :4].astype(np.float64), output[:, 4] > min_confidence)


def _are_ordered(found: _Boxes) -> npt.NDArray[np.bool_]:
    return np.asarray((found[:, 2:] >= found[:, :2]).all(axis=1))


def _grid(shape: Shape, anchors: int) -> _Boxes | None:
    """The points (anchors, 2) about which a YOLO net answers, in pixels; None for a net with another number of them."""
    for strides in _STRIDES:
        if sum((shape.height // stride) * (shape.width // stride) for stride in strides) == anchors:
            return np.concatenate([_points(shape, stride) for stride in strides])
    return None


def _points(shape: Shape, stride: int) -> _Boxes:
    rows, columns = np.mgrid[: shape.height // stride, : shape.width // stride]
    points: _Boxes = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) * stride
    return points
