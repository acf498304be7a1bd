"""What every export is made of: each image of a dataset once, and the boxes on it, by reader or fused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import polars as pl

from radloop import manifest, spreadsheets, tree
from radloop.catalog import truth
from radloop.catalog.version import Version
from radloop.dataset.export.pictures import sizes
from radloop.errors import DatasetError
from radloop.progress import Progress, silent
from radloop.tables import CLASS_ID, EDGES, SPLITS
from radloop.taxonomy import Taxonomy
from radloop.words import ExportPart, LabelKind

# One image. number: 1..n over the whole dataset, whatever is exported of it. file: the picture's name in an export;
# key: in the dataset. width and height are the picture's own, in pixels. readers: who looked at it.
IMAGES: Final = pl.Schema(
    {
        "number": pl.Int64(),
        "image_id": pl.String(),
        "split": pl.String(),
        "group": pl.String(),
        "file": pl.String(),
        "key": pl.String(),
        "bytes": pl.Int64(),
        "md5": pl.String(),
        "width": pl.Int32(),
        "height": pl.Int32(),
        "readers": pl.List(pl.String),
    }
)

# One box, EDGES inside the picture. number: 1..n over the whole dataset. One reader's has a rad_id; one that the
# readers' were fused into has none, but support: how many drew it, and weight: their share of the image's readers. Of
# the re-training data: weight and ignore as in RETRAINING.
BOXES: Final = pl.Schema(
    {
        "number": pl.Int64(),
        "image_id": pl.String(),
        "class_id": CLASS_ID,
        "rad_id": pl.String(),
        **dict.fromkeys(EDGES, pl.Float64()),
        "support": pl.Int32(),
        "weight": pl.Float64(),
        "ignore": pl.Boolean(),
    }
)


@dataclass(frozen=True)
class Contents:
    """What is exported of a dataset."""

    root: Path
    version: str
    source: str
    license: str | None
    classes: Taxonomy
    labels: Mapping[str, LabelKind]  # by split
    images: pl.DataFrame  # IMAGES
    boxes: pl.DataFrame  # BOXES
    annotations: pl.DataFrame  # ANNOTATIONS of the splits, also what is in no label
    undecided: tuple[str, ...] = ()  # images without a consensus: a reading was refused, and the others found nothing

    @property
    def splits(self) -> tuple[ExportPart, ...]:
        """Those of `images`, in the order of SPLITS; the re-training data come last."""
        there = set(self.images["split"])
        return tuple(split for split in get_args(ExportPart) if split in there)

    def of(self, split: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """IMAGES and BOXES of one split."""
        images = self.images.filter(split=split)
        return images, self.boxes.join(images, on="image_id", how="semi", maintain_order="left")


def read(
    known: Version,
    *,
    labels: LabelKind | None = None,
    splits: Sequence[str] | None = None,
    license: str | None = None,  # noqa: A002  the field's word
    to_read: bool = False,
    progress: Progress = silent,
) -> Contents:
    """The images of `splits` (None: all that are there) with the boxes of their readers, or fused ones.

    labels: None for those that the dataset's own label files have. to_read: for people, who are shown also what has no
    consensus. Every picture has to be there in the size that the manifest lists; its bytes are not read but for the
    header. Raises DatasetError.
    """
    kinds: dict[str, LabelKind] = {split: labels or _own(known.settings, split) for split in SPLITS}
    used = known.annotations.filter("used").with_columns(pl.col(EDGES).clip(0, 1))
    boxes = _boxes(known, used, kinds)
    pictures = _pictures(known, used)
    undecided = pictures.join(_undecided(known, boxes, kinds), on="image_id", how="semi", maintain_order="left")
    decided = pictures.join(undecided, on="image_id", how="anti", maintain_order="left")
    chosen = _chosen(known, pictures if to_read else decided, splits)
    return Contents(
        root=known.root,
        version=known.whole_id,
        source=str(known.summary.get("source", "")),
        license=license,
        classes=known.taxonomy,
        labels=kinds,
        images=chosen.hstack(sizes(known.root, chosen, progress)).select(IMAGES.names()),
        boxes=boxes.join(chosen, on="image_id", how="semi", maintain_order="left"),
        undecided=tuple(undecided.filter(pl.col("split").is_in(splits or SPLITS))["image_id"]),
        annotations=known.annotations.filter(pl.col("split").is_in(chosen["split"].unique().to_list())),
    )


def _own(settings: Mapping[str, Any], split: str) -> LabelKind:
    """How the label files are made that the dataset's own trainer's files lead to for a split."""
    judge: LabelKind | None = None if split == "training" else settings.get("judge")
    own: LabelKind = judge or settings.get("labels", "per-reader")
    return own


def _pictures(known: Version, used: pl.DataFrame) -> pl.DataFrame:
    """IMAGES without sizes: each image that the manifest lists a picture of, in the order of ids."""
    listed = known.files.filter(pl.col("kind") == "image", pl.col("split").is_in(SPLITS))
    first = listed.sort("key").unique("image_id", keep="first", maintain_order=True)
    _require_names(known, first["image_id"])
    readers = used.group_by("image_id", "group").agg(readers=pl.col("rad_id").unique().sort())
    return (
        first.select("image_id", "split", "key", "bytes", "md5")
        .join(readers, on="image_id", how="left")
        .join(known.own_images.select("image_id", number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)), on="image_id")
        .sort("image_id")
        .with_columns(
            file=pl.col("image_id") + pl.col("key").str.extract(r"(\.[^./]*)$"),
            readers=pl.col("readers").fill_null([]),
        )
    )


def _require_names(known: Version, image_ids: pl.Series) -> None:
    """Raise DatasetError where an image's id, the name of a file in the export, leads out of it."""
    leading = image_ids.filter(manifest.unsafe_keys(image_ids) | image_ids.str.contains("/", literal=True))
    if len(leading):
        raise DatasetError(
            f"{known.root} has an image of the id {leading[0]!r}, which is no name of a file: it was not written by "
            "radloop; do not use it."
        )


