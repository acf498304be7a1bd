"""Which copies does the search for near-duplicates find, which pictures does it take for copies, what does it cost?

    python -m benchmarks.copies [--real FOLDER] [--before SRC] [--drawn FILE]

Copies of every kind are made of generated radiographs and of the pictures in FOLDER, and sought among the originals:
by `similarity.find`, as the held-out memory does, and by `similarity.near_duplicates`, as transform does. Pairs among
different generated radiographs are false. `--before` measures another version of radloop beside this one: its `src`.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image, ImageDraw, ImageOps

from benchmarks import many
from radloop import similarity
from radloop.sources import synthetic
from radloop.tables import PICTURES

ROOT = Path(__file__).parents[1]
SIDE_PX = 192
SUFFIXES = (".png", ".jpg", ".jpeg")
Thumbnails = npt.NDArray[np.uint8]


def reencoded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(40, 80)))
    return Image.open(buffer)


def scaled(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.choice([0.5, 0.7, 1.5])
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Without these shares of its sides."""
    width, height = image.size
    return image.crop(
        (round(left * width), round(top * height), round(width - right * width), round(height - bottom * height))
    )


def one_side(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return cropped(image, *0.1 * np.eye(4)[rng.integers(4)])


def bordered(image: Image.Image, fill: int) -> Image.Image:
    return ImageOps.expand(image, border=(round(0.05 * image.width), round(0.05 * image.height)), fill=fill)


def painted(image: Image.Image) -> Image.Image:
    whole = Image.new("L", image.size, 0)
    whole.paste(cropped(image, *[0.05] * 4), (round(0.05 * image.width), round(0.05 * image.height)))
    return whole


def text_box(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A box of 15 % × 5 %, black on white or white on black, anywhere."""
    whole = image.copy()
    width, height, back = round(0.15 * image.width), round(0.05 * image.height), int(rng.choice([0, 255]))
    x, y = (int(rng.integers(0, side - size)) for side, size in zip(image.size, (width, height), strict=True))
    draw = ImageDraw.Draw(whole)
    draw.rectangle((x, y, x + width, y + height), fill=back)
    draw.text((x + 1, y), "PORTABLE 7:30", fill=255 - back, font_size=max(7, round(0.7 * height)))
    return whole


def turned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.rotate(float(rng.choice([-7, 7])), Image.Resampling.BICUBIC)


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "mirrored": lambda image, rng: ImageOps.mirror(image),
    "inverted": lambda image, rng: ImageOps.invert(image),
    "black border of 5 % added": lambda image, rng: bordered(image, 0),
    "white border of 5 % added": lambda image, rng: bordered(image, 255),
    "outer 5 % painted black": lambda image, rng: painted(image),
    "re-encoded (JPEG, quality 40 to 80)": reencoded,
    "scaled by 0.5, 0.7 or 1.5": scaled,
    "brightened by 20 %": lambda image, rng: image.point(lambda gray: min(255, round(1.2 * gray))),
    "text box of 15 % × 5 %": text_box,
    "5 % off every side": lambda image, rng: cropped(image, *[0.05] * 4),
    "10 % off one side": one_side,
    "turned by 7°": turned,
    "mirrored, text box": lambda image, rng: text_box(ImageOps.mirror(image), rng),
    "inverted, border, re-encoded": lambda image, rng: reencoded(bordered(ImageOps.invert(image), 0), rng),
}


def main() -> None:
    """Draw, measure this version and the one before, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=300, help="generated radiographs that copies are made of")
    parser.add_argument("--different", type=int, default=3_000, help="generated radiographs compared with each other")
    parser.add_argument("--thumbnails", type=int, default=15_000, help="as many for the cost")
    parser.add_argument("--real", type=Path, help="a folder of real radiographs, PNG or JPEG")
    parser.add_argument("--before", type=Path, help="src of another version of radloop")
    parser.add_argument("--drawn", type=Path, help="a .npy that keeps the generated thumbnails for the next run")
    parser.add_argument("--group", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.group:
        print(*grouped(np.load(options.group)))
        return

    sets = {"generated": [Image.fromarray(drawing(index)) for index in range(options.patients)]}
    if options.real:
        paths = sorted(path for path in options.real.iterdir() if path.suffix.lower() in SUFFIXES)
        sets["real"] = [Image.open(path).convert("L") for path in paths]
    copies(sets, options.before)
    drawn = drawings(max(options.different, options.thumbnails), options.drawn)
    false_pairs(drawn[: options.different], {name: small(images) for name, images in sets.items()})
    counts = (options.different, options.thumbnails)
    costs("generated", drawn, counts, options.before)
    costs("as unlike each other as real ones (benchmarks/many.py)", mixed(options.thumbnails), counts, options.before)


def drawing(index: int) -> npt.NDArray[np.uint8]:
    return synthetic.picture(synthetic.patient(index, seed=0), side_px=SIDE_PX)


def drawings(count: int, kept: Path | None) -> Thumbnails:
    """Thumbnails of the first generated radiographs, from the file that keeps them where it has as many."""
    known = np.load(kept) if kept and kept.exists() else np.empty((0, 32, 32), np.uint8)
    if len(known) < count:
        more = small(Image.fromarray(drawing(index)) for index in range(len(known), count))
        known = np.concatenate([known, more])
        if kept:
            np.save(kept, known)
    return known[:count]


def small(images: Iterable[Image.Image]) -> Thumbnails:
    return np.stack([similarity.thumbnail(np.asarray(image)) for image in images])


def mixed(count: int) -> Thumbnails:
    """Thumbnails of the pictures that `many.write` writes."""
    mean, variations = many._variations(0)
    rng = np.random.default_rng([0, 1])
    found = []
    while len(found) < count:
        drawn = mean + rng.standard_normal((many.AT_ONCE, len(variations)), dtype=np.float32) @ variations
        found += [picture.reshape(many.SIDE_PX, many.SIDE_PX) for picture in np.clip(drawn, 0, 255).astype(np.uint8)]
    return small(Image.fromarray(picture) for picture in found[:count])


def copies(sets: dict[str, list[Image.Image]], before: Path | None) -> None:
    print("\nFound of the copies, by find and by grouping" + (", and by grouping before" if before else ""))
    for kind, copy in KINDS.items():
        line = f"  {kind:36}"
        for name, images in sets.items():
            known, rng = small(images), np.random.default_rng(1)
            copied = small(copy(image, rng) for image in images)
            pairs = similarity.find(known, copied)
            found = int((pairs[:, 0] == pairs[:, 1]).sum())
            wrong = len(pairs) - found
            both = np.concatenate([known, copied])
            counts = [found, *(group(both, source)[0] for source in (None, before)[: 2 if before else 1])]
            shares = " ".join(f"{count / len(images):7.1%}" for count in counts)
            line += f" | {name} ({len(images)}): {shares}, {wrong} wrong"
        print(line, flush=True)


def false_pairs(different: Thumbnails, sets: dict[str, Thumbnails]) -> None:
    for name, thumbnails in {"different generated": different, **sets}.items():
        found = similarity.find(thumbnails, thumbnails)
        false, of = int((found[:, 0] < found[:, 1]).sum()), len(thumbnails) * (len(thumbnails) - 1) // 2
        print(f"\nFalse pairs, {name}: {false} of {of:,}, {false / of * 1e6:.2f} in a million")


def costs(kind: str, drawn: Thumbnails, counts: tuple[int, ...], before: Path | None) -> None:
    print(f"\nGrouping, seconds of processor time (one thread), {kind}")
    for count in counts:
        now = group(drawn[:count], None)[1]
        print(f"  {count:6,} thumbnails: {now:6.2f}", end="")
        if before:
            then = group(drawn[:count], before)[1]
            print(f", before {then:6.2f}: {now / then:.2f} times", end="")
        print(flush=True)
    known, new = drawn[: counts[0]], drawn[counts[0] :]
    start = time.process_time()
    similarity.find(known, new)
    print(f"  {len(new):,} new beside {len(known):,} known, find: {time.process_time() - start:6.2f}")


def group(thumbnails: Thumbnails, source: Path | None) -> tuple[int, float]:
    """Groups and seconds of processor time, by the radloop in `source`."""
    number, seconds = apart(thumbnails, source, "-m", "benchmarks.copies", "--group")
    return int(number), float(seconds)


def apart(thumbnails: Thumbnails, source: Path | None, *program: str) -> list[str]:
    """The words that a program answers to a file of thumbnails: with the radloop in `source`, alone, in one thread."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(file := Path(folder) / "thumbnails.npy", thumbnails)
        place = source or Path(similarity.__file__).parents[1]
        environment = os.environ | {"PYTHONPATH": str(place.resolve()), "POLARS_MAX_THREADS": "1"}
        command = [sys.executable, *program, str(file)]
        answer = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return answer.stdout.split()


def grouped(thumbnails: Thumbnails) -> tuple[int, float]:
    """What a process of its own answers."""
    names = [f"{number:06}" for number in range(len(thumbnails))]
    table = pl.DataFrame(
        [
            {"image_id": name, "phash": similarity.phash(one), "pixels_md5": name}
            for name, one in zip(names, thumbnails, strict=True)
        ],
        schema=PICTURES,
    )
    start = time.process_time()
    groups = similarity.near_duplicates(table, lambda ids: thumbnails[[int(name) for name in ids]])
    return groups["group"].n_unique(), time.process_time() - start


if __name__ == "__main__":
    main()
