"""How labels are made of what the readers drew: one of each reading, or the consensus of an image's readers."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from radloop import tree
from radloop.catalog import truth
from radloop.errors import UsageError
from radloop.taxonomy import Taxonomy
from radloop.words import LabelKind


@dataclass(frozen=True)
class Labelling:
    """How labels are made of what the readers drew.

    With labels per reader and `judge` "consensus" every split but training has its consensus in a folder of its own
    beside its readers' files, and the trainer's files name that folder. Raises UsageError for the other way round.
    """

    labels: LabelKind = "per-reader"
    judge: LabelKind | None = None  # what is not training is judged by; None: by `labels`
    min_readers: int = 1  # of a consensus box; as many as have read the image, where those are fewer
    no_finding: Literal["background", "class"] = "background"

    def __post_init__(self) -> None:
        """Refuse what would judge by opinions what has learned the consensus."""
        if self.labels == "consensus" and self.judge == "per-reader":
            raise UsageError(
                "--labels consensus with --judge per-reader would show a trainer each picture of validation once for "
                "each of its readers, and score the consensus against opinions. Leave --judge out, or train per "
                "reader: --labels per-reader, with --judge consensus."
            )

    @property
    def judged_apart(self) -> bool:
        """Whether what is not training has its consensus beside its readers' files."""
        return self.labels == "per-reader" and self.judge == "consensus"

    def folder(self, split: str) -> str:
        """The folder that a trainer's file names for a split."""
        return tree.folder(split, consensus=self.judged_apart and split != "training")

    def names(self, classes: Taxonomy) -> tuple[str, ...]:
        """The classes that the detector is taught."""
        return classes.file_names(with_nothing=self.no_finding == "class")

    def empty(self, classes: Taxonomy) -> str:
        """The text of a label without a box."""
        return tree.whole_picture(classes.nothing) if self.no_finding == "class" else ""


def labels(
    used: pl.DataFrame, assignment: pl.DataFrame, labelling: Labelling, lost: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The labels of the `used` findings: image_id, rad_id, split, folder, stem, text, boxes; and CONSENSUS, if any.

    text and boxes are null of a label without boxes. `lost` (image_id, rad_id): readings that were lost.
    """
    split = assignment.select("image_id", "split")
    beside = pl.format(tree.folder("{}", consensus=True), "split")
    if labelling.labels == "consensus":
        files, fused = _by_consensus(used, labelling, lost)
        return files.join(split, on="image_id").with_columns(folder="split"), fused
    files = _by_reader(used).join(split, on="image_id").with_columns(folder="split")
    if not labelling.judged_apart:
        return files, None
    held = used.join(split.filter(pl.col("split") != "training"), on="image_id", how="semi", maintain_order="left")
    judged, fused = _by_consensus(held, labelling, lost)
    judged = judged.join(split, on="image_id").with_columns(folder=beside)
    return pl.concat([files, judged]), fused


def _by_reader(used: pl.DataFrame) -> pl.DataFrame:
    """image_id, rad_id, stem of every reading; text and boxes of those that found something."""
    named = used.with_columns(stem=pl.format("{}_{}", "image_id", "rad_id"))
    texts = tree.texts(named.filter(pl.col("class_id").is_not_null()))
    return named.select("image_id", "rad_id", "stem").unique().join(texts, on="stem", how="left")


def _by_consensus(used: pl.DataFrame, labelling: Labelling, lost: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same of every image that has a consensus, without a reader; and CONSENSUS."""
    fused = truth.fuse(used, min_readers=labelling.min_readers)
    kept = fused.filter("kept")
    doubtful = lost.join(kept, on="image_id", how="anti")
    images = used.select("image_id", pl.lit(None, pl.String).alias("rad_id"), stem="image_id").unique()
    named = images.join(doubtful, on="image_id", how="anti")
    return named.join(tree.texts(kept.with_columns(stem="image_id")), on="stem", how="left"), fused
