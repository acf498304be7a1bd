"""What does the search for near-duplicates cost as pictures grow, and what does an index of FAISS find of it?

    python -m benchmarks.near_duplicates [--sizes 1500,15000,150000] [--before SRC] [--recall 40]

Growth: thumbnails as unlike each other as real ones (benchmarks/many.py); beyond 20,000 they are mixed of two of those
and a little noise. Each size runs in a process of its own, in one thread. Recall: copies of every kind of generated
radiographs, among thousands of others: which of the pairs that comparing each with each confirms the index finds, and
how far apart they lie in it. `--before` measures another version of radloop beside this one: its `src`.
"""

import argparse
import sys
from collections.abc import Iterator
from math import log
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import copies
from radloop import alignment, comparison, neighbors

MIXED = 20_000  # thumbnails that all others are mixed of
Thumbnails = npt.NDArray[np.uint8]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1500,15000", help="numbers of thumbnails; 150000 takes some minutes")
    parser.add_argument("--recall", type=int, default=40, help="generated radiographs with a copy of every kind")
    parser.add_argument("--among", type=int, default=5_000, help="other thumbnails")
    parser.add_argument("--before", type=Path, help="src of another version of radloop, up to 200,000 thumbnails")
    given = parser.parse_args()
    missed = recall(given.recall, given.among)
    growth([int(size) for size in given.sizes.split(",")], given.before)
    return 1 if missed else 0


def many(count: int) -> Thumbnails:
    """Thumbnails like radiographs: the later ones lie between two of the first."""
    return np.concatenate([small for _, small in batches(count)])


def batches(count: int) -> Iterator[tuple[int, Thumbnails]]:
    """The same, some at a time, with the number of the first."""
    first = copies.mixed(min(count, MIXED))
    yield 0, first
    rng = np.random.default_rng(7)
    for start in range(len(first), count, MIXED):
        size = min(MIXED, count - start)
        one, other = (first[rng.integers(len(first), size=size)].astype(np.float32) for _ in range(2))
        share = rng.uniform(0.3, 0.7, (size, 1, 1)).astype(np.float32)
        mean = first.mean(axis=0, dtype=np.float32)
        apart = np.sqrt(share**2 + (1 - share) ** 2)  # as far from the mean as those that it is mixed of
        mixed = mean + (share * (one - mean) + (1 - share) * (other - mean)) / apart
        noise = rng.standard_normal(mixed.shape, dtype=np.float32)
        yield start, np.clip(mixed + noise, 0, 255).astype(np.uint8)


def growth(sizes: list[int], before: Path | None) -> None:
    """Print seconds of processor time and memory by size, and by which power they grow."""
    print("\nthumbnails  | proposed by | processor time | of a picture | memory | pairs | growth to the power of")
    taken: list[tuple[int, float]] = []
    for size in sizes:
        small = many(size)
        pairs, seconds, megabytes = searched_apart(small, None)
        slope = f"{log(seconds / taken[-1][1]) / log(size / taken[-1][0]):.2f}" if taken else ""
        taken.append((size, seconds))
        how = "index" if neighbors.setup(size) else "each"
        line = f"{size:11,} | {how:11} | {seconds:12.1f} s | {1e6 * seconds / size:9.0f} µs | {megabytes:,.0f} MB"
        print(f"{line} | {pairs:,.0f} | {slope}", end="", flush=True)
        if before and size <= neighbors.EXACT:
            then = searched_apart(small, before)
            print(f" | before: {then[1]:.1f} s, {then[0]:.0f} pairs, {then[2]:,.0f} MB", end="")
        print(flush=True)


def searched_apart(small: Thumbnails, source: Path | None) -> tuple[float, ...]:
    """Pairs, seconds and MB of the search by the radloop in `source`, in a process of its own and in one thread."""
    return tuple(map(float, copies.apart(small, source, "-c", SEARCH)))


# Without this module, which the other radloop cannot import.
SEARCH = """
import resource, sys, time
import numpy as np
from radloop import similarity
small = np.load(sys.argv[1])
start = time.process_time()
pairs = similarity.neighbors.pairs(small) if hasattr(similarity, "neighbors") else similarity._partners(small)
pairs = [(one, other) for one in pairs for other in pairs[one]] if isinstance(pairs, dict) else pairs.tolist()
count = len({tuple(sorted(pair)) for pair in pairs})
print(count, time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def recall(films: int, among: int) -> int:
    """Print what the index finds of what comparing each with each finds; how many copies it misses."""
    small, kinds = planted(films)
    everything = np.concatenate([small, copies.mixed(among)])
    whole = as_set(neighbors.pairs(everything))
    with mock.patch.object(neighbors, "EXACT", 1):
        indexed = as_set(neighbors.pairs(everything))
        away = apart(everything, whole)
    lost = whole - indexed
    of_original = {pair for pair in whole if pair[0] < films}
    print(f"{films} generated radiographs with {kinds} copies each, among {among:,} others:")
    print(f"  confirmed by comparing each with each: {len(whole):,} pairs, {len(of_original):,} with the original")
    print(f"  the index misses {len(lost):,} ({len(lost) / max(len(whole), 1):.4%}), ", end="")
    print(f"{len(lost & of_original)} of those with the original, and finds {len(indexed - whole)} others")
    if len(away):
        told = ", ".join(f"{share:.1%}: {np.quantile(away, share):.2f}" for share in (0.5, 0.99, 0.999, 1))
        print(
            f"  distances in the index of confirmed pairs at their nearest (radius {neighbors.Setup(1).radius}): {told}"
        )
    return len(lost & of_original)


def planted(films: int) -> tuple[Thumbnails, int]:
    """Generated radiographs, then a copy of every kind of each."""
    images = [Image.fromarray(copies.drawing(index)) for index in range(films)]
    rng = np.random.default_rng(1)
    made = [copies.small(copy(image, rng) for image in images) for copy in copies.KINDS.values()]
    return np.concatenate([copies.small(images), *made]), len(made)


def as_set(pairs: comparison.Pairs) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in pairs.tolist()}


def apart(small: Thumbnails, pairs: set[tuple[int, int]]) -> npt.NDArray[np.float32]:
    """Of each pair the least distance between one as a whole and the other in a view, by what an index holds."""
    setup = neighbors.setup(len(small))
    if setup is None or not pairs:
        return np.empty(0, np.float32)
    index = neighbors._index(small, setup)
    ends = np.array(sorted(pairs))
    least = np.full(len(ends), np.inf, np.float32)
    seen = comparison.look(small)
    for low in (seen.low, alignment.low_mirrored(seen.low)):
        views = low.reshape(len(alignment.VIEWS), len(small), -1)
        for whole, viewed in (ends.T, ends.T[::-1]):
            for view in views:
                for sign in (1, -1):
                    between = (index.low[whole] - sign * view[viewed]) @ index.turned
                    least = np.minimum(least, np.linalg.norm(between, axis=1))
    return least


if __name__ == "__main__":
    sys.exit(main())
