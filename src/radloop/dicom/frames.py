"""The pixel data of one radiograph: checked against the header, then decoded to the words that are stored.

Each way of packing has one decoder, so that a picture does not depend on what else is installed. Before any of them
begins, the size in the packed data has to be that in the header.
"""

import importlib.util
import io
import struct
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from radloop.dicom import apart
from radloop.errors import DicomError, SourceError

UNDEFINED: Final = 0xFFFFFFFF

Words = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_NATIVE: Final = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", _BIG_ENDIAN, "1.2.840.10008.1.2.1.99"}
_RLE: Final = "1.2.840.10008.1.2.5"
_JPEG: Final = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}  # baseline, extended
_LOSSLESS: Final = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}  # JPEG
_LS: Final = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}  # JPEG-LS
_JPEG_2000: Final = {f"1.2.840.10008.1.2.4.{part}" for part in ("90", "91", "201", "202", "203")}
DECODED: Final = frozenset({*_NATIVE, _RLE, *_JPEG, *_LOSSLESS, *_LS, *_JPEG_2000})  # transfer syntaxes

_GRAY: Final = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
_YBR: Final = {"YBR_FULL", "YBR_FULL_422"}
_COLOURS: Final = {"RGB", *_YBR, "YBR_ICT", "YBR_RCT"}
LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R 601
_ITEM: Final = (0xFFFE, 0xE000)
_END: Final = (0xFFFE, 0xE0DD)
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # frame headers of JPEG and JPEG-LS
_KINDS: Final = {0xC0: _JPEG, 0xC1: _JPEG, 0xC3: _LOSSLESS, 0xF7: _LS}  # and of which syntaxes they are
_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\x00\x00\x00\x0cjP  "
_MAX_JP2_BOXES: Final = 4096  # bytes
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class Frame:
    """Pixel data that are not decoded yet, and what the header says of them."""

    syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool  # colours plane by plane
    allocated: int  # bits
    stored: int
    high_bit: int
    signed: bool
    in_words: bool  # its VR is OW: in big endian files bytes are swapped by pairs
    length: int | None  # of the element; None: packed, in items up to a delimiter
    data: memoryview  # from the first byte of the value


class Decoded(NamedTuple):
    """The words as they are stored (rows × columns), and which of their bits are the value."""

    words: Words
    low_bit: int
    bits: int
    signed: bool


class _Head(NamedTuple):
    """What packed pixels say of themselves."""

    precision: int
    rows: int
    columns: int
    samples: int


def check(frame: Frame) -> None:
    """Raise DicomError for pixel data that cannot be decoded, or would be decoded to something else."""
    if frame.syntax not in DECODED:
        raise DicomError(f"its pixels are packed in a way that radloop does not decode ({_name(frame.syntax)})",
                         code="transfer-syntax")  # fmt: skip
    kinds = {1: _GRAY, 3: _COLOURS}.get(frame.samples, set())
    if frame.photometric not in kinds:
        raise DicomError(
            f"its {frame.samples} samples a pixel are neither gray, a palette, RGB nor YBR", code="photometric"
        )
    if frame.allocated not in (8, 16):
        raise DicomError(f"its pixels have {frame.allocated} bits allocated, neither 8 nor 16", code="bits")
    if not (1 <= frame.stored <= frame.high_bit + 1 <= frame.allocated):
        raise DicomError(
            f"{frame.stored} bits up to bit {frame.high_bit} do not lie within {frame.allocated}", code="bits"
        )
    if frame.samples == 3 and frame.allocated != 8:
        raise DicomError("its colours have more than 8 bits", code="bits")
    if frame.syntax in _NATIVE:
        _check_length(frame)
    elif frame.length is not None:
        raise DicomError("its pixels are said to be packed, and are not", code="wrong-length")


def decode(frame: Frame) -> Decoded:
    """The stored words; of colours their luma (ITU-R 601). Raises DicomError, and SourceError without a decoder."""
    try:
        return _decode(frame)
    except SourceError:
        raise
    except ImportError as missing:
        raise SourceError("This way of packing pixels needs a decoder: pip install 'radloop[dicom]'.") from missing
    except Exception as broken:  # decoders promise no particular one
        raise DicomError("its packed pixels are damaged", code="undecodable") from broken


