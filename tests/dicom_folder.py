"""A hospital's folder of DICOM files with a train.csv beside, for tests: synthetic readers' boxes, scaled down."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import polars as pl

from dicom_files import dicom, gray, write
from radloop.sources import synthetic

SHRUNK = 16  # so many times smaller than the originals: quick to make
KEY = "00" * 31 + "07"  # so that pseudonyms, splits and bytes are the same every time
SIDES = ["x_min", "y_min", "x_max", "y_max"]


def labelled(folder: Path, count: int = 24, *, ids: Callable[[int], str] | None = None, **tags) -> pl.DataFrame:
    """Write `count` files into folder/train, two of each patient, and train.csv; returns its rows.

    ids: the image_id in the table, by the file's number, where it is not the file's name. tags: of every file.
    """
    rows, sizes = synthetic.annotations(count, seed=0)
    number = {image_id: place for place, image_id in enumerate(sizes["image_id"], 1)}
    for image_id, height, width in sizes.iter_rows():
        place = number[image_id]
        who = {"PatientID": f"P{place // 2:05}", **tags}
        pixels = gray(height // SHRUNK, width // SHRUNK, seed=place)
        write(folder, f"train/{image_id}.dicom", dicom(pixels, number=place, **who))
    rows = shrunk(rows, sizes)
    if ids is not None:
        rows = rows.with_columns(image_id=pl.col("image_id").map_elements(lambda one: ids(number[one]), pl.String))
    rows.write_csv(folder / "train.csv")
    return rows


def shrunk(rows: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Boxes for files that are SHRUNK times smaller: in a frame of whole pixels, so a little narrower."""
    boxes = rows.join(sizes, on="image_id", maintain_order="left").with_columns(
        *(pl.col(side) * (pl.col("dim1") // SHRUNK) / pl.col("dim1") for side in SIDES[::2]),
        *(pl.col(side) * (pl.col("dim0") // SHRUNK) / pl.col("dim0") for side in SIDES[1::2]),
    )
    return boxes.drop("dim0", "dim1")


def keyed(out: Path) -> Path:
    """OUT with the tests' own key."""
    key = out / "private" / "key"
    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key.write_text(f"{KEY} {hashlib.sha256(f'radloop key {KEY}'.encode()).hexdigest()[:16]}\n")
    key.chmod(0o600)
    return out
