"""Label Studio's JSON export: a list of tasks, each with the annotations that people submitted.

An annotation without a region says that its reader found nothing; a task without annotations, or with one that was
cancelled (skipped), says nothing. Predictions and drafts are nobody's reading.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from radloop.errors import UNDECODABLE, AnnotationError
from radloop.sources.bundle import Bundle
from radloop.sources.formats import readings
from radloop.sources.formats.labels import PICTURES, Labels
from radloop.sources.formats.readings import Drawn, Export, Reading, Refused
from radloop.taxonomy import NOTHING

_MARKS: Final = (b'"annotations"', b'"completions"', b'"annotation_id"', b'"predictions"')
_TABLES: Final = (".csv", ".tsv")
_TABLE: Final = (b"annotation_id", b"annotator", b"lead_time")  # in the header of its CSV export
_RIGHT: Final = (
    "It cannot tell an image in which nothing was found from one that nobody looked at. Export the project as JSON "
    "(not JSON-MIN, not CSV)."
)
_UPLOAD: Final = re.compile(r"(?:^|/)upload/(?:\d+/)?([0-9a-f]{8})-([^/]+)$")
_PICTURE: Final = re.compile(rf"(?i)\.({PICTURES})(\?|$)")
# of the image as a whole or of a region that has its box: they draw nothing
_DRAWS_NOTHING: Final = frozenset(
    {"choices", "textarea", "rating", "number", "datetime", "taxonomy", "relation", "pairwise", "ranker"}
)
_BOXES: Final = {"rectanglelabels": "rectanglelabels", "labels": "labels"}  # types of regions: where their labels are
_LAST_SECOND: Final = 4e9  # of a time that is a number: in 2096
_LARGEST_SIDE: Final = 1_000_000  # of a picture, in pixels


class _Annotation(msgspec.Struct):
    result: list[Any]  # without it nobody knows whether it is empty
    id: Any = None
    completed_by: Any = None
    was_cancelled: Any = False
    skipped: Any = False
    created_at: Any = None
    updated_at: Any = None
    lead_time: Any = None
    prediction: Any = None


class _Task(msgspec.Struct):
    data: dict[str, Any]
    id: Any = None
    annotations: list[msgspec.Raw] | None = None
    completions: list[msgspec.Raw] | None = None  # before version 1.0
    predictions: Any = None


_TASKS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_TASK: Final = msgspec.json.Decoder(_Task)
_ANNOTATION: Final = msgspec.json.Decoder(_Annotation)


def find(bundle: Bundle) -> tuple[str, ...]:
    """The files that begin as a list of tasks, or as one of Label Studio's exports that `read` refuses."""
    tables = (name for name in bundle.ending(*_TABLES) if _is_table(bundle.head(name)))
    return (*(name for name in bundle.ending(".json") if _is_list_of_tasks(bundle.head(name))), *tables)


def _is_table(head: bytes) -> bool:
    header = head.partition(b"\n")[0]
    return all(name in header for name in _TABLE)


def _is_list_of_tasks(head: bytes) -> bool:
    opened = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return opened.startswith(b"[") and opened[1:].lstrip().startswith(b"{") and any(mark in opened for mark in _MARKS)


def read(bundle: Bundle) -> Labels:
    """What the readers drew, in percent of the picture."""
    return readings.to_labels(export(bundle))


def export(bundle: Bundle) -> Export:
    """What people submitted. Raises AnnotationError where a file is none of Label Studio's JSON."""
    found: list[Reading] = []
    unread = 0
    for name in readings.files(bundle, find(bundle), ".json", "a JSON export of Label Studio"):
        for task, place in tasks(bundle, name):
            there = len(found)
            found += of_task(task, place)
            unread += len(found) == there
    return Export(found, unread, "percent")


