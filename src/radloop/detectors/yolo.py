"""What surrounds a YOLO model, whatever runs it: a picture becomes its input tensor, its output tensor predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from radloop import boxes
from radloop.detectors.names import Scores
from radloop.errors import DetectorError, SourceError
from radloop.predictions import LOW_CONFIDENCE, Picture, Predictions

Tensor = npt.NDArray[np.float32]

MAX_IOU: Final = 0.5  # of two boxes of one class; the better one stays
_MOST_CANDIDATES: Final = 2000  # of one class, before suppression: it takes quadratic time
_MOST_PIXELS: Final = 4096 * 4096  # of what a model takes
_ROUNDING: Final = 1e-3  # of half-precision scores
_PADDING: Final = 114  # the gray that YOLO trainers pad with
ENDED: Final = 6  # x1 y1 x2 y2 confidence class: the row of a model that suppresses by itself


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


def check_shapes(
    model: str, taken: Sequence[object], given: Sequence[object], scores: Scores, *, side_px: int = 640
) -> Shape:
    """The shape of a model with one input `taken` and one output `given`; what is no positive number is free.

    A free side of the input becomes `side_px`; a free one of the output is looked at with each answer. Raises
    DetectorError for all but [1, 1 or 3, height, width] in and one of the two heads out: [1, 4 + classes, anchors], or
    [1, N, 6] of a model that suppresses by itself.
    """
    batch, channels, height, width = (*map(_size, taken), None, None, None, None)[:4]
    if len(taken) != 4 or batch not in (1, None) or channels not in (1, 3):
        raise DetectorError(
            f"{model} takes {_written(taken)}, not [1, 1 or 3, height, width]. Export it again for one picture a call "
            "(Ultralytics: model.export(format='onnx', batch=1))."
        )
    sizes = [*map(_size, given), None, None, None][:3]
    fits = sizes[2] == ENDED or sizes[1] is None or sizes[1] - 4 in scores.counts
    if len(given) != 3 or sizes[0] not in (1, None) or not fits:
        raise DetectorError(f"{model} gives {_written(given)}, not {_needed(scores)}.")
    if (pixels := (height or side_px) * (width or side_px)) > _MOST_PIXELS:
        raise DetectorError(f"{model} takes pictures of {pixels:,} pixels, and {_MOST_PIXELS:,} are the most.")
    return Shape(channels, height or side_px, width or side_px)


def prepare(picture: Picture, shape: Shape) -> tuple[Tensor, Frame]:
    """The picture as a tensor (1, channels, height, width) in [0, 1], scaled to fit and padded (letterbox).

    Raises DetectorError where the picture cannot be decoded.
    """
    try:
        gray = picture.gray
    except SourceError as damaged:
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
    output: npt.NDArray[np.floating],
    frame: Frame,
    scores: Scores,
    *,
    min_confidence: float,
    max_iou: float = MAX_IOU,
) -> Predictions:
    """The predictions in one output, in pixels of the input.

    (1, N, 6) holds a row x1 y1 x2 y2 confidence class for each box that the model has kept. (1, 4 + classes, anchors)
    holds cxcywh, then a score per class: every class of a box counts, since findings share boxes, and suppression is
    within the class. What is above `min_confidence` is a detection, what is above LOW_CONFIDENCE is kept beside them.
    No net has as few as six anchors. Raises DetectorError for another shape, and for scores that are none.
    """
    least = min(LOW_CONFIDENCE, min_confidence)
    if output.ndim == 3 and output.shape[0] == 1 and output.shape[2] == ENDED:
        found = _of_rows(output[0].astype(np.float64), scores, least)
    elif output.ndim == 3 and output.shape[0] == 1 and output.shape[1] - 4 in scores.counts:
        found = _of_anchors(output[0].astype(np.float64), scores, least, max_iou)
    else:
        raise DetectorError(
            f"The model's answer has the shape {_written(output.shape)}, not {_needed(scores)}.", kind="answer"
        )
    xyxy = _to_picture(found.xyxy_px, frame)
    visible = np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))  # not in the padding
    return Predictions.parted(
        found.class_ids[visible],
        found.confidences[visible],
        boxes.xyxy_to_cxcywh(xyxy[visible]),
        highest_score=found.highest_score,
        min_confidence=min_confidence,
        kept_from=found.kept_from,
    )


class _Found(NamedTuple):
    class_ids: npt.NDArray[np.int64]  # of the dataset
    confidences: npt.NDArray[np.float64]
    xyxy_px: npt.NDArray[np.float64]
    highest_score: float
    kept_from: float  # every box above it is among these


def _of_rows(rows: npt.NDArray[np.float64], scores: Scores, least: float) -> _Found:
    """What a model gives that suppresses by itself; its "No finding" is dropped."""
    confidences = _checked(rows[:, :4], rows[:, 4])
    told = np.flatnonzero(confidences > 0)  # the rest fills the tensor up
    named = rows[told, 5]
    if not (np.isfinite(named) & (named == np.rint(named)) & (named >= 0) & (named < max(scores.counts))).all():
        raise DetectorError(
            f"The model's answer holds classes other than 0 to {max(scores.counts) - 1}: is its last column the class?",
            kind="answer",
        )
    ours = np.full(max(scores.counts), -1)
    ours[list(scores.columns)] = np.arange(len(scores.columns))
    class_ids = ours[named.astype(np.int64)]
    mine = told[class_ids >= 0]
    kept = (class_ids >= 0) & (confidences[told] > least)
    return _Found(
        class_ids[kept],
        confidences[told[kept]],
        rows[told[kept], :4],
        float(confidences[mine].max(initial=0.0)),
        least,
    )


def _of_anchors(rows: npt.NDArray[np.float64], scores: Scores, least: float, max_iou: float) -> _Found:
    """What a model gives for each anchor, after suppression within each class."""
    found = rows[:4].T
    confidences = _checked(found, rows[4:][list(scores.columns)])
    corners = boxes.cxcywh_to_xyxy(found)
    class_ids: list[int] = []
    anchors: list[int] = []
    kept_from = least
    for class_id in np.flatnonzero((confidences > least).any(axis=1)).tolist():
        candidates = np.flatnonzero(confidences[class_id] > least)
        best = candidates[np.argsort(-confidences[class_id, candidates], kind="stable")[:_MOST_CANDIDATES]]
        stay = best[boxes.nms(corners[best], confidences[class_id, best], max_iou)]
        class_ids += [class_id] * len(stay)
        anchors += stay.tolist()
        if len(best) < len(candidates):
            kept_from = max(kept_from, float(confidences[class_id, best[-1]]))
    return _Found(
        np.array(class_ids, dtype=np.int64),
        confidences[class_ids, anchors],
        corners[anchors],
        float(confidences.max(initial=0.0)),
        kept_from,
    )


def _checked(found: npt.NDArray[np.float64], confidences: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The confidences in 0..1. Raises DetectorError where they, or the boxes, are none."""
    if not np.isfinite(found).all() or not ((confidences > -_ROUNDING) & (confidences < 1 + _ROUNDING)).all():
        raise DetectorError(
            "The model's answer holds scores outside 0..1 or numbers that are none: is its last layer a sigmoid?",
            kind="answer",
        )
    clipped: npt.NDArray[np.float64] = np.clip(confidences, 0.0, 1.0)
    return clipped


def _to_picture(xyxy_px: npt.NDArray[np.float64], frame: Frame) -> npt.NDArray[np.float64]:
    """Corners (n, 4) as fractions of the picture, cut at its edges."""
    begin = np.array([frame.left, frame.top] * 2)
    shares: npt.NDArray[np.float64] = np.clip((xyxy_px - begin) / ([frame.width, frame.height] * 2), 0.0, 1.0)
    return shares


def _size(dimension: object) -> int | None:
    """A fixed dimension, or None: runtimes write a free one as a name, None or -1."""
    return int(dimension) if isinstance(dimension, int) and dimension > 0 else None


def _needed(scores: Scores) -> str:
    """The heads that can be read, and how to get them."""
    rows = " or ".join(str(4 + count) for count in scores.counts)
    classes = " or ".join(str(count) for count in scores.counts)
    return (
        f"[1, {rows}, anchors] (four numbers of a box and the scores of {classes} classes) or [1, N, 6] (x1 y1 x2 y2 "
        "confidence class). Train it on the dataset's data.yaml and export a detection model (Ultralytics: "
        "model.export(format='onnx'))"
    )


def _written(shape: Sequence[object]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"
