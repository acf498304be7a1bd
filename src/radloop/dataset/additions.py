"""Re-training data as annotations: what `--add retrain.csv` changes in the next dataset version.

The labels of an added image are those of retrain.csv. The rows of its readers stay in the table with used=false, so
that nothing is lost and every label can be explained.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from radloop.dataset.findings import Validated
from radloop.tables import HELD_OUT

SOURCE: Final = "retrain.csv"


def merge(base: Validated, added: Validated, previous: pl.DataFrame | None) -> tuple[Validated, frozenset[str]]:
    """The annotations with the added rows in place of the readers' (a column `used` more), and the images that move.

    `previous` is the ASSIGNMENT of the version that the feedback was given on. Rows of an image that the source does
    not know, or that `previous` holds out, are refused (no held-out image ever trains). Images of training stay there
    and change their labels; all others move to training.
    """
    if previous is None:
        previous = pl.DataFrame(schema={"image_id": pl.String, "split": pl.String})
    split = (
        added.findings.select("image_id")
        .join(previous.select("image_id", "split").unique("image_id"), on="image_id", how="left", maintain_order="left")
        .to_series(1)
    )
    unknown = ~added.findings["image_id"].is_in(base.findings["image_id"].implode())
    held_out = split.is_in(HELD_OUT)
    refusal = pl.select(
        code=pl.when(unknown).then(pl.lit("image-unknown")).when(held_out).then(pl.lit("image-held-out")),
        reason=pl.when(unknown)
        .then(pl.lit("the source has no image of this id"))
        .when(held_out)
        .then(pl.format("the image is held out ({}) and never trains", split)),
    )
    stays = refusal["code"].is_null()
    refused = added.origins.with_columns(refusal.get_columns()).filter(~stays)
    accepted = added.findings.filter(stays)
    replaced = pl.col("image_id").is_in(accepted["image_id"].implode())

    merged = replace(
        base,
        findings=pl.concat(
            [base.findings.with_columns(used=~replaced), accepted.with_columns(used=pl.lit(value=True))]
        ),
        origins=pl.concat([base.origins, added.origins.filter(stays)]),
        rejected=pl.concat([base.rejected, added.rejected, refused]),
        lost=pl.concat([base.lost, added.lost]),
    )
    moved = accepted.filter(split.filter(stays).ne_missing("training"))["image_id"]
    return merged, frozenset(moved)
