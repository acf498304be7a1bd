"""XML of other people, read piece by piece and safely: no entity, no DTD, no tree, and the line of every element."""

from typing import Any, Final, Protocol, cast
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from radloop.errors import AnnotationError

LONGEST_TEXT: Final = 1_000  # of an element, in characters
_DEEPEST: Final = 100
_PIECE: Final = 2**16


class XmlError(AnnotationError):
    """Why a file cannot be read: a code and a sentence."""

    def __init__(self, code: str, reason: str, line: int | None = None) -> None:
        """Keep the parts of the refused row."""
        super().__init__(reason)
        self.code, self.line = code, line


class Lines(Protocol):
    """Where the parser is."""

    CurrentLineNumber: int


class Target:
    """Takes elements one after the other, each with the path below the root that leads to it."""

    def __init__(self, root: str, code: str) -> None:
        """`code`: of the XmlError for a file with another root."""
        self._root, self._code = root, code
        self.lines: Lines | None = None  # the parser
        self._open: list[str] = []
        self._text: list[str] = []
        self._size = 0

    @property
    def line(self) -> int:
        """Where the parser is."""
        return self.lines.CurrentLineNumber if self.lines else 0

    def begin(self, path: list[str], attributes: dict[str, str]) -> None:
        """Begin an element."""

    def finish(self, path: list[str], text: str) -> None:
        """End it; `text`: what it holds after its last child, at most LONGEST_TEXT characters."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """What the parser calls."""
        if not self._open and tag != self._root:
            raise XmlError(self._code, f"the file begins with <{tag[:60]}>, not with <{self._root}>")
        if len(self._open) >= _DEEPEST:
            raise XmlError("xml-broken", f"elements lie in one another over {_DEEPEST} deep", self.line)
        self._open.append(tag)
        self._text, self._size = [], 0
        self.begin(self._open[1:], attributes)

    def data(self, text: str) -> None:
        """What the parser calls."""
        if self._size <= LONGEST_TEXT:
            self._text.append(text)
            self._size += len(text)

    def end(self, tag: str) -> None:
        """What the parser calls."""
        path, text = self._open[1:], "".join(self._text).strip()[:LONGEST_TEXT]
        self._open.pop()
        self._text, self._size = [], 0
        self.finish(path, text)

    def close(self) -> None:
        """What the parser calls."""


def parse(data: bytes, target: Target) -> None:
    """Give the elements of a file to `target`. Raises XmlError for what is no XML, or declares entities or a DTD."""
    parser: Any = DefusedXMLParser(target=target, forbid_dtd=True)
    target.lines = cast(Lines, parser.parser)
    try:
        for at in range(0, len(data), _PIECE):
            parser.feed(data[at : at + _PIECE])
        parser.close()
    except DefusedXmlException as unsafe:
        raise XmlError("xml-unsafe", "the file declares a DTD or entities, which no annotation needs") from unsafe
    except ParseError as broken:
        line, column = broken.position
        reason = f"the file is not well-formed: {str(broken).split(':')[0]}, line {line}, column {column}"
        raise XmlError("xml-broken", reason, line) from broken
    except (LookupError, ValueError) as broken:  # of an encoding that Python does not know
        raise XmlError("xml-broken", f"the file cannot be decoded: {' '.join(str(broken).split())[:200]}") from broken
