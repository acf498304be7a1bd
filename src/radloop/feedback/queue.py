"""Which feedback is most worth a radiologist's look, by one of the orders that have a name (`feedback.orders`).

Whatever the order, a share of the places goes to images where the model found nothing, by how nearly it found
something: there no score of what was found can lead. Another share goes to images drawn by lot: what nothing leads to
is found there, and how often the model is wrong can be estimated from them alone (`feedback.audit`). Audit images of
the incoming unit are looked at like those that the lot has drawn, and in its order: what is reviewed of them is like
what is not. A small share goes to images whose labels are suspected (`feedback.suspects`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

import polars as pl

from radloop.feedback import audit, orders, reading_times
from radloop.feedback.orders import ORDERS, Known
from radloop.feedback.places import Places
from radloop.feedback.reliability import Detector, Reliable
from radloop.tables import DETECTIONS, DETECTOR, QUEUE, WAITING
from radloop.words import AUDIT

_NOTHING: Final = "nothing found"
_SUSPECT: Final = "suspected"
_NOTHING_WAITS: Final = WAITING.to_frame()
_NO_LOW: Final = DETECTIONS.to_frame()
_NO_SUSPECT: Final = pl.Schema(
    {"feedback_id": pl.String(), "suspicion": pl.String(), "suspected": pl.Float64()}
).to_frame()
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
    needed = judged.select("feedback_id", "image_id", "timestamp", "held_out", "split", "other_picture")
    known = (
        needed.lazy()
        .with_row_index("row")
        .filter(
            pl.lit(held_out) | pl.col("held_out").is_null() | (pl.col("split") == AUDIT),
            pl.col("split").is_not_null(),
            ~pl.col("other_picture").fill_null(value=False),
        )
        .select("row", "feedback_id", "image_id", "timestamp")
        .collect()
    )
    said = known.join(standing.select("feedback_id", "disputed"), on="feedback_id", how="left", maintain_order="left")
    waits = pl.col("feedback_id").is_in(waiting["feedback_id"].implode())
    said = said.with_columns(disputed=pl.when(waits).then(pl.lit(value=True)).otherwise("disputed"))
    settled = said.filter(~pl.col("disputed"), ~pl.col("image_id").is_in(pl.Series(again, dtype=pl.String).implode()))
    counts = (
        said.join(settled, on="image_id", how="anti", maintain_order="left")
        .sort(pl.col("disputed").cast(pl.Int8).fill_null(-1), "timestamp", "feedback_id")
        .unique("image_id", keep="last", maintain_order=True)
    )
    return judged[counts["row"]].with_columns(disputed=counts["disputed"].fill_null(value=False))


@dataclass(frozen=True)
class Measured:
    """What is known of detectors and of readers."""

    reliable: Mapping[Detector, Reliable] = field(default_factory=dict)  # `reliability.of`
    seconds: tuple[float, ...] = reading_times.PUBLISHED  # `reading_times.of`


_DEFAULT: Final = Places()
_UNKNOWN: Final = Measured()


def order(
    feedback: pl.DataFrame,
    detections: pl.DataFrame,
    annotations: pl.DataFrame,
    *,
    low: pl.DataFrame = _NO_LOW,
    suspects: pl.DataFrame = _NO_SUSPECT,
    measured: Measured = _UNKNOWN,
    places: Places = _DEFAULT,
    seed: int,
) -> pl.DataFrame:
    """QUEUE of `feedback` (FEEDBACK and `disputed`), the disputed before all others.

    The others have the shares of `places`: lot, nothing found, suspected; the rest goes by score. Each kind has its
    share of every beginning of the queue, but for one place, as long as it lasts. An order without a score (random)
    gives all places to the lot.

    score: that of `places.order` (`orders.ORDERS`), the most worthwhile first. disagreement: how often the readers of
    an image differ on the classes found here (`annotations`), 1 where reviewers do. uncertainty: 4p(1-p) of the least
    certain box. rarity: of the rarest class found, 1 for one that no image has.

    missed, where nothing was found, the highest first: how likely any class is there, if scores mean what they say.
    1 - the product of 1 - p over the classes with a box on the image; p is the highest confidence of such a box, among
    the `detections` of any feedback on it and the boxes that lie below what counts as found (`low`, DETECTIONS, too).
    It is never less than the highest score that the feedback tells (1 - its confidence).

    suspects: feedback_id, suspicion, suspected; the most suspected first. One that the lot has drawn comes by its lot,
    or what is reviewed of the lot were no longer like what is not.

    The order depends on the seed and on what the tables say, not on the order of their rows.
    """
    nothing = feedback.filter(pl.col("class_id").is_null())
    scored = (
        feedback.select(
            "feedback_id",
            "image_id",
            "disputed",
            measures=pl.col("split").eq_missing(AUDIT),
            lot=audit.lots(feedback["image_id"], seed),
        )
        .join(_factors(feedback, detections, nothing, annotations), on="feedback_id", how="left")
        .join(_missed(nothing, pl.concat([detections, low])), on="feedback_id", how="left")
        .join(suspects.select(_NO_SUSPECT.columns), on="feedback_id", how="left")
        .with_columns(pl.col("disagreement", "uncertainty", "rarity").fill_null(0).clip(_LEAST, 1))
        .with_columns(pl.when("disputed").then(1.0).otherwise("disagreement").alias("disagreement"))
    )
    ordering = ORDERS[places.order]
    if ordering.of_all:
        places = replace(places, nothing_share=0.0)
    if ordering.score is None:
        places, scored = replace(places, audit_share=1.0), scored.with_columns(score=1 - pl.col("lot"))
    else:
        known = Known(scored, *_expected(feedback, pl.concat([detections, low]), annotations, measured))
        scored = scored.join(ordering.score(known), on="feedback_id", how="left")
    apart = pl.col("missed").is_not_null() & (not ordering.of_all)
    return _placed(scored.with_columns(apart=apart), places).select(QUEUE.names()).match_to_schema(QUEUE)


def _factors(
    feedback: pl.DataFrame, detections: pl.DataFrame, nothing: pl.DataFrame, annotations: pl.DataFrame
) -> pl.DataFrame:
    """feedback_id, disagreement, uncertainty, rarity."""
    found = pl.concat([table.select("feedback_id", "class_id", "confidence") for table in (detections, nothing)])
    return (
        found.join(feedback, on="feedback_id", how="semi")
        .join(_by_class(annotations), on="class_id", how="left", nulls_equal=True)
        .with_columns(pl.col("disagreement", "rarity").fill_null(1.0))  # of a class that no image has
        .group_by("feedback_id")
        .agg(
            pl.col("disagreement", "rarity").max(),
            uncertainty=(4 * pl.col("confidence") * (1 - pl.col("confidence"))).max(),
        )
    )


def _expected(
    feedback: pl.DataFrame, every_box: pl.DataFrame, annotations: pl.DataFrame, measured: Measured
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The boxes and seconds of `orders.Known`. A detector of which nothing is known is taken at its word."""
    told = feedback.select("feedback_id", pl.col(DETECTOR).fill_null(""))
    boxes = every_box.drop(DETECTOR, strict=False).join(told, on="feedback_id").with_columns(right="confidence")
    for (model, version), reliable in measured.reliable.items():
        own = (pl.col("model") == model) & (pl.col("model_version") == version)
        right = reliable.is_right(boxes["confidence"].to_numpy())
        boxes = boxes.with_columns(right=pl.when(own).then(pl.Series(right, dtype=pl.Float64)).otherwise("right"))
    training = annotations.filter(split="training") if "split" in annotations.columns else annotations
    images = training.group_by("class_id").agg(images=pl.col("image_id").n_unique())
    boxes = boxes.join(images, on="class_id", how="left").with_columns(wanted=orders.wanted(pl.col("images")))
    boxes = boxes.select("feedback_id", "class_id", "right", "wanted").sort("feedback_id", "class_id", "right")
    findings = boxes.group_by("feedback_id", maintain_order=True).agg(findings=pl.col("right").sum())
    seconds = told.join(findings, on="feedback_id", how="left").select(
        "feedback_id", seconds=reading_times.expected(pl.col("findings").fill_null(0), measured.seconds)
    )
    return boxes, seconds


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


