"""Text, EXIF and other tags of a PNG or JPEG, taken off: its compressed pixels stay byte for byte as they are."""

import bisect
from typing import Final

import numpy as np

from radloop.errors import SourceError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
# What a decoder needs, and numbers about gray values and scale; no text, no time, no profile, no second picture.
_PNG_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs"}
)
_JPEG_TAGS: Final = frozenset({*range(0xE0, 0xF0), 0xFE})  # APP0 to APP15, and a comment
_JPEG_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_START_OF_SCAN: Final = 0xDA
_END: Final = 0xD9
_MARKS: Final = ~np.isin(np.arange(256), [0x00, 0xFF, *range(0xD0, 0xD8)])  # not a stuffed byte, nor a restart
_NUMBERS: Final = slice(2, 2 + 12)  # of JFIF's tag and of Adobe's, behind the length


def without_tags(data: bytes) -> bytes:
    """The same picture without them; the same object where there are none.

    Raises SourceError where the parts of a JPEG cannot be told from one another.
    """
    if data.startswith(_PNG):
        return _bare_png(data)
    return _bare_jpeg(data) if data.startswith(b"\xff\xd8") else data


def _bare_png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        at = end
        if kind == b"IEND":
            break
    return data if sum(map(len, kept)) == len(data) else b"".join(kept)


def _bare_jpeg(data: bytes) -> bytes:
    values = np.frombuffer(data, np.uint8)
    after = np.flatnonzero(values[:-1] == 0xFF) + 1
    ends = (after[_MARKS[values[after]]] + 1).tolist()  # of every marker, in a segment also of what looks like one
    kept, at, nth = [data[:2]], 2, 0
    while (nth := bisect.bisect_left(ends, at + 2, nth)) < len(ends):
        at = ends[nth]
        marker = data[at - 1]
        if marker == _END:
            kept.append(b"\xff\xd9")
            bare = b"".join(kept)
            return data if bare == data else bare
        has_length = marker not in _JPEG_BARE
        end = at + int.from_bytes(data[at : at + 2]) if has_length else at
        if has_length and end < at + 2 <= len(data):
            raise SourceError("damaged: a part of the JPEG is shorter than its own length")
        if marker in _JPEG_TAGS:
            kept.append(_numbers_of(marker, data[at:end]))
        else:
            kept.append(data[at - 2 : end])
        at = end
        if marker == _START_OF_SCAN:
            nth = bisect.bisect_left(ends, at + 2, nth)
            end = ends[nth] - 2 if nth < len(ends) else len(data)
            kept.append(data[at:end])
            at = end
    raise SourceError("damaged: the parts of the JPEG have no end")


def _numbers_of(marker: int, segment: bytes) -> bytes:
    """What a decoder reads from a tag (its density, its colours), without the thumbnail or text that may follow."""
    if marker == 0xE0 and segment[2:7] == b"JFIF\0" and len(segment) >= 16:
        return b"\xff\xe0\x00\x10" + segment[_NUMBERS] + b"\0\0"
    if marker == 0xEE and segment[2:7] == b"Adobe" and len(segment) >= _NUMBERS.stop:
        return b"\xff\xee\x00\x0e" + segment[_NUMBERS]
    return b""
