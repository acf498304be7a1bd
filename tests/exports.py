"""A dataset to export, small and quick to make, and its boxes recomputed from its annotations alone."""

import hashlib
import json
from pathlib import Path

import polars as pl

import written_loop
from radloop.catalog import version
from radloop.dataset.export import contents
from radloop.dataset.export.contents import Contents
from radloop.tables import EDGES
from radloop.taxonomy import Taxonomy
from taxonomies import VINDR

SIDE = written_loop.SIDE_PX


def organized(out: Path, classes: Taxonomy = VINDR, *, images: int = 24) -> Path:
    """A dataset of noise, with feedback beside it."""
    return written_loop.run(out, classes, images=images).dataset


def read(root: Path, **asked) -> Contents:
    """What is exported of it."""
    return contents.read(version.read(root), **asked)


def drawn(root: Path) -> list[tuple]:
    """image_id, class name, reader and corners in pixels of every reader's box, sorted."""
    rows = version.read(root).annotations.filter(pl.col("class_id").is_not_null())
    corners = [(pl.col(edge) * SIDE).round(6) for edge in EDGES]
    return sorted(rows.select("image_id", "class_name", "rad_id", *corners).rows())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder and its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def md5(data: bytes) -> str:
    """Of bytes, in hex."""
    return hashlib.md5(data).hexdigest()


def feedback_of(folder: Path) -> dict[str, str | None]:
    """{image_id: the feedback that an export for people to read names}."""
    if (folder / "feedback.json").is_file():
        told = json.loads((folder / "feedback.json").read_bytes()).values()
    else:
        told = [task["data"] for task in json.loads((folder / "tasks.json").read_bytes())]
    return {one["image_id"]: one.get("feedback_id") for one in told}


def document(folder: Path, split: str) -> dict:
    """A COCO file of an export."""
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_bytes())