def _placed(scored: pl.DataFrame, places: Places) -> pl.DataFrame:
    """With kind and place."""
    pile = (
        pl.when("disputed")
        .then(pl.lit("disputed"))
        .when(pl.col("measures") | (pl.col("lot") < places.audit_share))
        .then(pl.lit("lot"))
        .when(pl.col("suspicion").is_not_null() & pl.lit(places.suspect_share > 0))
        .then(pl.lit(_SUSPECT))
        .when("apart")
        .then(pl.lit(_NOTHING))
        .otherwise(pl.lit("score"))
    )
    scored = scored.with_columns(pile=pile)
    figures = pl.when(pile="lot").then(-pl.col("lot")).when(pile=_NOTHING).then("missed")
    worth = figures.when(pile=_SUSPECT).then("suspected").otherwise("score")
    ordered = scored.sort(worth, "feedback_id", descending=[True, False])
    suspect_share = places.suspect_share if scored.filter(pile=_SUSPECT).height else 0.0
    rest = 1 - places.audit_share
    shares = {"disputed": inf, "lot": places.audit_share, "others": rest}
    others = {_NOTHING: places.nothing_share, _SUSPECT: suspect_share}
    others["score"] = max(0.0, rest - sum(others.values()))
    ordered = _in_turns(ordered, pl.col("pile"), shares | others)
    ordered = _in_turns(ordered, pl.col("pile").replace(dict.fromkeys(others, "others")), shares)
    return ordered.with_columns(
        kind=pl.when(pile=_SUSPECT).then("suspicion").otherwise("pile"),
        place=pl.int_range(1, pl.len() + 1, dtype=pl.Int64),
    )


def _in_turns(rows: pl.DataFrame, pile: pl.Expr, shares: Mapping[str, float]) -> pl.DataFrame:
    """The piles as one: the n-th row of a pile comes where its share of all comes to n."""
    return (
        rows.with_columns(turn=pile)
        .with_columns(due=pl.int_range(1, pl.len() + 1).over("turn") / pl.col("turn").replace_strict(shares))
        .sort("due", "turn", descending=[False, True], maintain_order=True)
    )
