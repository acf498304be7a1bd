"""The healthy chest: lungs, heart and vessels, soft tissue, bones, the air in windpipe and bowel.

Coordinates are fractions of the picture, x to the right and y down; the patient's right lung is on the left. Brightness
runs from 0 (air outside the body) to 1 (dense).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from radloop.readers import Box
from radloop.vindr.anatomy import Anatomy
from radloop.vindr.bones import bones, ribs, vessels
from radloop.vindr.canvas import Field, smooth_noise, step, texture, window


class Chest(NamedTuple):
    """A canvas before it is exposed, and where on it the lungs are."""

    canvas: Field  # brightness
    lungs: Field  # 1 where there is air
    depth: Field  # how far inside the rib cage


def draw(body: Anatomy, rng: np.random.Generator, grid: int, *, heart: Box, enlarged: bool, knob: Box) -> Chest:
    """The healthy chest, with heart and aortic arch in the given boxes."""
    across = ((np.arange(grid, dtype=np.float32) + 0.5) / grid)[None, :]
    down = across.T
    # no organ is drawn with a ruler
    x = across - body.midline - body.tilt * (down - 0.5) + 0.008 * smooth_noise(rng, 6, grid)
    y = down + body.tilt * (across - 0.5) + 0.008 * smooth_noise(rng, 6, grid)
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
    dome = body.domes[0] + (body.domes[1] - body.domes[0]) * step(x * 8) + 0.5 * np.square(u - 0.45)
    above = (dome - v) * length
    lungs = (
        step(inside / 0.014)
        * step((u - waist) * (body.half / 0.030))
        * step(above / 0.010)
        * step((v - 1.6 * np.square(np.minimum(u - 0.36, 0))) * 12 - 0.6)
    )

    heart_mask = _heart(x, y, body, heart, enlarged)
    knob_mask = _ellipse(x, y, body, knob, edge=0.5)
    lungs *= (1 - 0.93 * heart_mask) * (1 - 0.97 * knob_mask)

    # soft tissue: thin at the skin, thick in the middle and in the belly
    tissue = _tissue(body, x_abs, y, v)
    belly = step(0.2 - above * 6) * step((body.half * 1.12 - x_abs) * 10)
    middle = np.square(np.clip(1.05 - u * 1.4, 0, 1)) * np.clip(0.55 + v, 0.55, 1)
    canvas = tissue * (0.53 + 0.20 * middle + (body.dense - 0.57) * belly + 0.05 * smooth_noise(rng, 7, grid))

    # air lets the rays through: what is left is the chest wall in front of the lungs and behind them
    breast = (
        body.bust * np.square(np.clip(1 - np.abs(v - 0.85) * 2.2, 0, 1)) * np.clip(1.3 - np.abs(u - 0.6) * 1.6, 0, 1)
    )
    air = body.lung + 0.14 * np.square(u - 0.55) + 0.10 * np.clip(v - 0.65, 0, 1) + breast
    air += 0.022 * smooth_noise(rng, 11, grid) + 0.009 * texture("fine", rng, grid)
    canvas += lungs * (air - canvas)
    canvas += (0.055 * heart_mask + 0.05 * knob_mask * np.clip((u - waist + 0.08) * 9, 0, 1)) * step(0.5 + above * 8)

    canvas += ribs(body, rng, u, v, cage, y) * (0.13 + 0.87 * lungs) * tissue
    hilum = np.clip(1 - np.square((u - 0.2) * 2.2) - np.square((v - 0.52) * 2.6), 0, 1)
    canvas += lungs * (0.07 * hilum + vessels(body, rng.spawn(1)[0], grid))
    canvas += bones(body, rng, grid) * tissue
    _windpipe(canvas, x, y, body)
    _bowel_gas(canvas, body, rng)
    depth = np.minimum(inside, v * length + 0.012)
    return Chest(canvas, lungs, depth)


def _mediastinum(v: Field, right: npt.NDArray[np.bool_], rng: np.random.Generator, grid: int) -> Field:
    """Half the width of what lies between the lungs, as a fraction of half the cage."""
    at_hilum = np.clip(1 - np.square((v - 0.52) * 3.2), 0, 1)
    at_top = np.clip(1 - np.square((v - 0.05) * 3.5), 0, 1)
    half: Field = (
        np.where(right, np.float32(0.125), np.float32(0.105))
        + np.where(right, np.float32(0.035), np.float32(0.085)) * at_hilum
        + 0.05 * at_top
        + 0.25 * np.clip((v - 0.8) * 4, 0, 1)  # the heart's fat
        + 0.012 * smooth_noise(rng, 12, grid)
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
    return step((1 - np.minimum(radius, great_vessels)) * 3)


def _ellipse(x: Field, y: Field, body: Anatomy, box: Box, *, edge: float) -> Field:
    middle_x, middle_y, half_width, half_height = _to_chest(body, box)
    radius = np.square((x - middle_x) * (1 / half_width)) + np.square((y - middle_y) * (1 / half_height))
    return step((1 - radius) * (1 / edge) + 0.5)


def _windpipe(canvas: Field, x: Field, y: Field, body: Anatomy) -> None:
    """The air in the trachea, down to where it forks."""
    grid = len(canvas)
    columns = slice(max(0, int((body.midline - 0.09) * grid)), int((body.midline + 0.09) * grid))
    rows = slice(0, int((body.apex + 0.42 * (body.base - body.apex)) * grid))
    fork = body.apex + 0.34 * (body.base - body.apex)
    near = np.clip(1 - np.square((x[rows, columns] + 0.004) * 48), 0, 1)
    canvas[rows, columns] -= 0.13 * near * np.clip((fork - y[rows, columns]) * 12, 0, 1)


def _bowel_gas(canvas: Field, body: Anatomy, rng: np.random.Generator) -> None:
    """The stomach's bubble under the left dome, and some bowel."""
    for number in range(int(rng.integers(2, 7))):
        under = number == 0
        x = body.midline + body.half * (rng.uniform(0.3, 0.65) if under else rng.uniform(-0.3, 0.9))
        y = body.base + (rng.uniform(0.0, 0.03) if under else rng.uniform(0.06, 0.2))
        wide, high = rng.uniform(0.02, 0.09), rng.uniform(0.015, 0.05)
        inside = window(canvas, (x - wide, y - high, x + wide, y + high))
        if inside is None:
            continue
        part, p, q = inside
        part -= rng.uniform(0.08, 0.35) * step((1 - p * p - q * q) * 0.9 - 0.1) * part
