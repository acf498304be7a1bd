"""Drawing a frontal chest radiograph that nobody took: one anatomy per image id, findings where their boxes are.

Coordinates are fractions of the picture, x to the right and y down; the patient's right lung is on the left. Brightness
runs from 0 (air outside the body) to 1 (dense). Geometry is drawn on a grid of at most 512 × 512 and enlarged; film
noise and the side marker have the full resolution.
"""

import hashlib
import io
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from radloop.readers import Box, Boxes, Classes, typical_box

Field = npt.NDArray[np.floating[Any]]  # (rows, columns), float32

_GRID_PX: Final = 512  # finer geometry is not seen: the sharpest edge in a film is some pixels wide
_AORTA, _HEART = 0, 3  # the two classes whose box is the organ itself

# the chest that readers.typical_box speaks of
_TYPICAL_HALF, _TYPICAL_APEX, _TYPICAL_BASE = 0.37, 0.11, 0.78


@dataclass(frozen=True)
class Anatomy:
    """One patient's build and how the film was taken."""

    midline: float  # x of the spine at half height
    tilt: float  # radians
    turn: float  # away from the film: by how much one half looks wider than the other
    half: float  # from the spine to the side of the rib cage
    apex: float  # y of the top of the lungs
    base: float  # y of the costophrenic angles
    barrel: float  # how far down the lungs reach their full width
    domes: tuple[float, float]  # top of the right and left diaphragm, 0 apex .. 1 base
    heart: Box
    knob: Box  # the aortic arch
    rib_gap: float
    rib_drop: float  # of the posterior ribs, from the spine to the side
    rib_rise: float  # of the anterior ribs, from the side to the front
    rib_contrast: float
    neck: float  # half its width
    wall: float  # of soft tissue outside the rib cage
    shoulder: float  # y
    armpit: float  # y
    clavicle: float  # y at its inner end
    clavicle_rise: float
    scapula: float  # how far it lies over the lung
    bust: float  # density of soft tissue over the lower lungs
    lung: float  # brightness of the lungs
    dense: float  # brightness of heart and abdomen
    gamma: float
    noise: float  # standard deviation of the grain, in gray values

    def roof(self, u: float) -> float:
        """Where the rib cage begins above a point, 0 apex .. 1 base; `u` from the spine (0) to the side (1)."""
        return self.barrel * (1 - math.pow(max(0.0, 1 - u * u), 1 / 3))

    def box(self, box: Box) -> Box:
        """Where a box of the typical chest lies in this one; inside the rib cage, inside the picture."""
        x_scale, y_scale = self.half / _TYPICAL_HALF, (self.base - self.apex) / (_TYPICAL_BASE - _TYPICAL_APEX)
        x, y = (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - _TYPICAL_APEX
        half_width, half_height = (box[2] - box[0]) / 2 * x_scale, (box[3] - box[1]) / 2 * y_scale
        room = max(0.0, self.half * 1.02 - half_width)
        x = min(max(x * x_scale, -room), room)
        y = self.apex + max(y * y_scale, (self.base - self.apex) * self.roof(abs(x) / self.half))
        y = max(min(y, self.base + 0.03 - half_height), self.apex - 0.01 + half_height)
        x, y = self.midline + x + self.tilt * (y - 0.5), y - self.tilt * x
        return (
            max(x - half_width, 0.005),
            max(y - half_height, 0.005),
            min(x + half_width, 0.995),
            min(y + half_height, 0.995),
        )


class _Chest(NamedTuple):
    film: Field  # brightness
    lungs: Field  # 1 where there is air
    depth: Field  # how far inside the rib cage


def anatomy(image_id: str) -> Anatomy:
    """The build of the patient with this image id: always the same for the same id."""
    rng = np.random.default_rng(_seed(image_id))
    spread: Iterator[float] = iter(rng.uniform(-1.0, 1.0, 32).tolist())

    def around(middle: float, by: float) -> float:
        return middle + by * next(spread)

    midline, half = around(0.5, 0.03), around(0.37, 0.045)
    apex, base = around(0.11, 0.045), around(0.775, 0.065)
    length = base - apex
    heart_width, heart_height = 2 * half * around(0.45, 0.055), length * around(0.42, 0.07)
    heart_x, heart_y = midline + half * around(0.13, 0.04), apex + length * around(0.77, 0.03)
    knob_x, knob_y, knob_radius = (
        midline + half * around(0.085, 0.03),
        apex + length * around(0.34, 0.04),
        around(0.034, 0.008),
    )
    return Anatomy(
        midline=midline,
        tilt=around(0.0, 0.05),
        turn=around(0.0, 0.06),
        half=half,
        apex=apex,
        base=base,
        barrel=around(0.62, 0.12),
        domes=(around(0.85, 0.07), around(0.89, 0.07)),
        heart=(
            heart_x - heart_width / 2,
            heart_y - heart_height / 2,
            heart_x + heart_width / 2,
            heart_y + heart_height / 2,
        ),
        knob=(knob_x - knob_radius, knob_y - knob_radius, knob_x + knob_radius, knob_y + knob_radius),
        rib_gap=length * around(0.099, 0.014),
        rib_drop=around(0.36, 0.1),
        rib_rise=around(0.34, 0.1),
        rib_contrast=around(0.08, 0.03),
        neck=around(0.095, 0.02),
        wall=around(0.08, 0.06),
        shoulder=around(0.13, 0.06),
        armpit=around(0.52, 0.2),
        clavicle=apex + around(0.075, 0.035),
        clavicle_rise=around(0.045, 0.05),
        scapula=around(0.9, 0.15),
        bust=max(0.0, around(0.03, 0.14)),
        lung=around(0.17, 0.06),
        dense=around(0.87, 0.05),
        gamma=around(1.0, 0.18),
        noise=around(2.6, 0.9),
    )


def place(body: Anatomy, class_id: int, rng: np.random.Generator) -> Box:
    """Where a finding of the class could lie in this patient."""
    return body.box(typical_box(class_id, rng))


def picture(image_id: str, boxes: Boxes, classes: Classes, *, side_px: int = 1024) -> npt.NDArray[np.uint8]:
    """The radiograph of one image id with a finding in each box: (side_px, side_px), 8-bit gray.

    `boxes` (n, 4) are fractions of the picture. The same arguments always give the same pixels.
    """
    body = anatomy(image_id)
    rng = np.random.default_rng([_seed(image_id), 1])
    grid = min(side_px, _GRID_PX)
    organs = {_HEART: body.heart, _AORTA: body.knob}
    for class_id, box in zip(classes.tolist(), boxes.tolist(), strict=True):
        if class_id in organs:
            organs[class_id] = tuple(box)
    chest = _chest(body, rng, grid, heart=organs[_HEART], enlarged=_HEART in classes, knob=organs[_AORTA])
    for class_id, box in sorted(zip(classes.tolist(), boxes.tolist(), strict=True)):
        if class_id not in organs:
            _paint(chest, class_id, box, rng)
    return _expose(chest.film, body, rng, side_px)


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG. Film grain has no repeats to find: Huffman coding alone is as small, and faster."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, compress_type=zlib.Z_HUFFMAN_ONLY)
    return buffer.getvalue()


def _seed(image_id: str) -> int:
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big")


def _step(field: Field) -> Field:
    """From 0 to 1 where `field` goes from -0.5 to 0.5, smoothly. Changes `field`."""
    field += np.float32(0.5)
    np.clip(field, 0.0, 1.0, out=field)
    return field * field * (3 - 2 * field)


def _smooth_noise(rng: np.random.Generator, cells: int, grid: int) -> Field:
    """A field with `cells` independent values a side, standard deviation about 1."""
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((grid, grid), Image.Resampling.BICUBIC))