def _decode(frame: Frame) -> Decoded:
    if frame.syntax in _NATIVE:
        return _plain(frame, _native(frame))
    packed = _single_fragment(frame)
    if frame.syntax == _RLE:
        return _plain(frame, _unpack_rle(packed, frame))
    if not packed.rstrip(b"\0\xff").endswith(b"\xff\xd9"):  # decoders fill up what is missing, without a word
        raise DicomError("its packed pixels have no end", code="cut-off")
    head = _jpeg_2000_head(packed) if frame.syntax in _JPEG_2000 else _jpeg_head(packed, frame)
    if head is None:
        raise DicomError("its packed pixels have no header", code="undecodable")
    if (head.rows, head.columns, head.samples) != (frame.rows, frame.columns, frame.samples):
        raise DicomError(
            f"its header says {frame.columns}×{frame.rows} px of {frame.samples}, its packed pixels say "
            f"{head.columns}×{head.rows} of {head.samples}",
            code="wrong-size",
        )
    if head.precision > 16 or (frame.samples == 3 and head.precision != 8):
        raise DicomError(f"its packed pixels have {head.precision} bits", code="bits")
    if frame.syntax in _JPEG and head.precision == 8:
        values = _by_pillow(packed, frame)
        return Decoded(values, 0, 8, frame.signed) if frame.samples == 1 else _plain(frame, values)
    values = _by_openjpeg(packed) if frame.syntax in _JPEG_2000 else _by_gdcm(packed, frame, head)
    if frame.samples == 3:  # both give YBR_ICT and YBR_RCT as RGB
        return _plain(frame, _luma(values, frame))
    return Decoded(values.reshape(frame.rows, frame.columns), 0, head.precision, frame.signed)


def _plain(frame: Frame, words: Words) -> Decoded:
    if frame.samples == 3:
        return Decoded(words, 0, 16, False)
    return Decoded(words, frame.high_bit + 1 - frame.stored, frame.stored, frame.signed)


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    name = UID(syntax).name
    return "an unknown transfer syntax" if name == syntax else name


def _size(frame: Frame) -> int:
    """How many bytes the pixels have, not packed."""
    samples = 2 if frame.photometric == "YBR_FULL_422" and frame.syntax in _NATIVE else frame.samples
    return frame.rows * frame.columns * samples * frame.allocated // 8


def _check_length(frame: Frame) -> None:
    size = _size(frame)
    if frame.length is None:
        raise DicomError("its pixels are said to be plain, and are packed", code="wrong-length")
    if frame.length < size:
        raise DicomError(
            f"{frame.columns}×{frame.rows} px take {size:,} bytes, its pixel data have {frame.length:,}",
            code="short-pixels",
        )
    if frame.length > size + size % 2:
        raise DicomError(
            f"{frame.columns}×{frame.rows} px take {size:,} bytes, its pixel data have {frame.length:,}: its rows may "
            "have another length than it says",
            code="wrong-length",
        )
    if len(frame.data) < size:
        raise DicomError("the file ends within its pixels", code="cut-off")


def _native(frame: Frame) -> Words:
    size = _size(frame)
    if frame.syntax == _BIG_ENDIAN and (frame.allocated == 16 or frame.in_words):
        swapped = np.frombuffer(frame.data[: size + size % 2], ">u2").astype("<u2")
        words: Words = swapped if frame.allocated == 16 else swapped.view(np.uint8)[:size]
    else:
        words = np.frombuffer(frame.data[:size], np.uint8 if frame.allocated == 8 else "<u2")
    if frame.samples == 1:
        return words.reshape(frame.rows, frame.columns)
    samples: npt.NDArray[Any] = words
    if frame.photometric == "YBR_FULL_422":  # two of Y, then the B and R of both (PS3.3, C.7.6.3.1.2)
        pairs = words.reshape(-1, 4)
        samples = np.stack([pairs[:, [0, 2, 3]], pairs[:, [1, 2, 3]]], axis=1)
    if frame.planar:
        samples = words.reshape(3, -1).T
    return _luma(samples, frame)


def _luma(samples: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.uint16]:
    """256 times the luma of colours of 8 bits."""
    colours = np.ascontiguousarray(samples, np.uint8).reshape(frame.rows, frame.columns, 3)
    if frame.photometric in _YBR:
        colours = np.asarray(Image.fromarray(colours, "YCbCr").convert("RGB"))
    return np.rint(colours @ np.array(LUMA, np.float32) * 256).astype(np.uint16)


def _single_fragment(frame: Frame) -> bytes:
    """The packed bytes of the one frame, its fragments joined (PS3.5, A.4)."""
    fragments, at, data = [], 0, frame.data
    while True:
        if at + 8 > len(data):
            raise DicomError("the file ends within its packed pixels", code="cut-off")
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        if (group, element) == _END:
            break
        if (group, element) != _ITEM:
            raise DicomError("its packed pixels are damaged", code="undecodable")
        if at + length > len(data):
            raise DicomError("the file ends within its packed pixels", code="cut-off")
        fragments.append(data[at : at + length])
        at += length
    if not any(map(len, fragments[1:])):  # the first is a table of offsets
        raise DicomError("its pixel data are empty", code="short-pixels")
    return b"".join(fragments[1:])


