"""Findings: each with the look of its class, inside its box."""

from collections.abc import Callable
from typing import Final

import numpy as np

from radloop.readers import Box
from radloop.vindr.canvas import Field, slices, step, texture, window
from radloop.vindr.chest import Chest

AORTA, HEART = 0, 3  # the two classes whose box is the organ itself: the chest is drawn with them


class _Brush:
    """One box of the canvas, and what is needed to paint in it."""

    def __init__(self, chest: Chest, box: Box, part: Field, p: Field, q: Field, rng: np.random.Generator) -> None:
        self.rng, self.box, self.p, self.q = rng, box, p, q
        self._chest = chest
        self.part = part  # of the canvas; p and q go from -1 to 1 in it
        self.lungs = chest.lungs[slices(box, len(chest.canvas))]
        self.outward = p if box[0] + box[2] > 1 else -p  # towards the side of the body
        self.radius = p * p + q * q
        self.frame = step((1 - np.abs(p)) * 4 - 0.3) * step((1 - np.abs(q)) * 4 - 0.3)
        self.blob = step((1 - self.radius) * 0.9 - 0.05)
        self.strength = rng.uniform(0.85, 1.2)
        self.wide, self.high = box[2] - box[0], box[3] - box[1]

    def texture(self, kind: str) -> Field:
        return texture(kind, self.rng, len(self._chest.canvas))[: self.part.shape[0], : self.part.shape[1]]

    def from_wall(self) -> Field:
        """Depth in units of the box's shorter side, from the wall or the nearest that the box comes to it."""
        inside = self._chest.depth[slices(self.box, len(self._chest.canvas))]
        return (inside - max(float(inside.min()), 0.0)) * (1 / min(self.wide, self.high))

    def add(self, density: Field) -> None:
        self.part += density * np.float32(1.3 * self.strength) * (1 - self.part) * (0.4 + 0.6 * self.lungs)


def paint(chest: Chest, class_id: int, box: Box, rng: np.random.Generator) -> None:
    """Add one finding where its box is. Changes the canvas."""
    inside = window(chest.canvas, box)
    if inside is not None:
        brush = _Brush(chest, box, *inside, rng)
        _LOOKS[class_id](brush)


def _atelectasis(brush: _Brush) -> None:
    """A dense plate and the strands beside it."""
    plate = np.clip(1.1 - np.abs(brush.q - 0.45 * brush.outward) * 2.4, 0, 1) * brush.frame
    brush.add(0.34 * plate * (0.9 + 0.12 * brush.texture("strands")) + 0.10 * brush.blob)


def _calcification(brush: _Brush) -> None:
    """Grains as bright as bone or brighter."""
    rng, wide, high = brush.rng, brush.wide, brush.high
    for _ in range(int(rng.integers(3, 7))):
        at_p, at_q, size = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6), rng.uniform(0.18, 0.4)
        away = np.square((brush.p - at_p) * (wide / min(wide, high)))
        away = away + np.square((brush.q - at_q) * (high / min(wide, high)))
        brush.add(0.75 * step((1 - away * (1 / size**2)) * 1.5) * brush.frame)


def _consolidation(brush: _Brush) -> None:
    """Dense and even, with a ragged edge."""
    brush.add(0.44 * step((0.75 - brush.radius + 0.22 * brush.texture("clouds")) * 0.9) * brush.frame)


def _interstitial(brush: _Brush) -> None:
    """A fine net."""
    brush.add(brush.blob * np.clip(0.12 + 0.055 * brush.texture("net"), 0, 0.25))


def _infiltration(brush: _Brush) -> None:
    """Patches."""
    brush.add(0.34 * brush.blob * np.clip(0.5 + 0.45 * brush.texture("clouds"), 0, 1.2))


def _opacity(brush: _Brush) -> None:
    """A haze."""
    brush.add(0.30 * step((1 - brush.radius) * 0.8 - 0.1) * (1 + 0.12 * brush.texture("clouds")))


def _nodule(brush: _Brush) -> None:
    """A ball, so brightest in the middle."""
    brush.add(0.40 * step((1 - brush.radius) * 1.6 - 0.1) * (0.8 + 0.2 * (1 - brush.radius)))


def _other(brush: _Brush) -> None:
    """A ring with a darker middle."""
    ring = 0.40 * np.clip(1 - np.abs(np.sqrt(brush.radius) - 0.82) * 5, 0, 1)
    brush.add(ring - 0.10 * step((0.6 - brush.radius) * 3))


def _effusion(brush: _Brush) -> None:
    """Fluid that fills the angle and climbs the wall."""
    level = 0.15 - 0.65 * brush.outward - 0.35 * brush.outward * np.abs(brush.outward)
    fluid = step((brush.q - level) * 2) * step((1 - np.abs(brush.p)) * 5) * step(brush.from_wall() * 20 + 0.5)
    brush.part += np.float32(0.9 * brush.strength) * fluid * np.maximum(0.74 - brush.part, 0)


def _thickening(brush: _Brush) -> None:
    """A rim along the wall, a cap at the apex."""
    away = brush.from_wall()
    brush.add(0.55 * step((0.42 - away) * 3.5) * step(away * 20 + 0.7) * brush.frame)


def _pneumothorax(brush: _Brush) -> None:
    """Black air without markings outside the fine line of the collapsed lung."""
    away = brush.from_wall() * np.float32(min(brush.wide, brush.high) / brush.wide)
    edge = 0.55 - 0.3 * brush.q * brush.q - away
    air = step(edge * 12) * step(away * 20 - 0.2) * brush.frame * np.maximum(brush.lungs, np.float32(0.15))
    brush.part -= 0.85 * air * (brush.part - 0.07)
    brush.add(0.22 * np.clip(1 - np.abs(edge) * 22, 0, 1) * brush.frame)


def _fibrosis(brush: _Brush) -> None:
    """Coarse strands."""
    brush.add(brush.blob * np.clip(0.12 + 0.10 * brush.texture("strands"), 0, 0.4))


_LOOKS: Final[dict[int, Callable[[_Brush], None]]] = {
    1: _atelectasis,
    2: _calcification,
    4: _consolidation,
    5: _interstitial,
    6: _infiltration,
    7: _opacity,
    8: _nodule,
    9: _other,
    10: _effusion,
    11: _thickening,
    12: _pneumothorax,
    13: _fibrosis,
}
