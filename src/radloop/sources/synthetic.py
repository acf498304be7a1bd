"""Annotations and pictures of patients who never were, in the shape of VinDr-CXR (docs/synthetic.md).

All that is known of an image follows from the seed and its index alone, so a smaller set is the beginning of a larger.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from radloop.errors import SourceError, UsageError
from radloop.files import write_atomic
from radloop.progress import Progress, silent
from radloop.readers import Box, Boxes, Classes, reading
from radloop.sources import radiograph
from radloop.sources.raw import RawData
from radloop.tables import ANNOTATION_COLUMNS, CLASS_NAMES, NO_FINDING

_VERSION: Final = 1  # goes up when the same seed gives other annotations or pictures
_RECORD: Final = "synthetic.json"
_CHUNK: Final = 8  # pictures a worker draws before it reports

_ABNORMAL: Final = 4394 / 15_000
_CLASSES: Final = len(CLASS_NAMES) - 1

# Original sizes: width and height of common flat detectors and plates, upright more often than lying.
_SIZES_PX: Final = (
    (2048, 2500), (2336, 2836), (2304, 2880), (2540, 3072), (2400, 3000), (2021, 2430), (2430, 2430),
    (2836, 2336), (2880, 2304), (3072, 2540), (2500, 2048), (2160, 2544), (2500, 3052), (2800, 3380),
)  # fmt: skip
_UPRIGHT_EDGES: Final = 40  # px: how much a technician crops

# Who reads: R8, R9 and R10 together nearly all that has a finding; R11..R17 the rest of it; everybody what is normal.
_TRIO: Final = (8, 9, 10)
_TRIO_READS: Final = {True: 4146 / 4394, False: 1355 / 10_606}
# One over the other readings of R1, R2, …: who reads is who has the three shortest of exponential times so long.
_NORMAL_READINGS: Final = (
    1995, 3118, 2285, 1513, 2783, 2041, 1733, 1081, 624, 966, 1413, 1580, 1505, 1300, 1508, 1565, 743,
)  # fmt: skip
_WAITS: Final = {
    True: 1 / np.array([*[1e-9] * 10, 113, 91, 124, 140, 131, 111, 33]),
    False: 1 / np.array(_NORMAL_READINGS),
}

# Per class: how many standard deviations from the mean a patient must be to have it, and how much of that is
# the illness of the whole lung; how often it comes alone, and how many more than two there are on average if not.
_ILLNESS: Final = np.array(
    [
        # rarity  lung  alone  more
        [0.22, -0.25, 1.00, 0.00],  # aortic enlargement
        [2.15, 0.60, 0.94, 0.45],  # atelectasis
        [1.70, 0.25, 0.52, 1.50],  # calcification
        [0.44, -0.40, 1.00, 0.00],  # cardiomegaly
        [1.80, 0.65, 0.81, 0.40],  # consolidation
        [1.86, 0.45, 0.15, 0.65],  # ILD
        [1.64, 0.60, 0.27, 0.40],  # infiltration
        [1.86, 0.60, 0.57, 0.47],  # lung opacity
        [1.36, 0.35, 0.50, 3.50],  # nodule, mass
        [1.62, 0.35, 0.31, 1.60],  # other lesion
        [1.17, 0.50, 0.69, 0.23],  # pleural effusion
        [1.44, 0.35, 0.15, 1.80],  # pleural thickening
        [2.30, 0.50, 0.80, 0.60],  # pneumothorax
        [1.32, 0.45, 0.17, 0.40],  # pulmonary fibrosis
    ]
)
_RARITY, _LUNG, _ALONE, _MORE = _ILLNESS.T
_OWN: Final = np.sqrt(1 - _LUNG**2)
_MOST_BOXES: Final = 17  # of one class

# One rectangle, two names: how often a box of the first class is one of the second as well.
_COMPANIONS: Final = (
    (10, 11, 1.00), (6, 13, 0.65), (4, 7, 0.75), (6, 7, 0.55), (2, 13, 0.40), (8, 7, 0.20), (9, 7, 0.25), (9, 13, 0.20),
    (8, 9, 0.15), (5, 13, 0.25), (5, 6, 0.25), (8, 13, 0.12), (1, 13, 0.40), (7, 13, 0.20),
)  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """One made-up image: its id, its size before it was scaled, and what is truly in it."""

    image_id: str
    width: int
    height: int
    boxes: Boxes
    classes: Classes


def parse_count(source: str) -> int:
    """The N of `synthetic:N`. Raises UsageError for anything but a positive number."""
    _, _, number = source.partition(":")
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) <= 10_000_000:
        raise UsageError(f"--source {source}: N must be a number of images, as in synthetic:600.")
    return int(number)


def image_id(index: int, *, seed: int) -> str:
    """32 hex digits, like the real ones."""
    return hashlib.md5(f"radloop synthetic {seed} {index}".encode()).hexdigest()


def patient(index: int, *, seed: int) -> Patient:
    """The truth about the image with this index: without a finding in 71 of 100."""
    rng = np.random.default_rng([seed, index])
    name = image_id(index, seed=seed)
    width, height = _SIZES_PX[int(rng.integers(len(_SIZES_PX)))]
    cropped_x, cropped_y = rng.integers(0, _UPRIGHT_EDGES, 2).tolist()
    findings = list(_findings(radiograph.anatomy(name), rng)) if rng.random() < _ABNORMAL else []
    return Patient(
        image_id=name,
        width=width - cropped_x,
        height=height - cropped_y,
        boxes=np.array([box for _, box in findings], dtype=np.float64).reshape(-1, 4),
        classes=np.array([class_id for class_id, _ in findings], dtype=np.int64),
    )


def annotations(count: int, *, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What three readers wrote of each of `count` images, and the original sizes.

    The columns of train.csv (boxes in original pixels, whole numbers) and of train_meta.csv (image_id, dim0 = height,
    dim1 = width). The rows of an image do not depend on `count`.
    """
    rows: list[tuple[Any, ...]] = []
    sizes: list[tuple[str, int, int]] = []
    for index in range(count):
        known = patient(index, seed=seed)
        rng = np.random.default_rng([seed, index, 1])
        sizes.append((known.image_id, known.height, known.width))
        body = radiograph.anatomy(known.image_id) if len(known.classes) else None
        for reader in _readers(abnormal=bool(len(known.classes)), rng=rng):
            rows.extend(_rows(known, body, f"R{reader}", rng))
    table = pl.DataFrame(
        rows,
        schema=dict(
            zip(ANNOTATION_COLUMNS, (pl.String, pl.String, pl.Int64, pl.String, *[pl.Float64] * 4), strict=True)
        ),
        orient="row",
    )
    return table, pl.DataFrame(sizes, schema={"image_id": pl.String, "dim0": pl.Int64, "dim1": pl.Int64}, orient="row")


