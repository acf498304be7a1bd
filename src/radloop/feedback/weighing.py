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
_Opinion = tuple[bool, Classes, boxes.Floats]  # rejected; what was drawn
_NOTHING: Final = (np.empty(0, dtype=np.int16), np.empty((0, 4)))


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
    contested = deciding.filter(~pl.col("adjudicates") & (pl.col("reviewers") > 1))["feedback_id"]
    return deciding.with_columns(
        disputed=pl.col("feedback_id").is_in(_in_dispute(counting, contested, reviews.findings))
    ).sort("feedback_id")


def _in_dispute(counting: pl.DataFrame, contested: pl.Series, findings: pl.DataFrame) -> list[str]:
    """Those of the `contested` feedbacks on which somebody means something else than the newest review."""
    if contested.is_empty():
        return []
    opinions = counting.filter(pl.col("feedback_id").is_in(contested.implode()))
    drawn = {
        str(file): (rows["class_id"].to_numpy(), rows.select(EDGES).to_numpy())
        for (file,), rows in findings.join(opinions, on="file", how="semi").group_by("file")
    }
    disputed = []
    for (feedback_id,), rows in opinions.group_by("feedback_id"):
        opinion = [
            (verdict == "reject", *drawn.get(file, _NOTHING)) for verdict, file in rows["verdict", "file"].rows()
        ]
        if not all(_same(one, opinion[-1]) for one in opinion[:-1]):
            disputed.append(str(feedback_id))
    return disputed


def _same(one: _Opinion, other: _Opinion) -> bool:
    return one[0] == other[0] and same_findings(*one[1:], *other[1:])


def same_findings(classes: Classes, corners: boxes.Floats, other_classes: Classes, other_corners: boxes.Floats) -> bool:
    """Whether two lists of findings (n classes, n×4 corners) mean the same: each box has one in the other list."""
    from scipy.optimize import linear_sum_assignment  # 40 MB and a quarter of a second: not before it is needed

    if sorted(classes.tolist()) != sorted(other_classes.tolist()):
        return False
    for class_id in np.unique(classes):
        same = boxes.iou(corners[classes == class_id], other_corners[other_classes == class_id]) > SAME_BOX_IOU
        if not same[linear_sum_assignment(same.astype(np.int8), maximize=True)].all():
            return False
    return True
