"""Drawing whole groups of images with replacement.

The boxes and readings of one image are not independent, nor are the images of one patient: the group is what is drawn.
Every figure of the other measures is a function of sums over groups; it is computed at once for the groups as they are
(draw 0) and for each draw, and the draws give the interval (`measures.intervals.of_draws`).
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

RESAMPLES: Final = 400  # the ends of an interval then waver by some 5 % of its width
AT_ONCE: Final = 4_000_000  # values of [key, draw] in memory, 32 MB of each sum


def draw_images(images: int, resamples: int, seed: int) -> Floats:
    """How often each image is drawn, [image, draw]. Draw 0 is the images as they are: the figure itself."""
    rng = np.random.default_rng(seed)
    counts = np.ones((1 + resamples, images), dtype=np.float32)
    for draw in counts[1:] if images else ():
        draw[:] = np.bincount(rng.integers(0, images, size=images), minlength=images)
    return np.ascontiguousarray(counts.T)


def draw_kinds(rng: np.random.Generator, images: Ints, resamples: int) -> Ints:
    """The same for images of a few kinds, [draw, kind]: to draw how many of each kind come is to draw images."""
    if not images.sum():
        return np.zeros((1 + resamples, len(images)), dtype=np.int64)
    drawn = rng.multinomial(images.sum(), images / images.sum(), size=resamples)
    return np.concatenate([images[np.newaxis], drawn])


def sums(key: Ints, image: Ints, value: npt.NDArray[np.generic], keys: int, weights: Floats) -> Floats:
    """Sum the values of each key over the drawn images: [key, draw]."""
    return np.asarray(_contributions(key, image, value, keys, len(weights)) @ weights, dtype=np.float64)


def sums_by_part(
    summed: Sequence[tuple[Ints, Ints, npt.NDArray[np.generic]]], keys: int, weights: Floats
) -> Iterator[tuple[slice, list[Floats]]]:
    """`sums` of each (key, image, value) over the same keys, for as many keys at a time as `AT_ONCE` holds."""
    every = [_contributions(key, image, value, keys, len(weights)) for key, image, value in summed]
    step = max(AT_ONCE // weights.shape[1], 1)
    for start in range(0, max(keys, 1), step):
        part = slice(start, min(start + step, keys))
        yield part, [np.asarray(each[part] @ weights, dtype=np.float64) for each in every]


def _contributions(key: Ints, image: Ints, value: npt.NDArray[np.generic], keys: int, images: int) -> csr_array:
    return csr_array((value.astype(np.float32), (key, image)), shape=(keys, images))
