"""What the next model learns from: which feedback is kept and why the rest is not, and the rows that follow.

Without a review only images from production (that split's and incoming ones) train, and only where the model was sure
of every box that it saw; with one, the radiologist's findings. Every feedback ends in exactly one fate. A row that is
kept says whether it `trains`: not where it is one box of perhaps many, and not where it was simulated and the dataset
is not.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from radloop import boxes
from radloop.catalog.rule import Rule
from radloop.feedback import guard, matching, reviews
from radloop.feedback.reading import Records
from radloop.feedback.reviews import Reviews
from radloop.tables import ANNOTATION_COLUMNS, EDGES, FATES, HELD_OUT, RETRAINING, SCALED_SIDE_PX, Fate
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT, INCOMING

COLUMNS: Final = (
    *ANNOTATION_COLUMNS,
    *("width", "height", "split", "source", "confidence", "model", "feedback_id", "timestamp", "final", "trains"),
)

_NEEDED: Final = ("feedback_id", "image_id", "timestamp", "model", "simulated", "complete", "file", *guard.JUDGED)
_MADE_UP_MODELS: Final = ("random", "oracle")
_BARE: Final = ("bare-feedback", "it tells one box of perhaps many, and nobody has reviewed it")
_SIMULATED: Final = ("simulated", "it was simulated, and the dataset is not synthetic")
_UNREADABLE: Final = ("review-unreadable", "waits: its review {} cannot be used; mend it, or review the feedback again")
_LONGEST_MODEL: Final = 48  # with "M-" a reader's name
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6f+00:00"
_ORDER: Final = ("image_id", "rad_id", "class_id", *EDGES)
_DEFAULT: Final = Rule()


@dataclass(frozen=True)
class Decided:
    """The rows, and what became of everything that came in."""

    rows: pl.DataFrame  # RETRAINING, sorted by image and box
    fates: pl.DataFrame  # FATES: one row a feedback and one a refused file
    reviews: pl.DataFrame  # REVIEWS of those that made rows, or settled that nothing trains
    refused_reviews: pl.DataFrame  # REFUSED_FILES: also those of a feedback that is not there
    waiting: pl.DataFrame  # WAITING: for which reviews which feedback waits
    fused: int  # predicted boxes that coincided with another and are one row with it
    cut: int  # boxes that reached over the picture's edge


class _Reason(NamedTuple):
    """When a feedback meets a fate, and why: code and sentence (None: what the guard found)."""

    holds: pl.Expr
    fate: Fate
    code: str | None
    sentence: str | None


def decide(
    records: Records, judged: pl.DataFrame, reviewed: Reviews, rule: Rule = _DEFAULT, *, synthetic: bool = False
) -> Decided:
    """Apply the rule to every feedback. `judged` is its table with what the guard says of it (`guard.judge`).

    `synthetic`: the dataset is, so that what was simulated may train on it.

    Of several feedbacks on one image the newest counts, and one that was reviewed before all that were not: a later
    prediction does not take back what a radiologist said. Boxes of one class that coincide are fused (`boxes.fuse`,
    weighted by confidence); what reaches over the picture's edge is cut there and counted.
    """
    standing, refused_reviews, waiting = matching.match(reviewed, judged, records.detections, rule)
    reasons = _reasons(rule)
    unknown, withheld, other = (reason.holds for reason in reasons[:3])
    looked_at = pl.col("verdict").is_not_null() | pl.col("waits_for").is_not_null()
    order = (~(unknown | withheld | other), looked_at, pl.col("timestamp"), pl.col("feedback_id"))
    counts = pl.col("feedback_id").sort_by(*order).last().over("image_id")  # sorting the table would copy all of it
    said = standing.select("feedback_id", "verdict", "disputed", review="file", review_simulated="simulated")
    held = waiting.group_by("feedback_id").agg(waits_for=pl.col("file").min())
    said = said.join(held, on="feedback_id", how="full", coalesce=True)
    told = said.join(_seen(records.detections, rule), on="feedback_id", how="full", coalesce=True)
    table = (
        judged.select(_NEEDED)
        .hstack(_of_each(judged, told))
        .with_columns(superseded=pl.col("feedback_id") != counts)
        .rename({"code": "evidence_code"})
        .with_columns(reason=_first_that_holds(reasons))  # a number takes a byte, its text 16
        .with_columns(
            fate=pl.col("reason").replace_strict(
                {place: reason.fate for place, reason in enumerate(reasons)}, default="kept", return_dtype=pl.String
            ),
            code=_told("code", reasons, "evidence_code"),
            reason=_told("sentence", reasons, "evidence"),
        )
        .with_columns(
            reason=pl.when(pl.col("code") == _UNREADABLE[0])
            .then(pl.format(_UNREADABLE[1], "waits_for"))
            .otherwise("reason")
        )
        .with_columns(_why_idle(rule, synthetic=synthetic))
        .with_columns(trains=(pl.col("fate") == "kept") & pl.col("code").is_null())
    )

    kept = table.filter(pl.col("fate") == "kept").with_columns(split=pl.coalesce("held_out", "split"))
    predicted, fused = _predicted(kept.filter(pl.col("verdict").is_null()), records.detections, rule)
    rows = pl.concat([predicted, _reviewed(kept, standing, reviewed.findings)])
    outside = pl.any_horizontal((pl.col(EDGES) < 0) | (pl.col(EDGES) > 1)).fill_null(False)
    used = table.filter(pl.col("fate").is_in(["kept", "unused"]) & pl.col("code").ne_missing("superseded"))
    return Decided(
        rows=rows.with_columns(pl.col(EDGES).clip(0, 1)).unique().sort(_ORDER, nulls_last=True),
        fates=_fates(table, records.refused),
        reviews=standing.join(used, left_on="file", right_on="review", how="semi"),
        refused_reviews=refused_reviews,
        waiting=waiting,
        fused=fused,
        cut=rows.filter(outside).height,
    )


def _of_each(judged: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The columns of `told` for each row of `judged`; joining all of its columns would copy them."""
    ids = judged.select("feedback_id")
    return ids.join(told, on="feedback_id", how="left", maintain_order="left").drop("feedback_id")