def _chest(body: Anatomy, rng: np.random.Generator, grid: int, *, heart: Box, enlarged: bool, knob: Box) -> _Chest:
    """The healthy chest, with heart and aortic arch in the given boxes."""
    across = ((np.arange(grid, dtype=np.float32) + 0.5) / grid)[None, :]
    down = across.T
    # no organ is drawn with a ruler
    x = across - body.midline - body.tilt * (down - 0.5) + 0.008 * _smooth_noise(rng, 6, grid)
    y = down + body.tilt * (across - 0.5) + 0.008 * _smooth_noise(rng, 6, grid)
    x_abs = np.abs(x)
    length = body.base - body.apex
    right = x < 0
    half = np.where(right, np.float32(body.half * (1 + body.turn)), np.float32(body.half * (1 - body.turn)))
    u = x_abs / half  # 0 spine .. 1 side of the rib cage
    v = (y - body.apex) * (1 / length)  # 0 apex .. 1 base

    # the lungs: inside the cage, outside the mediastinum, above the diaphragm
    rise = np.clip(1 - v * (1 / body.barrel), 0, 1)
    cage = np.sqrt(1 - rise * rise * rise) * (0.95 + 0.06 * np.clip(v, 0, 1.3))
    inside = (cage - u) * body.half
    waist = _mediastinum(v, right, rng, grid)
    dome = body.domes[0] + (body.domes[1] - body.domes[0]) * _step(x * 8) + 0.5 * np.square(u - 0.45)
    above = (dome - v) * length
    lungs = (
        _step(inside / 0.014)
        * _step((u - waist) * (body.half / 0.030))
        * _step(above / 0.010)
        * _step((v - 1.6 * np.square(np.minimum(u - 0.36, 0))) * 12 - 0.6)
    )

    heart_mask = _heart(x, y, body, heart, enlarged)
    knob_mask = _ellipse(x, y, body, knob, edge=0.5)
    lungs *= (1 - 0.93 * heart_mask) * (1 - 0.97 * knob_mask)

    # soft tissue: thin at the skin, thick in the middle and in the belly
    tissue = _tissue(body, x_abs, y, v)
    belly = _step(0.2 - above * 6) * _step((body.half * 1.12 - x_abs) * 10)
    middle = np.square(np.clip(1.05 - u * 1.4, 0, 1)) * np.clip(0.55 + v, 0.55, 1)
    film = tissue * (0.53 + 0.20 * middle + (body.dense - 0.57) * belly + 0.05 * _smooth_noise(rng, 7, grid))

    # air lets the rays through: what is left is the chest wall in front of the lungs and behind them
    breast = (
        body.bust * np.square(np.clip(1 - np.abs(v - 0.85) * 2.2, 0, 1)) * np.clip(1.3 - np.abs(u - 0.6) * 1.6, 0, 1)
    )
    air = body.lung + 0.14 * np.square(u - 0.55) + 0.10 * np.clip(v - 0.65, 0, 1) + breast
    air += 0.022 * _smooth_noise(rng, 11, grid) + 0.009 * _texture("fine", rng, grid)
    film += lungs * (air - film)
    film += (0.055 * heart_mask + 0.05 * knob_mask * np.clip((u - waist + 0.08) * 9, 0, 1)) * _step(0.5 + above * 8)

    film += _ribs(body, rng, u, v, cage, y) * (0.13 + 0.87 * lungs) * tissue
    hilum = np.clip(1 - np.square((u - 0.2) * 2.2) - np.square((v - 0.52) * 2.6), 0, 1)
    film += lungs * (0.07 * hilum + _vessels(body, rng.spawn(1)[0], grid))
    film += _bones(body, rng, grid) * tissue
    _windpipe(film, x, y, body)
    _bowel_gas(film, body, rng)
    depth = np.minimum(inside, v * length + 0.012)
    return _Chest(film, lungs, depth)


