"""A dataset version to look at and to take elsewhere: `radloop.open`."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import manifest, options, storage, tree
from radloop.api import given, steps
from radloop.catalog import version
from radloop.dataset.export import coco, contents
from radloop.errors import DatasetError, UsageError
from radloop.pipelines import checking
from radloop.pipelines.checking import Report
from radloop.progress import Progress
from radloop.storage import Store, layout
from radloop.tables import EDGES, SPLITS, Split
from radloop.words import LabelKind

XYXY = tuple[float, float, float, float]

_OF_IMAGE: Final = ("image_id", "split", "group", "width", "height", "md5")


@dataclass(frozen=True)
class Box:
    """One box of one reader: x_min, y_min, x_max, y_max in the pixels of its image, and as fractions of it."""

    rad_id: str
    class_id: int
    class_name: str
    xyxy_px: XYXY
    xyxy_norm: XYXY


@dataclass(frozen=True)
class Image:
    """One image of a dataset, with what its readers drew; a reader without a box found nothing."""

    image_id: str
    split: Split
    group: str
    width: int  # of the frame in which it was annotated, as boxes in pixels are
    height: int
    readers: tuple[str, ...]
    boxes: tuple[Box, ...]
    md5: str
    path: Path | None  # of its picture; None in a remote store, and where only other splits were pulled


@dataclass(frozen=True, eq=False)
class Dataset:
    """One version as it stood in a folder or a store when it was opened.

    >>> dataset = radloop.open("data")
    >>> dataset  # doctest: +ELLIPSIS
    Dataset('data/organized', version='...', images=40, classes=14)
    >>> {*dataset.annotations["class_name"]} - {*dataset.classes}
    {'No finding'}
    """

    address: str  # the dataset's folder, or the remote store's name
    version: str  # its id
    classes: tuple[str, ...]  # in the order of class_id; "No finding" is none of them
    annotations: pl.DataFrame  # a row for each box, or reader who found nothing (class_id null): `annotations.parquet`
    files: pl.DataFrame = field(repr=False)  # key, kind, image_id, rad_id, split, bytes, md5: `manifest.parquet`
    folder: Path | None = None  # where its files lie on this machine; None for a remote store

    def __repr__(self) -> str:
        """Its place, version and size."""
        sizes = f"images={self.images.height}, classes={len(self.classes)}"
        return f"Dataset({self.address!r}, version={self.version!r}, {sizes})"

    @cached_property
    def images(self) -> pl.DataFrame:
        """A row for each image: image_id, split, group, width, height, md5, key.

        The size is that of the frame in which the image was annotated. `key` is the picture's file, relative to the
        dataset, the first where each reader has one; null where only other splits were pulled.

        >>> radloop.open("data").images.columns
        ['image_id', 'split', 'group', 'width', 'height', 'md5', 'key']
        """
        pictures = self.files.filter(pl.col("kind") == "image", pl.col("split").is_in(SPLITS))
        keys = pictures.group_by("image_id").agg(pl.col("key").min())
        each = self.annotations.select(_OF_IMAGE).unique("image_id").sort("image_id")
        return each.join(keys, on="image_id", how="left", maintain_order="left")

    @property
    def splits(self) -> dict[Split, int]:
        """How many images each split has.

        >>> radloop.open("data").splits
        {'training': 18, 'validation': 4, 'test': 6, 'staging': 4, 'canary': 2, 'production': 6}
        """
        counts = dict(self.images.group_by("split").len().iter_rows())
        return {split: counts.get(split, 0) for split in SPLITS}

    def image(self, image_id: str) -> Image:
        """One image with the boxes that are in use. Raises DatasetError where there is none of this id.

        >>> dataset = radloop.open("data")
        >>> image = dataset.image(dataset.images["image_id"][0])
        >>> image.split, image.readers, image.path.exists()
        ('production', ('R10', 'R6', 'R7'), True)
        >>> all(box.rad_id in image.readers and box.class_name in dataset.classes for box in image.boxes)
        True
        """
        if not isinstance(image_id, str):
            raise UsageError(f"{image_id!r:.80} cannot be used: an image's id is a text.")
        found = self.images.filter(image_id=image_id)
        if found.is_empty():
            raise DatasetError(f"{self.address} has no image {image_id!r:.80}: its ids are in `images`.")
        row = found.row(0, named=True)
        rows = self.annotations.filter(pl.col("image_id") == image_id, pl.col("used"))
        drawn = rows.drop_nulls("class_id").sort("rad_id", "class_id", *EDGES)
        key = row.pop("key")
        return Image(
            **row,
            readers=tuple(rows["rad_id"].unique().sort()),
            boxes=tuple(_box(one, row["width"], row["height"]) for one in drawn.iter_rows(named=True)),
            path=self.folder / key if self.folder and key else None,
        )

    def check(self, *, jobs: int = 1, progress: Progress | bool = False) -> Report:
        """Judge it as `radloop check` does: the trainer's rules, leaks, and what was changed since it was written.

        >>> report = radloop.open("data").check()
        >>> report.sound, report.violations.height
        (True, 0)
        """
        chosen = given.checked(options.Check, None, {"place": str(self.folder or self.address), "jobs": jobs})
        with given.shown(progress) as shown:
            return checking.check(chosen.place, jobs=chosen.jobs, progress=shown)

    def to_coco(
        self, *, splits: Sequence[Split] | None = None, labels: LabelKind | None = None
    ) -> dict[Split, dict[str, Any]]:
        """Give the COCO document of each split, as `radloop.export(format="coco")` writes it beside the pictures.

        labels: each reader's boxes, or all readers' fused; None: as the dataset's own label files. Raises DatasetError
        where pictures are not on this machine (`pull` brings them), and where the folder holds another version by now.

        >>> coco = radloop.open("data").to_coco(splits=["test"], labels="consensus")
        >>> list(coco["test"]), len(coco["test"]["images"])
        (['info', 'licenses', 'images', 'annotations', 'categories'], 6)
        """
        if self.folder is None:
            raise DatasetError(f"{self.address} is a remote store, and sizes are those of pictures: `pull` it first.")
        chosen = given.checked(options.Export, None, {"format": "coco", "splits": splits, "labels": labels})
        found = contents.read(version.read(self.folder), splits=chosen.splits, labels=chosen.labels)
        if found.version != self.version:
            raise DatasetError(f"{self.address} was opened at {self.version} and holds {found.version}: open it again.")
        return {split: coco.document(found, split) for split in SPLITS if split in found.splits}

    def pull(
        self,
        *,
        out: str | PathLike[str],
        splits: Sequence[Split] | None = None,
        progress: Progress | bool = False,
    ) -> "Dataset":
        """Bring it, or some splits of it, to `out`/organized, verified, and open it there.

        A store holds one version: where another was published since, that one comes, and the result says which.

        >>> local = radloop.open("data/store").pull(out="for-training", splits=["training", "validation"])
        >>> local.image(local.images.filter(split="training")["image_id"][0]).path.is_relative_to("for-training")
        True
        """
        steps.pull(store=self.address, out=out, splits=splits, progress=progress)
        return open_dataset(Path(out) / manifest.UNIT)


def _box(row: Mapping[str, object], width: int, height: int) -> Box:
    x_min, y_min, x_max, y_max = (float(str(row[edge])) for edge in EDGES)
    return Box(
        rad_id=str(row["rad_id"]),
        class_id=int(str(row["class_id"])),
        class_name=str(row["class_name"]),
        xyxy_px=(x_min * width, y_min * height, x_max * width, y_max * height),
        xyxy_norm=(x_min, y_min, x_max, y_max),
    )


def open_dataset(place: str | PathLike[str]) -> Dataset:
    """Open the dataset in a folder, or in a store (a folder, or `remote:container` of rclone).

    Of a remote store only the manifest and the tables travel, no picture: `pull` brings those. What is read is checked
    against the manifest. Raises DatasetError or StoreError.

    >>> radloop.open("data/store").version == radloop.open("data").version
    True
    >>> radloop.open("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    radloop.errors.DatasetError: nowhere holds no dataset: no manifest.parquet or data.yaml in it...
    """
    address = os.fspath(place)
    if not storage.is_remote(address):
        root = manifest.unit_root(Path(address))
        return _read(lambda key: _content(root / key), str(root), root)
    with closing(storage.open_store(address)) as store:
        return _published(store)


def _published(store: Store) -> Dataset:
    prefix = layout.resolve_prefix(store)
    layout.require_quiet(store, prefix)
    get = cache(lambda key: store.get(layout.key_in(prefix, key)))
    try:
        return _read(get, store.address, None)
    except DatasetError:
        layout.require_quiet(store, prefix)  # another version may be on its way since
        raise


def _read(get: Callable[[str], bytes | None], name: str, folder: Path | None) -> Dataset:
    found = version.published(get, name=name)
    listed = get(manifest.NAME)
    if found is None or listed is None:
        lacking = manifest.NAME if listed is None else tree.ANNOTATIONS
        raise DatasetError(f"{name} has no {lacking}: it was not written by radloop. Run `radloop transform`.")
    taxonomy, annotations = found
    files = manifest.decode(listed, name=f"{name}: {manifest.NAME}")
    told = json.loads(get(tree.SUMMARY) or b"{}").get("version")  # a part that was pulled lists less
    return Dataset(name, str(told or manifest.version(files)), taxonomy.names, annotations, files, folder)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
