"""Which feedback is most worth a radiologist's look: where readers differ, the model is unsure, and the class is rare.

A share of the places goes to feedback drawn at random: what no score finds is found there, and how often the model is
wrong where it is sure can be estimated from them alone.
"""

import hashlib
from typing import Final

import polars as pl

from radloop.tables import QUEUE, WAITING

AUDIT_SHARE: Final = 0.1
_NOTHING_WAITS: Final = WAITING.to_frame()
_LEAST: Final = 0.05  # no factor is 0: a product with it would never be looked at


def candidates(judged: pl.DataFrame, standing: pl.DataFrame, waiting: pl.DataFrame = _NOTHING_WAITS) -> pl.DataFrame:
    """The feedback that a review could still make something of, with `disputed`: one row an image.

    `judged` as by `guard.judge`, `standing` as by `reviews.standing`. Held-out and unknown images are left out: their
    reviews would train nothing. So is feedback on another picture, and images that a review has settled. Of several
    the newest stands, the disputed one before all. What is `waiting` for a review that can be read is disputed.
    """
    known = judged.filter(
        pl.col("held_out").is_null() & pl.col("split").is_not_null() & ~pl.col("other_picture").fill_null(value=False)
    )
    said = known.join(standing.select("feedback_id", "disputed"), on="feedback_id", how="left", maintain_order="left")
    waits = pl.col("feedback_id").is_in(waiting["feedback_id"].implode())
    said = said.with_columns(disputed=pl.when(waits).then(pl.lit(value=True)).otherwise("disputed"))
    settled = said.filter(~pl.col("disputed"))
    return (
        said.join(settled, on="image_id", how="anti", maintain_order="left")
        .with_columns(pl.col("disputed").fill_null(value=False))
        .sort("disputed", "timestamp", "feedback_id")
        .unique("image_id", keep="last", maintain_order=True)
    )


def order(
    feedback: pl.DataFrame,
    detections: pl.DataFrame,
    annotations: pl.DataFrame,
    *,
    seed: int,
    audit_share: float = AUDIT_SHARE,
) -> pl.DataFrame:
    """QUEUE of `feedback` (FEEDBACK and `disputed`), the most worthwhile first, the disputed before all others.

    disagreement: how often the readers of an image differ on the classes found here (`annotations`), 1 where reviewers
    do. uncertainty: 4p(1-p) of the least certain box. rarity: of the rarest class found, 1 for one that no image
    has. The order depends on the seed and on what the tables say, not on the order of their rows.
    """
    found = pl.concat(
        [
            detections.select("feedback_id", "class_id", "confidence"),
            feedback.filter(pl.col("class_id").is_null()).select("feedback_id", "class_id", "confidence"),
        ]
    )
    factors = (
        found.join(_by_class(annotations), on="class_id", how="left", nulls_equal=True)
        .with_columns(pl.col("disagreement", "rarity").fill_null(1.0))  # of a class that no image has
        .group_by("feedback_id")
        .agg(
            pl.col("disagreement", "rarity").max(),
            uncertainty=(4 * pl.col("confidence") * (1 - pl.col("confidence"))).max(),
        )
    )
    scored = (
        feedback.select("feedback_id", "image_id", "disputed")
        .join(factors, on="feedback_id", how="left")
        .with_columns(pl.col("disagreement", "uncertainty", "rarity").fill_null(0).clip(_LEAST, 1))
        .with_columns(pl.when("disputed").then(1.0).otherwise("disagreement").alias("disagreement"))
        .with_columns(score=pl.col("disagreement") * pl.col("uncertainty") * pl.col("rarity"))
        .sort("disputed", "score", "feedback_id", descending=[True, True, False])
    )
    return _placed(scored, seed, audit_share).select(QUEUE.names()).match_to_schema(QUEUE)


def _by_class(annotations: pl.DataFrame) -> pl.DataFrame:
    """class_id, disagreement, rarity: over the images that any reader saw the class in."""
    readers = annotations.group_by("image_id").agg(readers=pl.col("rad_id").n_unique())
    seen = (
        annotations.group_by("image_id", "class_id").agg(seen=pl.col("rad_id").n_unique()).join(readers, on="image_id")
    )
    counted = seen.group_by("class_id").agg(images=pl.len(), disagreement=(pl.col("seen") < pl.col("readers")).mean())
    images = readers.height
    return counted.select(
        "class_id", "disagreement", rarity=((images + 1) / (pl.col("images") + 1)).log() / pl.lit(images + 1).log()
    )


def _placed(scored: pl.DataFrame, seed: int, audit_share: float) -> pl.DataFrame:
    """Every so many places one that the lot has drawn; the disputed stay in front."""
    lots = [hashlib.md5(f"{seed} {feedback_id}".encode()).hexdigest() for feedback_id in scored["feedback_id"]]
    lot = pl.Series("lot", lots, dtype=pl.String)
    open_rows = scored.with_columns(lot).filter(~pl.col("disputed"))
    audits = round(audit_share * open_rows.height)
    drawn = (
        open_rows.sort("lot")
        .head(audits)
        .with_columns(
            rank=(pl.int_range(pl.len()) + 1) / audit_share if audits else pl.lit(0.0), audit=pl.lit(value=True)
        )
    )
    rest = (
        scored.with_columns(lot)
        .join(drawn, on="feedback_id", how="anti", maintain_order="left")
        .with_columns(
            rank=pl.when("disputed").then(0.0).otherwise((~pl.col("disputed")).cum_sum() / (1 - audit_share)),
            audit=pl.lit(value=False),
        )
    )
    merged = pl.concat([rest, drawn]).sort("rank", "audit", maintain_order=True)
    return merged.with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
