"""One file of "CVAT for images 1.1", read piece by piece: its labels, who is assigned, and each image's shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from radloop.sources.formats import xml
from radloop.sources.formats.xml import XmlError

ROOT: Final = "annotations"
_META: Final = ("task", "job", "project")
_MOST_SHAPES: Final = 10_000  # of one image


@dataclass(slots=True)
class Element:
    """A shape or a tag of an image."""

    kind: str
    line: int
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Image:
    """An `<image>`."""

    line: int
    attributes: Mapping[str, str]
    elements: list[Element] = field(default_factory=list)


@dataclass
class File:
    """An `<annotations>`."""

    # {path under meta: text}, of a project's tasks "task/ID/…"
    meta: dict[str, str] = field(default_factory=dict)
    labels: list[dict[str, str]] = field(default_factory=list)  # name, type, parent
    images: int = 0
    tracks: int = 0


Take = Callable[[Image, File], None]


class _Target(xml.Target):
    def __init__(self, take: Take) -> None:
        super().__init__(ROOT, "xml-no-cvat")
        self.file = File()
        self._take = take
        self._image: Image | None = None
        self._task: dict[str, str] = {}

    def begin(self, path: list[str], attributes: dict[str, str]) -> None:
        if path == ["image"]:
            self._image = Image(self.line, attributes)
            self.file.images += 1
        elif path == ["track"]:
            self.file.tracks += 1
        elif len(path) == 2 and self._image:
            shapes = self._image.elements
            if len(shapes) == _MOST_SHAPES:
                raise XmlError("xml-broken", f"an image has over {_MOST_SHAPES:,} shapes", self.line)
            shapes.append(Element(path[1], self.line, attributes))
        elif path[:1] == ["meta"] and path[-2:] == ["labels", "label"]:
            self.file.labels.append({})
        elif path == ["meta", "project", "tasks", "task"]:
            self._task = {}

    def finish(self, path: list[str], text: str) -> None:
        if path == ["image"] and self._image:
            self._take(self._image, self.file)
            self._image = None
        if path[:1] != ["meta"]:
            return
        if path[-3:-1] == ["labels", "label"]:
            self.file.labels[-1].setdefault(path[-1], text)
        elif path[1:4] == ["project", "tasks", "task"]:
            self._task.setdefault("/".join(path[4:]), text)
            if len(path) == 4:
                number = self._task.get("id", "")
                self.file.meta |= {f"task/{number}/{name}": told for name, told in self._task.items()}
        elif len(path) > 2 and path[1] in _META and "labels" not in path and "segments" not in path:
            self.file.meta.setdefault("/".join(path[2:]), text)
        elif path == ["meta", "dumped"]:
            self.file.meta.setdefault("dumped", text)


def parse(data: bytes, take: Take) -> File:
    """Give each image of a file to `take`, with what the file has said until then, and at the end all but images.

    Raises XmlError for one that is no XML, or declares entities or a DTD, or is not CVAT's.
    """
    target = _Target(take)
    xml.parse(data, target)
    return target.file
