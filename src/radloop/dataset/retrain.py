"""The re-training data as a unit of files inside the dataset: what to link, what to write, nothing written yet."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import polars as pl

from radloop import boxes, manifest
from radloop.dataset.plan import EDGES, WHOLE_PICTURE, Plan
from radloop.dataset.version import Version
from radloop.errors import DatasetError
from radloop.tables import CLASS_NAMES, MANIFEST, NO_FINDING

YAML: Final = "data-retrain.yaml"
_HELD_OUT_WARNING: Final = "# --include-held-out was used: figures on the held-out splits flatter from here on\n"
_KINDS: Final = {".csv": "table", ".yaml": "yaml"}


def build(
    rows: pl.DataFrame, dataset: Version, documents: Mapping[str, bytes], *, include_held_out: bool = False
) -> Plan:
    """Decide every file of the unit from RETRAINING rows and the `documents` beside them, by key.

    A picture is linked once for each reading of it; `source` in `images` is relative to the dataset's folder. Classes
    and normal labels are as the dataset has them. Raises DatasetError where it lacks a picture.
    """
    fifteen = dataset.settings.get("no_finding") == "class"
    texts = _texts(rows, normal=WHOLE_PICTURE if fifteen else "")
    names = CLASS_NAMES if fifteen else CLASS_NAMES[:NO_FINDING]
    every = dict(documents) | {YAML: _yaml(names, include_held_out=include_held_out)}

    splits = dict(rows.select("image_id", "split").iter_rows())
    pictures = {
        row["image_id"]: row
        for row in dataset.files.filter(kind="image").sort("key", descending=True).iter_rows(named=True)
    }
    images, labels = [], []
    for (image_id, rad_id), text in sorted(texts.items()):
        picture = pictures.get(image_id)
        if picture is None:
            raise DatasetError(
                f"{dataset.root} has no picture of image {image_id}. Was it pulled with --splits? Then pull all of it."
            )
        stem = f"{image_id}_{rad_id}"
        common = {"image_id": image_id, "rad_id": rad_id, "split": splits[image_id]}
        key = f"images/{stem}{PurePosixPath(picture['key']).suffix}"
        images.append(
            {"key": key, "kind": "image", "bytes": picture["bytes"], "md5": picture["md5"], "source": picture["key"]}
            | common
        )
        labels.append(_file(f"labels/{stem}.txt", text.encode(), "label") | common | {"text": text})

    listed = [_file(key, data, _KINDS.get(PurePosixPath(key).suffix, "document")) for key, data in every.items()]
    table = pl.DataFrame([*images, *labels, *listed], schema={**MANIFEST, "source": pl.String, "text": pl.String})
    files = table.select(MANIFEST.names()).sort("key")
    return Plan(
        images=table.filter(kind="image").drop("text"),
        labels=table.filter(kind="label").drop("source"),
        documents=every,
        manifest=files,
        version=manifest.version(files),
    )


def _texts(rows: pl.DataFrame, *, normal: str) -> dict[tuple[str, str], str]:
    """The label of each image and reader."""
    lines: dict[tuple[str, str], set[str]] = defaultdict(set)
    corners = boxes.xyxy_to_cxcywh(rows.select(pl.col(EDGES).fill_null(0)).to_numpy()).tolist()
    for (image_id, rad_id, class_id), box in zip(
        rows.select("image_id", "rad_id", "class_id").iter_rows(), corners, strict=True
    ):
        line = normal if class_id == NO_FINDING else "{} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(class_id, *box)
        lines[image_id, rad_id].add(line)
    return {
        reading: "".join(sorted(each, key=lambda line: (int(line.split(" ")[0] or 0), line)))
        for reading, each in lines.items()
    }


def _yaml(names: tuple[str, ...], *, include_held_out: bool) -> bytes:
    """The trainer's file: the new images, judged on the dataset's own validation split beside the unit."""
    warning = _HELD_OUT_WARNING if include_held_out else ""
    numbered = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    return f"{warning}train: images\nval: ../validation/images\nnames:\n{numbered}".encode()


def _file(key: str, data: bytes, kind: str) -> dict[str, Any]:
    return {"key": key, "kind": kind, "bytes": len(data), "md5": hashlib.md5(data).hexdigest()}
