"""One picture in memory: from the bytes of a PNG or JPEG to gray values and what they measure. No disk.

kornia-rs decodes a gray or colour PNG of 8 bits in a third of Pillow's time, but takes some damaged ones for sound:
`decode` walks the chunks first. All else is Pillow's, which refuses whatever a trainer's Pillow would refuse. One kind
of damage passes that a full load by Pillow (not its `verify`) finds: a wrong Adler-32 sum under right chunk checksums.
"""

import hashlib
import io
import struct
import warnings
import zlib
from typing import Final, NamedTuple

import kornia_rs
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from radloop.errors import SourceError

MIN_SIDE_PX: Final = 10  # what Ultralytics asks for
MAX_PIXELS: Final = 89_000_000  # above, Pillow, and so the trainer, warns of a decompression bomb
TURNED: Final = "its EXIF data says to show it turned: save it upright, so that its boxes have one frame"

Gray = npt.NDArray[np.uint8]  # height × width
Deep = npt.NDArray[np.uint16]  # the same of a source of 16 bits

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_NEARLY_BLACK: Final = 16  # values under it show a trainer nothing
_KORNIA_MODES: Final = {0: "mono", 2: "rgb", 6: "rgba"}  # by the PNG's colour type
# Any other chunk may change the pixels, or be one that Pillow refuses the picture for: then it is Pillow's.
_PLAIN_CHUNKS: Final = frozenset({b"IHDR", b"IDAT", b"IEND", b"tEXt", b"tIME", b"bKGD", b"sBIT"})
_PIXEL_CHUNKS: Final = (b"IHDR", b"IDAT", b"IEND")
_FRAME_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_EXIF_ORIENTATION: Final = 0x0112
_TURNED: Final = range(2, 9)  # 1 is upright; what is no orientation, as 0, tells nothing
_BAND_ROWS: Final = 64  # rows worked on at a time, so that they stay in the processor's cache


class Statistics(NamedTuple):
    """Of the 8-bit gray values. sharpness: the variance of the 4-neighbour Laplacian (Pech-Pacheco et al. 2000)."""

    mean: float
    std: float
    sharpness: float


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height from the first bytes of a PNG or JPEG; None where they hold no whole header."""
    if data.startswith(_PNG):
        if len(data) < 24 or data[12:16] != b"IHDR":
            return None
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data.startswith(_JPEG):
        return _jpeg_size(data)
    return None


def decode(data: bytes) -> Gray:
    """The gray values of a whole and sound PNG or JPEG: colour by ITU-R 601 luma, alpha dropped, 16 bits to 8.

    Raises SourceError with the sentence why not, also for a picture that a trainer would refuse or rewrite.
    """
    if not data:
        raise SourceError("the file is empty")
    if not data.startswith((_PNG, _JPEG)):
        raise SourceError("neither a PNG nor a JPEG")
    size = header_size(data)
    if size is None:
        raise SourceError("cut off or damaged: no size in its header")
    width, height = size
    if width * height > MAX_PIXELS:
        raise SourceError(f"{width}×{height} px is more than {MAX_PIXELS // 10**6} million pixels: not decoded")
    if min(size) < MIN_SIDE_PX:
        raise SourceError(f"{width}×{height} px: a trainer refuses a side under {MIN_SIDE_PX} px")

    gray = _decode_png(data) if data.startswith(_PNG) else _decode_jpeg(data)
    if gray.shape != (height, width):
        raise SourceError(f"its header says {width}×{height} px, it decodes to {gray.shape[1]}×{gray.shape[0]}")
    return gray


def decode_deep(data: bytes) -> Gray | Deep:
    """As `decode`, but the values of a gray PNG of 16 bits as they are."""
    gray = decode(data)
    if not (data.startswith(_PNG) and (data[24], data[25]) == (16, 0)):
        return gray
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        return np.asarray(image).astype(np.uint16)


def bare_png(data: bytes) -> bytes | None:
    """A sound gray PNG of 8 bits without its texts and other marks, its compressed pixels as they are.

    None for any other picture. Raises SourceError where the PNG is damaged.
    """
    if not data.startswith(_PNG) or data[24:26] != b"\x08\x00" or not _scan_png(data) <= _PLAIN_CHUNKS:
        return None
    kept, at = [_PNG], len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        kept += [data[at:end]] if kind in _PIXEL_CHUNKS else []
        at = len(data) if kind == b"IEND" else end
    return b"".join(kept)


def statistics(gray: Gray) -> Statistics:
    """Mean, standard deviation and sharpness of a picture of at least 3×3 px."""
    counts = np.array(Image.fromarray(gray).histogram(), dtype=np.int64)
    values = np.arange(256)
    total, squares = int(counts @ values), int(counts @ values**2)
    mean = total / gray.size
    return Statistics(mean, max(squares / gray.size - mean**2, 0.0) ** 0.5, _laplacian_variance(gray))


def spread(gray: Gray) -> int:
    """How many of the 256 steps lie between the darkest and the lightest values, one in 400 left out on either side."""
    counts = np.cumsum(Image.fromarray(gray).histogram())
    low, high = np.searchsorted(counts, [gray.size / 400, gray.size * 399 / 400])
    return int(high - low) + 1


def is_nearly_black(gray: Gray) -> bool:
    """Whether all but one value in 400 lie in the lowest sixteenth: a picture of 12 bits in 16, or nothing at all."""
    counts = np.array(Image.fromarray(gray).histogram())
    return int(counts[_NEARLY_BLACK:].sum()) * 400 <= gray.size


def fingerprint(gray: Gray) -> str:
    """An MD5 of a picture's size and gray values: equal for the same picture in another file.

    It is taken of the CRC-32 of each band of rows, which costs a fifth of hashing all values.
    """
    rows = np.ascontiguousarray(gray)
    sums = [zlib.crc32(rows[top : top + _BAND_ROWS].data).to_bytes(4) for top in range(0, len(rows), _BAND_ROWS)]
    return hashlib.md5(b"%d %d\n" % gray.shape + b"".join(sums)).hexdigest()


def _decode_png(data: bytes) -> Gray:
    chunks = _scan_png(data)
    depth, colour = data[24], data[25]
    if depth == 8 and colour in _KORNIA_MODES and chunks <= _PLAIN_CHUNKS:
        width, height = struct.unpack_from(">II", data, 16)
        try:
            pixels: Gray = kornia_rs.io.decode_image_png_u8(data, (height, width), _KORNIA_MODES[colour])
        except Exception:  # noqa: BLE001  # kornia-rs raises just that
            return _decode_strictly(data)  # which knows more kinds, and says what is wrong with the rest
        if colour == 0:
            return pixels.reshape(pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).convert("L"))
    return _decode_strictly(data)


def _scan_png(data: bytes) -> set[bytes]:
    """The kinds of a PNG's chunks, whole and sound to its end (PNG specification, §5)."""
    view = memoryview(data)
    kinds: set[bytes] = set()
    at = len(_PNG)
    while b"IEND" not in kinds:
        if at + 12 > len(data):
            raise SourceError("cut off: the PNG has no end chunk")
        length = int.from_bytes(view[at : at + 4])
        kind = data[at + 4 : at + 8]
        if not kind.isalpha():
            raise SourceError(f"damaged: what should be a chunk of the PNG at byte {at} has no name")
        end = at + 8 + length
        if end + 4 > len(data):
            raise SourceError(f"cut off or damaged: the PNG ends inside its chunk {kind.decode()} at byte {at}")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise SourceError(f"damaged: wrong checksum of the PNG's chunk {kind.decode()} at byte {at}")
        kinds.add(kind)
        at = end + 4
    return kinds


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:  # fill bytes, skipped as libjpeg does
            at += 1
        elif marker in _BARE_MARKERS:
            at += 2
        elif marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def is_turned(image: Image.Image) -> bool:
    """Whether its EXIF data says to show a picture turned or mirrored."""
    return image.getexif().get(_EXIF_ORIENTATION) in _TURNED


