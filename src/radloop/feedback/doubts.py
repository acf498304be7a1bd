"""What a refused file holds that would be right in another convention: evidence against the one declared."""

from typing import Any, NamedTuple

from radloop.feedback import documents
from radloop.feedback.conventions import is_box, is_number

Raw = tuple[float, float, float, float]


class Doubt(NamedTuple):
    """The numbers of one refused file of another program, as they stand there."""

    file: str
    image_id: str
    boxes: tuple[Raw, ...]
    numbers: tuple[int | None, ...]  # the class_id of each box
    classes: tuple[tuple[int, str | None], ...]  # class_id, class_name: of the top detection, then of all
    confidences: tuple[float, ...]
    timestamp: Any


def doubt(file: str, data: bytes) -> Doubt | None:
    """The evidence in the bytes of a refused file; None where it is no feedback, or radloop's own."""
    plain = documents.plain(data)
    if plain is None or "schema_version" in plain:
        return None
    listed = plain.get("detections")
    told = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    boxed = [one for one in told or [plain] if is_box(one.get("bbox"))]
    numbers = [one.get("class_id") for one in boxed]
    return Doubt(
        file,
        str(plain.get("image_id")),
        tuple(tuple(map(float, one["bbox"])) for one in boxed),  # type: ignore[misc]
        tuple(number if _is_id(number) else None for number in numbers),
        tuple((one["class_id"], _text(one.get("class_name"))) for one in [plain, *told] if _is_id(one.get("class_id"))),
        tuple(float(one["confidence"]) for one in [plain, *told] if is_number(one.get("confidence"))),
        plain.get("timestamp"),
    )


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
