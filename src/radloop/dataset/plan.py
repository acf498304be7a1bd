"""Every file of a dataset version, with its bytes or its source: all is decided here, nothing is written."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from radloop import boxes, manifest, sealed
from radloop.errors import DatasetError
from radloop.tables import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    CLASS_NAMES,
    CONSENSUS,
    FINDINGS,
    MANIFEST,
    NO_FINDING,
    SCALED_SIDE_PX,
    SPLITS,
    class_name,
)

EDGES: Final = ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")
WHOLE_PICTURE: Final = f"{NO_FINDING} 0.500000 0.500000 1.000000 1.000000\n"


@dataclass(frozen=True)
class Plan:
    """One dataset version: what to link, what to write, and the list of all."""

    images: pl.DataFrame  # MANIFEST, and source: the picture's path in the folder of pictures
    labels: pl.DataFrame  # MANIFEST, and text
    documents: dict[str, bytes]  # by key: every other file but the manifest
    manifest: pl.DataFrame  # MANIFEST: all of the above
    version: str


def build(
    findings: pl.DataFrame,
    pictures: pl.DataFrame,
    assignment: pl.DataFrame,
    *,
    labels: Literal["per-reader", "consensus"],
    min_readers: int,
    no_finding: Literal["background", "class"],
    rejected: pl.DataFrame,
    lost: pl.DataFrame,
    proof: dict[str, Any],
    source: str,
    settings: dict[str, Any],
) -> Plan:
    """Decide every file of the dataset from FINDINGS, PICTURES and ASSIGNMENT.

    Rows of `findings` with `used` false (re-training data took their place) stay in annotations.parquet and make no
    label. "consensus" does not touch `used`: a box that too few readers drew was heard and outvoted, and
    consensus.parquet tells so.

    A label that would be empty is an empty file, or with `no_finding="class"` one box of class 14 around the whole
    picture: the only box that claims no place for what is not there. An image of which a reading was `lost` gets no
    empty consensus: the lost reader may have seen something.

    Boxes may overhang the picture by the pixel that validation lets pass. Labels end at its edge, since trainers drop
    an image for a coordinate over 1; summary.json counts such boxes.

    Raises DatasetError where two readings would have one file name.
    """
    if "used" not in findings.columns:
        findings = findings.with_columns(used=pl.lit(value=True))
    used = findings.filter("used").with_columns(pl.col(EDGES).clip(0, 1))
    drawn = used.filter(pl.col("class_id") != NO_FINDING)
    readings = used.select("image_id", "rad_id").unique()
    documents: dict[str, bytes] = {}

    if labels == "per-reader":
        named = readings.with_columns(stem=pl.format("{}_{}", "image_id", "rad_id"))
        lines = _lines(drawn.with_columns(stem=pl.format("{}_{}", "image_id", "rad_id")))
    else:
        fused = _fuse(drawn, readings, min_readers)
        doubtful = lost.join(fused.filter("kept"), on="image_id", how="anti")
        named = (
            readings.select("image_id", pl.lit(None, pl.String).alias("rad_id"), stem="image_id")
            .unique()
            .join(doubtful, on="image_id", how="anti")
        )
        lines = _lines(fused.filter("kept").with_columns(stem="image_id"))
        documents["consensus.parquet"] = sealed.encode(fused)

    files = named.join(assignment.select("image_id", "split"), on="image_id").sort("stem")
    _require_distinct(files)
    image_files = _images(files, pictures)
    label_files = _labels(files, lines, empty="" if no_finding == "background" else WHOLE_PICTURE)

    names = CLASS_NAMES[:NO_FINDING] if no_finding == "background" else CLASS_NAMES
    yamls = _yamls(names, filled=set(files["split"]))
    version = manifest.version(pl.concat([image_files, label_files, _listed(yamls)], how="diagonal"))
    documents |= yamls
    documents["classes.txt"] = "".join(f"{number} {name}\n" for number, name in enumerate(names)).encode()
    documents["annotations.parquet"] = sealed.encode(_annotations(findings, assignment, pictures))
    documents["scaled_bounding_boxes.csv"] = _csv(_scaled(used, assignment))
    documents["rejected.csv"] = _csv(rejected.sort(pl.all(), nulls_last=True))
    documents["splits.json"] = _json(proof)
    documents["summary.json"] = _json(
        {
            "total_unique_images": files["image_id"].n_unique(),
            "total_image_radiologist_combinations": readings.height,
            "labels_created": label_files.height,
            "images_copied": image_files.height,
            "splits": {split: files.filter(split=split)["image_id"].n_unique() for split in SPLITS},
            "version": version,
            "source": source,
            "settings": settings,
            "boxes_written": lines["boxes"].sum(),
            "boxes_cut_at_the_edge": _overhanging(findings.filter("used")),
            "rows_kept": findings.height,
            "rows_refused": rejected.height,
            "readings_lost": lost.height,
        }
    )
    return Plan(
        images=image_files,
        labels=label_files,
        documents=documents,
        manifest=pl.concat(
            [image_files.select(MANIFEST.names()), label_files.select(MANIFEST.names()), _listed(documents)]
        ).sort("key"),
        version=version,
    )


def _overhanging(findings: pl.DataFrame) -> int:
    outside = pl.any_horizontal((pl.col(EDGES) < 0) | (pl.col(EDGES) > 1))
    return findings.filter(outside).height


def _fuse(drawn: pl.DataFrame, readings: pl.DataFrame, min_readers: int) -> pl.DataFrame:
    """The boxes that the readers of each image fuse into, class by class (CONSENSUS)."""
    drawn = drawn.sort("image_id", "class_id")
    piles = drawn.group_by("image_id", "class_id", maintain_order=True).agg(size=pl.len())
    corners, rad_ids = drawn.select(EDGES).to_numpy(), drawn["rad_id"].to_list()
    ends = piles["size"].cum_sum().to_list()
    fused = [boxes.fuse(corners[start:end], rad_ids[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    flat = [one for pile in fused for one in pile]
    edges = np.array([one.xyxy for one in flat]).reshape(-1, 4)
    support = np.array([one.support for one in flat], dtype=np.int32)
    names = pl.DataFrame(
        {
            "box": np.repeat(np.arange(len(flat)), support),
            "rad_id": pl.Series([rad_id for one in flat for rad_id in one.readers], dtype=pl.String),
        }
    )
    return (
        piles[np.repeat(np.arange(piles.height), [len(pile) for pile in fused])]
        .with_columns(pl.Series(edge, edges[:, i]) for i, edge in enumerate(EDGES))
        .with_columns(
            support=pl.Series(support),
            rad_ids=names.group_by("box", maintain_order=True).agg("rad_id")["rad_id"],
            spread=pl.Series([one.spread for one in flat], dtype=pl.Float64),
            kept=pl.Series(support >= min_readers),
        )
        .join(readings.group_by("image_id").agg(readers=pl.len().cast(pl.Int32)), on="image_id")
        .select(CONSENSUS.names())
        .sort("image_id", "class_id", *EDGES)
    )


def _lines(drawn: pl.DataFrame) -> pl.DataFrame:
    """The text of every label that has boxes: stem, text, boxes (how many lines)."""
    table = np.column_stack([drawn["class_id"].to_numpy(), boxes.xyxy_to_cxcywh(drawn.select(EDGES).to_numpy())])
    # One formatting for all: 36,000 lines in 50 ms. Python's %.6f rounds exactly, as an integer format would not.
    text = ("%d %.6f %.6f %.6f %.6f\n" * len(table)) % tuple(table.ravel().tolist())
    lines = drawn.select("stem", "class_id", line=pl.Series(text.splitlines(keepends=True), dtype=pl.String))
    return (
        lines.unique()
        .sort("stem", "class_id", "line")
        .group_by("stem", maintain_order=True)
        .agg(text=pl.col("line").str.join(), boxes=pl.len())
    )


def _require_distinct(files: pl.DataFrame) -> None:
    twice = files.filter(pl.col("stem").is_duplicated()).sort("stem", "image_id").head(2)
    if twice.height:
        both = " and ".join(
            f"image {image_id!r} of {rad_id!r}" for image_id, rad_id in twice["image_id", "rad_id"].rows()
        )
        raise DatasetError(f"{both} would both be the file {twice['stem'][0]}. Rename one in the annotations.")


def _images(files: pl.DataFrame, pictures: pl.DataFrame) -> pl.DataFrame:
    """MANIFEST and source of every picture file. A picture has one key for each of its readers."""
    sources = {path: os.path.splitext(path)[1].lower() for path in pictures["path"]}
    return (
        files.join(pictures.select("image_id", "bytes", "md5", source="path"), on="image_id")
        .with_columns(
            key=pl.format(
                "{}/images/{}{}", "split", "stem", pl.col("source").replace_strict(sources, return_dtype=pl.String)
            ),
            kind=pl.lit("image"),
        )
        .select(*MANIFEST.names(), "source")
        .sort("key")
    )


def _labels(files: pl.DataFrame, lines: pl.DataFrame, *, empty: str) -> pl.DataFrame:
    """MANIFEST and text of every label file."""
    texts = files.join(lines, on="stem", how="left").with_columns(pl.col("text").fill_null(empty))
    distinct = texts["text"].unique()
    sums = pl.DataFrame({"text": distinct, "md5": [hashlib.md5(text.encode()).hexdigest() for text in distinct]})
    return (
        texts.join(sums, on="text")
        .with_columns(
            key=pl.format("{}/labels/{}.txt", "split", "stem"),
            kind=pl.lit("label"),
            bytes=pl.col("text").str.len_bytes().cast(pl.Int64),
        )
        .select(*MANIFEST.names(), "text")
        .sort("key")
    )


def _yamls(names: tuple[str, ...], *, filled: set[str]) -> dict[str, bytes]:
    """The trainer's files, for its own three splits and one for each other split as `val`.

    A split without images has none: the trainer stops at an empty folder. No `path`: the trainer then starts from the
    yaml's own folder. No `download`: its text would be executed.
    """
    test = "test: test/images\n" if "test" in filled else ""
    numbered = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    keys = {"validation": "data.yaml"} | {
        split: f"data-{split}.yaml" for split in ("staging", "canary", "production") if split in filled
    }
    return {
        key: f"train: training/images\nval: {split}/images\n{test}names:\n{numbered}".encode()
        for split, key in keys.items()
    }


def _annotations(findings: pl.DataFrame, assignment: pl.DataFrame, pictures: pl.DataFrame) -> pl.DataFrame:
    """Every finding with its class's name, its split, group and picture (ANNOTATIONS)."""
    return (
        findings.join(assignment, on="image_id", how="left")
        .join(pictures.select("image_id", "phash", "md5"), on="image_id", how="left")
        .with_columns(class_name=class_name(pl.col("class_id")))
        .select(ANNOTATIONS.names())
        .sort(*FINDINGS.names(), "used")
    )


def _scaled(used: pl.DataFrame, assignment: pl.DataFrame) -> pl.DataFrame:
    """train.csv's columns and split. A power of two as side: divided by it again, the very same boxes come out."""
    return (
        used.join(assignment, on="image_id")
        .select(
            "image_id",
            "rad_id",
            "class_id",
            "split",
            class_name(pl.col("class_id")).alias("class_name"),
            *(pl.col(edge).alias(edge.removesuffix("_norm")) * SCALED_SIDE_PX for edge in EDGES),
        )
        .select(*ANNOTATION_COLUMNS, "split")
        .sort("image_id", "rad_id", "class_id", *ANNOTATION_COLUMNS[-4:])
    )


def _csv(table: pl.DataFrame) -> bytes:
    return table.write_csv().encode()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _listed(documents: Mapping[str, bytes]) -> pl.DataFrame:
    kinds = {".yaml": "yaml", ".parquet": "table", ".csv": "table"}
    rows = [
        (
            key,
            kinds.get(os.path.splitext(key)[1], "document"),
            None,
            None,
            None,
            len(data),
            hashlib.md5(data).hexdigest(),
        )
        for key, data in documents.items()
    ]
    return pl.DataFrame(rows, schema=MANIFEST, orient="row")
