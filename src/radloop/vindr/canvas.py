"""The canvas: the noises that pictures are painted with, what lies inside a box, and how it is exposed.

Coordinates are fractions of the picture, x to the right and y down. Brightness runs from 0 (air outside the body) to 1
(dense). Geometry is drawn on a grid of at most 512 × 512 and enlarged; canvas noise and the side marker have the full
resolution.
"""

import io
import zlib
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from radloop.readers import Box
from radloop.vindr.anatomy import Anatomy

Field = npt.NDArray[np.floating[Any]]  # (rows, columns), float32

GRID_PX: Final = 512  # finer geometry is not seen: the sharpest edge in a radiograph is some pixels wide
_GRAIN_PX: Final = 1280


def step(field: Field) -> Field:
    """From 0 to 1 where `field` goes from -0.5 to 0.5, smoothly. Changes `field`."""
    field += np.float32(0.5)
    np.clip(field, 0.0, 1.0, out=field)
    return field * field * (3 - 2 * field)


def smooth_noise(rng: np.random.Generator, cells: int, grid: int) -> Field:
    """A field with `cells` independent values a side, standard deviation about 1."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((grid, grid), Image.Resampling.BICUBIC))


def texture(kind: str, rng: np.random.Generator, grid: int) -> Field:
    """A piece of the tile of that kind, cut at random; as large as the canvas."""
    tile = _tile(kind, grid)
    top, left = rng.integers(0, len(tile) - grid, 2)
    piece = tile[top : top + grid, left : left + grid]
    return piece[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


@lru_cache(maxsize=16)
def _tile(kind: str, grid: int) -> Field:
    """Noise of one kind, made once for each process: standard deviation about 1, 50 % larger than the canvas."""
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    side = grid * 3 // 2
    white = rng.standard_normal((side, side)).astype(np.float32)
    unit = max(grid, 128) / 512  # below, there is nothing left between two blurs
    match kind:
        case "fine":
            field = ndimage.gaussian_filter(white, 1.2 * unit) - ndimage.gaussian_filter(white, 4 * unit)
        case "clouds":
            field = ndimage.gaussian_filter(white, 7 * unit)
        case "net":
            field = -np.abs(ndimage.gaussian_filter(white, 2.0 * unit))
        case "strands":
            layers = []
            for angle in (10, 40, 75, 110, 160):
                fresh = rng.standard_normal((side, side)).astype(np.float32)
                ridge = ndimage.gaussian_filter(fresh, (1.1 * unit, 6 * unit))
                layers.append(ndimage.rotate(ridge / ridge.std(), angle, reshape=False, order=1, mode="wrap"))
            field = np.max(layers, axis=0)
        case _:
            raise KeyError(kind)
    noise: Field = ((field - field.mean()) / field.std()).astype(np.float32)
    return noise


def slices(box: Box, grid: int) -> tuple[slice, slice]:
    """The rows and columns of a box, at least one of each where it lies in the picture."""
    left, top = max(0, round(box[0] * grid)), max(0, round(box[1] * grid))
    return slice(top, max(top + 1, round(box[3] * grid))), slice(left, max(left + 1, round(box[2] * grid)))


def window(canvas: Field, box: Box) -> tuple[Field, Field, Field] | None:
    """The part of the canvas inside a box, and its coordinates from -1 to 1; None where that is less than a pixel."""
    rows, columns = slices(box, len(canvas))
    part = canvas[rows, columns]
    if not part.size:
        return None
    middle = (np.arange(len(canvas), dtype=np.float32) + 0.5) * (2 / len(canvas))
    p = (middle[columns] - (box[0] + box[2])) * (1 / (box[2] - box[0]))
    q = (middle[rows] - (box[1] + box[3])) * (1 / (box[3] - box[1]))
    return part, p[None, :], q[:, None]


def expose(canvas: Field, body: Anatomy, rng: np.random.Generator, side_px: int) -> npt.NDArray[np.uint8]:
    """Tone curve, enlargement, grain and side marker."""
    canvas = np.clip(canvas, 0, 1.15)
    canvas = canvas - 0.16 * canvas * canvas * canvas  # the shoulder of a film's curve: dense parts lie close together
    canvas **= np.float32(body.gamma)
    low, high = np.float32(rng.uniform(0, 12)), np.float32(rng.uniform(240, 255))
    canvas = low + canvas * ((high - low) / canvas.max())
    if side_px != len(canvas):
        canvas = np.asarray(Image.fromarray(canvas).resize((side_px, side_px), Image.Resampling.BICUBIC))
    rows, columns = ((np.arange(side_px) + offset) % _GRAIN_PX for offset in rng.integers(0, _GRAIN_PX, 2))
    grain = _grain()[rows][:, columns][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    canvas = canvas + grain * (np.float32(body.noise) * (0.5 + canvas * np.float32(1 / 255)))
    pixels = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return _mark(pixels, body, rng)


@lru_cache(maxsize=1)
def _grain() -> Field:
    """Film grain: less and less of it towards fine detail, some of it coarse; standard deviation 1."""
    rng = np.random.default_rng(7)
    white = rng.standard_normal((_GRAIN_PX, _GRAIN_PX)).astype(np.float32)
    fine = ndimage.gaussian_filter(white, 0.7, mode="wrap")
    coarse = ndimage.gaussian_filter(white[::-1], 2.5, mode="wrap")
    grain: Field = fine / fine.std() + 0.35 * coarse / coarse.std()
    grain /= grain.std()
    return grain


def _mark(pixels: npt.NDArray[np.uint8], body: Anatomy, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """The lead letter beside a shoulder: L at the patient's left, R at the right."""
    left = rng.random() < 0.5
    size = rng.uniform(0.022, 0.034) * len(pixels)
    x = (rng.uniform(0.88, 0.95) if left else rng.uniform(0.03, 0.10)) * len(pixels)
    y = rng.uniform(0.02, 0.10) * len(pixels)
    strokes = {
        True: [[(0.0, 0.0), (0.0, 1.0), (0.6, 1.0)]],
        False: [
            [(0.0, 1.0), (0.0, 0.0), (0.5, 0.05), (0.6, 0.25), (0.5, 0.48), (0.0, 0.52)],
            [(0.25, 0.52), (0.6, 1.0)],
        ],
    }[left]
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for points in strokes:
        path = [(x + size * a, y + size * b) for a, b in points]
        draw.line(path, fill=int(rng.uniform(215, 255)), width=max(1, round(size / 6)), joint="curve")
    return np.asarray(image)


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG. Film grain has no repeats to find: Huffman coding alone is as small, and faster."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return buffer.getvalue()
