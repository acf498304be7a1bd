"""Opens what `radloop export` wrote with the tools that it is for, and prints what they find: exported.py FOLDER.

FOLDER holds `webdataset`, `parquet` and `croissant`. Of each: a row a box (image_id, class name, reader, four edges in
pixels), {image_id: [split, md5 of its bytes]}, and {image_id: its readers}.
"""

import hashlib
import json
import sys
from pathlib import Path

import datasets
import mlcroissant
import webdataset


def of_webdataset(folder: Path) -> dict[str, object]:
    boxes, pictures, readers = [], {}, {}
    for split in ("training", "validation", "test", "staging", "canary", "production"):
        shards = sorted(map(str, folder.glob(f"{split}-*.tar")))
        for sample in webdataset.WebDataset(shards, shardshuffle=False).decode():
            label, data = sample["json"], sample["png"]
            pictures[label["image_id"]] = [split, hashlib.md5(data).hexdigest()]
            readers[label["image_id"]] = label["readers"]
            sides = [label["width"], label["height"]] * 2
            for box in label["boxes"]:
                corners = [edge * side for edge, side in zip(box["xyxy_norm"], sides, strict=True)]
                boxes.append([label["image_id"], box["class_name"], box["rad_id"], *corners])
    return {"boxes": boxes, "pictures": pictures, "readers": readers}


def of_parquet(folder: Path) -> dict[str, object]:
    boxes, pictures, readers = [], {}, {}
    for split, rows in datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache")).items():
        names = rows.features["objects"]["category"].feature
        for decoded, row in zip(rows, rows.cast_column("image", datasets.Image(decode=False)), strict=True):
            assert decoded["image"].size == (row["width"], row["height"])
            pictures[row["image_id"]] = [split, hashlib.md5(row["image"]["bytes"]).hexdigest()]
            readers[row["image_id"]] = row["readers"]
            told = row["objects"]
            for (x, y, w, h), number, rad_id in zip(told["bbox"], told["category"], told["rad_id"], strict=True):
                boxes.append([row["image_id"], names.int2str(number), rad_id, x, y, x + w, y + h])
    return {"boxes": boxes, "pictures": pictures, "readers": readers}


def of_croissant(folder: Path) -> dict[str, object]:
    described = mlcroissant.Dataset(str(folder / "metadata.json"))
    assert not described.metadata.ctx.issues.errors
    images = {row["images/image_id"].decode(): row for row in described.records("images")}
    seen = {row["pictures/file"].decode(): row["pictures/content"].size for row in described.records("pictures")}
    boxes, readers = [], {}
    for row in described.records("annotations"):
        image_id, rad_id = row["annotations/image_id"].decode(), row["annotations/rad_id"].decode()
        readers.setdefault(image_id, set()).add(rad_id)
        if row["annotations/x_min_norm"] is not None:
            sides = seen[images[image_id]["images/file"].decode()] * 2
            edges = (row[f"annotations/{name}_norm"] for name in ("x_min", "y_min", "x_max", "y_max"))
            corners = [edge * side for edge, side in zip(edges, sides, strict=True)]
            boxes.append([image_id, row["annotations/class_name"].decode(), rad_id, *corners])
    pictures = {
        image_id: [
            row["images/split"].decode(),
            hashlib.md5((folder / row["images/file"].decode()).read_bytes()).hexdigest(),
        ]
        for image_id, row in images.items()
    }
    return {"boxes": boxes, "pictures": pictures, "readers": {name: sorted(who) for name, who in readers.items()}}


def main(folder: Path) -> None:
    found = {
        "webdataset": of_webdataset(folder / "webdataset"),
        "parquet": of_parquet(folder / "parquet"),
        "croissant": of_croissant(folder / "croissant"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
