"""A unit small enough to be made by hand: files and their manifest, as the storage tests need them."""

import hashlib
import os
from pathlib import Path

import polars as pl

from radloop import manifest
from radloop.tables import MANIFEST


def picture(name: str, size: int = 3000) -> bytes:
    """Bytes of a picture's kind: the same for the same name, unlike any other's."""
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


def version(images: int, *, readers: int = 3, changed: str = "", size: int = 3000, split: str = "training") -> dict:
    """The files of a dataset by key: `images` pictures, each under the name of every reader, and their labels."""
    files = {"data.yaml": b"train: training/images\n", "classes.txt": b"0 Aortic enlargement\n"}
    for image in range(images):
        for reader in range(1, readers + 1):
            stem = f"i{image:03d}_R{reader}"
            files[f"{split}/images/{stem}.png"] = picture(f"i{image:03d}", size)
            files[f"{split}/labels/{stem}.txt"] = f"{image % 14} 0.5 0.5 0.1 0.1\n{changed}".encode()
    return files


# Two versions that differ in every way: new, changed, moved and removed keys.
OLD = version(3) | {"test/images/moved_R1.png": picture("moved"), "test/labels/moved_R1.txt": b""}
NEW = version(4, changed="1 0.2 0.2 0.1 0.1\n") | {
    "training/images/moved_R1.png": picture("moved"),
    "training/labels/moved_R1.txt": b"",
    "training/images/i000_R1.png": picture("another"),
}


def write_unit(root: Path, files: dict[str, bytes]) -> Path:
    """Write `files` and their manifest; the names of one picture are links, as yolo.write makes them."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    pictures: dict[str, Path] = {}
    for key, data in files.items():
        path, md5, kind = root / key, hashlib.md5(data).hexdigest(), kind_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "image" and md5 in pictures:
            os.link(pictures[md5], path)
        else:
            path.write_bytes(data)
            pictures[md5] = path
        image_id, _, rad_id = path.stem.rpartition("_")
        named = kind in ("image", "label")
        rows.append(
            {
                "key": key,
                "kind": kind,
                "image_id": image_id if named else None,
                "rad_id": rad_id if named else None,
                "split": key.split("/")[0] if named else None,
                "bytes": len(data),
                "md5": md5,
            }
        )
    (root / manifest.NAME).write_bytes(manifest.encode(pl.DataFrame(rows, schema=MANIFEST)))
    return root


def kind_of(key: str) -> str:
    if "/images/" in key:
        return "image"
    if "/labels/" in key:
        return "label"
    return "yaml" if key.endswith(".yaml") else "document"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by key."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
