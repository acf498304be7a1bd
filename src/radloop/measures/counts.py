"""What the dataset holds: images, boxes, classes, readers, and where on the picture the boxes lie.

Every function takes the annotations table (`tables.ANNOTATIONS`; of it image_id, rad_id, class_id and the four
normalised coordinates, and `split` where there is one) and counts the rows that it is given. Without a column
`split` the whole table is one split called "all": splits are never guessed. What is counted by class has a row for
each, class_id as in files: n, the last, is "No finding". Who is a reader says `radloop.people`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl

from radloop import people
from radloop.tables import EDGES, READER, SPLITS
from radloop.taxonomy import Taxonomy

ALL: Final = "all"  # the one split of a table without splits
_IS_FINDING: Final = pl.col("class_id").is_not_null()


def totals(annotations: pl.DataFrame) -> dict[str, int]:
    """Images, readers, readings, rows, boxes; images with a finding; rectangles of many classes.

    readers are those of the source; readings, rows and boxes are whoever's.
    """
    findings = annotations.filter(_IS_FINDING)
    rectangles = findings.group_by("image_id", *EDGES).agg(classes=pl.col("class_id").n_unique())
    return {
        "images": annotations["image_id"].n_unique(),
        "readers": people.readers(annotations)["rad_id"].n_unique(),
        "readings": annotations.select("image_id", "rad_id").n_unique(),
        "rows": annotations.height,
        "boxes": findings.height,
        "images_with_finding": findings["image_id"].n_unique(),
        "rectangles_of_several_classes": rectangles.filter(pl.col("classes") > 1).height,
    }


def classes(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """class_id, class_name, rows, images, seen_by_2, seen_by_3: all classes and "No finding".

    rows and images count whoever's rows; seen_by_k is the number of images on which at least k persons saw the class.
    """
    numbered = _numbered(annotations, classes)
    counted = numbered.group_by("class_id").agg(rows=pl.len(), images=pl.col("image_id").n_unique())
    seen = people.persons(numbered).group_by("class_id", "image_id").agg(persons=pl.col("rad_id").n_unique())
    agreed = seen.group_by("class_id").agg(
        seen_by_2=(pl.col("persons") >= 2).sum(), seen_by_3=(pl.col("persons") >= 3).sum()
    )
    every = classes.table(with_nothing=True).join(counted, on="class_id", how="left")
    return every.join(agreed, on="class_id", how="left").pipe(_whole_numbers)


def split_sizes(annotations: pl.DataFrame, target: Mapping[str, int] | None = None) -> pl.DataFrame:
    """split, images, share, and target and difference (null without a target), in the order of the pipeline.

    `target` is a number of images for each split; a split that it names and the table lacks has 0 images.
    """
    images = _with_split(annotations).group_by("split").agg(images=pl.col("image_id").n_unique().cast(pl.Int64))
    targets = pl.DataFrame(
        {"split": list(target or {}), "target": list((target or {}).values())},
        schema={"split": pl.String, "target": pl.Int64},
    )
    return (
        images.join(targets, on="split", how="full", coalesce=True)
        .with_columns(pl.col("images").fill_null(0))
        .with_columns(
            share=pl.col("images") / pl.col("images").sum(),
            difference=pl.col("images") - pl.col("target"),
        )
        .sort(_split_order(), "split")
        .select("split", "images", "share", "target", "difference")
    )


def class_shares(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """How common each class is in each split, beside what the whole table lets expect.

    split, class_id, class_name; images and image_share (of the split's images), expected_image_share (over all
    images); boxes and box_share (of the split's boxes; null for "No finding"), expected_box_share. Every split has
    all classes and "No finding".
    """
    table = _with_split(annotations)
    sizes = table.group_by("split").agg(split_images=pl.col("image_id").n_unique(), split_boxes=_IS_FINDING.sum())
    numbered = _numbered(table, classes)
    counted = numbered.group_by("split", "class_id").agg(images=pl.col("image_id").n_unique(), boxes=pl.len())
    whole = table["image_id"].n_unique(), table.select(_IS_FINDING.sum()).item()
    has_boxes = pl.col("class_id") != classes.nothing
    return (
        sizes.join(classes.table(with_nothing=True), how="cross")
        .join(counted, on=("split", "class_id"), how="left")
        .pipe(_whole_numbers)
        .with_columns(boxes=pl.when(has_boxes).then("boxes"))
        .with_columns(
            image_share=pl.col("images") / pl.col("split_images"),
            expected_image_share=pl.col("images").sum().over("class_id") / whole[0],
            box_share=_share("boxes", "split_boxes"),
            expected_box_share=pl.col("boxes").sum().over("class_id") / max(whole[1], 1),
        )
        .with_columns(expected_box_share=pl.when(has_boxes).then("expected_box_share"))
        .sort(_split_order(), "split", "class_id")
        .select(
            "split", "class_id", "class_name", "images", "image_share", "expected_image_share",
            "boxes", "box_share", "expected_box_share",
        )
    )  # fmt: skip


def labels_per(annotations: pl.DataFrame, unit: Literal["image", "reading"]) -> pl.DataFrame:
    """split, labels, count: how many images, or readings (one label file each), hold that many boxes; 0 included."""
    keys = ("split", "image_id") if unit == "image" else ("split", "image_id", "rad_id")
    return (
        _with_split(annotations)
        .group_by(keys)
        .agg(labels=_IS_FINDING.sum().cast(pl.Int64))
        .group_by("split", "labels")
        .agg(count=pl.len().cast(pl.Int64))
        .sort(_split_order(), "split", "labels")
    )


def together(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """Which findings occur together: class_a < class_b, their names, images, expected_images, rectangles.

    images: both classes are on the image, whoever saw them. expected_images: if the two were independent among
    the images with a finding. rectangles: exact boxes on one image that carry both classes.
    """
    findings = annotations.filter(_IS_FINDING)
    images = _pairs(findings.select("image_id", "class_id").unique(), on=["image_id"], name="images")
    rectangles = _pairs(
        findings.select("image_id", "class_id", *EDGES).unique(), on=["image_id", *EDGES], name="rectangles"
    )
    single = findings.group_by("class_id").agg(n=pl.col("image_id").n_unique())
    abnormal = max(findings["image_id"].n_unique(), 1)
    first, second = (
        classes.table().rename({"class_id": f"class_{side}", "class_name": f"class_{side}_name"}) for side in "ab"
    )
    return (
        first.join(second, how="cross")
        .filter(pl.col("class_a") < pl.col("class_b"))
        .join(images, on=("class_a", "class_b"), how="left")
        .join(rectangles, on=("class_a", "class_b"), how="left")
        .join(single.rename({"class_id": "class_a", "n": "n_a"}), on="class_a", how="left")
        .join(single.rename({"class_id": "class_b", "n": "n_b"}), on="class_b", how="left")
        .pipe(_whole_numbers)
        .with_columns(expected_images=pl.col("n_a") * pl.col("n_b") / abnormal)
        .select("class_a", "class_a_name", "class_b", "class_b_name", "images", "expected_images", "rectangles")
    )


def box_shapes(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """Sizes and shapes of the boxes of each class: class_id, class_name, boxes and five quantiles of two measures.

    area_*: share of the picture, in [0, 1]. aspect_*: width / height in pixels of the frame that the annotations
    were given in; for boxes given in 1024 × 1024 pixels that is the stretched picture, and says so nowhere else.
    The columns end in p05, p25, p50, p75, p95; null for a class without boxes.
    """
    wide, high = (pl.col(f"{axis}_max_norm") - pl.col(f"{axis}_min_norm") for axis in "xy")
    measured = annotations.filter(_IS_FINDING).select(
        "class_id", area=wide * high, aspect=wide * pl.col("width") / (high * pl.col("height"))
    )
    quantiles = [
        pl.col(measure).quantile(share, "linear").alias(f"{measure}_p{round(100 * share):02}")
        for measure in ("area", "aspect")
        for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    ]
    counted = measured.group_by("class_id").agg(pl.len().cast(pl.Int64).alias("boxes"), *quantiles)
    return (
        classes.table()
        .join(counted, on="class_id", how="left")
        .with_columns(pl.col("boxes").fill_null(0))
        .sort("class_id")
    )


def origins(annotations: pl.DataFrame) -> pl.DataFrame:
    """Whose the rows are: who (a value of `people.WHO`), readings and boxes in labels, and boxes set aside.

    A row is in a label where it has `used`, or the table no such column. Only who has a row is there.
    """
    absent = {"source": pl.lit(READER), "used": pl.lit(value=True)}
    told = annotations.with_columns(**{name: one for name, one in absent.items() if name not in annotations.columns})
    reading = pl.struct("image_id", "rad_id")
    counted = told.group_by("source").agg(
        readings=reading.filter("used").n_unique(),
        boxes=(_IS_FINDING & pl.col("used")).sum(),
        boxes_aside=(_IS_FINDING & ~pl.col("used")).sum(),
    )
    order = pl.Enum(list(people.WHO))
    named = counted.sort(pl.col("source").cast(order)).with_columns(who=pl.col("source").replace_strict(people.WHO))
    return named.pipe(_whole_numbers).select("who", "readings", "boxes", "boxes_aside")


def readers(annotations: pl.DataFrame) -> pl.DataFrame:
    """Who read what: rad_id, who, rows, images, images_with_finding (that this reader saw), boxes; R2 before R10."""
    return (
        annotations.group_by("rad_id")
        .agg(
            rows=pl.len(),
            images=pl.col("image_id").n_unique(),
            images_with_finding=pl.col("image_id").filter(_IS_FINDING).n_unique(),
            boxes=_IS_FINDING.sum(),
        )
        .pipe(_whole_numbers)
        .join(people.named(annotations), on="rad_id")
        .sort(*reader_order())
        .select("rad_id", "who", pl.exclude("rad_id", "who"))
    )


def reader_classes(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """rad_id, class_id, class_name, images, share: on how many of the reader's images this reader saw the class."""
    read = annotations.group_by("rad_id").agg(read=pl.col("image_id").n_unique())
    seen = _numbered(annotations, classes).group_by("rad_id", "class_id").agg(images=pl.col("image_id").n_unique())
    return (
        read.join(classes.table(with_nothing=True), how="cross")
        .join(seen, on=("rad_id", "class_id"), how="left")
        .pipe(_whole_numbers)
        .with_columns(share=pl.col("images") / pl.col("read"))
        .sort(*reader_order(), "class_id")
        .select("rad_id", "class_id", "class_name", "images", "share")
    )


def reader_splits(annotations: pl.DataFrame) -> pl.DataFrame:
    """rad_id, split, images, share: the share of the split's readings that are this reader's."""
    return (
        _with_split(annotations)
        .group_by("rad_id", "split")
        .agg(images=pl.col("image_id").n_unique().cast(pl.Int64))
        .with_columns(share=pl.col("images") / pl.col("images").sum().over("split"))
        .sort(_split_order(), "split", *reader_order())
        .select("rad_id", "split", "images", "share")
    )


@dataclass(frozen=True)
class Heatmaps:
    """How many boxes cover each cell of a grid over the picture, the top row first."""

    splits: tuple[str, ...]
    counts: np.ndarray  # [split, class 0..n-1, row, column], int32


def heatmaps(annotations: pl.DataFrame, classes: Taxonomy, *, side: int = 128) -> Heatmaps:
    """Count the boxes over each of side × side cells, for each split and class.

    A box counts in every cell that it touches. Each box sets four corners of a difference array, whose running
    sums along both axes are the counts: the cost is that of the grid, however large the boxes are.
    """
    table = _with_split(annotations)
    splits = tuple(table.select(pl.col("split").unique()).sort(_split_order(), "split")["split"])
    boxes = table.filter(_IS_FINDING)
    place = boxes["split"].cast(pl.Enum(splits)).to_physical().to_numpy().astype(np.int64)
    layer = place * len(classes) + boxes["class_id"].to_numpy()
    left, top, right, bottom = _cells(boxes.select(EDGES).to_numpy(), side)

    # +1 where a box begins along both axes or ends along both, -1 at its two other corners.
    rows, columns = np.concatenate([top, bottom, top, bottom]), np.concatenate([left, right, right, left])
    signs = np.repeat(np.array([1, -1], dtype=np.int32), 2 * len(left))
    heat = np.zeros((len(splits) * len(classes), side + 1, side + 1), dtype=np.int32)
    np.add.at(heat, (np.tile(layer, 4), rows, columns), signs)
    for each in heat:  # one after another, so that there is no second array of this size
        each[:] = each.cumsum(axis=0).cumsum(axis=1)
    return Heatmaps(splits, heat.reshape(len(splits), len(classes), side + 1, side + 1)[:, :, :side, :side])


def _cells(xyxy_norm: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The half-open range of cells that each box touches: left, top, right, bottom."""
    scaled = xyxy_norm * side
    low = np.clip(np.floor(scaled[:, :2]), 0, side - 1).astype(np.int64)
    high = np.clip(np.ceil(scaled[:, 2:]), low + 1, side).astype(np.int64)
    return low[:, 0], low[:, 1], high[:, 0], high[:, 1]


def reader_order() -> tuple[pl.Expr, pl.Expr]:
    """Sort keys of rad_id under which R2 comes before R10."""
    return pl.col("rad_id").str.extract(r"(\d+)$").cast(pl.Int64, strict=False), pl.col("rad_id")


def _split_order() -> pl.Expr:
    order = {split: place for place, split in enumerate(SPLITS)}
    return pl.col("split").replace_strict(order, default=len(SPLITS), return_dtype=pl.Int64)


def _with_split(annotations: pl.DataFrame) -> pl.DataFrame:
    return annotations if "split" in annotations.columns else annotations.with_columns(split=pl.lit(ALL))


def _numbered(annotations: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    return annotations.with_columns(classes.to_file(pl.col("class_id")))


def _whole_numbers(counted: pl.DataFrame) -> pl.DataFrame:
    """Nothing found is 0, and counts are of one type."""
    return counted.with_columns(pl.col(pl.UInt32).fill_null(0).cast(pl.Int64))


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def _pairs(seen: pl.DataFrame, *, on: list[str], name: str) -> pl.DataFrame:
    """How often two classes share what `on` names: class_a < class_b and the count."""
    return (
        seen.join(seen, on=on, suffix="_b")
        .filter(pl.col("class_id") < pl.col("class_id_b"))
        .group_by(class_a="class_id", class_b="class_id_b")
        .agg(pl.len().alias(name))
    )