def _boxes(known: Version, used: pl.DataFrame, kinds: Mapping[str, LabelKind]) -> pl.DataFrame:
    """BOXES of all images, also of those without a picture here, in the order of ids."""
    fused = [split for split, kind in kinds.items() if kind == "consensus"]
    parts = [
        used.filter(~pl.col("split").is_in(fused), pl.col("class_id").is_not_null()).with_columns(
            support=pl.lit(None, pl.Int32), weight=pl.lit(None, pl.Float64)
        )
    ]
    if fused:
        agreed = truth.fuse(
            used.filter(pl.col("split").is_in(fused)), min_readers=int(known.settings.get("min_readers", 1))
        )
        kept = agreed.filter("kept")
        parts.append(kept.with_columns(rad_id=pl.lit(None, pl.String), weight=pl.col("support") / pl.col("readers")))
    columns = [name for name in BOXES.names() if name not in ("number", "ignore")]
    return (
        pl.concat([part.select(columns) for part in parts])
        .sort("image_id", "rad_id", "class_id", *EDGES)
        .with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64), ignore=pl.lit(value=False))
        .select(BOXES.names())
    )


def _undecided(known: Version, boxes: pl.DataFrame, kinds: Mapping[str, LabelKind]) -> pl.DataFrame:
    """Of its images those without a fused box of which a reading was refused: that reader may have seen something."""
    data = known.content(tree.REJECTED) if "consensus" in kinds.values() else None
    if data is None:
        return known.own_images.clear()
    refused = pl.read_csv(data, columns=["image_id", "rad_id"], infer_schema=False).with_columns(
        spreadsheets.as_came(name) for name in ("image_id", "rad_id")
    )
    lost = refused.join(known.annotations, on=["image_id", "rad_id"], how="anti").join(boxes, on="image_id", how="anti")
    fused = [split for split, kind in kinds.items() if kind == "consensus"]
    return known.own_images.filter(pl.col("split").is_in(fused)).join(lost, on="image_id", how="semi")


def _chosen(known: Version, pictures: pl.DataFrame, splits: Sequence[str] | None) -> pl.DataFrame:
    """The pictures of the splits. Raises DatasetError where one that was asked for has none."""
    absent = [split for split in splits or () if pictures.filter(split=split).is_empty()]
    if absent or pictures.is_empty():
        there = ", ".join(split for split in SPLITS if not pictures.filter(split=split).is_empty())
        choice = f" Choose of {there} with --splits." if there else ""
        raise DatasetError(
            f"{known.root} has no image of {' or '.join(absent) or 'any split'} to export.{choice} "
            "`radloop pull` brings what a store has."
        )
    return pictures if splits is None else pictures.filter(pl.col("split").is_in(splits))
