"""Text burnt into pixels: a row of glyph-like strokes, sharper and more even than what lies in a chest.

It finds most of what a console prints onto a picture, not all; docs/privacy.md has what it was measured to find.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Gray = npt.NDArray[np.uint8]  # (rows, columns)
Floats = npt.NDArray[np.float64]

LEAST_GLYPHS: Final = 4  # in a row: a side marker, or the initials of who took the picture, have three at the most
_FAINT_GLYPHS: Final = 6  # where the contrast is not strong: vessels and bones make rows of four
_STROKE_PX: Final = 8  # the widest stroke that is seen; wider ones are on the smaller copies
_CONTRAST: Final = 25  # gray values between a stroke and what it lies on
_STRONG: Final = 60
_HEIGHT_PX: Final = (5, 64)
_SMALLEST_PX: Final = 256  # a side of the smallest copy
_MOST_PARTS: Final = 3_000  # of a copy: where there are more, the strongest
_APART: Final = 1.2  # of the glyphs' height: a space, or the gap beside a narrow digit
_ALIKE: Final = 0.36  # of the contrast: how far the gray values of two neighbours lie apart
_EVEN: Final = 0.08  # of the contrast: how far the gray values of a row's glyphs lie from their median, on the mean
_HEIGHTS: Final = 0.4  # how much the glyphs' heights vary (standard deviation of the logarithm)
_STRAIGHT: Final = 0.12  # of the height: how far the glyphs' feet or heads may lie from a line (median)
_EIGHT: Final = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Row:
    """Glyph-like parts in a line: how many, and where (left, top, right, bottom in pixels)."""

    glyphs: int
    box: tuple[int, int, int, int]


def find(gray: Gray) -> list[Row]:
    """The rows of what looks like text, level or upright, bright or dark; the longest first."""
    rows: list[Row] = []
    scale = 1
    while True:
        for bright in (True, False):
            rows += _rows(gray if bright else ~gray, scale)
        if min(gray.shape) < 2 * _SMALLEST_PX:
            return sorted(rows, key=lambda row: (-row.glyphs, row.box))
        gray, scale = _halved(gray), 2 * scale


def why(gray: Gray) -> str | None:
    """A sentence where the picture seems to have text in it: how much and where, never what it says."""
    rows = find(gray)
    if not rows:
        return None
    left, top, right, bottom = rows[0].box
    return (
        f"{rows[0].glyphs:,} marks in a row look like text, at columns {left} to {right} and rows {top} to {bottom}"
        f"{f', and {len(rows) - 1:,} more rows' if len(rows) > 1 else ''}"
    )


@dataclass(frozen=True)
class _Parts:
    """Connected strokes, an entry each."""

    left: Floats
    top: Floats
    right: Floats  # exclusive
    bottom: Floats
    across: Floats  # strokes that a level line crosses, on the mean
    down: Floats  # the same of an upright line
    peak: Floats  # the brightest gray value
    contrast: Floats  # how much brighter than what it lies on, at the most

    def __len__(self) -> int:
        return len(self.left)

    def take(self, chosen: npt.NDArray[Any]) -> "_Parts":
        return _Parts(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def turned(self) -> "_Parts":
        """As they lie in the picture mirrored at its diagonal."""
        sides = self.top, self.left, self.bottom, self.right
        return _Parts(*sides, self.down, self.across, self.peak, self.contrast)


def _rows(gray: Gray, scale: int) -> Iterator[Row]:
    parts = _parts(gray)
    for turned in (False, True):
        for glyphs, box in _lines(parts.turned() if turned else parts):
            left, top, right, bottom = (scale * int(side) for side in box)
            yield Row(glyphs, (top, left, bottom, right) if turned else (left, top, right, bottom))


def _parts(gray: Gray) -> _Parts:
    raised = gray - _opened(gray, _STROKE_PX + 1)
    mask = raised > _CONTRAST
    labels, count = ndimage.label(mask, _EIGHT)
    boxes = ndimage.find_objects(labels)
    left, top, right, bottom = np.array([(x.start, y.start, x.stop, y.stop) for y, x in boxes]).reshape(-1, 4).T
    width, height = right - left, bottom - top

    def begins(axis: int) -> Floats:
        """How many strokes of each part begin along an axis."""
        first = mask & ~np.roll(mask, 1, axis)
        return np.bincount(labels[first], minlength=count + 1)[1:].astype(np.float64)

    def most(of: Gray) -> Floats:
        found = np.zeros(count + 1, np.uint8)
        np.maximum.at(found, labels[mask], of[mask])
        return found[1:].astype(np.float64)

    parts = _Parts(
        left=left.astype(np.float64),
        top=top.astype(np.float64),
        right=right.astype(np.float64),
        bottom=bottom.astype(np.float64),
        across=begins(1) / height,
        down=begins(0) / width,
        peak=most(gray),
        contrast=most(raised),
    )
    parts = parts.take((np.maximum(width, height) >= _HEIGHT_PX[0]) & (np.minimum(width, height) <= _HEIGHT_PX[1]))
    return parts if len(parts) <= _MOST_PARTS else parts.take(np.argsort(-parts.peak, kind="stable")[:_MOST_PARTS])


def _lines(parts: _Parts) -> Iterator[tuple[int, tuple[float, float, float, float]]]:
    """The level rows of parts that have enough glyphs: how many, and their box."""
    height, width = parts.bottom - parts.top, parts.right - parts.left
    parts = parts.take(
        (height >= _HEIGHT_PX[0]) & (height <= _HEIGHT_PX[1]) & (width <= 1.5 * height * np.maximum(parts.across, 1))
    )
    if not len(parts):
        return
    height, width = parts.bottom - parts.top, parts.right - parts.left
    glyphs = np.maximum(1, np.minimum(np.round(width / (0.75 * height)), np.round(parts.across / 1.5)))
    _, of_row = connected_components(_beside(parts), directed=False)
    for row in range(of_row.max() + 1):
        members = np.flatnonzero(of_row == row)
        one = parts.take(members)
        found = int(glyphs[members].sum())
        if _enough(one, found) and _even(one) and _straight(one):
            yield found, (one.left.min(), one.top.min(), one.right.max(), one.bottom.max())


def _beside(parts: _Parts) -> coo_array:
    """Which parts can be neighbours in a row of text."""
    height = parts.bottom - parts.top
    low, high = np.minimum.outer(height, height), np.maximum.outer(height, height)
    overlap = np.minimum.outer(parts.bottom, parts.bottom) - np.maximum.outer(parts.top, parts.top)
    gap = np.maximum.outer(parts.left, parts.left) - np.minimum.outer(parts.right, parts.right)
    alike = (high <= 1.8 * low) & (overlap >= 0.6 * low) & (gap <= _APART * high) & (gap >= -0.3 * high)
    contrast = np.maximum.outer(parts.contrast, parts.contrast)
    alike &= np.abs(np.subtract.outer(parts.peak, parts.peak)) <= _ALIKE * contrast
    return coo_array(alike)


def _enough(row: _Parts, glyphs: int) -> bool:
    """Whether there are as many glyphs as no marker has; few have to stand apart and be strong."""
    few = len(row) >= LEAST_GLYPHS and np.median(row.contrast) >= _STRONG
    return glyphs >= (LEAST_GLYPHS if few else _FAINT_GLYPHS)


def _even(row: _Parts) -> bool:
    """Whether its parts have one gray value, as far as the contrast goes, and one size: printed, not grown."""
    off = np.abs(row.peak - np.median(row.peak)).mean()
    heights = np.log(row.bottom - row.top).std()
    return bool(off <= _EVEN * np.median(row.contrast) and heights <= _HEIGHTS)


def _straight(row: _Parts) -> bool:
    """Whether its parts stand on a line, or hang from one; it may be a little askew."""
    middle, height = (row.left + row.right) / 2, np.median(row.bottom - row.top)
    for side in (row.bottom, row.top):
        slope = np.polyfit(middle, side, min(1, len(row) - 1))
        if np.median(np.abs(np.polyval(slope, middle) - side)) <= _STRAIGHT * height:
            return True
    return False


def _opened(gray: Gray, side: int) -> Gray:
    """Without what is brighter than its surroundings and narrower than `side`."""
    for axis in (0, 1):
        gray = _least(gray, side, axis)
    gray = ~gray
    for axis in (0, 1):
        gray = _least(gray, side, axis)
    return ~gray


def _least(gray: Gray, side: int, axis: int) -> Gray:
    """The least of `side` pixels about each one; doubled windows are some ten times as fast as scipy's filter."""
    edge = [(side // 2, side - 1 - side // 2) if axis == way else (0, 0) for way in (0, 1)]
    least = np.pad(gray, edge, mode="edge")
    least = least if axis == 0 else least.T
    seen = 1
    while seen < side:
        step = min(seen, side - seen)
        least = np.minimum(least[:-step], least[step:])
        seen += step
    return least if axis == 0 else least.T


def _halved(gray: Gray) -> Gray:
    """The means of 2 × 2 pixels."""
    rows, columns = (side - side % 2 for side in gray.shape)
    pairs = gray[:rows:2, :columns].astype(np.uint16) + gray[1:rows:2, :columns]
    return ((pairs[:, ::2] + pairs[:, 1::2]) >> 2).astype(np.uint8)
