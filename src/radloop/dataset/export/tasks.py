"""Images for people to read elsewhere, with boxes to begin from: a model's feedback, else the dataset's own labels."""

from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from radloop.dataset.export.contents import Contents
from radloop.tables import DETECTIONS, EDGES

FUSED: Final = "consensus"  # who drew the boxes of an image without feedback, as a model's version is named

# One image to be read. feedback_id: what a review of it speaks of; null where there is no feedback.
TASKS: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "feedback_id": pl.String(),
        "image_md5": pl.String(),
        "split": pl.String(),
        "file": pl.String(),
        "width": pl.Int32(),
        "height": pl.Int32(),
    }
)

# The boxes to begin from, by image and author; an author without a box found nothing. score: how sure the author is.
AUTHORS: Final = pl.Schema({"image_id": pl.String(), "author": pl.String(), "score": pl.Float64()})
BOXES: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "author": pl.String(),
        "class_name": pl.String(),
        "score": pl.Float64(),
        **dict.fromkeys(EDGES, pl.Float64()),
    }
)


@dataclass(frozen=True)
class Tasks:
    """What people are asked to read."""

    images: pl.DataFrame  # TASKS
    authors: pl.DataFrame  # AUTHORS
    boxes: pl.DataFrame  # BOXES


def by_image(table: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The rows of each image, in their order."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        rows.setdefault(row["image_id"], []).append(row)
    return rows


def of(contents: Contents, feedback: pl.DataFrame, detections: pl.DataFrame) -> Tasks:
    """A task for each image, with the boxes of its feedback; of one without, with those of the dataset's labels.

    feedback: of FEEDBACK at most one row an image, on the dataset's own picture. detections: DETECTIONS, also of other
    feedback. Boxes end at the picture's edge.
    """
    told = feedback.join(contents.images, on="image_id", how="semi")
    images = contents.images.join(told.select("image_id", "feedback_id"), on="image_id", how="left")
    name = pl.concat_str("model", "model_version", separator=" ", ignore_nulls=True).str.strip_chars()
    simulated = pl.when("simulated").then(pl.lit(" (simulated)")).otherwise(pl.lit(""))
    author = pl.when(name == "").then(pl.lit("unknown")).otherwise(name) + simulated
    models = told.select("image_id", "feedback_id", author.alias("author"), score="confidence")
    drawn = (
        detections.select(DETECTIONS.names())
        .drop("image_id")
        .join(models.drop("score"), on="feedback_id")
        .with_columns(score="confidence")
    )
    rest = contents.images.join(told, on="image_id", how="anti")
    labelled = contents.boxes.join(rest, on="image_id", how="semi", maintain_order="left").with_columns(
        author=_named(pl.col("rad_id")), score=pl.lit(None, pl.Float64)
    )
    boxes = pl.concat([_named_boxes(contents, drawn), _named_boxes(contents, labelled)])
    authors = pl.concat([models.select(AUTHORS.names()), _readers(contents, rest)])
    return Tasks(
        images=images.with_columns(image_md5="md5").select(TASKS.names()).sort("image_id"),
        authors=authors.sort("image_id", "author"),
        boxes=boxes.sort(
            "image_id", "author", "score", *EDGES, "class_name", descending=[False] * 2 + [True] + [False] * 5
        ),
    )


def _named(rad_id: pl.Expr) -> pl.Expr:
    return pl.when(rad_id.is_null()).then(pl.lit(FUSED)).otherwise(pl.format("reader {}", rad_id))


def _named_boxes(contents: Contents, drawn: pl.DataFrame) -> pl.DataFrame:
    named = contents.classes.named(pl.col("class_id")).alias("class_name")
    return drawn.with_columns(named, pl.col(EDGES).clip(0, 1)).select(BOXES.names())


def _readers(contents: Contents, images: pl.DataFrame) -> pl.DataFrame:
    """AUTHORS of images without feedback: each reader, or all together where their boxes are fused and they agree."""
    fused = [split for split, kind in contents.labels.items() if kind == "consensus"]
    decided = ~pl.col("image_id").is_in(contents.undecided)
    together = images.filter(pl.col("split").is_in(fused), decided).select("image_id", author=pl.lit(FUSED))
    alone = images.filter(~pl.col("split").is_in(fused)).explode("readers", empty_as_null=False)
    named = alone.select("image_id", author=_named(pl.col("readers")))
    return pl.concat([together, named]).with_columns(score=pl.lit(None, pl.Float64)).select(AUTHORS.names())
