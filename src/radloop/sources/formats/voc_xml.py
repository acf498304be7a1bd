"""One XML file of Pascal VOC, read piece by piece: what it says of the picture and of each object. No tree is built."""

from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from radloop.errors import AnnotationError

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
_PIECE: Final = 2**16


class XmlError(AnnotationError):
    """Why a file cannot be read: a code and a sentence."""

    def __init__(self, code: str, reason: str, line: int | None = None) -> None:
        """Keep the parts of the refused row."""
        super().__init__(reason)
        self.code, self.line = code, line


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


class _Lines(Protocol):
    CurrentLineNumber: int


class _Target:
    """Takes the elements one after the other."""

    def __init__(self) -> None:
        self.file = File()
        self.lines: _Lines | None = None
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

    def close(self) -> File:
        return self.file

    def _line(self) -> int:
        return self.lines.CurrentLineNumber if self.lines else 0


def parse(data: bytes) -> File:
    """What a file says. Raises XmlError for one that is no XML, or declares entities or a DTD, or is no VOC."""
    if len(data) > _MOST_BYTES:
        raise XmlError("xml-broken", f"the file has {len(data):,} bytes: {_MOST_BYTES:,} are the most")
    target = _Target()
    parser: Any = DefusedXMLParser(target=target, forbid_dtd=True)
    target.lines = cast(_Lines, parser.parser)
    try:
        for at in range(0, len(data), _PIECE):
            parser.feed(data[at : at + _PIECE])
        return cast(File, parser.close())
    except DefusedXmlException as unsafe:
        raise XmlError("xml-unsafe", "the file declares a DTD or entities, which no annotation needs") from unsafe
    except ParseError as broken:
        line, column = broken.position
        reason = f"the file is not well-formed: {str(broken).split(':')[0]}, line {line}, column {column}"
        raise XmlError("xml-broken", reason, line) from broken
    except (LookupError, ValueError) as broken:  # of an encoding that Python does not know
        raise XmlError("xml-broken", f"the file cannot be decoded: {' '.join(str(broken).split())[:200]}") from broken
