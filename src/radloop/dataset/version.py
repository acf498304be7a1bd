"""A dataset version as it lies in a folder: what the other pipelines need to know of it, and how two of them differ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import manifest, sealed
from radloop.errors import DatasetError
from radloop.tables import ANNOTATIONS, NO_FINDING, class_name

_LABEL: Final = ("rad_id", "class_id", "x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")


@dataclass(frozen=True)
class Version:
    """One version: its folder, id, annotations, files and settings."""

    root: Path
    id: str
    annotations: pl.DataFrame  # ANNOTATIONS
    files: pl.DataFrame  # MANIFEST
    settings: Mapping[str, Any]

    @property
    def images(self) -> pl.DataFrame:
        """One row an image: image_id, split, group, md5, phash."""
        return self.annotations.select("image_id", "split", "group", "md5", "phash").unique("image_id").sort("image_id")

    @property
    def readings(self) -> pl.DataFrame:
        """The rows of the readers alone (ANNOTATIONS): re-training data that took their place in labels is left out."""
        replaced = self.annotations.filter(~pl.col("used")).select("image_id").unique()
        return pl.concat(
            [
                self.annotations.join(replaced, on="image_id", how="anti"),
                self.annotations.filter(~pl.col("used")),
            ]
        ).sort("image_id", *_LABEL)


def read(folder: Path) -> Version:
    """The version in `folder` or in its `organized/` child. Raises DatasetError where there is none of radloop's."""
    root = manifest.unit_root(folder)
    files = manifest.read(root)
    if files is None:
        raise DatasetError(f"{root} has no {manifest.NAME}: it was not written by radloop. Run `radloop transform`.")
    try:
        annotations = decode((root / "annotations.parquet").read_bytes(), name=str(root / "annotations.parquet"))
        settings = dict(json.loads((root / "summary.json").read_bytes())["settings"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as broken:
        raise DatasetError(f"{root} is damaged: {broken}. Run `radloop check {root}`.") from broken
    return Version(root, manifest.version(files), annotations, files, settings)


def decode(data: bytes, *, name: str) -> pl.DataFrame:
    """ANNOTATIONS from the bytes of annotations.parquet. Raises DatasetError for anything else."""
    table = sealed.decode(data)
    if table is None:
        raise DatasetError(f"{name} is not radloop's, or damaged ({len(data)} bytes). Write the dataset again.")
    if dict(table.schema) != dict(ANNOTATIONS):
        raise DatasetError(f"{name} is not radloop's: its columns are {', '.join(table.columns)}.")
    return table


@dataclass(frozen=True)
class Difference:
    """What the next version has that the last one had not."""

    images: tuple[int, int]  # before, after
    labels: pl.DataFrame  # class_id, class_name, before, after: boxes in use, or normal readings of class 14
    added: tuple[str, ...]  # images by id
    removed: tuple[str, ...]
    changed: tuple[str, ...]  # images with other labels
    moved: pl.DataFrame  # image_id, before, after: the splits


def compare(before: pl.DataFrame, after: pl.DataFrame) -> Difference:
    """How two versions differ, from their ANNOTATIONS."""
    old, new = (table.select("image_id", "split").unique("image_id") for table in (before, after))
    both = old.join(new, on="image_id", suffix="_after")
    moved = both.filter(pl.col("split") != pl.col("split_after")).rename({"split": "before", "split_after": "after"})
    counts = [
        table.filter("used").group_by("class_id").agg(pl.len().alias(name))
        for table, name in ((before, "before"), (after, "after"))
    ]
    every = pl.DataFrame({"class_id": range(NO_FINDING + 1)}, schema={"class_id": pl.Int8})
    labels = every.join(counts[0], on="class_id", how="left").join(counts[1], on="class_id", how="left")
    said = [table.filter("used").select("image_id", *_LABEL) for table in (before, after)]
    one_sided = pl.concat(
        [one.join(other, on=one.columns, how="anti", nulls_equal=True) for one, other in (said, said[::-1])]
    )
    changed = one_sided.join(both, on="image_id", how="semi")["image_id"].unique().sort()
    return Difference(
        images=(old.height, new.height),
        labels=labels.select(
            "class_id", class_name(pl.col("class_id")).alias("class_name"), pl.col("before", "after").fill_null(0)
        ),
        added=tuple(new.join(old, on="image_id", how="anti")["image_id"].sort()),
        removed=tuple(old.join(new, on="image_id", how="anti")["image_id"].sort()),
        changed=tuple(changed),
        moved=moved.select("image_id", "before", "after").sort("image_id"),
    )
