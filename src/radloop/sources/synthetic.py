"""Annotations and pictures of patients who never were (docs/synthetic.md).

With VinBigData's classes they have the shape of VinDr-CXR; with any others, a stamp for each class on the same healthy
chests. All that is known of an image follows from the seed and its index alone, so a smaller set is the beginning of a
larger.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import domain, processes
from radloop.errors import SourceError, UsageError
from radloop.files import write_atomic
from radloop.progress import Progress, silent
from radloop.readers import Boxes, Classes, Place, reading
from radloop.sources import Wanted, stamps
from radloop.sources.raw import RawData
from radloop.tables import ANNOTATION_COLUMNS, CLASS_ID, EDGES
from radloop.taxonomy import NOTHING, Taxonomy
from radloop.vindr import anatomy, canvas, drawing, illness
from radloop.vindr.classes import TAXONOMY

_VERSION: Final = 1  # goes up when the same seed gives other annotations or pictures
_RECORD: Final = "synthetic.json"
_CHUNK: Final = 8  # pictures a worker draws before it reports

# Original sizes: width and height of common flat detectors and plates, upright more often than lying.
_SIZES_PX: Final = (
    (2048, 2500), (2336, 2836), (2304, 2880), (2540, 3072), (2400, 3000), (2021, 2430), (2430, 2430),
    (2836, 2336), (2880, 2304), (3072, 2540), (2500, 2048), (2160, 2544), (2500, 3052), (2800, 3380),
)  # fmt: skip
_UPRIGHT_EDGES: Final = 40  # px: how much a technician crops


@dataclass(frozen=True)
class Patient:
    """One synthetic image: its id, its size before it was scaled, and what is truly in it."""

    image_id: str
    width: int
    height: int
    boxes: Boxes
    classes: Classes


class Synthetic:
    """N synthetic images."""

    recipe = None

    def __init__(self, wanted: Wanted) -> None:
        """Draw nothing yet. Raises UsageError where N is no number."""
        self._wanted = wanted
        self._count = parse_count(wanted.source)

    def foresee(self) -> None:
        """Nothing is here before it is drawn."""

    def extract(self, into: Path, *, progress: Progress = silent) -> RawData:
        """Draw what is not there yet."""
        wanted = self._wanted
        return generate(
            into,
            self._count,
            seed=wanted.seed,
            jobs=wanted.jobs,
            classes=wanted.classes,
            annotations_only=wanted.annotations_only,
            progress=progress,
        )


def parse_count(source: str) -> int:
    """The N of `synthetic:N`. Raises UsageError for anything but a positive number."""
    _, _, number = source.partition(":")
    if not (number.isascii() and number.isdigit()) or not 0 < int(number) <= 10_000_000:
        raise UsageError(f"--source {source}: N must be a number of images, as in synthetic:600.")
    return int(number)


def image_id(index: int, *, seed: int) -> str:
    """32 hex digits, like the real ones."""
    return hashlib.md5(f"radloop synthetic {seed} {index}".encode()).hexdigest()


def patient(index: int, *, seed: int, classes: Taxonomy = TAXONOMY) -> Patient:
    """The truth about the image with this index; many have no finding (of VinBigData's classes, 71 of 100)."""
    rng = np.random.default_rng([seed, index])
    name = image_id(index, seed=seed)
    width, height = _SIZES_PX[int(rng.integers(len(_SIZES_PX)))]
    cropped_x, cropped_y = rng.integers(0, _UPRIGHT_EDGES, 2).tolist()
    if classes == TAXONOMY:
        found = list(illness.findings(anatomy.anatomy(name), rng)) if rng.random() < illness.ABNORMAL else []
    else:
        found = list(stamps.findings(classes, rng)) if rng.random() < stamps.ABNORMAL else []
    return Patient(
        image_id=name,
        width=width - cropped_x,
        height=height - cropped_y,
        boxes=np.array([box for _, box in found], dtype=np.float64).reshape(-1, 4),
        classes=np.array([class_id for class_id, _ in found], dtype=np.int64),
    )


def picture(known: Patient, *, classes: Taxonomy = TAXONOMY, side_px: int = 1024) -> npt.NDArray[np.uint8]:
    """The radiograph of a patient: (side_px, side_px), 8-bit gray."""
    if classes == TAXONOMY:
        return drawing.picture(known.image_id, known.boxes, known.classes, side_px=side_px)

    def mark(healthy: canvas.Field) -> None:
        for class_id, box in zip(known.classes.tolist(), known.boxes.tolist(), strict=True):
            stamps.paint(healthy, class_id, box)

    return drawing.healthy(known.image_id, mark, side_px=side_px)


def annotations(count: int, *, seed: int, classes: Taxonomy = TAXONOMY) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What three readers wrote of each of `count` images, and the original sizes.

    The columns of train.csv (boxes in original pixels, whole numbers) and of train_meta.csv (image_id, dim0 = height,
    dim1 = width). The rows of an image do not depend on `count`.
    """
    rows: list[tuple[Any, ...]] = []
    sizes: list[tuple[str, int, int]] = []
    for index in range(count):
        known = patient(index, seed=seed, classes=classes)
        rng = np.random.default_rng([seed, index, 1])
        sizes.append((known.image_id, known.height, known.width))
        readers = [f"R{number}" for number in illness.readers(abnormal=bool(len(known.classes)), rng=rng)]
        rows.extend(_rows(known, classes, readers, rng))
    table = pl.DataFrame(
        rows,
        schema=dict(
            zip(ANNOTATION_COLUMNS, (pl.String, pl.String, pl.Int64, pl.String, *[pl.Float64] * 4), strict=True)
        ),
        orient="row",
    )
    return table, pl.DataFrame(sizes, schema={"image_id": pl.String, "dim0": pl.Int64, "dim1": pl.Int64}, orient="row")


def readings(count: int, *, seed: int, classes: Taxonomy = TAXONOMY) -> pl.DataFrame:
    """The same rows with boxes as fractions of the picture: image_id, rad_id, class_id (null: nothing found), EDGES.

    What simulated readers are told of pictures that come without labels.
    """
    table, sizes = annotations(count, seed=seed, classes=classes)
    sides = {"x": "dim1", "y": "dim0"}
    edges = {edge: pl.col(edge.removesuffix("_norm")) / pl.col(sides[edge[0]]) for edge in EDGES}
    found = pl.when(pl.col("x_min").is_not_null()).then("class_id").cast(CLASS_ID)
    return table.join(sizes, on="image_id", maintain_order="left").select("image_id", "rad_id", class_id=found, **edges)


def generate(
    folder: Path,
    count: int,
    *,
    seed: int,
    jobs: int,
    classes: Taxonomy | None = None,
    side_px: int = 1024,
    annotations_only: bool = False,
    progress: Progress = silent,
) -> RawData:
    """Write train.csv, train_meta.csv and train/<image_id>.png into `folder`; without `classes` with VinBigData's.

    Pictures that are there are kept, so that a killed run is taken up; those of other classes or another seed, side or
    version that this function wrote are removed. Raises SourceError where the folder holds data that it did not write.
    """
    classes = classes or TAXONOMY
    _take_over(folder, count=count, seed=seed, side_px=side_px, classes=classes)
    table, sizes = annotations(count, seed=seed, classes=classes)
    write_atomic(folder / "train.csv", table.write_csv(float_precision=1).encode())
    write_atomic(folder / "train_meta.csv", sizes.write_csv().encode())
    pictures = folder / "train"
    if not annotations_only:
        pictures.mkdir(exist_ok=True)
        draw = partial(_draw, pictures, seed, classes, side_px)
        _draw_missing(pictures, sizes["image_id"].to_list(), draw, jobs=jobs, progress=progress)
    return RawData(
        name=f"synthetic:{count}",
        annotations=folder / "train.csv",
        boxes="original",
        sizes=folder / "train_meta.csv",
        pictures=None if annotations_only else pictures,
        classes=classes,
    )


def _place(known: Patient, classes: Taxonomy) -> Place:
    """Where a false alarm could lie in this patient."""
    if classes == TAXONOMY:
        return partial(anatomy.place, anatomy.anatomy(known.image_id))
    return domain.of(classes).typical_box


def _rows(
    known: Patient, classes: Taxonomy, readers: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """The rows of an image in train.csv. Whether there is a finding at all is never in dispute."""
    if not len(known.classes):
        for reader in readers:
            yield known.image_id, NOTHING, classes.nothing, reader, None, None, None, None
        return
    read = partial(
        reading, known.boxes, known.classes, domain.of(classes).habits, place=_place(known, classes), rng=rng
    )
    for reader in readers:
        while not len((drawn := read(reader=reader)).classes):
            pass
        for class_id, (x_min, y_min, x_max, y_max) in zip(drawn.classes.tolist(), drawn.boxes.tolist(), strict=True):
            left, top = round(x_min * known.width), round(y_min * known.height)
            right, bottom = max(round(x_max * known.width), left + 1), max(round(y_max * known.height), top + 1)
            yield known.image_id, classes.name(class_id), class_id, reader, left, top, right, bottom


def _take_over(folder: Path, *, count: int, seed: int, side_px: int, classes: Taxonomy) -> None:
    """Make `folder` ours: remove what an earlier run left that this one would not write, then say what comes."""
    coming: dict[str, Any] = {"version": _VERSION, "count": count, "seed": seed, "side_px": side_px}
    if classes != TAXONOMY:
        coming["classes"] = list(classes.names)
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
    pictures: Path, image_ids: list[str], draw: Callable[[list[int]], int], *, jobs: int, progress: Progress
) -> None:
    there = set(os.listdir(pictures))
    missing = [index for index, name in enumerate(image_ids) if f"{name}.png" not in there]
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    done = len(image_ids) - len(missing)
    progress("generate pictures", done, len(image_ids))
    try:
        if jobs == 1 or len(chunks) < 2:
            for chunk in chunks:
                done += draw(chunk)
                progress("generate pictures", done, len(image_ids))
            return
        with processes.pool(min(jobs, len(chunks))) as workers:
            for number in workers.map(draw, chunks):
                done += number
                progress("generate pictures", done, len(image_ids))
    except BrokenProcessPool as died:
        raise SourceError(f"{pictures}: a worker was killed. Run again: pictures that are written are kept.") from died
    except OSError as refused:
        raise SourceError(
            f"{pictures}: a picture cannot be written ({refused.strerror}). Run again: those that are there are kept."
        ) from refused


def _draw(pictures: Path, seed: int, classes: Taxonomy, side_px: int, indices: list[int]) -> int:
    for index in indices:
        known = patient(index, seed=seed, classes=classes)
        painted = picture(known, classes=classes, side_px=side_px)
        write_atomic(pictures / f"{known.image_id}.png", canvas.encode(painted))
    return len(indices)