def generate(
    folder: Path,
    count: int,
    *,
    seed: int,
    jobs: int,
    side_px: int = 1024,
    annotations_only: bool = False,
    progress: Progress = silent,
) -> RawData:
    """Write train.csv, train_meta.csv and train/<image_id>.png into `folder`.

    Pictures that are there are kept, so that a killed run is taken up; those of another seed, side or version that
    this function wrote are removed. Raises SourceError where the folder holds data that it did not write.
    """
    _take_over(folder, count=count, seed=seed, side_px=side_px)
    table, sizes = annotations(count, seed=seed)
    write_atomic(folder / "train.csv", table.write_csv(float_precision=1).encode())
    write_atomic(folder / "train_meta.csv", sizes.write_csv().encode())
    pictures = folder / "train"
    if not annotations_only:
        pictures.mkdir(exist_ok=True)
        _draw_missing(pictures, sizes["image_id"].to_list(), seed=seed, jobs=jobs, side_px=side_px, progress=progress)
    return RawData(
        name=f"synthetic:{count}",
        annotations=folder / "train.csv",
        boxes="original",
        sizes=folder / "train_meta.csv",
        pictures=None if annotations_only else pictures,
    )


def _findings(body: radiograph.Anatomy, rng: np.random.Generator) -> Iterator[tuple[int, Box]]:
    """What an ill patient has: at least one finding, each where that class lies in this body."""
    present = np.zeros(_CLASSES, dtype=bool)
    while not present.any():
        present = _LUNG * rng.standard_normal() + _OWN * rng.standard_normal(_CLASSES) > _RARITY
    for class_id in np.flatnonzero(present).tolist():
        boxes: list[Box] = []
        for _ in range(_number(class_id, rng)):
            box = _apart(boxes, partial(radiograph.place, body, class_id, rng))
            boxes.append(box)
            yield class_id, box
            for first, second, share in _COMPANIONS:
                if first == class_id and rng.random() < share:
                    yield second, box


def _number(class_id: int, rng: np.random.Generator) -> int:
    if rng.random() < _ALONE[class_id]:
        return 1
    return min(2 + int(rng.exponential(_MORE[class_id]) if _MORE[class_id] else 0), _MOST_BOXES)


