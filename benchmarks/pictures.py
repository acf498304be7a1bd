"""The picture pass beside Pillow + imagehash + numpy, in one run: `python benchmarks/pictures.py`.

Both look at the same PNG files, one after the other in turns: size, MD5, whole decode, mean and standard deviation,
perceptual hash. radloop also measures the sharpness and the MD5 of the pixels; `same columns` lets Pillow's side do
that too. Processor time of one process, then wall time of one and of two.
"""

import hashlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image
from scipy import ndimage

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
        "radloop": lambda: pictures.inspect_shard(folder, sample),
        "Pillow + imagehash + numpy": lambda: [with_pillow(folder / name, all_columns=False) for name in sample],
        "the same, same columns": lambda: [with_pillow(folder / name, all_columns=True) for name in sample],
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
    print(f"{'':28} {'ms a picture':>12} {'spread':>15} {'ratio':>7}")
    ours = statistics.median(spent["radloop"])
    for side, values in spent.items():
        middle = statistics.median(values)
        print(f"{side:28} {middle:12.2f} {min(values):7.2f}–{max(values):.2f} {middle / ours:6.2f}×")

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
