"""One thumbnail explained by another: moved a little, in another gray scale, in another view, partly covered.

A thumbnail of 32×32 px is compared by 14×14 blurred points of it. Those of one (its vector) are explained by a linear
regression on the gray values of another, and on what they change by under each small movement (its basis): the tangent
distance of Simard, LeCun and Denker 1993, solved at once, without a search. Larger movements are met by views; a patch
or a margin that covers one of the two is left out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]
Thumbnails = npt.NDArray[np.uint8]  # n×32×32


@dataclass(frozen=True)
class View:
    """A part of a thumbnail, in fractions of its sides, as if it were the whole; or the whole, turned."""

    left: float = 0
    top: float = 0
    right: float = 1
    bottom: float = 1
    degrees: float = 0


SIDE_PX: Final = 32
_INNER: Final = 0.045  # on every side: what a border of 5 % takes up, and near to a crop by 5 %
_SIDE: Final = 0.08  # on one side: from the whole to a crop by 10 % and more
_DEGREES: Final = 6
WHOLE: Final = View()
VIEWS: Final = (
    WHOLE,
    View(_INNER, _INNER, 1 - _INNER, 1 - _INNER),
    View(left=_SIDE),
    View(top=_SIDE),
    View(right=1 - _SIDE),
    View(bottom=1 - _SIDE),
    View(degrees=_DEGREES),
    View(degrees=-_DEGREES),
)

_ACROSS: Final = (SIDE_PX - 4) // 2
# In px, from the middle of the first: each second one of a blurred picture is enough, and none at the edge, which
# cropping and turning change. They lie in a mirror picture where they lie here.
_POINTS: Final[Exact] = 2.5 + 2 * np.arange(_ACROSS, dtype=np.float64)
_MIDDLE: Final = (SIDE_PX - 1) / 2
_LOW: Final = 6  # the lowest frequencies by which pairs are proposed, across and down
EVEN: Final = slice(0, _LOW * _LOW // 2)
ODD: Final = slice(_LOW * _LOW // 2, _LOW * _LOW)
_PATCHES: Final = ((5, 7), (7, 5))  # points: a text over 15 % × 5 % blurs into 4×6, which lie within at any place
_NEARLY_BLANK: Final = 1e-4  # above what single precision errs by in a product of unit vectors
_TO_LEAVE_OUT: Final = 0.015  # of the variance may lie outside of a patch or margin, before the fit without it


def vectors(small: Thumbnails, view: View = WHOLE) -> Floats:
    """What is to be explained: n×196 gray values of the blurred view, mean 0, as unit vectors."""
    gray = _gray(small)
    if view.degrees:
        values = gray.reshape(len(gray), -1) @ _turning(view.degrees).T
    else:
        down, right = _blur(view.top, view.bottom), _blur(view.left, view.right)
        values = (down @ gray @ right.T).reshape(len(gray), -1)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    units: Floats = np.where(length > 1e-3, values / np.maximum(length, 1e-3), 0)  # a blank picture is like none
    return units


def mirrored(values: Floats) -> Floats:
    """The vectors of the same views, mirrored left to right."""
    return values.reshape(-1, _ACROSS, _ACROSS)[:, :, ::-1].reshape(values.shape)


def bases(small: Thumbnails) -> Floats:
    """Orthonormal n×196×10: the gray scale to the third power, and the change by each affine movement."""
    gray = _gray(small)
    smooth, right, down = _blur() @ gray @ _blur().T, _blur() @ gray @ _slope().T, _slope() @ gray @ _blur().T
    y, x = (at.astype(np.float32) / _MIDDLE for at in np.meshgrid(_POINTS - _MIDDLE, _POINTS - _MIDDLE, indexing="ij"))
    one = np.ones_like(smooth)
    moved = [right, down, x * right, y * right, x * down, y * down]
    columns = np.stack([one, smooth, smooth**2, smooth**3, *moved], axis=1).reshape(len(gray), 10, -1)
    columns /= np.maximum(np.linalg.norm(columns, axis=2, keepdims=True), 1e-3)  # a blank picture's are rounding errors
    products = (columns @ columns.transpose(0, 2, 1)).astype(np.float64) + 1e-6 * np.eye(10)  # a blank one is singular
    to_orthonormal = np.linalg.inv(_roots(products)).astype(np.float32)
    found: Floats = np.ascontiguousarray((to_orthonormal @ columns).transpose(0, 2, 1))
    return found


def _roots(products: Exact) -> npt.NDArray[np.floating]:
    """Of each matrix its Cholesky factor, whatever the others are; of a picture that is nearly blank a nearby one."""
    try:
        return np.linalg.cholesky(products)
    except np.linalg.LinAlgError:  # some are no more than rounding errors
        if len(products) == 1:
            return np.linalg.cholesky(products + _NEARLY_BLANK * np.eye(products.shape[1]))
        return np.concatenate([_roots(one[None]) for one in products])


def low_frequencies(values: Floats) -> Floats:
    """The n×36 lowest frequencies of vectors: those that a mirror leaves (`EVEN`), then those it negates (`ODD`).

    Of the whole vectors a basis leaves unexplained what it leaves of these, and more. So far most pairs are dismissed,
    rightly, by a fifth of the products.
    """
    low: Floats = values @ _low().T
    return low


def low_mirrored(low: Floats) -> Floats:
    """The lowest frequencies of the same views, mirrored left to right."""
    return np.concatenate([low[:, EVEN], -low[:, ODD]], axis=1)


def low_bases(whole: Floats) -> Floats:
    """Orthonormal n×36×10: what bases span within the lowest frequencies."""
    spanned: Floats = np.linalg.qr(_low() @ whole)[0]
    return spanned


def explained(basis: Floats, values: Floats) -> Floats:
    """How much of the variance of each vector a basis explains, 0..1."""
    return squares(values @ basis)


def explained_uncovered(basis: Floats, values: Floats) -> Floats:
    """The same, where the patch, or the margin, that spoils the fit most is left out of it; 0 where much else does."""
    left: Floats = np.subtract(values, (values @ basis) @ basis.T, dtype=np.float32)
    energy, whole = np.square(left), squares(left)
    best = np.zeros(len(values), np.float32)
    for covers in _covers():
        covered = energy @ covers.T
        most = covered.argmax(axis=1)
        tried = np.flatnonzero(whole - covered[np.arange(len(most)), most] <= _TO_LEAVE_OUT)
        if len(tried):
            best[tried] = np.maximum(best[tried], _fit(basis, values[tried], 1 - covers[most[tried]]))
    return best


def squares(values: Floats) -> Floats:
    """The squared length of each; several times as fast as a sum of squares."""
    lengths: Floats = np.einsum("ij,ij->i", values, values)
    return lengths


def _fit(basis: Floats, values: Floats, kept: Floats) -> Floats:
    """How much of the variance of the points kept (n×196 of 0 and 1) a basis explains, fitted to them alone."""
    some = basis * kept[:, :, None]
    products = (some.transpose(0, 2, 1) @ some).astype(np.float64) + 1e-5 * np.eye(basis.shape[1])
    seen = values * kept
    weights = np.linalg.solve(products, (some.transpose(0, 2, 1) @ seen[:, :, None]).astype(np.float64))
    left = squares(seen - (some @ weights.astype(np.float32))[:, :, 0])
    variance = squares(seen) - seen.sum(axis=1) ** 2 / kept.sum(axis=1)
    share: Floats = np.where(variance > 1e-3, 1 - left / np.maximum(variance, 1e-3), 0)
    return share


@cache
def _covers() -> tuple[Floats, Floats]:
    """The points that a patch hides at each place, and that a margin hides: k×196 and 1×196, 1 where it does."""
    margin = np.ones((1, _ACROSS, _ACROSS), np.float32)
    margin[:, 1:-1, 1:-1] = 0
    patches = np.stack(list(_patches()))
    return patches.reshape(len(patches), -1), margin.reshape(1, -1)


def _patches() -> Iterator[Floats]:
    """Each second place, and the last."""
    for height, width in _PATCHES:
        for top in (*range(0, _ACROSS - height, 2), _ACROSS - height):
            for left in (*range(0, _ACROSS - width, 2), _ACROSS - width):
                patch = np.zeros((_ACROSS, _ACROSS), np.float32)
                patch[top : top + height, left : left + width] = 1
                yield patch


@cache
def _low() -> Floats:
    """36×196: a cosine transform of the points."""
    waves = np.cos(np.pi / _ACROSS * np.outer(np.arange(_LOW), np.arange(_ACROSS) + 0.5))
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    both = np.kron(waves, waves)
    low: Floats = np.concatenate([both[::2], both[1::2]]).astype(np.float32)
    return low


def _gray(small: Thumbnails) -> Floats:
    return small.astype(np.float32) / np.float32(64) - np.float32(2)


@cache
def _blur(start: float = 0, end: float = 1) -> Floats:
    """14×32: an axis of a thumbnail to the points of a part of it, by a Gaussian of a pixel of that part.

    A shift of one pixel is then near to linear.
    """
    at = start * SIDE_PX + (_POINTS + 0.5) * (end - start) - 0.5
    return _gaussian(at, sigma=end - start).astype(np.float32)


@cache
def _slope() -> Floats:
    """14×32: the change of `_blur` by each pixel that its points move."""
    step = 0.01
    return ((_gaussian(_POINTS + step) - _gaussian(_POINTS - step)) / (2 * step)).astype(np.float32)


@cache
def _turning(degrees: float) -> Floats:
    """196×1024: a thumbnail to the points of it turned. What comes in at the corners is like the edge."""
    down, right = (at.ravel() for at in np.meshgrid(_POINTS - _MIDDLE, _POINTS - _MIDDLE, indexing="ij"))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows, columns = _gaussian(_MIDDLE + sin * right + cos * down), _gaussian(_MIDDLE + cos * right - sin * down)
    return (rows[:, :, None] * columns[:, None, :]).reshape(_ACROSS**2, -1).astype(np.float32)


def _gaussian(at: Exact, sigma: float = 1) -> Exact:
    """The weights of 32 pixels for each place between them."""
    away = np.clip(at, 0, SIDE_PX - 1)[:, None] - np.arange(SIDE_PX)
    weights: Exact = np.exp(-((away / sigma) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
