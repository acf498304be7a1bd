"""Parquet as Hugging Face `datasets` opens it: `data/<split>-00000-of-00001.parquet` and a README.md, the dataset card.

A row is an image: its bytes, who looked at it, and `objects`, a list for each property of its boxes; `bbox` is x, y,
width, height in the picture's own pixels, as in COCO. The card says what the columns are.
"""

from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from radloop.dataset.export import coco, pictures
from radloop.dataset.export.contents import Contents
from radloop.errors import DatasetError
from radloop.progress import Progress, silent
from radloop.tables import CLASS_ID

CARD: Final = "README.md"
FOLDER: Final = "data"
_GROUP_ROWS: Final = 100  # a reader takes a row group at a time into memory, and its pictures with it

_IMAGE: Final = ("image_id", "width", "height", "group", "readers")
_OBJECTS: Final = pl.Schema(
    {
        "bbox": pl.List(pl.List(pl.Float64)),
        "category": pl.List(CLASS_ID),
        "rad_id": pl.List(pl.String),
        "support": pl.List(pl.Int32),
    }
)


def write(contents: Contents, folder: Path, *, most_bytes: int, progress: Progress = silent) -> None:
    """Write the files, each of at most `most_bytes` of pictures, of which one file's are in memory, and the card."""
    (folder / FOLDER).mkdir(parents=True)
    done = 0
    for split in contents.splits:
        images, boxes = contents.of(split)
        objects = _objects(images, boxes)
        pieces = pictures.shards(images, most_bytes)
        for number, piece in enumerate(pieces):
            path = folder / FOLDER / f"{split}-{number:05}-of-{len(pieces):05}.parquet"
            _write(_rows(contents.root, piece, objects), path)
            progress("pictures", done := done + piece.height, contents.images.height)
    (folder / CARD).write_bytes(_card(contents))


def _write(rows: pl.DataFrame, path: Path) -> None:
    try:
        rows.write_parquet(
            path,
            compression="snappy",  # pictures are compressed already
            statistics=False,
            row_group_size=_GROUP_ROWS,
        )
    except pl.exceptions.ComputeError as refused:  # so polars calls a full disk
        raise DatasetError(f"{path.name} cannot be written to {path.parent}: {refused}.") from refused


def _objects(images: pl.DataFrame, boxes: pl.DataFrame) -> pl.DataFrame:
    """image_id, objects: a list for each property, empty where an image has no box."""
    drawn = boxes.hstack(coco.xywh(images, boxes).select("bbox"))
    lists = drawn.group_by("image_id", maintain_order=True).agg("bbox", "rad_id", "support", category="class_id")
    filled = images.select("image_id").join(lists, on="image_id", how="left", maintain_order="left")
    every = [pl.col(name).fill_null(pl.lit([], kind)).cast(kind) for name, kind in _OBJECTS.items()]
    return filled.select("image_id", objects=pl.struct(every))


def _rows(root: Path, images: pl.DataFrame, objects: pl.DataFrame) -> pl.DataFrame:
    """The columns of a file; the bytes come in last, so that no other step copies them."""
    told = images.join(objects, on="image_id", maintain_order="left").rechunk()
    read = (pictures.read(root, key, md5) for key, md5 in images.select("key", "md5").iter_rows())
    data = pl.Series("bytes", read, dtype=pl.Binary)
    image = pl.struct("bytes", path="file").alias("image")
    return told.with_columns(data).select("image_id", image, *_IMAGE[1:], "objects")


def _card(contents: Contents) -> bytes:
    """The card: YAML that `datasets` reads, and a few lines that a person reads."""
    named = {"license": "other", "license_name": contents.license} if contents.license else {"license": "unknown"}
    files = [{"split": split, "path": f"{FOLDER}/{split}-*"} for split in contents.splits]
    head = {
        **named,
        "task_categories": ["object-detection"],
        "tags": ["radiology"],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": _features(contents)},
    }
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    counts = "".join(f"| {split} | {contents.of(split)[0].height} |\n" for split in contents.splits)
    return (
        f"---\n{text}---\n\n# radloop dataset {contents.version}\n\n"
        f"Made of {contents.source} by `radloop export --format parquet`. Boxes are x, y, width, height in pixels.\n\n"
        f"| split | images |\n|---|--:|\n{counts}"
    ).encode()


def _features(contents: Contents) -> list[dict[str, Any]]:
    """What each column is, as `datasets` of every version reads it."""
    names = {str(number): name for number, name in enumerate(contents.classes.names)}
    objects = {
        "bbox": {"sequence": {"sequence": "float64"}},
        "category": {"sequence": {"dtype": {"class_label": {"names": names}}}},
        "rad_id": {"sequence": "string"},
        "support": {"sequence": "int32"},
    }
    columns = {
        "image_id": {"dtype": "string"},
        "image": {"dtype": "image"},
        "width": {"dtype": "int32"},
        "height": {"dtype": "int32"},
        "group": {"dtype": "string"},
        "readers": {"sequence": "string"},
        "objects": {"struct": _named(objects)},
    }
    return _named(columns)


def _named(features: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, **feature} for name, feature in features.items()]
