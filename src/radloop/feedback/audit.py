"""How often the model is wrong: of the images that a lot has drawn, those that a radiologist has settled.

What the queue puts first is what the model doubts: among those it is wrong more often than among all. The lot knows an
image's id and the seed and nothing else, so that what it draws is like all the rest, whoever reviewed what since.
"""

import hashlib
from dataclasses import dataclass
from math import isnan
from typing import Final

import numpy as np
import polars as pl

from radloop import boxes
from radloop.catalog.rule import Rule
from radloop.feedback import matching, weighing
from radloop.feedback.places import Places
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.tables import DETECTOR, EDGES

SHARE: Final = Places.audit_share
_LOOKED_AT: Final = ("class_id", "complete", "split", "held_out", "other_picture")
_DEFAULT: Final = Rule()
_NO_BOX: Final = (np.empty(0, dtype=np.int16), np.empty((0, 4)))


@dataclass(frozen=True)
class Audited:
    """One detector on the images drawn by lot."""

    model: str  # "" where the feedback does not name it
    model_version: str
    drawn: int  # images
    reviewed: int  # of the drawn: there it is known whether the detector was wrong
    wrong: int  # of the reviewed: the boxes are not those of the review
    unusable: int  # of the drawn: rejected by their reviewer
    top_box_only: int  # of the reviewed: their feedback tells one box of perhaps many
    simulated: int  # of the reviewed: no person wrote the review
    wrong_interval: tuple[float, float] | None  # 95 %, of wrong / reviewed (`intervals.of_share`); None: too few

    @property
    def waiting(self) -> int:
        """Images without a review that counts, or in dispute."""
        return self.drawn - self.reviewed - self.unusable


def lots(image_ids: pl.Series, seed: int, draw: str = "") -> pl.Series:
    """A number in [0, 1) for each image, of its id and the seed alone. What is below a share is drawn.

    A `draw` of another name draws independently.
    """
    each = image_ids.unique()  # there is more feedback than images
    digests = (hashlib.md5(f"{draw}{seed} {image_id}".encode()).digest() for image_id in each)
    drawn = pl.Series([int.from_bytes(digest[:6]) / 2**48 for digest in digests], dtype=pl.Float64)
    return image_ids.replace_strict(each, drawn, return_dtype=pl.Float64).cast(pl.Float64).alias("lot")


def audited(
    records: Records,
    judged: pl.DataFrame,
    reviewed: Reviews,
    images: pl.DataFrame,
    *,
    seed: int,
    share: float = SHARE,
    rule: Rule = _DEFAULT,
) -> list[Audited]:
    """How often each detector was wrong on the images drawn by lot, by its name and version.

    `judged` is the feedback with what the guard says of it (`guard.judge`), in the order of `records`. `images` has
    image_id and group: the interval takes the images of a group for as many as they are worth. An image counts
    once a detector, with the newest feedback before its review: later, the detector may have learned from it. So it may
    where the feedback itself says that the image was of training, whatever split it is in now.

    Wrong: the boxes from `rule.doubtful` on and the findings of the review do not mean the same
    (`weighing.same_findings`): a class too many or too few, or a box elsewhere. The newest review of an image counts,
    whatever feedback it was given on, and whatever way its reviewer came to it.
    """
    needed = judged.select("feedback_id", "image_id", "timestamp", *DETECTOR, *_LOOKED_AT)
    known = needed.with_columns(told=records.feedback["split"]).filter(
        pl.col("split").is_not_null() & pl.col("held_out").is_null() & ~pl.col("other_picture")
    )
    known = known.with_columns(lot=lots(known["image_id"], seed))
    standing, _, waiting = matching.match(reviewed, judged, records.detections, rule)
    settled = standing.join(waiting, on="feedback_id", how="anti").join(known, on="feedback_id", how="semi")
    drawn = (
        known.filter((pl.col("lot") < share) & (pl.coalesce("told", "split") != "training"))
        .with_columns(pl.col(DETECTOR).fill_null(""))
        .join(_of_each_image(settled), on="image_id", how="left")
        .filter(pl.col("reviewed_at").is_null() | (pl.col("timestamp") <= pl.col("reviewed_at")))
        .sort("timestamp", "feedback_id")
        .unique(["image_id", *DETECTOR], keep="last", maintain_order=True)
        .with_columns(reviewed=(pl.col("verdict") != "reject").fill_null(value=False))
    )
    mistaken = _wrong(drawn.filter("reviewed"), records.detections, reviewed.findings, rule)
    counted = drawn.join(images.select("image_id", "group").unique("image_id"), on="image_id", how="left").with_columns(
        wrong=pl.col("feedback_id").is_in(mistaken), bare=pl.col("class_id").is_not_null() & ~pl.col("complete")
    )
    detectors = counted.sort(DETECTOR).group_by(DETECTOR, maintain_order=True)
    return [_audited(str(model), str(model_version), looked) for (model, model_version), looked in detectors]


def _audited(model: str, model_version: str, looked: pl.DataFrame) -> Audited:
    reviewed = looked.filter("reviewed")
    return Audited(
        model,
        model_version,
        drawn=looked.height,
        reviewed=reviewed.height,
        wrong=int(reviewed["wrong"].sum()),
        unusable=looked.filter(verdict="reject").height,
        top_box_only=int(reviewed["bare"].sum()),
        simulated=int(reviewed["by_program"].sum()),
        wrong_interval=_interval(reviewed["wrong"], reviewed["group"]),
    )


def _interval(hits: pl.Series, group: pl.Series) -> tuple[float, float] | None:
    from radloop.measures import intervals  # and with it scipy, which the queue does not need

    groups = group.rank("dense").to_numpy().astype(np.int64) - 1
    only = np.zeros(len(hits), dtype=np.int64)
    above, below = (
        intervals.per_group(only, groups, value, 1, group.n_unique()) for value in (hits.to_numpy(), np.ones(len(hits)))
    )
    share = intervals.of_share("share", above, below)
    low, high = float(share["share_low"][0]), float(share["share_high"][0])
    return None if isnan(low) else (low, high)


def _of_each_image(settled: pl.DataFrame) -> pl.DataFrame:
    """The newest review of each image that is not in dispute."""
    newest = settled.filter(~pl.col("disputed")).sort("timestamp", "review_id", "file")
    return newest.unique("image_id", keep="last").select(
        "image_id", "verdict", reviewed_at="timestamp", review="file", by_program="simulated"
    )


def _wrong(looked: pl.DataFrame, detections: pl.DataFrame, findings: pl.DataFrame, rule: Rule) -> list[str]:
    """The feedback files whose boxes are not those of their review."""
    told = detections.filter(pl.col("confidence") >= rule.doubtful).join(looked, on="feedback_id", how="semi")
    shown = _boxes(told, "feedback_id")
    found = _boxes(findings.join(looked, left_on="file", right_on="review", how="semi"), "file")
    return [
        feedback_id
        for feedback_id, review in looked.select("feedback_id", "review").iter_rows()
        if not weighing.same_findings(*shown.get(feedback_id, _NO_BOX), *found.get(review, _NO_BOX))
    ]


def _boxes(table: pl.DataFrame, of: str) -> dict[str, tuple[weighing.Classes, boxes.Floats]]:
    return {
        str(name): (rows["class_id"].to_numpy(), rows.select(EDGES).to_numpy()) for (name,), rows in table.group_by(of)
    }