def tasks(bundle: Bundle, name: str) -> Iterator[tuple[_Task | Refused, str]]:
    """The tasks in a file, and where each stands. Raises AnnotationError where it is none of Label Studio's JSON."""
    shown = bundle.shown(name)
    if name.lower().endswith(_TABLES):
        raise AnnotationError(f"{shown} is Label Studio's CSV. {_RIGHT}")
    try:
        listed = _TASKS.decode(bundle.read(name).removeprefix(b"\xef\xbb\xbf"))
    except UNDECODABLE as broken:
        raise AnnotationError(f"{shown} is not Label Studio's JSON export, a list of tasks: {broken}.") from broken
    for number, raw in enumerate(listed):
        place = f"{shown}: [{number}]"
        try:
            task = _TASK.decode(raw)
        except UNDECODABLE as broken:
            if b'"annotator"' in bytes(raw) or b'"annotation_id"' in bytes(raw):
                raise AnnotationError(f"{shown} is Label Studio's JSON-MIN. {_RIGHT}") from broken
            yield Refused("task-malformed", f"not a task of Label Studio: {broken}", place), place
        else:
            yield task, f"{shown}: task {task.id}" if isinstance(task.id, int) else place


def of_task(task: _Task | Refused, place: str) -> Iterator[Reading]:
    """What each reader submitted of a task."""
    if isinstance(task, Refused):
        yield Reading(place=place, file="", reader="", verdict="void", refused=(task,))
        return
    made = _is_text(task.data, "image_id") and "image_md5" in task.data  # by `radloop export`
    file = task.data["image_id"] if made else picture(task.data)
    for number, raw in enumerate(task.annotations or task.completions or ()):
        where = f"{place}, annotations[{number}]"
        try:
            one = _ANNOTATION.decode(raw)
        except UNDECODABLE as broken:
            lost = Refused("annotation-malformed", f"not an annotation of Label Studio: {broken}", where)
            yield Reading(place=where, file=file, reader="", verdict="void", refused=(lost,))
            continue
        if not one.was_cancelled and not one.skipped:
            where = f"{place}, annotation {one.id}" if isinstance(one.id, int) else where
            yield replace(_reading(one, task.data, file, where), shown=_shown(one.prediction, task.predictions))


def _shown(began_from: Any, predictions: Any) -> list[Drawn] | None:
    """The boxes of the prediction that an annotation began from, else of all its task's; None where none is told."""
    if isinstance(began_from, dict) and began_from.get("result"):
        predictions = [began_from]
    if not isinstance(predictions, list) or not all(isinstance(one, dict) for one in predictions):
        return None  # the export has their numbers alone
    drawn: list[Drawn] = []
    for one in predictions:
        items = one.get("result")
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("value"), dict) and _kind(item) in _BOXES:
                _add(item, _BOXES[_kind(item)], "", drawn, [])
    return drawn


def picture(data: Mapping[str, Any]) -> str:
    """The picture's path as a task names it, "" where it names none or several.

    What Label Studio put before the name of an upload becomes a folder, so that two uploads of one name stay two.

    >>> picture({"image": "/data/upload/3/0a1b2c3d-a.png"}), picture({"image": "/data/local-files/?d=x%2Fa.png"})
    ('0a1b2c3d/a.png', 'x/a.png')
    >>> picture({"image": "s3://films/2020/a.png"}), picture({"film": "https://pacs/a%20b.png?t=1", "age": 61})
    ('films/2020/a.png', 'pacs/a b.png')
    """
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    named = [texts["image"]] if texts.get("image") else [text for text in texts.values() if _PICTURE.search(text)]
    if len(named) != 1 or named[0].startswith("data:"):
        return ""
    try:
        address = urlsplit(named[0])
    except ValueError:
        return ""
    if address.path.rstrip("/").endswith("/data/local-files"):
        return (parse_qs(address.query).get("d") or [""])[0]
    uploaded = _UPLOAD.search(address.path)
    if uploaded:
        return f"{uploaded[1]}/{unquote(uploaded[2])}"
    return f"{address.netloc}/{unquote(address.path).lstrip('/')}".lstrip("/") if address.scheme else named[0]


