"""Ribs, spine, shoulders, and the trees of vessels that leave the hila."""

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from radloop.vindr.anatomy import Anatomy
from radloop.vindr.canvas import Field, step

_RIBS, _RIB_STEPS = 20, 64
_VESSELS: Final = 9  # that leave each hilum


def ribs(body: Anatomy, rng: np.random.Generator, u: Field, v: Field, cage: Field, y: Field) -> Field:
    """Posterior and anterior ribs as two families of bands, each rib with its own strength and width."""
    in_cage = step((cage * 1.05 - u) * 14) * np.clip((v + 0.08) * 12, 0, 1) * np.clip((1.5 - v) * 3, 0, 1)
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


def vessels(body: Anatomy, rng: np.random.Generator, grid: int) -> Field:
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


def _dot(draw: ImageDraw.ImageDraw, spot: npt.NDArray[np.float64], radius: float, grid: int, fill: int) -> None:
    x, y, r = spot[0] * grid, spot[1] * grid, radius * grid
    draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)


class _Sketch:
    """Strokes on a canvas of one patient, who may stand tilted."""

    def __init__(self, body: Anatomy, grid: int) -> None:
        self.grid = grid
        self.canvas = Image.new("L", (grid, grid))
        self.draw = ImageDraw.Draw(self.canvas)
        self._body = body

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point that is given from the midline."""
        body, grid = self._body, self.grid
        return ((body.midline + x + body.tilt * (y - 0.5)) * grid, (y - body.tilt * x) * grid)

    def stroke(self, points: list[tuple[float, float]], width: float, body_fill: int, edge_fill: int) -> None:
        """A long bone: a faint band between two bright edges."""
        grid = self.grid
        path = [self.at(*point) for point in points]
        self.draw.line(path, fill=edge_fill, width=max(1, round(width * grid)), joint="curve")
        if width * grid > 4:
            self.draw.line(path, fill=body_fill, width=round(width * grid - max(2, grid / 200)), joint="curve")


def bones(body: Anatomy, rng: np.random.Generator, grid: int) -> Field:
    """Spine, clavicles, shoulder blades and the heads of the arms."""
    sketch = _Sketch(body, grid)
    _spine(sketch, rng)
    for side in (-1, 1):
        _shoulder(sketch, body, rng, side)
    blurred = sketch.canvas.filter(ImageFilter.GaussianBlur(grid / 210))
    return np.asarray(blurred, dtype=np.float32) * np.float32(0.2 / 80)


def _spine(sketch: _Sketch, rng: np.random.Generator) -> None:
    grid, draw, at = sketch.grid, sketch.draw, sketch.at
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


def _shoulder(sketch: _Sketch, body: Anatomy, rng: np.random.Generator, side: int) -> None:
    """Shoulder blade, arm and clavicle of one side (-1: the patient's right)."""
    grid, draw, at = sketch.grid, sketch.draw, sketch.at
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
    sketch.stroke([(side * (joint + 0.035), top + 0.12), (side * (joint + 0.075), top + 0.5)], 0.06, 52, 76)
    spine = [(body.half - 0.03, top + 0.015), (joint, top + 0.01), (joint + 0.05, top + 0.04)]
    sketch.stroke([(side * a, b) for a, b in spine], 0.022, 50, 80)
    bend = 0.014 + 0.3 * lift
    clavicle = [
        (0.045, body.clavicle + 0.006),
        (0.07, body.clavicle - 0.004),
        (0.12, body.clavicle - 0.1 * lift),
        (0.18, body.clavicle - 0.4 * lift),
        (0.24, body.clavicle - 0.75 * lift - 0.3 * bend),
        (0.3, top - 0.2 * bend),
        (body.half + 0.06, top + 0.01),
    ]
    sketch.stroke([(side * a, b) for a, b in clavicle], rng.uniform(0.022, 0.028), 58, 86)
