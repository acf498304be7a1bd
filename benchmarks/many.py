"""Tens of thousands of small, distinct pictures in seconds, as unlike each other as real radiographs are.

A drawing of a patient takes 10 ms even at 64 pixels. So some are drawn, and from their mean and main variations (a
principal component analysis) all others are mixed at random. The variations are enlarged, so that the near-duplicate
search has as much to look at as with real films: its hash proposes about 1 % of their pairs (docs/near-duplicates.md).
"""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from radloop.sources import synthetic

SIDE_PX = 64
DRAWN = 300
ENLARGED = 2.0
AT_ONCE = 2_000


def write(folder: Path, image_ids: list[str], *, seed: int = 0) -> int:
    """Write `folder`/<image_id>.png for each image; the number of bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    mean, variations = _variations(seed)
    rng = np.random.default_rng([seed, 1])
    written = 0
    for start in range(0, len(image_ids), AT_ONCE):
        names = image_ids[start : start + AT_ONCE]
        mixed = mean + rng.standard_normal((len(names), len(variations)), dtype=np.float32) @ variations
        for name, gray in zip(names, np.clip(mixed, 0, 255).astype(np.uint8), strict=True):
            data = _png(gray.reshape(SIDE_PX, SIDE_PX))
            descriptor = os.open(folder / f"{name}.png", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            written += os.write(descriptor, data)
            os.close(descriptor)
    return written


def _variations(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean picture, and what one standard deviation along each main variation adds to it."""
    drawn = []
    for index in range(DRAWN):
        known = synthetic.patient(index, seed=seed)
        drawn.append(synthetic.picture(known, side_px=SIDE_PX).ravel())
    table = np.array(drawn, dtype=np.float64)
    mean = table.mean(axis=0)
    _, lengths, directions = np.linalg.svd(table - mean, full_matrices=False)
    spread = ENLARGED * lengths[: DRAWN - 1, None] / np.sqrt(DRAWN - 1)
    return mean.astype(np.float32), (spread * directions[: DRAWN - 1]).astype(np.float32)


def _png(gray: np.ndarray) -> bytes:
    """An 8-bit gray PNG without filters: Pillow takes five times as long for one so small."""
    height, width = gray.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)
    rows[:, 1:] = gray
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
