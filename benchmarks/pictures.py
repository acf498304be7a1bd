"""The picture pass beside Pillow + imagehash + numpy, in one run: `python benchmarks/pictures.py`.

Both look at the same PNG files, one after the other in turns: size, MD5, whole decode, mean and standard deviation,
perceptual hash. radloop's pass also measures the sharpness and a fingerprint of the pixels: once both sides do that
(`all`), once neither does (`basic`). Processor time of one process, then wall time of one and of two.
"""

import hashlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import imagehash
import numpy as np
from PIL import Image
from scipy import ndimage

from radloop import pixels
from radloop.dataset import pictures
from radloop.sources import synthetic

COUNT = 300
ROUNDS = 5
IN_TURNS = 40  # pictures that each side looks at in a round


def with_pillow(path: Path, *, all_columns: bool) -> tuple[object, ...]:
    """What a careful script does with Pillow, imagehash and numpy."""
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        gray = image.convert("L")
    pixels = np.asarray(gray)
    row = (len(data), hashlib.md5(data).hexdigest(), pixels.mean(), pixels.std(), imagehash.phash(gray))
    if all_columns:
        row += (hashlib.md5(pixels.tobytes()).hexdigest(), ndimage.laplace(pixels.astype(np.float32)).var())
    return row


def basic(folder: Path, paths: list[str]) -> object:
    """radloop's pass without sharpness and fingerprint."""
    with mock.patch.multiple(pixels, fingerprint=lambda gray: "", _laplacian_variance=lambda gray: 0.0):
        return pictures.inspect_shard(folder, paths)


def processor_ms(work: Callable[[], object], count: int) -> float:
    """Processor milliseconds for each of `count` pictures."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000 / count


def main() -> None:
    """Print the table of ratios; pictures from the folder named, else made for the purpose."""
    with tempfile.TemporaryDirectory() as made:
        if len(sys.argv) > 1:
            folder = Path(sys.argv[1])
        else:
            raw = synthetic.generate(Path(made), COUNT, seed=0, jobs=2)
            folder = raw.pictures or Path(made)
        compare(folder)


def compare(folder: Path) -> None:
    """Measure both sides in turns on the pictures of `folder`."""
    found = pictures.find(folder)
    names = found["path"].to_list()
    sample = names[:IN_TURNS]
    sides: dict[str, Callable[[], object]] = {
        "radloop, all": lambda: pictures.inspect_shard(folder, sample),
        "radloop, basic": lambda: basic(folder, sample),
        "Pillow, all": lambda: [with_pillow(folder / name, all_columns=True) for name in sample],
        "Pillow, basic": lambda: [with_pillow(folder / name, all_columns=False) for name in sample],
    }
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(ROUNDS + 1):
        for side, work in sides.items():
            milliseconds = processor_ms(work, len(sample))
            if number:  # the first round warms up
                spent[side].append(milliseconds)

    average = sum((folder / name).stat().st_size for name in sample) / len(sample)
    print(
        f"{len(sample)} pictures of {average / 1000:.0f} kB, {ROUNDS} rounds in turns, processor time of one process\n"
    )
    middle = {side: statistics.median(values) for side, values in spent.items()}
    for side, values in spent.items():
        print(f"{side:16} {middle[side]:7.2f} ms a picture ({min(values):.2f}–{max(values):.2f})")
    for columns in ("all", "basic"):
        print(f"Pillow / radloop, {columns}: {middle[f'Pillow, {columns}'] / middle[f'radloop, {columns}']:.2f}×")

    print(f"\n{len(names)} pictures, wall time\n")
    walls: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for jobs, values in walls.items():
            start = time.perf_counter()
            pictures.inspect(folder, found, jobs=jobs)
            values.append(time.perf_counter() - start)
    one, two = (statistics.median(values) for values in walls.values())
    print(f"one process {one:.2f} s, two processes {two:.2f} s: {one / two:.2f}×")

    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "pictures.parquet"
        pictures.inspect(folder, found, jobs=2, cache=cache)
        start = time.perf_counter()
        pictures.inspect(folder, found, jobs=2, cache=cache)
        again = time.perf_counter() - start
    print(f"a second run with the cache {again:.3f} s: {two / again:.0f}×")


if __name__ == "__main__":
    main()
