"""What surrounds a YOLO model, whatever runs it: a picture becomes its input tensor, its output tensor predictions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from radloop import boxes
from radloop.errors import DetectorError
from radloop.predictions import Picture, Predictions
from radloop.tables import CLASS_NAMES, NO_FINDING

Tensor = npt.NDArray[np.float32]

MIN_CONFIDENCE: Final = 0.25  # below, a trainer's own `predict` is silent too, and no detection is doubtful
MAX_IOU: Final = 0.5  # of two boxes of one class; the better one stays
MOST_DETECTIONS: Final = 300
_MOST_CANDIDATES: Final = 2000  # of one class, before suppression: it takes quadratic time
_ROUNDING: Final = 1e-3  # of half-precision scores
_PADDING: Final = 114  # the gray that YOLO trainers pad with
_CLASS_COUNTS: Final = (NO_FINDING, len(CLASS_NAMES))


@dataclass(frozen=True)
class Shape:
    """What a model takes: a batch of one picture with so many (equal) channels."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Frame:
    """Where the picture lies in the input, in pixels."""

    left: int
    top: int
    width: int
    height: int


def check_shapes(model: str, taken: Sequence[object], given: Sequence[object], *, side_px: int = 640) -> Shape:
    """The shape of a model with one input `taken` and one output `given`; what is no positive number is free.

    A free side of the input becomes `side_px`. Raises DetectorError for all but [1, 1 or 3, height, width] in and
    [1, 4 + classes, anchors] with 14 or 15 classes out.
    """
    batch, channels, height, width = (*map(_size, taken), None, None, None, None)[:4]
    if len(taken) != 4 or batch not in (1, None) or channels not in (1, 3):
        raise DetectorError(
            f"{model} takes {_written(taken)}, not [1, 1 or 3, height, width]. Export it again for one picture a call "
            "(Ultralytics: model.export(format='onnx', batch=1))."
        )
    rows = _size(given[1]) if len(given) == 3 else None
    if len(given) != 3 or _size(given[0]) not in (1, None) or (rows is not None and rows - 4 not in _CLASS_COUNTS):
        raise DetectorError(
            f"{model} gives {_written(given)}, not [1, 18, anchors]: four numbers of a box and the scores of 14 "
            "classes (or [1, 19, anchors] with No finding as the fifteenth). Train it on radloop's data.yaml and "
            "export it without suppression (Ultralytics: model.export(format='onnx', nms=False))."
        )
    return Shape(channels, height or side_px, width or side_px)


def prepare(picture: Picture, shape: Shape) -> tuple[Tensor, Frame]:
    """The picture as a tensor (1, channels, height, width) in [0, 1], scaled to fit and padded (letterbox).

    Raises DetectorError where the picture cannot be decoded.
    """
    try:
        gray = picture.gray
    except (OSError, SyntaxError, ValueError) as damaged:  # SyntaxError: Pillow's word for a broken PNG
        raise DetectorError(
            f"image {picture.image_id}: the picture cannot be decoded ({damaged}).", kind="picture"
        ) from damaged
    canvas, frame = letterbox(gray, width=shape.width, height=shape.height)
    plane = canvas.astype(np.float32) / np.float32(255)
    return np.repeat(plane[None, None], shape.channels, axis=1), frame


def letterbox(gray: npt.NDArray[np.uint8], *, width: int, height: int) -> tuple[npt.NDArray[np.uint8], Frame]:
    """The picture in the middle of a gray canvas (height, width), as large as it fits, its ratio kept."""
    rows, columns = gray.shape
    scale = min(width / columns, height / rows)
    inner_width, inner_height = max(1, round(columns * scale)), max(1, round(rows * scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    if (inner_width, inner_height) != (columns, rows):
        scaled = Image.fromarray(gray).resize((inner_width, inner_height), Image.Resampling.BILINEAR)
        gray = np.asarray(scaled)
    canvas = np.full((height, width), _PADDING, dtype=np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = gray
    return canvas, Frame(left, top, inner_width, inner_height)


def decode(
    output: npt.NDArray[np.floating], frame: Frame, *, min_confidence: float, max_iou: float = MAX_IOU
) -> Predictions:
    """The predictions in one output (1, 4 + classes, anchors): cxcywh in pixels of the input, then a score per class.

    Every class of a box above `min_confidence` counts, since findings share boxes; suppression is within the class.
    Raises DetectorError for another shape, and for scores that are none.
    """
    if output.ndim != 3 or output.shape[0] != 1 or output.shape[1] - 4 not in _CLASS_COUNTS:
        raise DetectorError(
            f"The model's answer has the shape {_written(output.shape)}, not [1, 18 or 19, anchors].", kind="answer"
        )
    found, scores = output[0, :4].T.astype(np.float64), output[0, 4 : 4 + NO_FINDING].astype(np.float64)
    if not np.isfinite(found).all() or not ((scores > -_ROUNDING) & (scores < 1 + _ROUNDING)).all():
        raise DetectorError(
            "The model's answer holds scores outside 0..1 or numbers that are none: is its last layer a sigmoid?",
            kind="answer",
        )
    scores = np.clip(scores, 0.0, 1.0)
    corners = boxes.cxcywh_to_xyxy(found)
    class_ids, anchors = [], []
    for class_id in np.flatnonzero((scores > min_confidence).any(axis=1)).tolist():
        candidates = np.flatnonzero(scores[class_id] > min_confidence)
        best = candidates[np.argsort(-scores[class_id, candidates], kind="stable")[:_MOST_CANDIDATES]]
        stay = best[boxes.nms(corners[best], scores[class_id, best], max_iou)]
        class_ids += [class_id] * len(stay)
        anchors += stay.tolist()
    xyxy = _to_picture(corners[anchors], frame)
    visible = np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))  # not in the padding
    predictions = Predictions.sorted(
        np.array(class_ids, dtype=np.int64)[visible],
        scores[class_ids, anchors][visible],
        boxes.xyxy_to_cxcywh(xyxy[visible]),
        highest_score=float(scores.max(initial=0.0)),
    )
    most = slice(MOST_DETECTIONS)
    return replace(
        predictions,
        class_ids=predictions.class_ids[most],
        confidences=predictions.confidences[most],
        cxcywh_norm=predictions.cxcywh_norm[most],
    )


def _to_picture(xyxy_px: npt.NDArray[np.float64], frame: Frame) -> npt.NDArray[np.float64]:
    """Corners (n, 4) as fractions of the picture, cut at its edges."""
    begin = np.array([frame.left, frame.top] * 2)
    shares: npt.NDArray[np.float64] = np.clip((xyxy_px - begin) / ([frame.width, frame.height] * 2), 0.0, 1.0)
    return shares


def _size(dimension: object) -> int | None:
    """A fixed dimension, or None: runtimes write a free one as a name, None or -1."""
    return int(dimension) if isinstance(dimension, int) and dimension > 0 else None


def _written(shape: Sequence[object]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
