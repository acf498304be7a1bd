"""How another program writes feedback: its boxes, confidences, class numbers and times, as its user declares them.

radloop's own feedback (it has a `schema_version`) is never read in another convention.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from radloop import boxes
from radloop.boxes import Floats
from radloop.errors import FeedbackError, UsageError
from radloop.tables import SCALED_SIDE_PX
from radloop.words import ConfidenceUnit, TimeUnit

Format = Literal["cxcywh", "xyxy", "xywh"]

PERCENT: Final = 100.0
FIRST_YEAR: Final = 2000
MOST_AHEAD: Final = timedelta(hours=24)  # of now: a time without a zone may be local
_PER_SECOND: Final = {"seconds": 1, "milliseconds": 1000}
_UNITS: Final = {"fraction": 1.0, "percent": PERCENT, "pixel": float(SCALED_SIDE_PX)}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?|\d{8}T\d{4}(\d\d([.,]\d{1,9})?)?)"
    r"(?P<zone>Z|[+-]\d\d(:?\d\d)?)?"
)


@dataclass(frozen=True)
class Convention:
    """What the numbers in feedback mean; as radloop writes them where nothing else is declared."""

    bbox_format: Format = "cxcywh"
    bbox_frame: tuple[float, float] = (1.0, 1.0)  # width and height of the whole picture in the unit of the boxes
    confidence_unit: ConfidenceUnit = "fraction"
    class_base: int = 0  # the number of the first class
    time_unit: TimeUnit = "iso"
    time_zone: str = "UTC"  # of times without one

    @cached_property
    def zone(self) -> tzinfo:
        """The zone of times without one. Raises UsageError."""
        try:
            return UTC if self.time_zone == "UTC" else ZoneInfo(self.time_zone)
        except (OSError, ValueError) as unknown:  # ZoneInfoNotFoundError is a KeyError
            raise _unknown_zone(self.time_zone) from unknown
        except KeyError as unknown:
            raise _unknown_zone(self.time_zone) from unknown

    @cached_property
    def is_own(self) -> bool:
        """Whether it is radloop's own."""
        return self == OWN

    def to_corners(self, raw: ArrayLike) -> Floats:
        """n×4 boxes as this convention has them -> corners as fractions of the picture."""
        boxed = np.asarray(raw, np.float64).reshape(-1, 4) / (*self.bbox_frame, *self.bbox_frame)
        if self.bbox_format == "cxcywh":
            return boxes.cxcywh_to_xyxy(boxed)
        if self.bbox_format == "xywh":
            return np.concatenate([boxed[:, :2], boxed[:, :2] + boxed[:, 2:]], axis=1)
        return boxed

    def of_corners(self, corners: ArrayLike) -> Floats:
        """The inverse of `to_corners`."""
        boxed = np.asarray(corners, np.float64).reshape(-1, 4)
        if self.bbox_format == "cxcywh":
            boxed = boxes.xyxy_to_cxcywh(boxed)
        elif self.bbox_format == "xywh":
            boxed = np.concatenate([boxed[:, :2], boxed[:, 2:] - boxed[:, :2]], axis=1)
        return boxed * (*self.bbox_frame, *self.bbox_frame)

    def as_own(self, document: Mapping[str, Any], nothing: int) -> dict[str, Any]:
        """A document of another program as radloop would have written it; what has the wrong type stays as it is."""
        own = self._of_detection(document, nothing)
        for part in ("detections", "low_detections"):
            if isinstance(boxed := own.get(part), list):
                own[part] = [self._of_detection(one, nothing) if isinstance(one, dict) else one for one in boxed]
        if self.confidence_unit == "percent" and is_number(own.get("kept_from")):
            own["kept_from"] /= PERCENT
        if "timestamp" in own:
            own["timestamp"] = self._time(own["timestamp"])
        return own

    def _of_detection(self, document: Mapping[str, Any], nothing: int) -> dict[str, Any]:
        own = dict(document)
        box: Any = own.get("bbox")
        confidence: Any = own.get("confidence")
        class_id: Any = own.get("class_id")
        if is_box(box) and (self.bbox_format, self.bbox_frame) != (OWN.bbox_format, OWN.bbox_frame):
            own["bbox"] = boxes.xyxy_to_cxcywh(self.to_corners(box))[0].tolist()
        if self.confidence_unit == "percent" and is_number(confidence):
            own["confidence"] = confidence / PERCENT
        if self.class_base and isinstance(class_id, int) and not isinstance(class_id, bool):
            # who counts from 1 has 0 for the background
            own["class_id"] = nothing if class_id == 0 and box is None else class_id - self.class_base
        return own

    def _time(self, value: Any) -> Any:
        number = epoch(value)
        if self.time_unit == "iso" or number is None:
            return value
        try:
            return datetime.fromtimestamp(number / _PER_SECOND[self.time_unit], UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            return value

    def utc(self, text: str, now: datetime | None = None) -> tuple[datetime, bool]:
        """A date with a time of day (ISO 8601) in UTC, and whether it told its zone. Raises FeedbackError.

        From 2000 on, and at most 24 hours ahead of `now` where that is given.
        """
        shown, found = text[:60], _ISO.fullmatch(text.upper())
        try:
            if not found:
                raise ValueError(shown)
            time = datetime.fromisoformat(text.upper())
            time = (time if time.tzinfo else time.replace(tzinfo=self.zone)).astimezone(UTC)
        except (ValueError, OverflowError) as broken:
            raise FeedbackError(
                f"timestamp {shown!r} is not a date with a time of day in ISO 8601 (2026-11-22T10:00:00Z)",
                code="bad-timestamp",
            ) from broken
        if time.year < FIRST_YEAR:
            raise FeedbackError(f"timestamp {shown!r} is before {FIRST_YEAR}", code="time-too-early")
        if now is not None and time > now + MOST_AHEAD:
            raise FeedbackError(
                f"timestamp {shown!r} is more than {MOST_AHEAD // timedelta(hours=1)} hours ahead of now",
                code="time-in-future",
            )
        return time, bool(found["zone"])


OWN: Final = Convention()


def _unknown_zone(name: str) -> UsageError:
    return UsageError(f"--time-zone {name!r} is unknown: give a name such as Europe/Berlin.")


def of_flags(
    *,
    bbox_format: str = "cxcywh",
    confidence_unit: ConfidenceUnit = "fraction",
    class_base: int = 0,
    time_unit: TimeUnit = "iso",
    time_zone: str = "UTC",
) -> Convention:
    """The convention that the flags declare; `bbox_format` is FORMAT or FORMAT:UNIT. Raises UsageError."""
    name, _, unit = bbox_format.strip().lower().partition(":")
    size = _SIZE.fullmatch(unit)
    side = _UNITS.get(unit or "fraction")
    if name not in get_args(Format) or (size is None and side is None):
        raise UsageError(
            f"--bbox-format {bbox_format!r} is unknown: give cxcywh, xyxy or xywh, and where the numbers are not "
            "fractions :percent, :pixel (of 1024×1024) or :WIDTHxHEIGHT behind it, such as xyxy:pixel."
        )
    frame = (float(size[1]), float(size[2])) if size else (side or 1.0, side or 1.0)
    declared = Convention(
        bbox_format=next(one for one in get_args(Format) if one == name),
        bbox_frame=frame,
        confidence_unit=confidence_unit,
        class_base=class_base,
        time_unit=time_unit,
        time_zone=time_zone,
    )
    _ = declared.zone
    return declared


def is_number(value: object) -> bool:
    """Whether JSON has a number there."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def is_box(value: object) -> bool:
    """Whether JSON has four numbers there."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


def epoch(value: object) -> float | None:
    """A time as a number, also in quotes; None for everything else."""
    if isinstance(value, str) and re.fullmatch(r"\d{9,14}(\.\d{1,9})?", value):
        return float(value)
    return float(value) if is_number(value) else None  # type: ignore[arg-type]