def _decode_jpeg(data: bytes) -> Gray:
    if not data.endswith(b"\xff\xd9"):
        raise SourceError("cut off, or with bytes behind its end: the trainer would rewrite this JPEG in place")
    return _decode_strictly(data)


def _decode_strictly(data: bytes) -> Gray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; the pixels are what counts
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                turned = is_turned(image)
                image.draft("L", None)
                image.load()
                if image.mode.startswith("I"):
                    gray = (np.asarray(image) >> 8).astype(np.uint8)
                else:
                    gray = np.asarray(image.convert("L"))
        except UnidentifiedImageError as unknown:  # which names an address in memory, another in each run
            raise SourceError("damaged: Pillow finds no picture in it") from unknown
        except Exception as error:  # Pillow promises no particular one for hostile bytes
            raise SourceError(f"damaged: {error or type(error).__name__}") from error
    if turned:
        raise SourceError(TURNED)
    return gray


def _laplacian_variance(gray: Gray) -> float:
    height, width = gray.shape
    squares = 0.0
    for top in range(0, height - 2, _BAND_ROWS):
        # One flat row of numbers is worked on twice as fast as a table; what wraps round the edges is cut off last.
        values = gray[top : top + _BAND_ROWS + 2].astype(np.int16).ravel()
        centre = values[width:-width]
        laplacian = values[: -2 * width] + values[2 * width :]
        laplacian[1:] += centre[:-1]
        laplacian[:-1] += centre[1:]
        laplacian -= centre << 2
        inner = laplacian.reshape(-1, width)[:, 1:-1].astype(np.float32).ravel()
        squares += float(inner @ inner)
    # Second differences add up to the first differences at the two ends.
    across = gray[1:-1, [0, 1, -1, -2]].sum(axis=0, dtype=np.int64)
    down = gray[[0, 1, -1, -2], 1:-1].sum(axis=1, dtype=np.int64)
    total = int((across + down) @ [1, -1, 1, -1])
    count = (height - 2) * (width - 2)
    return float(max(squares / count - (total / count) ** 2, 0.0))
