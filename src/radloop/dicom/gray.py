"""The gray values of a radiograph by a recipe, and their PNG."""

import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from radloop.dicom import frames, lookup
from radloop.dicom.frames import Words
from radloop.dicom.header import numbers
from radloop.dicom.lookup import Table
from radloop.dicom.radiograph import Radiograph, library
from radloop.errors import DicomError, SourceError
from radloop.pixels import MAX_PIXELS, MIN_SIDE_PX, Gray
from radloop.recipe import Recipe

_MAX_ASPECT: Final = 10.0  # of a pixel's sides
_BAND_ROWS: Final = 64  # rows looked up at a time, so that the wider indices stay in the processor's cache
_UP: Final = 2  # PNG's filter: what is kept of a row is its difference from the row above


def make(radiograph: Radiograph, recipe: Recipe) -> Gray:
    """Gray values (height × width) of a radiograph as the recipe makes them. Raises DicomError."""
    library()
    try:
        height, width = _size(radiograph, recipe)
        decoded = frames.decode(radiograph.frame)
        table = lookup.shown(radiograph.dataset, decoded, recipe)
    except SourceError:
        raise
    except Exception as broken:  # pydicom promises no particular one for hostile bytes
        raise DicomError("its tables of gray values are damaged", code="bad-table") from broken
    gray = _looked_up(decoded.words, _stretched(table, decoded.words, recipe))
    if gray.shape == (height, width):
        return gray
    return np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.LANCZOS))


def png(gray: Gray) -> bytes:
    """A gray PNG of 8 bits without any text: the same bytes for the same values.

    Run lengths and Huffman's code of differences between rows: a tenth of the time of the usual level 6.
    """
    height, width = gray.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = gray[0]
    np.subtract(gray[1:], gray[:-1], out=rows[1:, 1:])
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _size(radiograph: Radiograph, recipe: Recipe) -> tuple[int, int]:
    """Height and width of the picture, whose pixels are square but where the recipe stretches it."""
    if recipe.size_px is not None and not recipe.keeps_ratio:
        return recipe.size_px, recipe.size_px
    aspect = _aspect(radiograph)
    height, width = radiograph.rows * max(aspect, 1), radiograph.columns * max(1 / aspect, 1)
    if recipe.size_px is not None:
        share = recipe.size_px / max(height, width)
        height, width = height * share, width * share
    height, width = round(height), round(width)
    if min(height, width) < MIN_SIDE_PX:
        raise DicomError(f"{width}×{height} px: a trainer refuses a side under {MIN_SIDE_PX} px", code="too-small")
    if height * width > MAX_PIXELS:
        raise DicomError(f"with square pixels it has {width}×{height} px, too many", code="too-large")
    return height, width


def _aspect(radiograph: Radiograph) -> float:
    """Height of a pixel by its width: by PixelAspectRatio, else by the spacing (PS3.3, C.7.6.3.1.7)."""
    sides = numbers(radiograph.dataset, "PixelAspectRatio") or list(radiograph.spacing_mm or (1, 1))
    if len(sides) != 2 or not min(sides) > 0 or not 1 / _MAX_ASPECT <= sides[0] / sides[1] <= _MAX_ASPECT:
        raise DicomError("its pixels are more than ten times as long as wide, or no rectangles", code="bad-aspect")
    return sides[0] / sides[1]


def _stretched(table: Table, words: Words, recipe: Recipe) -> Gray:
    """By stored word its gray value, 0 where it is padding.

    Smallest to largest value as 0 to 255, cut off below and not rounded, as those did who made VinBigData's pictures;
    of a window all its range, rounded.
    """
    low, high = _extremes(table, words)
    if low == high:
        raise DicomError("all its pixels are shown alike", code="blank")
    if recipe.window:
        return np.nan_to_num(np.rint(table * 255)).astype(np.uint8)
    return np.nan_to_num(np.clip((table - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _extremes(table: Table, words: Words) -> tuple[float, float]:
    """The smallest and the largest value shown."""
    first, last = int(words.min()), int(words.max())
    steps = np.diff(table[first : last + 1])
    if not np.isnan(table[first]) and ((steps >= 0).all() or (steps <= 0).all()):  # padding, NaN, is neither
        ends = sorted((float(table[first]), float(table[last])))
        return ends[0], ends[1]
    seen = np.zeros(table.size, np.bool_)
    seen[words] = True
    values = table[seen & ~np.isnan(table)]
    if not values.size:
        raise DicomError("all its pixels are padding", code="blank")
    return float(values.min()), float(values.max())


def _looked_up(words: Words, table: Gray) -> Gray:
    gray = np.empty(words.shape, np.uint8)
    for top in range(0, len(words), _BAND_ROWS):
        np.take(table, words[top : top + _BAND_ROWS], out=gray[top : top + _BAND_ROWS], mode="clip")
    return gray