def _unpack_rle(packed: bytes, frame: Frame) -> Words:
    """Run lengths, a segment for each byte of each sample, the highest byte first (PS3.5, G)."""
    count, *offsets = struct.unpack_from("<16I", packed)
    if count != frame.samples * frame.allocated // 8:
        raise DicomError(f"its packed pixels have {count} planes of bytes", code="wrong-size")
    ends = [*offsets[1:count], len(packed)]
    size = frame.rows * frame.columns
    planes = [
        np.frombuffer(_unpack_runs(packed[start:end], size), np.uint8).reshape(frame.rows, frame.columns)
        for start, end in zip(offsets[:count], ends, strict=True)
    ]
    if frame.samples == 3:
        return _luma(np.stack(planes, axis=-1), frame)
    if count == 1:
        return planes[0]
    return np.asarray((planes[0].astype(np.uint16) << 8) | planes[1], np.uint16)


def _unpack_runs(packed: bytes, size: int) -> bytes:
    out, at, end = bytearray(), 0, len(packed)
    while len(out) < size and at < end:
        head = packed[at]
        if head < 128:
            out += packed[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            out += packed[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    if len(out) < size:
        raise DicomError("its packed pixels are fewer than it says", code="short-pixels")
    return bytes(out[:size])


def _jpeg_head(packed: bytes, frame: Frame) -> _Head | None:
    """From the frame header of a JPEG or JPEG-LS stream."""
    at = 2
    while packed.startswith(b"\xff\xd8") and at + 10 <= len(packed):
        marker = packed[at + 1]
        if packed[at] != 0xFF:
            return None
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _SOF:
            if frame.syntax not in _KINDS.get(marker, ()):  # as progressive, whose passes may be without end
                raise DicomError("its JPEG is of another kind than it says", code="transfer-syntax")
            return _Head(*struct.unpack_from(">BHHB", packed, at + 4))
        else:
            at += 2 + int.from_bytes(packed[at + 2 : at + 4])
    return None


def _jpeg_2000_head(packed: bytes) -> _Head | None:
    """From the SIZ marker of a JPEG 2000 codestream, perhaps in a JP2 file; all its samples of one kind."""
    at = packed.find(_SIZ, 0, _MAX_JP2_BOXES) if packed.startswith(_JP2) else 0
    if not packed.startswith(_SIZ, max(at, 0)) or len(packed) < at + 54:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", packed, at + 8)
    (samples,) = struct.unpack_from(">H", packed, at + 40)
    kinds = {packed[at + 42 + 3 * number : at + 45 + 3 * number] for number in range(min(samples, 4))}
    if len(kinds) != 1 or next(iter(kinds))[1:] != b"\x01\x01":  # of different depths, or subsampled
        return None
    return _Head((packed[at + 42] & 0x7F) + 1, bottom - top, right - left, samples)


def _by_pillow(packed: bytes, frame: Frame) -> Words:
    """Lossy JPEG of 8 bits."""
    with Image.open(io.BytesIO(packed), formats=("JPEG",)) as image:
        if frame.samples == 1:
            return np.asarray(image.convert("L"))
        marked = {"adobe_transform", "jfif"} & image.info.keys()
        if frame.photometric == "RGB" and not marked and not _named_rgb(packed):
            image.draft("YCbCr", image.size)  # libjpeg would take its colours for YCbCr, and turn them into RGB
            return _luma(np.asarray(image), frame)
        return _luma(np.asarray(image.convert("RGB")), replace(frame, photometric="RGB"))


def _named_rgb(packed: bytes) -> bool:
    """Whether the components of a JPEG of three are called R, G and B."""
    return b"\x03R\x11\x00G\x11\x00B\x11\x00" in packed[:4096]


def _by_openjpeg(packed: bytes) -> Words:
    from openjpeg.utils import decode

    values = decode(packed)
    return np.ascontiguousarray(values.view(f"u{values.dtype.itemsize}"))


def _by_gdcm(packed: bytes, frame: Frame, head: _Head) -> Words:
    if importlib.util.find_spec("gdcm") is None:
        raise ModuleNotFoundError("gdcm")
    values = apart.decode(
        packed,
        syntax=frame.syntax,
        rows=frame.rows,
        columns=frame.columns,
        samples=frame.samples,
        precision=head.precision,
    )
    if values is None:
        raise DicomError("its packed pixels are damaged", code="undecodable")
    return np.frombuffer(values, np.uint8 if head.precision <= 8 else "<u2")
