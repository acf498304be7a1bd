"""One json file of COCO's object detection format, decoded: its records, and what stands in their place and is none."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from radloop.errors import AnnotationError

Kind = Literal["images", "annotations"]

_MOST_BROKEN: Final = 10_000  # a file with more records that are none is no file of labels
_SMALLEST_RECORD: Final = 20  # bytes, with its comma: what memory a record takes is bounded by that of its text
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_STRING: Final = rb'"(?:[^"\\]|\\.)*+"'
_ODD_NUMBER: Final = re.compile(_STRING + rb"|-?\b(?:NaN|Infinity)\b", re.DOTALL)
_TOKEN: Final = re.compile(_STRING + rb"(?:\s*+:)?|[\[\]{}]", re.DOTALL)
_LONGEST_SHOWN: Final = 60
LONGEST_NAME: Final = 1_000  # characters; each ends in several columns
_MOST_READERS: Final = 100  # of one image

Id = int | float | str  # 7.0 is 7: pandas writes it so
Name = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
_LISTS: Final = ("images", "annotations", "categories")
_OF_ANY_USE: Final = {"image_id", "file_name", "rad_id", "category_id"}


class Image(msgspec.Struct, gc=False):
    """A picture. image_id and readers are radloop's own: its name, and who looked at it."""

    id: Id
    file_name: Name
    width: float | None = None
    height: float | None = None
    image_id: str | None = None
    readers: Annotated[tuple[Name, ...], msgspec.Meta(max_length=_MOST_READERS)] | None = None


class Annotation(msgspec.Struct, gc=False):
    """A box in a picture: x, y, width, height. rad_id and support are radloop's own: who drew it, or how many did."""

    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float] | None = None
    id: Id | None = None
    iscrowd: float | bool = 0
    rad_id: Name | None = None
    support: float | None = None


class Category(msgspec.Struct, gc=False):
    """A class."""

    id: Id
    name: str
    supercategory: str | None = None


Record = TypeVar("Record", Image, Annotation)


@dataclass(frozen=True)
class Broken:
    """What stands in the place of a record."""

    kind: Kind
    number: int
    reason: str
    fields: dict[str, Any]  # of the record, as far as they can be read


@dataclass(frozen=True)
class Document:
    """The records of a file, and what is none. numbers: the place of each in the file's list."""

    images: Sequence[Image]
    annotations: Sequence[Annotation] | None  # None: the file has no such key
    categories: Sequence[Category]
    image_numbers: Sequence[int]
    annotation_numbers: Sequence[int]
    broken: Sequence[Broken] = ()


class _Whole(msgspec.Struct):
    images: list[Image]
    annotations: list[Annotation] | None = None
    categories: list[Category] = []
    licenses: msgspec.Raw = msgspec.Raw()
    info: msgspec.Raw = msgspec.Raw()


class _Anything(msgspec.Struct, gc=False):
    """An object of any content."""


class _Counted(msgspec.Struct):
    images: list[_Anything]
    annotations: list[_Anything] | None = None
    categories: list[Category] = []


class _Apart(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw] | None = None
    categories: list[Category] = []


