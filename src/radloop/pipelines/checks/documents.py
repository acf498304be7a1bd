"""Judge the documents of a dataset: no group in two splits; files, proof and summary tell the same."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from radloop import manifest, tree
from radloop.catalog import heldout, tombstones, version
from radloop.dataset import naming, proof
from radloop.dataset.trainer_rules import Violation
from radloop.errors import DatasetError


def judge(listed: pl.DataFrame, texts: Mapping[str, bytes]) -> Iterator[Violation]:
    """No group and no picture in two splits; files, annotations, proof and names of classes tell the same."""
    try:
        classes = version.taxonomy_of(texts.get(tree.SUMMARY), name="this dataset")
    except DatasetError as broken:
        yield Violation("summary-wrong", tree.SUMMARY, None, str(broken))
        return
    yield from naming.judge(texts, classes)
    try:
        annotations = version.decode(texts[tree.ANNOTATIONS], classes, name=tree.ANNOTATIONS)
    except DatasetError as broken:
        yield Violation("split-annotations", tree.ANNOTATIONS, None, str(broken))
        return
    assigned = annotations.select("image_id", "group", "split").unique()
    leaking = _in_two_splits(assigned, "group")
    for group, where in leaking:
        yield Violation("leak-group", tree.ANNOTATIONS, None, f"group {group} is in {where}")
    yield from _judge_places(listed, assigned)
    yield from _judge_forgotten(texts, annotations)
    if tree.HELDOUT in texts:
        for problem in heldout.verify(texts[tree.HELDOUT], annotations):
            yield Violation("leak-memory", tree.HELDOUT, None, problem)
    if leaking:
        return  # the proof would only say it again
    try:
        proven = json.loads(texts[tree.PROOF])
    except (KeyError, ValueError, RecursionError) as broken:
        yield Violation("split-proof", tree.PROOF, None, f"unreadable: {broken}")
        return
    for problem in proof.verify(annotations, proven, classes):
        yield Violation("split-proof", tree.PROOF, None, problem)


def _judge_forgotten(texts: Mapping[str, bytes], annotations: pl.DataFrame) -> Iterator[Violation]:
    """No image has a tombstone, and the summary counts them."""
    try:
        stones = tombstones.decode(texts.get(tree.TOMBSTONES), name="it")
    except DatasetError as broken:
        yield Violation("forgotten-there", tree.TOMBSTONES, None, str(broken))
        return
    for image_id in sorted(tombstones.forgotten(stones, annotations["image_id"].unique())):
        yield Violation("forgotten-there", tree.ANNOTATIONS, None, f"image {image_id} was forgotten")
    said = json.loads(texts.get(tree.SUMMARY, b"{}")).get(tombstones.FORGOTTEN, 0)
    if said != stones.height:
        detail = f"it counts {said} forgotten images, {tree.TOMBSTONES} {stones.height}"
        yield Violation("summary-wrong", tree.SUMMARY, None, detail)


def _judge_places(listed: pl.DataFrame, assigned: pl.DataFrame) -> Iterator[Violation]:
    """No picture in two splits, and each file in that of its image."""
    images = listed.filter(pl.col("kind") == "image")
    for md5, where in _in_two_splits(images, "md5"):
        yield Violation("leak-picture", manifest.NAME, None, f"the picture with MD5 {md5} is in {where}")
    placed = listed.filter(pl.col("split").is_not_null())
    folder, beside = pl.col("key").str.extract("^([^/]*)/"), pl.format(tree.folder("{}", consensus=True), "split")
    for key, split in placed.filter(folder != pl.col("split"), folder != beside)["key", "split"].rows():
        yield Violation("split-annotations", key, None, f"the manifest says that it is of {split}")
    both = placed.join(assigned.unique("image_id"), on="image_id", how="left", suffix="_assigned")
    wrong = both.filter(~pl.col("split").eq_missing(pl.col("split_assigned")))
    for key, split in wrong["key", "split_assigned"].rows():
        yield Violation("split-annotations", key, None, f"{tree.ANNOTATIONS} puts the image in {split}")


def _in_two_splits(table: pl.DataFrame, column: str) -> list[tuple[str, str]]:
    splits_of = table.group_by(column).agg(pl.col("split").unique().sort()).sort(column)
    return splits_of.filter(pl.col("split").list.len() > 1).with_columns(pl.col("split").list.join(" and ")).rows()


def judge_summary(listed: pl.DataFrame, texts: Mapping[str, bytes]) -> Iterator[Violation]:
    """The counts of summary.json are those of the manifest."""
    try:
        summary: dict[str, Any] = dict(json.loads(texts.get(tree.SUMMARY, b"")))
        said_splits = dict(summary.get("splits", {}))
    except (ValueError, TypeError, RecursionError) as broken:
        yield Violation("summary-wrong", tree.SUMMARY, None, f"unreadable: {broken}")
        return
    images = listed.filter(pl.col("kind") == "image")
    said = summary | {f"images in {split}": count for split, count in said_splits.items() if count}
    true = {
        "total_unique_images": images["image_id"].n_unique(),
        "images_copied": images.height,
        "labels_created": listed.filter(pl.col("kind") == "label").height,
        "version": manifest.version(listed),
    } | {
        f"images in {split}": count
        for split, count in images.group_by("split").agg(pl.col("image_id").n_unique()).iter_rows()
    }
    for name, value in sorted(true.items()):
        if said.get(name) != value:
            yield Violation("summary-wrong", tree.SUMMARY, None, f"{name}: {said.get(name)}, but it is {value}")