def _why_idle(rule: Rule, *, synthetic: bool) -> list[pl.Expr]:
    """Code and reason of what is kept and does not train."""
    unreviewed, may = pl.col("verdict").is_null(), synthetic or rule.allow_simulated
    bare = unreviewed & ~pl.col("complete").fill_null(value=False)
    made_up = pl.col("simulated").fill_null(value=False) | pl.col("model").is_in(_MADE_UP_MODELS).fill_null(value=False)
    simulated = pl.when(unreviewed).then(made_up).otherwise(pl.col("review_simulated")) & (not may)
    kept = pl.col("fate") == "kept"
    told = [
        pl.when(kept & bare).then(pl.lit(of_bare)).when(kept & simulated).then(pl.lit(of_simulated)).otherwise(name)
        for name, of_bare, of_simulated in zip(("code", "reason"), _BARE, _SIMULATED, strict=True)
    ]
    return [expression.alias(name) for expression, name in zip(told, ("code", "reason"), strict=True)]


def _seen(detections: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Of each feedback with a box: the highest confidence, and whether a box is doubtful or all but outside."""
    confidence = pl.col("confidence")
    inside = [pl.col(edge).clip(0, 1) for edge in EDGES]
    flat = (inside[2] - inside[0] < reviews.SMALLEST_SIDE) | (inside[3] - inside[1] < reviews.SMALLEST_SIDE)
    return detections.group_by("feedback_id").agg(
        surest=confidence.max(),
        doubtful=((confidence >= rule.doubtful) & (confidence <= rule.min_confidence)).any(),
        flat=(flat & (confidence > rule.min_confidence)).any(),
    )


def _reasons(rule: Rule) -> list[_Reason]:
    """In their order; where none holds the feedback is kept."""
    unreviewed = pl.col("verdict").is_null()
    held_out = pl.col("held_out").is_not_null()
    trains = pl.col("split").is_in(["production", INCOMING, *HELD_OUT])  # those that are held out do not get so far
    unknown = pl.col("split").is_null()
    if rule.include_held_out:
        held_out = pl.col("held_out").eq_missing(AUDIT)  # what measures the next model teaches it under no flag
    else:
        unknown &= ~held_out
    return [  # the first three come before it is asked which feedback of an image counts
        _Reason(unknown, "refused", *guard.UNKNOWN),
        _Reason(held_out, "withheld", None, None),
        _Reason(
            pl.col("other_picture"),
            "unused",
            "other-picture",
            "it was given on another picture than the dataset has of the image (MD5)",
        ),
        _Reason(pl.col("superseded"), "unused", "superseded", "superseded"),
        _Reason(pl.col("waits_for").is_not_null(), "disputed", _UNREADABLE[0], _UNREADABLE[1]),
        _Reason(pl.col("disputed").fill_null(False), "disputed", "disputed", "its reviewers disagree"),
        _Reason(pl.col("verdict") == "reject", "unused", "rejected", "rejected by its reviewer"),
        _Reason(unreviewed & rule.require_review, "unused", "no-review", "no review"),
        _Reason(unreviewed & ~trains, "unused", "training-image", "a training image without a review"),
        _Reason(unreviewed & pl.col("surest").is_null(), "unused", "nothing-found", "nothing found"),
        _Reason(
            unreviewed & (pl.col("surest") <= rule.min_confidence),
            "unused",
            "low-confidence",
            f"no box above {rule.min_confidence:g}",
        ),
        _Reason(unreviewed & pl.col("doubtful"), "unused", "doubtful-box", "a doubtful box"),
        _Reason(unreviewed & pl.col("flat"), "refused", "box-without-area", "a box has no area inside the picture"),
    ]


def _first_that_holds(reasons: list[_Reason]) -> pl.Expr:
    """Its place in the list; null where none holds."""
    return pl.coalesce(pl.when(reason.holds).then(pl.lit(place, pl.Int8)) for place, reason in enumerate(reasons))


def _told(what: Literal["code", "sentence"], reasons: list[_Reason], by_guard: str) -> pl.Expr:
    """The code or sentence of the reason that holds, which may be the guard's; null where none does."""
    own = {place: getattr(reason, what) for place, reason in enumerate(reasons)}
    place = pl.col("reason")
    return pl.coalesce(
        place.replace_strict(own, default=None, return_dtype=pl.String), pl.when(place.is_not_null()).then(by_guard)
    )


def _predicted(kept: pl.DataFrame, detections: pl.DataFrame, rule: Rule) -> tuple[pl.DataFrame, int]:
    """The rows of feedback without a review, and how many boxes fewer they are by fusion."""
    sure = detections.filter(pl.col("confidence") > rule.min_confidence).drop("image_id")
    found = sure.join(kept, on="feedback_id", how="inner", suffix="_top").sort("feedback_id", "class_id", *EDGES)
    alone = pl.struct("feedback_id", "class_id").is_unique()
    single, several = found.filter(alone), found.filter(~alone)
    merged = [
        pile[:1].select(pl.exclude(*EDGES, "confidence")).join(_fuse(pile), how="cross")
        for pile in several.partition_by("feedback_id", "class_id", maintain_order=True)
    ]
    drawn = pl.concat([single, *(one.select(found.columns) for one in merged)])
    name = pl.col("model").fill_null("").str.replace_all(r"[^A-Za-z0-9-]", "").str.head(_LONGEST_MODEL)
    rows = drawn.with_columns(
        rad_id=pl.format("M-{}", pl.when(name == "").then(pl.lit("unknown")).otherwise(name)),
        source=pl.lit("prediction"),
        final=pl.lit(value=False),
    )
    return rows.select(RETRAINING.names()), found.height - drawn.height


def _fuse(pile: pl.DataFrame) -> pl.DataFrame:
    confidences = pile["confidence"].to_list()
    fused = boxes.fuse(pile.select(EDGES).to_numpy(), [""] * pile.height, weights=confidences)
    corners = np.array([one.xyxy for one in fused])
    return pl.DataFrame(
        dict(zip(EDGES, corners.T, strict=True)) | {"confidence": [one.weight for one in fused]},
    )


def _reviewed(kept: pl.DataFrame, standing: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The rows of reviewed feedback: the radiologist's boxes, or one row that says there is nothing."""
    simulated = pl.when("simulated").then(pl.lit("simulated-review")).otherwise(pl.lit("review"))
    said = standing.join(kept.select("split", "model", "trains", file="review"), on="file").with_columns(
        rad_id="reviewer", source=simulated, confidence=pl.lit(None, pl.Float64), final="adjudicates"
    )
    return said.join(findings, on="file", how="left").select(RETRAINING.names())


def _fates(table: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    read = table.with_columns(split=pl.coalesce("held_out", "split")).select(FATES.names())
    unread = refused.with_columns(fate=pl.lit("refused"))
    return pl.concat([read, unread], how="diagonal").select(FATES.names())


def csv(rows: pl.DataFrame, classes: Taxonomy) -> bytes:
    """RETRAINING as retrain.csv: train.csv's columns with boxes in 1024×1024 pixels, and where each row comes from."""
    return (
        rows.with_columns(
            classes.to_file(pl.col("class_id")),
            classes.named(pl.col("class_id")).alias("class_name"),
            *(pl.col(edge).alias(edge.removesuffix("_norm")) * SCALED_SIDE_PX for edge in EDGES),
            width=pl.lit(SCALED_SIDE_PX),
            height=pl.lit(SCALED_SIDE_PX),
            timestamp=pl.col("timestamp").dt.strftime(_TIME),
        )
        .select(COLUMNS)
        .write_csv()
        .encode()
    )


def from_csv(data: bytes, classes: Taxonomy) -> pl.DataFrame:
    """RETRAINING from the bytes of a retrain.csv that `csv` wrote."""
    kinds = RETRAINING | {edge.removesuffix("_norm"): pl.Float64() for edge in EDGES}
    table = pl.read_csv(data, schema_overrides=kinds)
    if "final" not in table.columns:  # as it was before a table told
        table = table.with_columns(final=pl.lit(value=False))
    if "trains" not in table.columns:  # as it was while every row trained
        table = table.with_columns(trains=pl.lit(value=True))
    rows = table.with_columns(
        classes.from_file(pl.col("class_id")).alias("class_id"),
        *((pl.col(edge.removesuffix("_norm")) / SCALED_SIDE_PX).alias(edge) for edge in EDGES),
    )
    return rows.select(RETRAINING.names())


def count(fates: pl.DataFrame) -> dict[str, int]:
    """How many feedbacks met each fate; their sum is what came in."""
    counted = dict(fates.group_by("fate").agg(pl.len()).iter_rows())
    return {fate: counted.get(fate, 0) for fate in get_args(Fate)}
