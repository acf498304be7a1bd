"""The bodies of DICOMweb: instances in the parts of `multipart/related` (RFC 2387; PS3.18, section 8.6)."""

import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

DICOM: Final = "application/dicom"
_BOUNDARY: Final = re.compile(r"""[;\s]boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))""", re.IGNORECASE)
_MOST_OF_HEADERS: Final = 8192  # bytes before a part's own


class MalformedError(ValueError):
    """The body is not the one part that was asked for, whole."""


def only_part(content_type: str, body: bytearray) -> bytes:
    """The bytes of the one part that a body has; all of it where it is no multipart. Raises MalformedError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == DICOM:
        return bytes(body)
    boundary = _BOUNDARY.search(content_type)
    if kind != "multipart/related" or boundary is None:
        raise MalformedError
    delimiter = b"--" + (boundary[1] or boundary[2]).encode("latin-1")
    opened = body.find(delimiter)
    begin = body.find(b"\r\n\r\n", opened, opened + len(delimiter) + _MOST_OF_HEADERS) + 4
    end = body.find(b"\r\n" + delimiter, begin)
    after = end + 2 + len(delimiter)
    if opened < 0 or begin < 4 or end < 0 or body[after : after + 2] != b"--":
        raise MalformedError  # cut off, or more than one
    return bytes(memoryview(body)[begin:end])


def related(instances: Sequence[bytes]) -> tuple[str, list[bytes], int]:
    """Content type, pieces and length of a body that holds `instances`, none of which is copied."""
    boundary = secrets.token_hex(16)
    pieces = list(_pieces(instances, boundary.encode()))
    return f'multipart/related; type="{DICOM}"; boundary={boundary}', pieces, sum(map(len, pieces))


def _pieces(instances: Sequence[bytes], boundary: bytes) -> Iterator[bytes]:
    for instance in instances:
        yield b"--%s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (boundary, DICOM.encode(), len(instance))
        yield instance
        yield b"\r\n"
    yield b"--%s--\r\n" % boundary