def _mediastinum(v: Field, right: npt.NDArray[np.bool_], rng: np.random.Generator, grid: int) -> Field:
    """Half the width of what lies between the lungs, as a fraction of half the cage."""
    at_hilum = np.clip(1 - np.square((v - 0.52) * 3.2), 0, 1)
    at_top = np.clip(1 - np.square((v - 0.05) * 3.5), 0, 1)
    half: Field = (
        np.where(right, np.float32(0.125), np.float32(0.105))
        + np.where(right, np.float32(0.035), np.float32(0.085)) * at_hilum
        + 0.05 * at_top
        + 0.25 * np.clip((v - 0.8) * 4, 0, 1)  # the heart's fat
        + 0.012 * _smooth_noise(rng, 12, grid)
    )
    return half


def _tissue(body: Anatomy, x_abs: Field, y: Field, v: Field) -> Field:
    """How much of the body the rays cross, 0..1: nothing beside the neck, above the shoulders and under the arms."""
    from_neck = np.clip((x_abs - body.neck) * 3.2, 0, 1)
    top = body.shoulder * from_neck * (2 - from_neck) + 0.25 * np.clip(x_abs - 0.38, 0, 1)
    skin = np.minimum(y - top, 0.3) + np.clip((body.neck - x_abs) * 2.5, 0, 0.5)
    wall = body.half + body.wall + 0.03 * np.clip(v - 0.6, 0, 1)
    armpit = np.minimum(x_abs - wall, wall + 0.02 + (y - body.armpit) * 0.45 - x_abs)
    depth: Field = np.clip(np.minimum(skin * 5, -armpit * 8) + 0.1, 0, 1)
    depth *= 2 - depth
    return depth


