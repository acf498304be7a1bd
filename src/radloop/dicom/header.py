"""Values of a header, whatever somebody wrote there."""

from typing import Any

from radloop.errors import DicomError


def text(dataset: Any, keyword: str) -> str:
    """A value as text without spaces around it; empty where there is none."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0")


def whole(dataset: Any, keyword: str, default: int | None = None) -> int:
    """A whole number. Raises DicomError where there is none, and no default."""
    value = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise DicomError(f"it does not say its {keyword}", code="bad-header")
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as wrong:
        raise DicomError(f"its {keyword} is not a whole number", code="bad-header") from wrong


def numbers(dataset: Any, keyword: str) -> list[float]:
    """All the numbers of a value; none where one of them is not a number."""
    value = dataset.get(keyword)
    if value is None or value == "" or isinstance(value, bytes):
        return []
    try:
        many = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
        return [float(one) for one in many]
    except (TypeError, ValueError):
        return []
