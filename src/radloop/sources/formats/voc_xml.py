"""One XML file of Pascal VOC, read piece by piece: what it says of the picture and of each object. No tree is built."""

from dataclasses import dataclass, field
from typing import Final

from radloop.sources.formats import xml
from radloop.sources.formats.xml import XmlError as XmlError

ROOT: Final = "annotation"
CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_OF_THE_FILE: Final = {"filename": "filename", "size/width": "width", "size/height": "height"}
_OF_AN_OBJECT: Final = {
    **{f"object/{name}": name for name in ("name", "difficult", "truncated")},
    **{f"object/bndbox/{name}": name for name in CORNERS},
}
_OUTLINES: Final = ("polygon", "robndbox", "segm", "ellipse")
_MOST_OBJECTS: Final = 10_000
_MOST_BYTES: Final = 2**24


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


class _Target(xml.Target):
    def __init__(self) -> None:
        super().__init__(ROOT, "xml-no-voc")
        self.file = File()

    def begin(self, path: list[str], attributes: dict[str, str]) -> None:
        if path == ["object"]:
            if len(self.file.objects) == _MOST_OBJECTS:
                raise XmlError("xml-broken", f"the file has over {_MOST_OBJECTS:,} objects", self.line)
            self.file.objects.append(Object(self.line))
        elif path[:1] == ["object"] and len(path) == 2 and path[1] in _OUTLINES:
            self.file.objects[-1].outlined = True

    def finish(self, path: list[str], text: str) -> None:
        where = "/".join(path)
        if where in _OF_THE_FILE:
            self.file.texts.setdefault(_OF_THE_FILE[where], text)
        elif where in _OF_AN_OBJECT:
            one, name = self.file.objects[-1], _OF_AN_OBJECT[where]
            if one.texts.setdefault(name, text) != text:
                one.twice = name


def parse(data: bytes) -> File:
    """What a file says. Raises XmlError for one that is no XML, or declares entities or a DTD, or is no VOC."""
    if len(data) > _MOST_BYTES:
        raise XmlError("xml-broken", f"the file has {len(data):,} bytes: {_MOST_BYTES:,} are the most")
    target = _Target()
    xml.parse(data, target)
    return target.file