def decode(data: bytes, name: str) -> Document:
    """The records of a file that messages call `name`. Raises AnnotationError, in one line, where it is none of COCO's.

    A record that cannot be used is told as broken, and the others are read.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        try:
            return _decode(data, name)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:  # Python writes NaN and Infinity, which JSON does not have
            plain = _odd_numbers_as_texts(data)
            if plain == data:
                raise
            return _decode(plain, name)
    except _UNREADABLE as wrong:
        raise AnnotationError(f"{name} cannot be read as COCO: {_said(wrong)}.") from wrong


def _decode(data: bytes, name: str) -> Document:
    try:
        whole = msgspec.json.decode(data, type=_Whole)
    except msgspec.ValidationError:
        return _record_by_record(data, name)
    annotations = whole.annotations
    if _may_repeat_a_key(data, whole):
        return _record_by_record(data, name)
    return Document(
        whole.images, annotations, whole.categories, range(len(whole.images)), range(len(annotations or ()))
    )


def _record_by_record(data: bytes, name: str) -> Document:
    """The same of a file with records that are none, or perhaps with keys that stand twice."""
    counted = msgspec.json.decode(data, type=_Counted)
    if _SMALLEST_RECORD * (len(counted.images) + len(counted.annotations or ())) > len(data):
        raise AnnotationError(f"{name} holds records that are too short to be any of COCO's, such as {{}}.")
    del counted
    if any(data.count(f'"{key}"'.encode()) > 1 for key in _LISTS):
        _require_each_key_once(data, name)
    apart = msgspec.json.decode(data, type=_Apart)
    sifting = _Sifting(name)
    images, image_numbers = sifting.records(apart.images, "images", Image)
    annotations, annotation_numbers = sifting.records(apart.annotations or (), "annotations", Annotation)
    return Document(
        images,
        None if apart.annotations is None else annotations,
        apart.categories,
        image_numbers,
        annotation_numbers,
        sifting.broken,
    )


class _Sifting:
    """Records taken one by one; what is none is `broken`."""

    def __init__(self, name: str) -> None:
        self.broken: list[Broken] = []
        self._name = name

    def records(self, raws: Sequence[msgspec.Raw], kind: Kind, of: type[Record]) -> tuple[list[Record], list[int]]:
        """The records, and the place of each among the raw ones. Raises AnnotationError where too many are none."""
        decoder = msgspec.json.Decoder(of)
        kept: list[Record] = []
        numbers: list[int] = []
        for number, raw in enumerate(raws):
            try:
                record = decoder.decode(raw)
                json.loads(bytes(raw), object_pairs_hook=_once)
            except (*_UNREADABLE, ValueError) as wrong:
                self.broken.append(Broken(kind, number, _said(wrong), _fields(raw)))
                if len(self.broken) > _MOST_BROKEN:
                    raise AnnotationError(
                        f"{self._name} holds over {_MOST_BROKEN:,} records that are none, such as {kind}[{number}]: "
                        f"{_said(wrong)}. Write it anew."
                    ) from wrong
            else:
                kept.append(record)
                numbers.append(number)
        return kept, numbers


def _odd_numbers_as_texts(data: bytes) -> bytes:
    plain, end = bytearray(), 0
    for found in _ODD_NUMBER.finditer(data):
        if not found[0].startswith(b'"'):
            plain += data[end : found.start()] + b'"' + found[0] + b'"'
            end = found.end()
    return bytes(plain + data[end:]) if end else data


def _fields(raw: msgspec.Raw) -> dict[str, Any]:
    """Those fields of a record that is none which can be read each by itself."""
    fields: dict[str, Any] = {}
    try:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except _UNREADABLE:
        return fields
    for key in _OF_ANY_USE & values.keys():
        with suppress(*_UNREADABLE):
            fields[key] = msgspec.json.decode(values[key])
    return fields


def _said(wrong: Exception) -> str:
    """What is wrong, in a few words with the place.

    >>> _said(msgspec.ValidationError("Expected `float`, got `str` - at `$.bbox[2]`"))
    'bbox[2]: expected float, got str'
    """
    if isinstance(wrong, RecursionError):
        return "it is nested too deeply"
    if isinstance(wrong, UnicodeDecodeError):
        return "a text in it is not UTF-8"
    what, _, place = str(wrong).replace("`", "").partition(" - at $")
    what = what.removeprefix("JSON is malformed: ").replace("Input data was", "the file is")
    what = what[:1].lower() + what[1:]
    return f"{place.removeprefix('.')}: {what}" if place else what


def _may_repeat_a_key(data: bytes, whole: _Whole) -> bool:
    """Whether a key that a record may have once stands more often than there are records: JSON takes the last."""
    images, annotations, categories = whole.images, whole.annotations or [], whole.categories
    once = {**dict.fromkeys(_LISTS, 1), "file_name": len(images)}
    once["bbox"] = len(annotations) - sum(one.bbox is None for one in annotations)
    once["category_id"] = len(annotations)
    once["image_id"] = len(annotations) + sum(one.image_id is not None for one in images)
    ids = len(images) + len(categories) + sum(one.id is not None for one in annotations)
    once["id"] = ids + sum(bytes(raw).count(b'"id"') for raw in (whole.licenses, whole.info))
    return any(data.count(f'"{key}"'.encode()) > times for key, times in once.items())


def _require_each_key_once(data: bytes, name: str) -> None:
    """Raise AnnotationError where a list of the file stands twice."""
    depth, seen = 0, set()
    for found in _TOKEN.finditer(data):
        token = found[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        elif depth == 1 and token.endswith(b":"):
            if token in seen:
                key = token[:_LONGEST_SHOWN].decode(errors="replace").rstrip(":")
                raise AnnotationError(f"{name} has the key {key} twice. Remove one.")
            seen.add(token)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in [one for one, _ in pairs[:at]])
        raise ValueError(f"the key {twice[:_LONGEST_SHOWN]!r} stands twice")
    return made
