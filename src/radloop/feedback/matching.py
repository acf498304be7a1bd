"""Reviews beside the feedback that they speak of: which of them count, and which feedback waits for a better one."""

from typing import Final

import polars as pl

from radloop import boxes
from radloop.catalog.rule import Rule
from radloop.feedback import weighing
from radloop.feedback.reviews import MOST_SHOWN, Reviews
from radloop.tables import EDGES

_SAME_IOU: Final = 0.9  # a copy of the box shown, to its digits


def match(
    reviewed: Reviews, judged: pl.DataFrame, detections: pl.DataFrame, rule: Rule
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """What the reviewers say, the reviews that are refused, and what waits for which of them.

    Refused are those, too, of feedback that is not there, or of another image, and those that contradict theirs.
    """
    named = pl.col("feedback_id").is_in(reviewed.reviews["feedback_id"].implode())
    about = judged.select("feedback_id", about="image_id", given="timestamp").filter(named)
    told = reviewed.reviews.join(about, on="feedback_id", how="left", maintain_order="left")
    told = _in_one_case(told, judged).join(
        _false_accepts(told, reviewed, detections, rule), on="file", how="left", maintain_order="left"
    )
    reasons = (
        (pl.col("about").is_null(), "feedback-unknown", pl.lit("there is no feedback of this id")),
        (
            pl.col("about") != pl.col("image_id"),
            "feedback-of-another-image",
            pl.format("its feedback is on image {}", "about"),
        ),
        (
            pl.col("timestamp") < pl.col("given"),
            "older-than-feedback",
            pl.format(
                "its time {} is before that of its feedback, {}",
                pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
                pl.col("given").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            ),
        ),
        (
            pl.col("false_accept").is_not_null(),
            "accept-contradicts-boxes",
            pl.lit(
                f"it accepts the boxes shown, and its findings are not the feedback's boxes from {rule.doubtful:g} on"
            ),
        ),
    )
    checked = told.with_columns(
        code=pl.coalesce(pl.when(holds).then(pl.lit(code)) for holds, code, _ in reasons),
        reason=pl.coalesce(pl.when(holds).then(sentence) for holds, _, sentence in reasons),
    )
    sound = checked.filter(pl.col("code").is_null()).select(reviewed.reviews.columns)
    unsound = checked.filter(pl.col("code").is_not_null())
    standing = weighing.standing(Reviews(sound, reviewed.findings, reviewed.refused))
    waiting = _waiting(reviewed.waiting, unsound, sound)
    there = judged.select("feedback_id").filter(pl.col("feedback_id").is_in(waiting["feedback_id"].implode()))
    waiting = waiting.join(there, on="feedback_id", how="semi")  # of all, a table of their ids
    refused = pl.concat([reviewed.refused, unsound.select(reviewed.refused.columns)]).sort("file")
    return standing, refused, waiting


def _in_one_case(told: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """Reviews with their image's id as their feedback has it, where it is the only one but for case."""
    ours, theirs = (pl.col(name).str.to_lowercase() for name in ("image_id", "about"))
    near = told.filter((pl.col("image_id") != pl.col("about")) & (ours == theirs))
    if near.is_empty():
        return told
    spellings = judged.select("image_id").unique().group_by(pl.col("image_id").str.to_lowercase().alias("plain")).len()
    only = spellings.filter(len=1)["plain"]
    same = (ours == theirs) & ours.is_in(only.implode())
    return told.with_columns(image_id=pl.when(same).then("about").otherwise("image_id"))


def _false_accepts(told: pl.DataFrame, reviewed: Reviews, detections: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """file, false_accept: the reviews that accept, with other findings than the boxes that were shown.

    Where a feedback has more boxes than anybody is shown, those that the review says were shown; else the feedback's.
    """
    accepts = told.filter(verdict="accept").select("file", "feedback_id", "shown_boxes")
    some = accepts.filter(pl.col("shown_boxes") >= MOST_SHOWN)
    key = ["file", "class_id"]
    ours = reviewed.findings.join(accepts, on="file", how="semi").with_row_index("finding")
    every = (
        detections.join(accepts.join(some, on="file", how="anti"), on="feedback_id", how="inner")
        .filter(pl.col("confidence") >= rule.doubtful)
        .select("file", "class_id", *EDGES)
    )
    shown = pl.concat([every, reviewed.shown.join(some, on="file", how="semi").select(every.columns)])
    shown = shown.with_row_index("box")
    pairs = shown.join(ours, on=key, suffix="_found")
    theirs = pairs.select(f"{edge}_found" for edge in EDGES).to_numpy()
    same = pairs.filter(pl.Series(boxes.iou_of_pairs(pairs.select(EDGES).to_numpy(), theirs) >= _SAME_IOU))
    false = [
        ours.join(same, on="finding", how="anti").select("file"),
        shown.join(same, on="box", how="anti").select("file"),
    ]
    return pl.concat(false).unique().with_columns(false_accept=pl.lit(value=True))


def _waiting(unreadable: pl.DataFrame, unsound: pl.DataFrame, sound: pl.DataFrame) -> pl.DataFrame:
    """WAITING: of a feedback that a person has adjudicated, or of which the reviewer said more since, nothing waits."""
    since = sound.group_by("feedback_id", "reviewer").agg(since=pl.col("timestamp").max())
    open_still = unsound.join(since, on=["feedback_id", "reviewer"], how="left").filter(
        pl.col("since").is_null() | (pl.col("since") <= pl.col("timestamp"))
    )
    decided = sound.filter(pl.col("adjudicates") & ~pl.col("simulated"))
    return (
        pl.concat([unreadable, open_still.select(unreadable.columns)])
        .join(decided, on="feedback_id", how="anti")
        .sort("feedback_id", "file")
    )
