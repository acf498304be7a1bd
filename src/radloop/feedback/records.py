"""Feedback files: one JSON object for what a model said of one image at one time, written once and never changed."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from radloop.errors import FeedbackError
from radloop.files import flush_folder
from radloop.tables import NO_FINDING, Split

SCHEMA_VERSION: Final = 1
TOLERANCE: Final = 0.01  # how far a box may reach over the picture's edge, as the trainer allows
MAX_BYTES: Final = 4 * 1024 * 1024

_IMAGE_ID = r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,199}$"
ImageId = Annotated[str, msgspec.Meta(pattern=_IMAGE_ID)]
Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
ClassId = Annotated[int, msgspec.Meta(ge=0, le=NO_FINDING)]
Box = tuple[float, float, float, float]  # xc, yc, w, h as fractions of the picture


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """One detected box."""

    class_id: ClassId
    class_name: str | None = None
    confidence: Fraction
    bbox: Box


class PictureMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the gray values (0..255), for drift; sharpness is the variance of the Laplacian."""

    mean: float
    std: float
    sharpness: float


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Which detector answered."""

    name: str
    version: str = ""


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """Made-up hospital metadata; that it stands there marks the feedback as simulated."""

    site: str
    view: str
    device: str


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One feedback. The first five keys speak of the top detection; they are all that the bare form has.

    Nothing found: class_id 14, bbox None, and confidence says how sure of that.
    """

    image_id: ImageId
    class_id: ClassId
    confidence: Fraction
    bbox: Box | None
    timestamp: str  # ISO 8601, UTC
    class_name: str | None = None
    detections: list[Detection] | None = None
    split: Split | None = None
    image_md5: str | None = None
    image_phash: str | None = None
    picture: PictureMeasures | None = None
    model: Model | None = None
    latency_ms: float | None = None
    stage: int | None = None
    arrived_at: str | None = None
    feedback_id: str | None = None
    run_id: str | None = None
    simulated: Simulated | None = None
    schema_version: int | None = None

    @property
    def found(self) -> list[Detection]:
        """The detections of class 0..13: `detections` where there are some, else the top one of the bare form."""
        if self.detections is not None:
            return [detection for detection in self.detections if detection.class_id != NO_FINDING]
        if self.class_id == NO_FINDING or self.bbox is None:
            return []
        return [Detection(class_id=self.class_id, confidence=self.confidence, bbox=self.bbox)]


_decoder = msgspec.json.Decoder(Feedback)


def encode(feedback: Feedback) -> bytes:
    """The bytes of a feedback file: JSON with an indent of two, the five known keys first."""
    filled = {name: value for name, value in msgspec.to_builtins(feedback).items() if value is not None}
    filled["bbox"] = feedback.bbox  # null says "nothing found" and is never left out
    ordered = {name: filled[name] for name in feedback.__struct_fields__ if name in filled}
    return json.dumps(ordered, indent=2, ensure_ascii=False).encode() + b"\n"


def write(folder: Path, feedback: Feedback, *, durable: bool = False) -> Path:
    """Write `<image_id>.json`, or `<image_id>.<feedback_id>.json` where that name is taken; returns the path.

    Never overwrites and never shows a part of a file, with any number of writers and a kill at any moment. With
    `durable` it has reached the disk before this returns. Raises FeedbackError where the feedback has no id, and
    where the very same one is there already.
    """
    if not feedback.feedback_id:
        raise FeedbackError(f"feedback on image {feedback.image_id} has no feedback_id: give it one before writing.")
    temporary = folder / f".{feedback.feedback_id}.{os.getpid()}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(encode(feedback))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        for name in (f"{feedback.image_id}.json", f"{feedback.image_id}.{feedback.feedback_id}.json"):
            try:
                os.link(temporary, folder / name)
            except FileExistsError:
                continue
            if durable:
                flush_folder(folder)
            return folder / name
    finally:
        temporary.unlink(missing_ok=True)
    raise FeedbackError(f"feedback {feedback.feedback_id} on image {feedback.image_id} has been written already.")


def decode(data: bytes, *, name: str) -> Feedback:
    """The feedback in a file's bytes, in the rich or the bare form, complete: with an id and a time in UTC.

    Raises FeedbackError that names the file and what is wrong with it.
    """
    try:
        feedback = _decoder.decode(data)
    except msgspec.DecodeError as broken:  # of which ValidationError is one
        feedback = _decode_normal_with_any_box(data, name, broken)
    _refuse_duplicate_keys(data, feedback, name)
    for detection in feedback.found:
        _refuse_box_outside(detection.bbox, name)
    return msgspec.structs.replace(
        feedback,
        bbox=None if feedback.class_id == NO_FINDING else feedback.bbox,
        timestamp=_utc(feedback.timestamp, name),
        feedback_id=feedback.feedback_id or hashlib.md5(data).hexdigest(),
    )


def _decode_normal_with_any_box(data: bytes, name: str, broken: msgspec.DecodeError) -> Feedback:
    """What older pipelines write as the box of "No finding" is anything; it means nothing and is not looked at."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as unreadable:
        raise FeedbackError(f"{name} is no JSON object: {unreadable}.") from unreadable
    if isinstance(plain, dict) and plain.get("class_id") == NO_FINDING and plain.get("bbox") is not None:
        try:
            return msgspec.convert(plain | {"bbox": None}, Feedback)
        except msgspec.ValidationError as also_broken:
            broken = also_broken
    raise FeedbackError(f"{name}: {broken}.") from broken


def _refuse_duplicate_keys(data: bytes, feedback: Feedback, name: str) -> None:
    """A key that stands twice has two values; JSON readers differ in which they take.

    Counting `":` is enough where it agrees with the keys that were read; only else each object is looked at.
    """
    detections = feedback.detections or []
    least = 5 + 4 * len(detections)
    if data.count(b'":') <= 5 and least == 5:
        return

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        names = [key for key, _ in items]
        if len(names) != len(set(names)):
            twice = next(key for key in names if names.count(key) > 1)
            raise FeedbackError(f"{name}: the key {twice!r} stands twice.")
        return dict(items)

    json.loads(data, object_pairs_hook=pairs)


def _refuse_box_outside(box: Box, name: str) -> None:
    xc, yc, width, height = box
    low, high = -TOLERANCE, 1 + TOLERANCE
    inside = (
        width > 0
        and height > 0
        and low <= xc - width / 2
        and xc + width / 2 <= high
        and low <= yc - height / 2
        and yc + height / 2 <= high
    )
    if not inside:
        raise FeedbackError(f"{name}: bbox {list(box)} is not inside the picture (xc, yc, w, h as fractions of it).")


def _utc(text: str, name: str) -> str:
    """The time in UTC as ISO 8601; a time without a zone is UTC."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return time.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as broken:
        raise FeedbackError(f"{name}: timestamp {text!r} is no time in ISO 8601.") from broken
