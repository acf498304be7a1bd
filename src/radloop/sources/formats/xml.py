"""XML of other people, read piece by piece and safely: no entity, no DTD, no tree, and the line of every element."""

from typing import Any, Final, Protocol, cast
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from radloop.errors import AnnotationError

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


class Target(Protocol):
    """Takes elements one after the other."""

    lines: Lines | None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""

    def end(self, tag: str) -> None:
        """End it."""

    def data(self, text: str) -> None:
        """Take a piece of its text."""


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
