"""A dataset version as it stands in a folder or a store: what is to be known of it, and how two of them differ."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from radloop import manifest, sealed, taxonomy, tree
from radloop.errors import DatasetError, TaxonomyError
from radloop.tables import ANNOTATIONS, CLASS_ID, EDGES
from radloop.taxonomy import Taxonomy
from radloop.vindr import classes as vindr

Get = Callable[[str], bytes | None]  # the bytes of a key of the unit; None where there is none

_LABEL: Final = ("rad_id", "class_id", *EDGES)


@dataclass(frozen=True)
class Version:
    """One version: where it stands, its id, classes, annotations, files and settings."""

    root: Path
    id: str
    taxonomy: Taxonomy
    annotations: pl.DataFrame  # ANNOTATIONS
    files: pl.DataFrame  # MANIFEST
    settings: Mapping[str, Any]

    @property
    def images(self) -> pl.DataFrame:
        """One row an image: image_id, split, group, md5, phash."""
        return images(self.annotations)

    @property
    def readings(self) -> pl.DataFrame:
        """The rows of the readers alone (ANNOTATIONS): re-training data that took their place in labels is left out."""
        return readings(self.annotations)


def images(annotations: pl.DataFrame) -> pl.DataFrame:
    """One row an image of ANNOTATIONS: image_id, split, group, md5, phash."""
    return annotations.select("image_id", "split", "group", "md5", "phash").unique("image_id").sort("image_id")


def readings(annotations: pl.DataFrame) -> pl.DataFrame:
    """The rows of ANNOTATIONS that are the readers' own, sorted: not what re-training data put in their place."""
    if "used" not in annotations.columns:
        return annotations.sort("image_id", *_LABEL)
    replaced = annotations.filter(~pl.col("used")).select("image_id").unique()
    own = annotations.join(replaced, on="image_id", how="anti")
    return pl.concat([own, annotations.filter(~pl.col("used"))]).sort("image_id", *_LABEL)


def read(folder: Path) -> Version:
    """The version in `folder` or in its `organized/` child. Raises DatasetError where there is none of radloop's."""
    root = manifest.unit_root(folder)
    files = manifest.read(root)
    if files is None:
        raise DatasetError(f"{root} has no {manifest.NAME}: it was not written by radloop. Run `radloop transform`.")
    try:
        summary = dict(json.loads((root / tree.SUMMARY).read_bytes()))
        settings = dict(summary["settings"])
        classes = taxonomy.of_summary(summary, default=vindr.TAXONOMY)
        name = str(root / tree.ANNOTATIONS)
        annotations = decode((root / tree.ANNOTATIONS).read_bytes(), classes, name=name)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, TaxonomyError) as broken:
        raise DatasetError(f"{root} is damaged: {broken}. Run `radloop check {root}`.") from broken
    return Version(root, manifest.version(files), classes, annotations, files, settings)


def published(get: Get, *, name: str) -> tuple[Taxonomy, pl.DataFrame] | None:
    """The classes and ANNOTATIONS of a version that lies in a store; None where it has no annotations.parquet.

    `get` brings a key of the unit, `name` is what an error calls the place. Raises DatasetError for what is not ours.
    """
    data = get(tree.ANNOTATIONS)
    if data is None:
        return None
    classes = taxonomy_of(get(tree.SUMMARY), name=name)
    return classes, decode(data, classes, name=f"{name}: {tree.ANNOTATIONS}")


def taxonomy_of(summary: bytes | None, *, name: str) -> Taxonomy:
    """The classes that the bytes of a summary.json tell; VinBigData's for one of before it told any."""
    try:
        return taxonomy.of_summary(dict(json.loads(summary or b"{}")), default=vindr.TAXONOMY)
    except (ValueError, TypeError, RecursionError, TaxonomyError) as broken:
        raise DatasetError(f"{name}: {tree.SUMMARY} is damaged ({broken}). Write the dataset again.") from broken


def encode(annotations: pl.DataFrame, classes: Taxonomy) -> bytes:
    """The bytes of annotations.parquet: ANNOTATIONS with "No finding" as files have it, in the order of the table."""
    return sealed.encode(annotations.with_columns(classes.to_file(pl.col("class_id"))))


def decode(data: bytes, classes: Taxonomy, *, name: str) -> pl.DataFrame:
    """ANNOTATIONS from the bytes of annotations.parquet. Raises DatasetError for anything else."""
    table = sealed.decode(data)
    if table is None:
        raise DatasetError(f"{name} is not radloop's, or damaged ({len(data)} bytes). Write the dataset again.")
    if "class_id" in table.columns and table.schema["class_id"] == pl.Int8:  # as it was while there were 15 at most
        table = table.cast({"class_id": CLASS_ID})
    if dict(table.schema) != dict(ANNOTATIONS):
        raise DatasetError(f"{name} is not radloop's: its columns are {', '.join(table.columns)}.")
    if not table["class_id"].is_between(0, classes.nothing).all():
        raise DatasetError(f"{name} holds a class that the dataset has not. Write the dataset again.")
    return table.with_columns(classes.from_file(pl.col("class_id")).alias("class_id"))


@dataclass(frozen=True)
class Difference:
    """What the next version has that the last one had not."""

    images: tuple[int, int]  # before, after
    labels: pl.DataFrame  # class_name, before, after: boxes in use, or readings in use that found nothing
    added: tuple[str, ...]  # images by id
    removed: tuple[str, ...]
    changed: tuple[str, ...]  # images with other labels
    moved: pl.DataFrame  # image_id, before, after: the splits


def compare(before: pl.DataFrame, after: pl.DataFrame) -> Difference:
    """How two versions differ, from their ANNOTATIONS; a class is the same where its name is."""
    old, new = (table.select("image_id", "split").unique("image_id") for table in (before, after))
    both = old.join(new, on="image_id", suffix="_after")
    moved = both.filter(pl.col("split") != pl.col("split_after")).rename({"split": "before", "split_after": "after"})
    order = (
        pl.concat([after, before])
        .select("class_name", "class_id")
        .unique("class_name", keep="first", maintain_order=True)
    )
    counts = [
        table.filter("used").group_by("class_name").agg(pl.len().alias(name))
        for table, name in ((before, "before"), (after, "after"))
    ]
    labels = order.sort("class_id", "class_name", nulls_last=True).select("class_name")
    for count in counts:
        labels = labels.join(count, on="class_name", how="left", maintain_order="left")
    label = ("rad_id", "class_name", *EDGES)
    used = [table.filter("used").select("image_id", *label) for table in (before, after)]
    one_sided = pl.concat(
        [one.join(other, on=one.columns, how="anti", nulls_equal=True) for one, other in (used, used[::-1])]
    )
    changed = one_sided.join(both, on="image_id", how="semi")["image_id"].unique().sort()
    return Difference(
        images=(old.height, new.height),
        labels=labels.with_columns(pl.col("before", "after").fill_null(0)),
        added=tuple(new.join(old, on="image_id", how="anti")["image_id"].sort()),
        removed=tuple(old.join(new, on="image_id", how="anti")["image_id"].sort()),
        changed=tuple(changed),
        moved=moved.select("image_id", "before", "after").sort("image_id"),
    )
