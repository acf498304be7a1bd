"""What memory do pictures take: the cache, all thumbnails, and what the search for near-duplicates holds?

    python -m benchmarks.thumbnails [IMAGES …]     15,000, 150,000 and 1,500,000 by default

There are no picture files: the cache is made directly, in parts, with thumbnails of benchmarks/near_duplicates.py, and
the sizes and times of its files are made up. Of the search, which takes hours, some blocks are done, and the rest is
told from these. Each size runs in a process of its own; memory is the peak of each step.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from benchmarks import near_duplicates
from benchmarks.growth import Steps, imagined
from benchmarks.harness import Bench, Contestant
from radloop import comparison, similarity
from radloop.dataset import picture_cache, pictures

SIZES = (15_000, 150_000, 1_500_000)
LARGEST_MB = 4_096
BLOCKS = 4  # of 256 thumbnails, that are searched with


def main() -> int:
    told: dict[str, list[str]] = {}
    largest = 0.0
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for size in sizes:
            given = bench.fresh("given")
            bench.turn(Contestant("made", "benchmarks.thumbnails:make"), given, images=size)
            taken = bench.turn(Contestant("looked", "benchmarks.thumbnails:look"), given, images=size)
            figures = taken.figures
            for step in dict.fromkeys(name.partition("|")[0] for name in figures if "|" in name):
                peak, cpu = figures[f"{step}|peak_mb"], figures[f"{step}|cpu_s"]
                told.setdefault(step, []).append(f"{peak:,.0f} MB, {cpu:.1f} s")
                largest = max(largest, peak)
            told.setdefault("the whole search, told from that", []).append(f"{figures['search_s']:,.0f} s")
    for step, cells in {"": [f"{size:,} pictures" for size in sizes], **told}.items():
        print(" | ".join([f"{step:40}", *(f"{cell:>20}" for cell in cells)]))
    print(f"at most {largest:,.0f} MB; of {LARGEST_MB:,}")
    return 0 if largest <= LARGEST_MB else 1


def make(given: Path, fresh: Path, *, images: int) -> Callable[[], int]:
    """The parts of a cache, as a run that was killed at its end would leave them."""

    def work() -> int:
        for start, small in near_duplicates.batches(images):
            numbers = pl.int_range(start, start + len(small), eager=True)
            rows = imagined(numbers.cast(pl.String).str.zfill(32))
            rows = rows.with_columns(
                _statuses(given, rows["path"]).drop("path"),
                phash=pl.col("image_id").str.tail(16),  # all heads are alike
                thumbnail=pl.Series([one.tobytes() for one in small]),
            ).with_columns(pl.lit(picture_cache.PASS).alias("pass"))
            rows = rows.with_columns(pl.lit(None).alias(name) for name in picture_cache.INSPECTED if name not in rows)
            rows = rows.select(pl.col(name).cast(kind) for name, kind in picture_cache.INSPECTED.items())
            picture_cache.add(given / "pictures.parquet", rows)
        return images

    return work


def _statuses(folder: Path, paths: pl.Series) -> pl.DataFrame:
    """Of files that are not there."""
    number = paths.str.head(32).cast(pl.UInt64)
    times = {"mtime_ns": np.ones(len(paths), np.int64), "ctime_ns": np.ones(len(paths), np.int64)}
    return pl.DataFrame({"bytes": np.full(len(paths), 4_000), **times, "inode": number, "path": paths})


def look(given: Path, fresh: Path, *, images: int) -> Callable[[], dict[str, Any]]:
    """The steps of `radloop transform` that see pictures."""
    cache, steps = given / "pictures.parquet", Steps()
    name = pl.int_range(images, eager=True).cast(pl.String).str.zfill(32)
    found = pl.DataFrame(
        {"image_id": name, "path": name + ".png", "problem": None}, schema_overrides={"problem": pl.String}
    )
    took: list[float] = []
    in_threads = comparison.in_threads

    def some_of(search: Callable[[Any], comparison.Pairs], blocks: Iterable[Any]) -> list[comparison.Pairs]:
        blocks = list(blocks)
        some, start = blocks[:BLOCKS], time.process_time()
        pairs = in_threads(search, some)
        took.append((time.process_time() - start) * len(blocks) / len(some))
        return pairs

    def work() -> dict[str, Any]:
        with mock.patch.object(pictures, "_statuses", _statuses):
            with steps.step("inspect, and write the cache"):
                pictures.inspect(given, found, cache=cache)
            with steps.step("inspect, all known"):
                inspected = pictures.inspect(given, found, cache=cache)
            thumbnails = pictures.Thumbnails(inspected, partial(pictures.thumbnails, given, cache=cache))
            with steps.step("thumbnails"):
                small = thumbnails(similarity.distinct(inspected)["image_id"])
            del small
            with mock.patch.object(comparison, "in_threads", some_of), steps.step("near-duplicates, of some blocks"):
                similarity.near_duplicates(inspected, thumbnails)
        return {"done": images, "search_s": took[0], **steps.figures}

    return work


if __name__ == "__main__":
    sys.exit(main())