def _to_chest(body: Anatomy, box: Box) -> tuple[float, float, float, float]:
    """Middle and half sides of a box, seen from the midline of the tilted patient."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return (
        x - body.midline - body.tilt * (y - 0.5),
        y + body.tilt * (x - 0.5),
        (box[2] - box[0]) / 2,
        (box[3] - box[1]) / 2,
    )


def _heart(x: Field, y: Field, body: Anatomy, box: Box, enlarged: bool) -> Field:
    """The heart's shadow. Readers box an enlarged heart where it is widest, so its box is lower than the heart."""
    middle_x, middle_y, half_width, half_height = _to_chest(body, box)
    if enlarged:
        half_height = max(half_height * 1.7, 0.72 * half_width)
    lean = 0.45
    from_y = y - middle_y
    from_x = x - middle_x - lean * from_y
    narrow = max(half_width**2 - (lean * half_height) ** 2, (0.6 * half_width) ** 2)
    radius = np.square(from_x) * (1 / narrow) + np.square(from_y) * (1 / half_height**2)
    great_vessels = np.square((x - 0.45 * middle_x) * (2.0 / half_width))
    great_vessels += np.square((from_y + 0.75 * half_height) * (0.95 / half_height))
    return _step((1 - np.minimum(radius, great_vessels)) * 3)


def _ellipse(x: Field, y: Field, body: Anatomy, box: Box, *, edge: float) -> Field:
    middle_x, middle_y, half_width, half_height = _to_chest(body, box)
    radius = np.square((x - middle_x) * (1 / half_width)) + np.square((y - middle_y) * (1 / half_height))
    return _step((1 - radius) * (1 / edge) + 0.5)


def _ribs(body: Anatomy, rng: np.random.Generator, u: Field, v: Field, cage: Field, y: Field) -> Field:
    """Posterior and anterior ribs as two families of bands, each rib with its own strength and width."""
    in_cage = _step((cage * 1.05 - u) * 14) * np.clip((v + 0.08) * 12, 0, 1) * np.clip((1.5 - v) * 3, 0, 1)
    behind = y - body.apex - body.rib_drop * np.square(u - 0.28) * (0.5 + 0.6 * v)
    ahead = y - body.apex - body.rib_rise * (1 - u) * (0.6 + 0.5 * v)
    bands = _bands(rng, thickness=0.27)[_rib_index(behind, body.rib_gap)]
    bands += (
        0.36
        * np.clip((u - 0.35) * 2, 0, 1)
        * np.clip(v * 3 - 0.4, 0, 1)
        * _bands(rng, thickness=0.24)[_rib_index(ahead, body.rib_gap * 1.25)]
    )
    side = np.clip(1 - np.abs(cage * 1.03 - u) * 22, 0, 1)
    ribs: Field = (bands * (0.8 + 0.5 * u * u) + 1.3 * side) * in_cage * np.float32(body.rib_contrast)
    return ribs


_RIBS, _RIB_STEPS = 20, 64