def _reading(one: _Annotation, data: Mapping[str, Any], file: str, place: str) -> Reading:
    items = one.result
    drawn: list[Drawn] = []
    refused: list[Refused] = []
    choices: list[str] = []
    texts: list[str] = []
    if not file:
        refused.append(Refused("image-unknown", "the task names no picture in data.image, or several", place))
    labelled = {str(item.get("id")) for item in items if isinstance(item, dict) and _kind(item) == "labels"}
    for number, item in enumerate(items):
        where = f"{place}, result[{number}]"
        if not isinstance(item, dict) or not isinstance(item.get("value", {}), dict):
            refused.append(Refused("region-malformed", "not a region of Label Studio", where))
            continue
        kind = _kind(item)
        if kind in _DRAWS_NOTHING:
            choices += _of_image(item, "choices")
            texts += _of_image(item, "text")
        elif kind in _BOXES:
            _add(item, _BOXES[kind], where, drawn, refused)
        elif kind != "rectangle" or str(item.get("id")) not in labelled:
            refused.append(Refused("region-not-box", f"a region of type {kind[:40]!r} is no box", where))
    otherwise = Refused("nothing-drawn", f"neither a box nor the choice {NOTHING!r}, but something else", place)
    verdict = readings.verdict(choices, "choice", drawn, refused, empty=not items, otherwise=otherwise)
    width, height = _size(items)
    return Reading(
        place=place,
        file=file,
        reader=_reader(one.completed_by),
        verdict=verdict,
        boxes=drawn if verdict == "found" or refused else (),
        refused=refused,
        width=width,
        height=height,
        timestamp=_time(one.updated_at) or _time(one.created_at),
        seconds=one.lead_time if _is_number(one.lead_time) and one.lead_time >= 0 else None,
        comment="\n".join(texts) or None,
        **{name: data[name] for name in ("image_id", "feedback_id", "patient_id", "study_id") if _is_text(data, name)},
    )


def _is_text(data: Mapping[str, Any], name: str) -> bool:
    return isinstance(data.get(name), str) and bool(data[name])


def _kind(item: Mapping[str, Any]) -> str:
    kind = item.get("type")
    return kind if isinstance(kind, str) else ""


def _add(item: Mapping[str, Any], key: str, place: str, drawn: list[Drawn], refused: list[Refused]) -> None:
    """Put a box among what was drawn, once for each of its labels, or among the refused."""
    value = item.get("value", {})
    names, sides = value.get(key), [value.get(side) for side in ("x", "y", "width", "height")]
    told = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    first = told[0] if told else None
    if not all(_is_number(side) for side in sides):
        refused.append(Refused("region-malformed", "a box without x, y, width and height", place, class_name=first))
    elif value.get("rotation") or item.get("image_rotation"):
        refused.append(Refused("box-rotated", "a rotated region is no box of a detector", place, class_name=first))
    elif item.get("item_index"):
        refused.append(Refused("several-images", "a region on a further image of the task", place, class_name=first))
    elif not told or len(told) != len(names):
        refused.append(Refused("class-missing", "a box without a label", place))
    else:
        x, y, width, height = map(float, sides)
        drawn += [Drawn(name, (x, y, x + width, y + height), place) for name in told]


def _is_number(side: Any) -> bool:
    return isinstance(side, int | float) and not isinstance(side, bool) and abs(side) < _LARGEST_SIDE


def _of_image(item: Mapping[str, Any], key: str) -> list[str]:
    """What was chosen for, or written about, the image as a whole."""
    value = item.get("value", {})
    said = value.get(key) if "x" not in value else None
    if isinstance(said, str):
        return [said]
    return [text for text in said if isinstance(text, str)] if isinstance(said, list) else []


def _time(value: Any) -> str | None:
    """Before version 1.0 a time was in seconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _LAST_SECOND:
        return datetime.fromtimestamp(value, UTC).isoformat()
    return value if isinstance(value, str) else None


def _size(items: list[Any]) -> tuple[int | None, int | None]:
    """The picture's width and height, as the first region tells them."""
    for item in items:
        if isinstance(item, dict) and _kind(item) in _BOXES:
            sides = item.get("original_width"), item.get("original_height")
            if all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < _LARGEST_SIDE for side in sides):
                return sides
    return None, None


def _reader(completed_by: Any) -> str:
    """Who read it: an id, or somebody with an id or else an address."""
    if isinstance(completed_by, dict):
        completed_by = next((completed_by[key] for key in ("id", "email", "username") if completed_by.get(key)), None)
    return readings.pseudonym(completed_by)
