"""Re-training data as annotations: what `--add retrain.csv` changes in the next dataset version.

The labels of an added image are those of retrain.csv. The rows of its readers stay in the table with used=false, so
that nothing is lost and every label can be explained.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from radloop.dataset.findings import Validated
from radloop.tables import HELD_OUT, REJECTED

SOURCE: Final = "retrain.csv"


def merge(
    base: Validated, added: Validated, previous: pl.DataFrame | None
) -> tuple[Validated, frozenset[str]]:
    """The annotations with the added rows in place of the readers', and the images that move to training.

    `previous` is the ASSIGNMENT of the version that the feedback was given on. Rows of an image that the source does
    not know, or that `previous` holds out, are refused (invariant 8); rows of training images replace labels where
    they are; rows of production images, and all others, move their image to training.
    """
    split = previous.select("image_id", "split").unique("image_id") if previous is not None else _nobody()
    rows = added.findings.join(split, on="image_id", how="left").with_columns(
        known=pl.col("image_id").is_in(base.findings["image_id"].implode())
    )
    held_out = pl.col("split").is_in(HELD_OUT).fill_null(value=False)
    accepted = rows.filter(pl.col("known") & ~held_out)
    refused = pl.concat(
        [
            _refuse(rows.filter(~pl.col("known")), "the source has no image of this id"),
            _refuse(rows.filter(pl.col("known") & held_out), "the image is held out and never trains"),
        ]
    )

    images = accepted["image_id"].unique()
    moved = frozenset(accepted.filter(pl.col("split").fill_null("production") != "training")["image_id"])
    used = base.findings.with_columns(used=~pl.col("image_id").is_in(images.implode()))
    new = accepted.select(base.findings.columns).with_columns(used=pl.lit(value=True))
    merged = replace(
        base,
        findings=pl.concat([used, new]),
        rejected=pl.concat([base.rejected, added.rejected, refused]),
        lost=pl.concat([base.lost, added.lost]),
    )
    return merged, moved


def _nobody() -> pl.DataFrame:
    return pl.DataFrame(schema={"image_id": pl.String, "split": pl.String})


def _refuse(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.select(
        pl.lit(SOURCE).alias("source"),
        pl.lit(None, pl.Int64).alias("line"),
        pl.lit(reason).alias("reason"),
        "image_id",
        pl.lit(None, pl.String).alias("class_name"),
        pl.col("class_id").cast(pl.String),
        "rad_id",
        *(
            (pl.col(f"{edge}_norm") * pl.col("width" if edge[0] == "x" else "height")).cast(pl.String).alias(edge)
            for edge in ("x_min", "y_min", "x_max", "y_max")
        ),
    ).cast(dict(REJECTED))  # type: ignore[arg-type]