def _apart(boxes: list[Box], propose: "partial[Box]") -> Box:
    """A place that no box covers yet; after some tries, any."""
    for _ in range(8):
        box = propose()
        if not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in boxes):
            break
    return box


def _readers(*, abnormal: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """Three different readers, in order."""
    if rng.random() < _TRIO_READS[abnormal]:
        return _TRIO
    turn = rng.standard_exponential(len(_WAITS[abnormal])) * _WAITS[abnormal]
    return tuple(sorted((np.argsort(turn)[:3] + 1).tolist()))


def _rows(
    known: Patient, body: radiograph.Anatomy | None, reader: str, rng: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """One reader's rows of train.csv. Whether there is a finding at all is never in dispute."""
    if body is None:
        yield known.image_id, CLASS_NAMES[NO_FINDING], NO_FINDING, reader, None, None, None, None
        return
    place = partial(radiograph.place, body)
    drawn = reading(known.boxes, known.classes, rng=rng, reader=reader, place=place)
    while not len(drawn.classes):
        drawn = reading(known.boxes, known.classes, rng=rng, reader=reader, place=place)
    for class_id, (x_min, y_min, x_max, y_max) in zip(drawn.classes.tolist(), drawn.boxes.tolist(), strict=True):
        left, top = round(x_min * known.width), round(y_min * known.height)
        right, bottom = max(round(x_max * known.width), left + 1), max(round(y_max * known.height), top + 1)
        yield known.image_id, CLASS_NAMES[class_id], class_id, reader, left, top, right, bottom


def _take_over(folder: Path, *, count: int, seed: int, side_px: int) -> None:
    """Make `folder` ours: remove what an earlier run left that this one would not write, then say what comes."""
    coming = {"version": _VERSION, "count": count, "seed": seed, "side_px": side_px}
    path = folder / _RECORD
    try:
        earlier = json.loads(path.read_bytes())
        removed = range(count if earlier == coming | {"count": earlier["count"]} else 0, earlier["count"])
        for index in removed:
            (folder / "train" / f"{image_id(index, seed=earlier['seed'])}.png").unlink(missing_ok=True)
    except FileNotFoundError:
        strange = [name for name in ("train.csv", "train_meta.csv", "train") if (folder / name).exists()]
        if strange:
            raise SourceError(
                f"{folder} holds {strange[0]} of another source, which is not overwritten. Use another --out."
            ) from None
    except (ValueError, TypeError, KeyError) as broken:
        raise SourceError(f"{path} is damaged. Remove {folder}, or use another --out.") from broken
    for leftover in (folder / "train").glob(".*.png.tmp"):
        leftover.unlink(missing_ok=True)
    write_atomic(path, json.dumps(coming).encode() + b"\n")


def _draw_missing(
    pictures: Path, image_ids: list[str], *, seed: int, jobs: int, side_px: int, progress: Progress
) -> None:
    there = set(os.listdir(pictures))
    missing = [index for index, name in enumerate(image_ids) if f"{name}.png" not in there]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    draw = partial(_draw, pictures, seed, side_px)
    done = len(image_ids) - len(missing)
    progress("generate pictures", done, len(image_ids))
    try:
        if jobs == 1 or len(chunks) < 2:
            for chunk in chunks:
                done += draw(chunk)
                progress("generate pictures", done, len(image_ids))
            return
        # spawned, not forked: polars and its threads are in this process
        with ProcessPoolExecutor(
            min(jobs, len(chunks)), multiprocessing.get_context("spawn"), initializer=_serve
        ) as workers:
            for number in workers.map(draw, chunks):
                done += number
                progress("generate pictures", done, len(image_ids))
    except BrokenProcessPool as died:
        raise SourceError(f"{pictures}: a worker was killed. Run again: pictures that are written are kept.") from died
    except OSError as refused:
        raise SourceError(
            f"{pictures}: a picture cannot be written ({refused.strerror}). Run again: those that are there are kept."
        ) from refused


def _draw(pictures: Path, seed: int, side_px: int, indices: list[int]) -> int:
    for index in indices:
        known = patient(index, seed=seed)
        pixels = radiograph.picture(known.image_id, known.boxes, known.classes, side_px=side_px)
        write_atomic(pictures / f"{known.image_id}.png", radiograph.encode(pixels))
    return len(indices)


def _serve() -> None:
    """In a worker: leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
