"""Reviews weighed against each other: which of them counts, and whether reviewers mean the same.

The newest review of a reviewer counts. Reviewers who differ make the feedback disputed until one of them adjudicates.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from radloop import boxes
from radloop.feedback.reviews import Reviews
from radloop.tables import EDGES

SAME_BOX_IOU: Final = boxes.FUSION_IOU  # above it two reviewers mean the same

Classes = npt.NDArray[np.integer[Any]]


def heard(reviews: pl.DataFrame) -> pl.DataFrame:
    """The REVIEWS that count, the newest last: each reviewer's newest, and what a person says before the simulated."""
    ordered = reviews.sort("timestamp", "review_id", "file")
    newest = ordered.unique(["feedback_id", "reviewer"], keep="last", maintain_order=True)
    return newest.filter(~pl.col("simulated") | pl.col("simulated").all().over("feedback_id"))


def standing(reviews: Reviews) -> pl.DataFrame:
    """What the reviewers say of each feedback: REVIEWS of the one that counts, `reviewers` and `disputed`.

    Where somebody adjudicates, that decides; else all that are `heard` must mean the same as the newest, or the
    feedback is disputed.
    """
    counting = heard(reviews.reviews)
    deciding = (
        counting.sort("adjudicates", maintain_order=True)
        .unique("feedback_id", keep="last", maintain_order=True)
        .join(counting.group_by("feedback_id").agg(reviewers=pl.len()), on="feedback_id", maintain_order="left")
    )
    contested = deciding.filter(~pl.col("adjudicates") & (pl.col("reviewers") > 1)).select("feedback_id")
    opinions = counting.join(contested, on="feedback_id", how="semi", maintain_order="left")
    newest = opinions.unique("feedback_id", keep="last", maintain_order=True)
    pairs = opinions.join(newest, on="feedback_id", suffix="_other", maintain_order="left")
    disputed = pairs.filter(~mean_the_same(pairs, reviews.findings))["feedback_id"]
    return deciding.with_columns(disputed=pl.col("feedback_id").is_in(disputed.implode())).sort("feedback_id")


def mean_the_same(pairs: pl.DataFrame, findings: pl.DataFrame) -> pl.Series:
    """Whether the two reviews of each of `pairs` (file, verdict; file_other, verdict_other) mean the same.

    Both reject the picture, or neither, and of their `findings` (REVIEW_FINDINGS) it is as `same_findings` says.
    """
    key = ["pair", "class_id"]
    asked = pairs.select("file", "file_other").with_row_index("pair")
    one, other = (
        asked.select("pair", file=side).join(findings, on="file").select(*key, *EDGES)
        for side in ("file", "file_other")
    )
    counts = one.group_by(key).len().join(other.group_by(key).len(), on=key, how="full", coalesce=True, suffix="_other")
    alike = pl.col("len").eq_missing(pl.col("len_other"))
    counts = counts.filter(alike.all().over("pair")).sort(key)
    single, several = (
        [boxes_of.join(counts.filter(few), on=key, how="semi").sort(key) for boxes_of in (one, other)]
        for few in (pl.col("len") == 1, pl.col("len") > 1)
    )
    near = boxes.iou_of_pairs(*(side.select(EDGES).to_numpy() for side in single)) > SAME_BOX_IOU
    differ = set(asked["pair"]) - set(counts["pair"]) - _silent(asked, one, other)
    differ |= set(single[0]["pair"].filter(pl.Series(~near, dtype=pl.Boolean)))
    for mine, theirs in zip(*(side.partition_by(key) for side in several), strict=True):
        if not _each_has_one(*(side.select(EDGES).to_numpy() for side in (mine, theirs))):
            differ.add(mine["pair"][0])
    usable = pairs.select((pl.col("verdict") == "reject") == (pl.col("verdict_other") == "reject")).to_series()
    return usable & ~asked["pair"].is_in(list(differ))


def share(rows: pl.DataFrame, reviews: pl.DataFrame, findings: pl.DataFrame) -> pl.Series:
    """Of each row (feedback_id, class_id, EDGES) the share of those who were `heard` of its feedback that have the box.

    Of a row without a box: that found nothing. One box of a reviewer may stand beside several rows.
    """
    numbered = rows.select("feedback_id", "class_id", *EDGES).with_row_index("row")
    heard_of = heard(reviews).filter(pl.col("feedback_id").is_in(rows["feedback_id"].implode()))
    theirs = heard_of.select("feedback_id", "reviewer", "verdict", "file").join(findings, on="file", how="left")
    pairs = numbered.join(theirs, on="feedback_id", suffix="_other")
    corners = (pairs.select(columns).to_numpy() for columns in (EDGES, [f"{edge}_other" for edge in EDGES]))
    same_box = pl.Series(boxes.iou_of_pairs(*corners) > SAME_BOX_IOU, dtype=pl.Boolean)
    nothing = pl.col("class_id").is_null() & pl.col("class_id_other").is_null() & (pl.col("verdict") != "reject")
    have = pairs.with_columns(
        have=((pl.col("class_id") == pl.col("class_id_other")) & same_box).fill_null(False) | nothing
    )
    counted = have.group_by("row").agg(
        share=pl.col("reviewer").filter("have").n_unique() / pl.col("reviewer").n_unique()
    )
    return numbered.join(counted, on="row", how="left", maintain_order="left")["share"]


def _silent(asked: pl.DataFrame, *drawn: pl.DataFrame) -> set[int]:
    """The pairs of which neither review has a finding."""
    return set(asked["pair"]).difference(*(side["pair"] for side in drawn))


def same_findings(classes: Classes, corners: boxes.Floats, other_classes: Classes, other_corners: boxes.Floats) -> bool:
    """Whether two lists of findings (n classes, n×4 corners) mean the same: each box has one in the other list."""
    if sorted(classes.tolist()) != sorted(other_classes.tolist()):
        return False
    return all(
        _each_has_one(corners[classes == class_id], other_corners[other_classes == class_id])
        for class_id in np.unique(classes)
    )


def _each_has_one(corners: boxes.Floats, other_corners: boxes.Floats) -> bool:
    """Whether as many boxes on either side can be paired so that each pair means the same."""
    from scipy.optimize import linear_sum_assignment  # 40 MB and a quarter of a second: not before it is needed

    same = boxes.iou(corners, other_corners) > SAME_BOX_IOU
    return bool(same[linear_sum_assignment(same.astype(np.int8), maximize=True)].all())