def _rib_index(height: Field, gap: float) -> npt.NDArray[np.int32]:
    return np.clip((height * (_RIB_STEPS / gap) + 2 * _RIB_STEPS).astype(np.int32), 0, _RIBS * _RIB_STEPS - 1)


def _bands(rng: np.random.Generator, *, thickness: float) -> Field:
    """The brightness across all ribs from top to bottom: a faint body between two brighter edges."""
    strength = rng.uniform(0.75, 1.2, (_RIBS, 1))
    half = rng.uniform(0.85, 1.1, (_RIBS, 1)) * thickness
    from_middle = np.abs(
        (np.arange(_RIB_STEPS)[None, :] + 0.5) / _RIB_STEPS - 0.5 + rng.uniform(-0.06, 0.06, (_RIBS, 1))
    )
    solid = np.clip((half - from_middle) * 12, 0, 1)
    edge = np.clip(1 - np.abs(half - 0.05 - from_middle) * 14, 0, 1)
    bands: Field = (strength * (0.75 * solid + 0.5 * edge)).astype(np.float32)
    return bands.ravel()


def _vessels(body: Anatomy, rng: np.random.Generator, grid: int) -> Field:
    """Two hila and the trees of vessels that leave them, thinner and fainter outwards."""
    trunks, twigs = Image.new("L", (grid, grid)), Image.new("L", (grid, grid))
    draw_trunks, draw_twigs = ImageDraw.Draw(trunks), ImageDraw.Draw(twigs)
    length = body.base - body.apex
    side = np.repeat([-1.0, 1.0], _VESSELS)
    y = np.repeat(body.apex + length * rng.uniform(0.46, 0.56, 2), _VESSELS)
    root = np.stack([body.midline + side * body.half * 0.21 + body.tilt * (y - 0.5), y], axis=1)
    for spot in root + rng.normal(0, [0.016, 0.045], root.shape):
        _dot(draw_trunks, spot, rng.uniform(0.007, 0.017), grid, int(rng.uniform(50, 120)))
    start = root + rng.normal(0, [0.01, 0.05], root.shape)
    angle = np.tile(np.linspace(-1.4, 1.5, _VESSELS), 2) + rng.normal(0, 0.08, len(side))
    strength = np.ones(len(side))
    while len(side):
        angles = angle[:, None] + rng.normal(0, 0.12, (len(side), 1)) * np.arange(4) + 0.02 * np.arange(4)
        steps = rng.uniform(0.011, 0.022, (len(side), 4))
        moves = np.stack([side[:, None] * np.cos(angles) * steps, np.sin(angles) * steps], axis=2)
        path = np.concatenate([start[:, None], start[:, None] + moves.cumsum(axis=1)], axis=1)
        for points, bright in zip((path * grid).reshape(-1, 10).tolist(), strength.tolist(), strict=True):
            draw = draw_trunks if bright > 0.6 else draw_twigs
            draw.line(points, fill=int(25 + 95 * bright), width=max(1, round(0.0085 * bright * grid)))
        fork = rng.uniform(0.15, 0.5, len(side))
        leaves = path[np.arange(len(side)), rng.integers(2, 5, len(side))]
        start = np.concatenate([path[:, -1], leaves])
        angle = np.concatenate([angles[:, -1] - fork * 0.5, angles[:, -1] + fork])
        strength = np.concatenate([strength * 0.7, strength * rng.uniform(0.4, 0.6, len(side))])
        side = np.tile(side, 2)
        grown = strength > max(0.1, 30 / grid)
        start, angle, strength, side = start[grown], angle[grown], strength[grown], side[grown]
    blurred = np.asarray(trunks.filter(ImageFilter.GaussianBlur(grid / 130)), dtype=np.float32)
    return (blurred + np.asarray(twigs.filter(ImageFilter.GaussianBlur(grid / 400)), dtype=np.float32)) * np.float32(
        0.33 / 128
    )


_VESSELS: Final = 9  # that leave each hilum


def _dot(draw: ImageDraw.ImageDraw, spot: npt.NDArray[np.float64], radius: float, grid: int, fill: int) -> None:
    x, y, r = spot[0] * grid, spot[1] * grid, radius * grid
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


