"""COCO's object detection format (https://cocodataset.org/#format-data), a file for each split.

`annotations/instances_<split>.json` beside `images/<split>/`, as pycocotools, torchvision, MMDetection and Datumaro
expect them. Categories are 1..n in the order of the dataset's classes: 0 is the background of many detectors.
Fields beyond COCO's: of an image `image_id`, `split`, `group` and `readers` (who looked, so that a reader who found
nothing is kept), of an annotation `rad_id`, or `support`, `readers` and `weight` where readers were fused; of the
re-training data `rad_id` and `weight`. A box to ignore there is a crowd, which trainers and COCO's own evaluation pass
over.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from radloop.dataset.export import pictures
from radloop.dataset.export.contents import Contents
from radloop.progress import Progress, silent
from radloop.tables import EDGES
from radloop.words import RETRAIN

FOLDER: Final = "annotations"
_LICENSE: Final = 1


def write(contents: Contents, folder: Path, progress: Progress = silent) -> None:
    """Write the json files, and link the pictures beside them."""
    write_annotations(contents, folder)
    pictures.link(contents.root, contents.images, folder, pictures.by_split, progress)


def write_annotations(contents: Contents, folder: Path) -> None:
    """Write the json files alone."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for split in contents.splits:
        data = msgspec.json.encode(_document(contents, split, _encoded))
        (folder / FOLDER / f"instances_{split}.json").write_bytes(data)


def _encoded(table: pl.DataFrame) -> msgspec.Raw:
    """Its rows, encoded five times as fast as dicts; a number in as many digits as say exactly which it is."""
    return msgspec.Raw(table.write_json().encode())


def document(contents: Contents, split: str) -> dict[str, Any]:
    """The content of one split's file."""
    return _document(contents, split, pl.DataFrame.to_dicts)


def _document(contents: Contents, split: str, rows: Callable[[pl.DataFrame], Any]) -> dict[str, Any]:
    images, boxes = contents.of(split)
    return {
        "info": {"description": f"radloop dataset of {contents.source}", "version": contents.version},
        "licenses": [{"id": _LICENSE, "name": contents.license, "url": ""}] if contents.license else [],
        "images": rows(_images(images, {"license": pl.lit(_LICENSE)} if contents.license else {})),
        "annotations": rows(_annotations(images, boxes, _own(contents, split))),
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for number, name in enumerate(contents.classes.names, 1)
        ],
    }


def _images(images: pl.DataFrame, license_id: dict[str, pl.Expr]) -> pl.DataFrame:
    return images.select(
        id="number",
        width="width",
        height="height",
        file_name="file",
        **license_id,
        image_id="image_id",
        split="split",
        group="group",
        readers="readers",
    )


def _own(contents: Contents, split: str) -> tuple[str, ...]:
    """The fields of an annotation that are not COCO's."""
    if split == RETRAIN:
        return "rad_id", "weight"
    return ("support", "readers", "weight") if contents.labels[split] == "consensus" else ("rad_id",)


def _annotations(images: pl.DataFrame, boxes: pl.DataFrame, own: tuple[str, ...]) -> pl.DataFrame:
    placed = boxes.hstack(xywh(images, boxes))
    looked = images.select("image_id", image="number", readers=pl.col("readers").list.len())
    return placed.join(looked, on="image_id", maintain_order="left").select(
        id="number",
        image_id="image",
        category_id=pl.col("class_id") + 1,
        bbox="bbox",
        area="area",
        segmentation=pl.lit([], pl.List(pl.Float64)),  # Datumaro refuses an annotation without
        iscrowd=pl.col("ignore").cast(pl.Int8),
        **{name: pl.col(name) for name in own},
    )


def xywh(images: pl.DataFrame, boxes: pl.DataFrame) -> pl.DataFrame:
    """bbox (x, y, width, height in the picture's own pixels) and area of each box, in the same order."""
    x_min, y_min, x_max, y_max = (
        pl.col(edge) * pl.col(side) for edge, side in zip(EDGES, ("width", "height") * 2, strict=True)
    )
    sides = boxes.join(images.select("image_id", "width", "height"), on="image_id", maintain_order="left")
    return sides.select(
        bbox=pl.concat_list(x_min, y_min, x_max - x_min, y_max - y_min), area=(x_max - x_min) * (y_max - y_min)
    )
