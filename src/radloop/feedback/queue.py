"""Which feedback is most worth a radiologist's look: where readers differ, the model is unsure, and the class is rare.

A share of the places goes to images where the model found nothing, by how nearly it found something: there no score of
what was found can lead. Another share goes to images drawn by lot: what nothing leads to is found there, and how often
the model is wrong can be estimated from them alone (`feedback.audit`). Audit images of the incoming unit are looked at
like those that the lot has drawn, and in its order: what is reviewed of them is like what is not.
"""

from collections.abc import Collection, Mapping
from math import inf
from typing import Final

import polars as pl

from radloop.feedback import audit
from radloop.tables import DETECTIONS, QUEUE, WAITING
from radloop.words import AUDIT

NOTHING_SHARE: Final = 0.2
_NOTHING: Final = "nothing found"
_NOTHING_WAITS: Final = WAITING.to_frame()
_NO_LOW: Final = DETECTIONS.to_frame()
_LEAST: Final = 0.05  # no factor is 0: a product with it would never be looked at


def candidates(
    judged: pl.DataFrame,
    standing: pl.DataFrame,
    waiting: pl.DataFrame = _NOTHING_WAITS,
    *,
    again: Collection[str] = (),
    held_out: bool = False,
) -> pl.DataFrame:
    """The feedback that a review could still make something of, with `disputed`: one row an image.

    `judged` as by `guard.judge`, `standing` as by `weighing.standing`. Unknown images and, unless `held_out`, held-out
    ones are left out: their reviews would train nothing; audit images stay, for their reviews measure. So is feedback
    on another picture, and images that a review has settled, but for those that somebody is to read `again`. Of several
    the newest stands, the disputed one before all, and then one that was read. What is `waiting` for a review that can
    be read is disputed.
    """
    known = judged.filter(
        pl.lit(held_out) | pl.col("held_out").is_null() | (pl.col("split") == AUDIT),
        pl.col("split").is_not_null(),
        ~pl.col("other_picture").fill_null(value=False),
    )
    said = known.join(standing.select("feedback_id", "disputed"), on="feedback_id", how="left", maintain_order="left")
    waits = pl.col("feedback_id").is_in(waiting["feedback_id"].implode())
    said = said.with_columns(disputed=pl.when(waits).then(pl.lit(value=True)).otherwise("disputed"))
    settled = said.filter(~pl.col("disputed"), ~pl.col("image_id").is_in(pl.Series(again, dtype=pl.String).implode()))
    return (
        said.join(settled, on="image_id", how="anti", maintain_order="left")
        .sort(pl.col("disputed").cast(pl.Int8).fill_null(-1), "timestamp", "feedback_id")
        .unique("image_id", keep="last", maintain_order=True)
        .with_columns(pl.col("disputed").fill_null(value=False))
    )


def order(
    feedback: pl.DataFrame,
    detections: pl.DataFrame,
    annotations: pl.DataFrame,
    *,
    low: pl.DataFrame = _NO_LOW,
    seed: int,
    audit_share: float = audit.SHARE,
    nothing_share: float = NOTHING_SHARE,
) -> pl.DataFrame:
    """QUEUE of `feedback` (FEEDBACK and `disputed`), the disputed before all others.

    Of the others `audit_share` of the places are those of images that the lot has drawn (`audit.lots`), `nothing_share`
    those of images where nothing was found, the rest those where something was. Each kind has its share of every
    beginning of the queue, but for one place, as long as it lasts.

    score, the most worthwhile first: disagreement × uncertainty × rarity. disagreement: how often the readers of an
    image differ on the classes found here (`annotations`), 1 where reviewers do. uncertainty: 4p(1-p) of the least
    certain box. rarity: of the rarest class found, 1 for one that no image has.

    missed, where nothing was found, the highest first: how likely any class is there, if scores mean what they say.
    1 - the product of 1 - p over the classes with a box on the image; p is the highest confidence of such a box, among
    the `detections` of any feedback on it and the boxes that lie below what counts as found (`low`, DETECTIONS, too).
    It is never less than the highest score that the feedback tells (1 - its confidence).

    The order depends on the seed and on what the tables say, not on the order of their rows.
    """
    nothing = feedback.filter(pl.col("class_id").is_null())
    found = pl.concat([table.select("feedback_id", "class_id", "confidence") for table in (detections, nothing)])
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
        feedback.select(
            "feedback_id",
            "image_id",
            "disputed",
            measures=pl.col("split").eq_missing(AUDIT),
            lot=audit.lots(feedback["image_id"], seed),
        )
        .join(factors, on="feedback_id", how="left")
        .join(_missed(nothing, pl.concat([detections, low])), on="feedback_id", how="left")
        .with_columns(pl.col("disagreement", "uncertainty", "rarity").fill_null(0).clip(_LEAST, 1))
        .with_columns(pl.when("disputed").then(1.0).otherwise("disagreement").alias("disagreement"))
        .with_columns(score=pl.col("disagreement") * pl.col("uncertainty") * pl.col("rarity"))
    )
    return _placed(scored, audit_share, nothing_share).select(QUEUE.names()).match_to_schema(QUEUE)


def _missed(nothing: pl.DataFrame, boxes: pl.DataFrame) -> pl.DataFrame:
    """feedback_id, missed: of the feedback that found nothing."""
    surest = boxes.join(nothing, on="image_id", how="semi").group_by("image_id", "class_id").agg(pl.max("confidence"))
    any_class = surest.sort("class_id").group_by("image_id").agg(any_class=1 - (1 - pl.col("confidence")).product())
    return nothing.join(any_class, on="image_id", how="left").select(
        "feedback_id", missed=pl.max_horizontal(1 - pl.col("confidence"), "any_class")
    )


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


def _placed(scored: pl.DataFrame, audit_share: float, nothing_share: float) -> pl.DataFrame:
    """With kind and place."""
    kind = (
        pl.when("disputed")
        .then(pl.lit("disputed"))
        .when(pl.col("measures") | (pl.col("lot") < audit_share))
        .then(pl.lit("lot"))
        .when(pl.col("missed").is_not_null())
        .then(pl.lit(_NOTHING))
        .otherwise(pl.lit("score"))
    )
    worth = pl.when(kind == "lot").then(-pl.col("lot")).when(kind == _NOTHING).then("missed").otherwise("score")
    ordered = scored.with_columns(kind=kind).sort(worth, "feedback_id", descending=[True, False])
    shares = {"disputed": inf, "lot": audit_share, "others": 1 - audit_share}
    others = {_NOTHING: nothing_share, "score": 1 - audit_share - nothing_share}
    ordered = _in_turns(ordered, pl.col("kind"), shares | others)
    ordered = _in_turns(ordered, pl.col("kind").replace(dict.fromkeys(others, "others")), shares)
    return ordered.with_columns(place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))


def _in_turns(rows: pl.DataFrame, pile: pl.Expr, shares: Mapping[str, float]) -> pl.DataFrame:
    """The piles as one: the n-th row of a pile comes where its share of all comes to n."""
    return (
        rows.with_columns(pile=pile)
        .with_columns(due=pl.int_range(1, pl.len() + 1).over("pile") / pl.col("pile").replace_strict(shares))
        .sort("due", "pile", descending=[False, True], maintain_order=True)
    )
