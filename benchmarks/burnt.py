"""What the check for text burnt into pixels finds and misses: planted text, and radiographs without any.

    PYTHONPATH=tests python -m benchmarks.burnt [--images 200] [--texts 60] [--real DIR]

Text is planted into generated radiographs (tests/planted_text.py), 1024 × 1024 and 8 bits as they are published, one
thing changed at a time: otherwise white, 20 px, in a corner, level. `--real`: other radiographs (PNG, JPEG), each named
with what is found.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from planted_text import CORNERS, TEXTS, fonts, plant, radiograph
from radloop import pixels
from radloop.dicom import burnt

SEED = 11
SIZES_PX = (6, 7, 8, 9, 10, 12, 16, 24, 48, 96, 128)
CONTRASTS = (15, 20, 25, 30, 40, 60, 120, "white")
ANGLES = (5, 10, 15, 20, 25, 30, 45, 60, 90, 180, 270)
PLACES = (
    *CORNERS,
    ("top", "middle"),
    ("middle", "left"),
    ("middle", "middle"),
    ("middle", "right"),
    ("bottom", "middle"),
)
SHORT = ("L", "R", "AB", "L AB", "ABC", "1234", "DOE^J", "JOHN D")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.burnt", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="without text, for false alarms")
    parser.add_argument("--texts", type=int, default=60, help="planted for each row of the table")
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    print("| what is planted | found | of |\n|---|---|---|")
    for name, found, count in rows(given.texts):
        print(f"| {name} | {found} | {count} |", flush=True)
    alarms = sum(bool(burnt.find(radiograph.__wrapped__(index, seed=SEED))) for index in range(given.images))
    print(f"| nothing: generated radiographs with the letter of a side | {alarms} | {given.images} |")
    gray = radiograph(0)
    began = time.perf_counter()
    for _ in range(20):
        burnt.find(gray)
    print(f"\n{(time.perf_counter() - began) / 20 * 1000:.0f} ms a picture of 1024 × 1024")
    for path in sorted(given.real.iterdir()) if given.real else ():
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            print(f"{path.name}: {burnt.why(pixels.decode(path.read_bytes())) or 'nothing'}")


def rows(count: int) -> Iterator[tuple[str, int, int]]:
    """What is planted, how often it is found, and of how many."""
    for px in SIZES_PX:
        yield f"{px} px", *hits(count, px=px)
    for contrast in CONTRASTS:
        yield f"contrast {contrast}", *hits(count, contrast=contrast)
    for contrast in CONTRASTS[3:6]:
        yield f"contrast {contrast}, then JPEG (quality 85)", *hits(count, _jpeg, contrast=contrast)
        yield f"contrast {contrast}, then noise (6 gray values)", *hits(count, _noise, contrast=contrast)
    for px in (20, 30, 40, 60):
        yield f"{px} px in 2500 × 3000, then made 1024 × 1024", *hits(count, _small, _large, px=px)
    for font in fonts():
        yield font, *hits(count, font=font)
    for angle in ANGLES:
        yield f"turned by {angle}°", *hits(count, angle=angle)
    for place in PLACES:
        yield f"{' '.join(place)}, white", *hits(count, where=place)
    yield "black, in the middle of the bottom", *hits(count, contrast="black", where=("bottom", "middle"))
    for text in SHORT:
        yield f"“{text}”", *hits(count, text=text)


def hits(
    count: int,
    after: Callable[[np.ndarray], np.ndarray] = np.asarray,
    before: Callable[[np.ndarray], np.ndarray] = np.asarray,
    **changes: object,
) -> tuple[int, int]:
    """How many planted texts are found."""
    rng = np.random.default_rng(SEED)
    names, found = fonts(), 0
    for number in range(count):
        told: dict = {"font": names[number % len(names)], "where": CORNERS[int(rng.integers(4))]}
        told |= {"text": TEXTS[number % len(TEXTS)], **changes}
        gray = before(radiograph(int(rng.integers(32))))
        found += bool(burnt.find(after(partial(plant, gray)(**told))))
    return found, count


def _jpeg(gray: np.ndarray) -> np.ndarray:
    packed = io.BytesIO()
    Image.fromarray(gray).save(packed, "JPEG", quality=85)
    return np.asarray(Image.open(packed))


def _noise(gray: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(SEED).normal(0, 6, gray.shape)
    return np.clip(gray + noise, 0, 255).astype(np.uint8)


def _large(gray: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(gray).resize((2500, 3000), Image.Resampling.BICUBIC))


def _small(gray: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(gray).resize((1024, 1024), Image.Resampling.LANCZOS))


if __name__ == "__main__":
    main()
