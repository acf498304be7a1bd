"""One XML file of Pascal VOC, read piece by piece: what it says of the picture and of each object. No tree is built."""

from dataclasses import dataclass, field
from typing import Final

from radloop.sources.formats import xml
from radloop.sources.formats.xml import Lines
from radloop.sources.formats.xml import XmlError as XmlError

ROOT: Final = "annotation"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_OF_THE_FILE: Final = {"filename": "filename", "size/width": "width", "size/height": "height"}
_OF_AN_OBJECT: Final = {
    **{f"object/{name}": name for name in ("name", "difficult", "truncated")},
    **{f"object/bndbox/{name}": name for name in CORNERS},
}
_OUTLINES: Final = ("polygon", "robndbox", "segm", "ellipse")
_DEEPEST: Final = 100
_MOST_OBJECTS: Final = 10_000
_MOST_BYTES: Final = 2**24
_LONGEST_TEXT: Final = 1_000


@dataclass
class Object:
    """An `<object>`: the texts of its elements."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)
    outlined: bool = False
    twice: str | None = None  # an element that stands there twice with other texts


@dataclass
class File:
    """An `<annotation>`."""

    texts: dict[str, str] = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)


class _Target:
    """Takes the elements one after the other."""

    def __init__(self) -> None:
        self.file = File()
        self.lines: Lines | None = None
        self._open: list[str] = []
        self._text: list[str] = []
        self._size = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._open and tag != ROOT:
            raise XmlError("xml-no-voc", f"the file begins with <{tag[:60]}>, not with <{ROOT}>")
        if len(self._open) >= _DEEPEST:
            raise XmlError("xml-broken", f"elements lie in one another over {_DEEPEST} deep", self._line())
        self._open.append(tag)
        self._text, self._size = [], 0
        if self._open[1:] == ["object"]:
            if len(self.file.objects) == _MOST_OBJECTS:
                raise XmlError("xml-broken", f"the file has over {_MOST_OBJECTS:,} objects", self._line())
            self.file.objects.append(Object(self._line()))
        elif self._open[1:2] == ["object"] and len(self._open) == 3 and tag in _OUTLINES:
            self.file.objects[-1].outlined = True

    def data(self, text: str) -> None:
        if self._size <= _LONGEST_TEXT:
            self._text.append(text)
            self._size += len(text)

    def end(self, tag: str) -> None:
        path = "/".join(self._open[1:])
        text = "".join(self._text).strip()[:_LONGEST_TEXT]
        self._open.pop()
        self._text, self._size = [], 0
        if path in _OF_THE_FILE:
            self.file.texts.setdefault(_OF_THE_FILE[path], text)
        elif path in _OF_AN_OBJECT:
            one, name = self.file.objects[-1], _OF_AN_OBJECT[path]
            if one.texts.setdefault(name, text) != text:
                one.twice = name

    def close(self) -> None:
        pass

    def _line(self) -> int:
        return self.lines.CurrentLineNumber if self.lines else 0


def parse(data: bytes) -> File:
    """What a file says. Raises XmlError for one that is no XML, or declares entities or a DTD, or is no VOC."""
    if len(data) > _MOST_BYTES:
        raise XmlError("xml-broken", f"the file has {len(data):,} bytes: {_MOST_BYTES:,} are the most")
    target = _Target()
    xml.parse(data, target)
    return target.file