def _bones(body: Anatomy, rng: np.random.Generator, grid: int) -> Field:
    """Spine, clavicles, shoulder blades and the heads of the arms."""
    canvas = Image.new("L", (grid, grid))
    draw = ImageDraw.Draw(canvas)

    def at(x: float, y: float) -> tuple[float, float]:
        return ((body.midline + x + body.tilt * (y - 0.5)) * grid, (y - body.tilt * x) * grid)

    def stroke(points: list[tuple[float, float]], width: float, body_fill: int, edge_fill: int) -> None:
        """A long bone: a faint band between two bright edges."""
        path = [at(*point) for point in points]
        draw.line(path, fill=edge_fill, width=max(1, round(width * grid)), joint="curve")
        if width * grid > 4:
            draw.line(path, fill=body_fill, width=round(width * grid - max(2, grid / 200)), joint="curve")

    gap = rng.uniform(0.043, 0.052)
    for level in np.arange(rng.uniform(-0.03, 0.01), 1.05, gap).tolist():
        wide = 0.032 + 0.014 * level
        for edge in (0.06, 0.86):
            draw.line(
                [at(-wide, level + edge * gap), at(wide, level + edge * gap)],
                fill=42,
                width=max(1, round(grid * 0.004)),
            )
        for end in (-wide, wide):
            draw.line([at(end, level), at(end * 0.92, level + gap * 0.85)], fill=34, width=max(1, round(grid * 0.005)))
        x, y = at(rng.normal(0, 0.001), level + gap * 0.55)
        draw.ellipse(
            (x - grid * 0.006, y - grid * 0.011, x + grid * 0.006, y + grid * 0.011), fill=int(rng.uniform(18, 44))
        )
    for side in (-1, 1):
        lift = body.clavicle_rise + rng.normal(0, 0.008)
        blade = body.half * body.scapula * rng.uniform(0.96, 1.04)
        top, joint = body.clavicle - lift, body.half + 0.11
        corners = [
            (blade, top + 0.06),
            (blade + 0.01, top + 0.19),
            (blade + 0.055, top + 0.34),
            (joint - 0.02, top + 0.17),
            (joint - 0.03, top + 0.05),
        ]
        outline = [at(side * a, b) for a, b in corners]
        draw.polygon(outline, fill=26)
        draw.line(outline, fill=58, width=max(1, grid // 110), joint="curve")
        x, y = at(side * (joint + 0.02), top + 0.095)
        r = grid * 0.05
        draw.ellipse((x - r, y - r, x + r, y + r), fill=58, outline=84, width=max(1, grid // 170))
        stroke([(side * (joint + 0.035), top + 0.12), (side * (joint + 0.075), top + 0.5)], 0.06, 52, 76)
        stroke(
            [(side * (body.half - 0.03), top + 0.015), (side * joint, top + 0.01), (side * (joint + 0.05), top + 0.04)],
            0.022,
            50,
            80,
        )
        bend = 0.014 + 0.3 * lift
        path = [
            (0.045, body.clavicle + 0.006),
            (0.07, body.clavicle - 0.004),
            (0.12, body.clavicle - 0.1 * lift),
            (0.18, body.clavicle - 0.4 * lift),
            (0.24, body.clavicle - 0.75 * lift - 0.3 * bend),
            (0.3, top - 0.2 * bend),
            (body.half + 0.06, top + 0.01),
        ]
        stroke([(side * a, b) for a, b in path], rng.uniform(0.022, 0.028), 58, 86)
    return np.asarray(canvas.filter(ImageFilter.GaussianBlur(grid / 210)), dtype=np.float32) * np.float32(0.2 / 80)


def _windpipe(film: Field, x: Field, y: Field, body: Anatomy) -> None:
    """The air in the trachea, down to where it forks."""
    grid = len(film)
    columns = slice(max(0, int((body.midline - 0.09) * grid)), int((body.midline + 0.09) * grid))
    rows = slice(0, int((body.apex + 0.42 * (body.base - body.apex)) * grid))
    fork = body.apex + 0.34 * (body.base - body.apex)
    near = np.clip(1 - np.square((x[rows, columns] + 0.004) * 48), 0, 1)
    film[rows, columns] -= 0.13 * near * np.clip((fork - y[rows, columns]) * 12, 0, 1)


def _bowel_gas(film: Field, body: Anatomy, rng: np.random.Generator) -> None:
    """The stomach's bubble under the left dome, and some bowel."""
    for number in range(int(rng.integers(2, 7))):
        under = number == 0
        x = body.midline + body.half * (rng.uniform(0.3, 0.65) if under else rng.uniform(-0.3, 0.9))
        y = body.base + (rng.uniform(0.0, 0.03) if under else rng.uniform(0.06, 0.2))
        wide, high = rng.uniform(0.02, 0.09), rng.uniform(0.015, 0.05)
        window = _window(film, (x - wide, y - high, x + wide, y + high))
        if window is None:
            continue
        part, p, q = window
        part -= rng.uniform(0.08, 0.35) * _step((1 - p * p - q * q) * 0.9 - 0.1) * part


def _pixels(box: Box, grid: int) -> tuple[slice, slice]:
    """The rows and columns of a box, at least one of each where it lies in the picture."""
    left, top = max(0, round(box[0] * grid)), max(0, round(box[1] * grid))
    return slice(top, max(top + 1, round(box[3] * grid))), slice(left, max(left + 1, round(box[2] * grid)))


def _window(film: Field, box: Box) -> tuple[Field, Field, Field] | None:
    """The part of the film inside a box, and its coordinates from -1 to 1; None where that is less than a pixel."""
    rows, columns = _pixels(box, len(film))
    part = film[rows, columns]
    if not part.size:
        return None
    middle = (np.arange(len(film), dtype=np.float32) + 0.5) * (2 / len(film))
    p = (middle[columns] - (box[0] + box[2])) * (1 / (box[2] - box[0]))
    q = (middle[rows] - (box[1] + box[3])) * (1 / (box[3] - box[1]))
    return part, p[None, :], q[:, None]


def _paint(chest: _Chest, class_id: int, box: Box, rng: np.random.Generator) -> None:
    """Add one finding where its box is, with the look of its class. Changes the film."""
    window = _window(chest.film, box)
    if window is None:
        return
    part, p, q = window
    grid = len(chest.film)
    lungs = chest.lungs[_pixels(box, grid)]
    outward = p if box[0] + box[2] > 1 else -p  # towards the side of the body
    radius = p * p + q * q
    frame = _step((1 - np.abs(p)) * 4 - 0.3) * _step((1 - np.abs(q)) * 4 - 0.3)
    blob = _step((1 - radius) * 0.9 - 0.05)
    strength = rng.uniform(0.85, 1.2)

    def texture(kind: str) -> Field:
        return _texture(kind, rng, grid)[: part.shape[0], : part.shape[1]]

    def from_wall() -> Field:
        """Depth in units of the box's shorter side, from the wall or the nearest that the box comes to it."""
        inside = chest.depth[_pixels(box, grid)]
        return (inside - max(float(inside.min()), 0.0)) * (1 / min(box[2] - box[0], box[3] - box[1]))

    def add(density: Field) -> None:
        nonlocal part
        part += density * np.float32(1.3 * strength) * (1 - part) * (0.4 + 0.6 * lungs)

    match class_id:
        case 1:  # atelectasis: a dense plate and the strands beside it
            plate = np.clip(1.1 - np.abs(q - 0.45 * outward) * 2.4, 0, 1) * frame
            add(0.34 * plate * (0.9 + 0.12 * texture("strands")) + 0.10 * blob)
        case 2:  # calcification: grains as bright as bone or brighter
            wide, high = box[2] - box[0], box[3] - box[1]
            for _ in range(int(rng.integers(3, 7))):
                at_p, at_q, size = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.18, 0.4)
                away = np.square((p - at_p) * (wide / min(wide, high))) + np.square(
                    (q - at_q) * (high / min(wide, high))
                )
                add(0.75 * _step((1 - away * (1 / size**2)) * 1.5) * frame)
        case 4:  # consolidation: dense and even, with a ragged edge
            add(0.44 * _step((0.75 - radius + 0.22 * texture("clouds")) * 0.9) * frame)
        case 5:  # interstitial disease: a fine net
            add(blob * np.clip(0.12 + 0.055 * texture("net"), 0, 0.25))
        case 6:  # infiltration: patches
            add(0.34 * blob * np.clip(0.5 + 0.45 * texture("clouds"), 0, 1.2))
        case 7:  # opacity: a haze
            add(0.30 * _step((1 - radius) * 0.8 - 0.1) * (1 + 0.12 * texture("clouds")))
        case 8:  # nodule or mass: a ball, so brightest in the middle
            add(0.40 * _step((1 - radius) * 1.6 - 0.1) * (0.8 + 0.2 * (1 - radius)))
        case 9:  # other lesion: a ring with a darker middle
            add(0.40 * np.clip(1 - np.abs(np.sqrt(radius) - 0.82) * 5, 0, 1) - 0.10 * _step((0.6 - radius) * 3))
        case 10:  # effusion: fluid that fills the angle and climbs the wall
            level = 0.15 - 0.65 * outward - 0.35 * outward * np.abs(outward)
            fluid = _step((q - level) * 2) * _step((1 - np.abs(p)) * 5) * _step(from_wall() * 20 + 0.5)
            part += np.float32(0.9 * strength) * fluid * np.maximum(0.74 - part, 0)
        case 11:  # thickening: a rim along the wall, a cap at the apex
            away = from_wall()
            add(0.55 * _step((0.42 - away) * 3.5) * _step(away * 20 + 0.7) * frame)
        case 12:  # pneumothorax: black air without markings outside the fine line of the collapsed lung
            away = from_wall() * np.float32(min(box[2] - box[0], box[3] - box[1]) / (box[2] - box[0]))
            edge = 0.55 - 0.3 * q * q - away
            air = _step(edge * 12) * _step(away * 20 - 0.2) * frame * np.maximum(lungs, np.float32(0.15))
            part -= 0.85 * air * (part - 0.07)
            add(0.22 * np.clip(1 - np.abs(edge) * 22, 0, 1) * frame)
        case 13:  # fibrosis: coarse strands
            add(blob * np.clip(0.12 + 0.10 * texture("strands"), 0, 0.4))
        case _:
            pass


def _texture(kind: str, rng: np.random.Generator, grid: int) -> Field:
    """A piece of the tile of that kind, cut at random; as large as the film."""
    tile = _tile(kind, grid)
    top, left = rng.integers(0, len(tile) - grid, 2)
    piece = tile[top : top + grid, left : left + grid]
    return piece[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]


@lru_cache(maxsize=16)
def _tile(kind: str, grid: int) -> Field:
    """Noise of one kind, made once for each process: standard deviation about 1, 50 % larger than the film."""
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


_GRAIN_PX: Final = 1280


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


def _expose(film: Field, body: Anatomy, rng: np.random.Generator, side_px: int) -> npt.NDArray[np.uint8]:
    """Tone curve, enlargement, grain and side marker."""
    film = np.clip(film, 0, 1.15)
    film = film - 0.16 * film * film * film  # the shoulder of the film: dense parts lie close together
    film **= np.float32(body.gamma)
    low, high = np.float32(rng.uniform(0, 12)), np.float32(rng.uniform(240, 255))
    film = low + film * ((high - low) / film.max())
    if side_px != len(film):
        film = np.asarray(Image.fromarray(film).resize((side_px, side_px), Image.Resampling.BICUBIC))
    rows, columns = ((np.arange(side_px) + offset) % _GRAIN_PX for offset in rng.integers(0, _GRAIN_PX, 2))
    grain = _grain()[rows][:, columns][:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    film = film + grain * (np.float32(body.noise) * (0.5 + film * np.float32(1 / 255)))
    pixels = np.clip(film + 0.5, 0, 255).astype(np.uint8)
    return _mark(pixels, body, rng)


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
