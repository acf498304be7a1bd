"""The picture and the label of every reading, as files of the dataset: made of some images at a time, kept small.

A dataset of 1.5 million images has nine million such files. Of each only what it is made of is kept; its key and the
fixed words are put together when a part of the list is read, which is why the lists are `LazyFrame`s.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop import tree
from radloop.dataset.portions import Portions, by_image, of_images
from radloop.errors import DatasetError
from radloop.tables import MANIFEST, SPLITS

_SPLIT: Final = pl.Enum(SPLITS)
_FOLDER: Final = pl.Enum([tree.folder(split, consensus=beside) for split in SPLITS for beside in (False, True)])
_NAMED: Final = ("folder", "split", "image_id", "rad_id")
_PACKED: Final = pl.col("sha256").str.decode("hex")  # half as large, of millions
_UNPACKED: Final = pl.col("picture_sha256").bin.encode("hex")


def _sha256s(texts: pl.Series) -> pl.Series:
    """The SHA-256 of each label: taken as the list is read, for what is kept of millions has to be small."""
    known = {"": hashlib.sha256().hexdigest()}
    taken = (known.get(text) or hashlib.sha256(text.encode()).hexdigest() for text in texts)
    return pl.Series(taken, dtype=pl.String)


_OF_TEXT: Final = pl.col("text").map_batches(_sha256s, return_dtype=pl.String, is_elementwise=True)
_STEM: Final = pl.concat_str("image_id", pl.col("rad_id").cast(pl.String), separator="_", ignore_nulls=True)


@dataclass(frozen=True)
class Part:
    """Some images: what was found on them, where they belong, and their pictures."""

    findings: pl.DataFrame  # FINDINGS, with `used`, `source` and `final`
    assignment: pl.DataFrame  # ASSIGNMENT
    pictures: pl.DataFrame  # PICTURES


class Parts:
    """All images, in the order of their ids, some at a time; no image is in two parts."""

    def __init__(self, findings: pl.DataFrame, assignment: pl.DataFrame, pictures: pl.DataFrame):
        """Tables of the same images; pictures of others are passed over."""
        self._findings = Portions(findings)
        self._assignment, self._pictures = by_image(assignment), by_image(pictures)

    def __iter__(self) -> Iterator[Part]:
        """From the first image again, each time."""
        for findings in self._findings:
            ids = findings["image_id"]
            yield Part(findings, of_images(self._assignment, ids), of_images(self._pictures, ids))


def of(labels: pl.DataFrame, pictures: pl.DataFrame, *, empty: str) -> pl.DataFrame:
    """What is kept of each file of `labelling.labels`: label and picture in one row. empty: a label without a box."""
    texts = labels["text"].fill_null(empty)
    distinct = texts.unique()
    summed = pl.DataFrame({"text": distinct, "md5": [hashlib.md5(text.encode()).hexdigest() for text in distinct]})
    suffixes = [os.path.splitext(path)[1].lower() for path in pictures["path"]]
    pictured = pictures.select(
        "image_id",
        picture_bytes="bytes",
        picture_md5="md5",
        picture_sha256=_PACKED,
        source="path",
        suffix=pl.Series(suffixes, dtype=pl.Categorical),
    )
    return (
        labels.with_columns(text=texts)
        .join(summed, on="text")
        .join(pictured, on="image_id")
        .select(
            pl.col("folder").cast(_FOLDER),
            pl.col("split").cast(_SPLIT),
            "image_id",
            pl.col("rad_id").cast(pl.Categorical),
            *("text", "md5", "picture_bytes", "picture_md5", "picture_sha256", "source", "suffix"),
        )
    )


def lists(files: pl.DataFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Of rows that `of` gave the pictures (MANIFEST, and source) and the labels (MANIFEST, and text), by key.

    Raises DatasetError where two would have one name.
    """
    label_key, image_key = _key("labels", pl.lit(".txt")), _key("images", pl.col("suffix").cast(pl.String))
    labels = _ordered(files.select(*_NAMED, "text", "md5"), label_key)
    _require_distinct(labels, label_key)
    images = _ordered(files.drop("text", "md5"), image_key)
    return (
        images.lazy().select(
            *_listed("image", image_key, pl.col("picture_bytes"), pl.col("picture_md5"), _UNPACKED),
            "source",
        ),
        labels.lazy().select(
            *_listed("label", label_key, pl.col("text").str.len_bytes(), pl.col("md5"), _OF_TEXT),
            "text",
        ),
    )


def _key(kind: str, suffix: pl.Expr) -> pl.Expr:
    return pl.concat_str(pl.col("folder").cast(pl.String), pl.lit(f"/{kind}/"), _STEM, suffix)


def _ordered(files: pl.DataFrame, key: pl.Expr) -> pl.DataFrame:
    return files[files.select(key).to_series().arg_sort()]


def _listed(kind: str, key: pl.Expr, size: pl.Expr, md5: pl.Expr, sha256: pl.Expr) -> Iterator[pl.Expr]:
    """MANIFEST's columns."""
    made = {"key": key, "kind": pl.lit(kind), "bytes": size, "md5": md5, "sha256": sha256}
    for name, dtype in MANIFEST.items():
        yield made.get(name, pl.col(name)).cast(dtype).alias(name)


def _require_distinct(labels: pl.DataFrame, key: pl.Expr) -> None:
    """Raise DatasetError where two labels, in the order of their keys, have one."""
    keys = labels.select(key).to_series()
    same = (keys == keys.shift()) | (keys == keys.shift(-1))
    twice = labels.filter(same).with_columns(stem=_STEM).sort("stem", pl.col("folder").cast(pl.String), "image_id")
    if twice.height:
        both = " and ".join(
            f"image {image_id!r} of {rad_id!r}" for image_id, rad_id in twice["image_id", "rad_id"].head(2).rows()
        )
        raise DatasetError(f"{both} would both be the file {twice['stem'][0]}. Rename one in the annotations.")
