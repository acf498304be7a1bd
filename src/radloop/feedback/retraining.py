"""What the next model learns from: which feedback is kept and why the rest is not, and the rows that follow.

Without a review only production images train, and only where the model was sure of every box that it saw; with one,
the radiologist's findings. Every feedback ends in exactly one fate.
"""

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import polars as pl

from radloop import boxes
from radloop.feedback import guard
from radloop.feedback import reviews as reviewing
from radloop.feedback.records import Records
from radloop.feedback.reviews import Reviews
from radloop.tables import (
    ANNOTATION_COLUMNS,
    FATES,
    HELD_OUT,
    NO_FINDING,
    RETRAINING,
    SCALED_SIDE_PX,
    Fate,
    class_name,
)

MIN_CONFIDENCE: Final = 0.9
DOUBTFUL: Final = 0.25  # a box between this and the threshold: neither a label nor background
COLUMNS: Final = (
    *ANNOTATION_COLUMNS,
    *("width", "height", "split", "source", "confidence", "model", "feedback_id", "timestamp"),
)

_EDGES: Final = ("x_min_norm", "y_min_norm", "x_max_norm", "y_max_norm")
_NEEDED: Final = ("feedback_id", "image_id", "timestamp", "model", "file", *guard.JUDGED)
_LONGEST_MODEL: Final = 48  # with "M-" a reader's name
_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


@dataclass(frozen=True)
class Decided:
    """The rows, and what became of everything that came in."""

    rows: pl.DataFrame  # RETRAINING, sorted by image and box
    fates: pl.DataFrame  # FATES: one row a feedback and one a refused file
    reviews: pl.DataFrame  # REVIEWS of those that made rows, or settled that nothing trains
    refused_reviews: pl.DataFrame  # REFUSED_FILES: also those of a feedback that is not there
    fused: int  # predicted boxes that coincided with another and are one row with it
    cut: int  # boxes that reached over the picture's edge


def decide(
    records: Records,
    judged: pl.DataFrame,
    reviews: Reviews,
    *,
    min_confidence: float = MIN_CONFIDENCE,
    require_review: bool = False,
    include_held_out: bool = False,
) -> Decided:
    """Apply the rule to every feedback. `judged` is its table with what the guard says of it (`guard.judge`).

    Of several feedbacks on one image the newest counts, and one that was reviewed before all that were not: a later
    prediction does not take back what a radiologist said. Boxes of one class that coincide are fused (`boxes.fuse`,
    weighted by confidence); what reaches over the picture's edge is cut there and counted.
    """
    standing, refused_reviews = _known(reviews, judged)
    reasons = _reasons(min_confidence=min_confidence, require_review=require_review, include_held_out=include_held_out)
    unknown, withheld = (holds for holds, *_ in reasons[:2])
    order = (~(unknown | withheld), pl.col("verdict").is_not_null(), pl.col("timestamp"), pl.col("feedback_id"))
    counts = pl.col("feedback_id").sort_by(*order).last().over("image_id")  # sorting the table would copy all of it
    said = standing.select("feedback_id", "verdict", "disputed", review="file")
    told = said.join(_seen(records.detections, min_confidence), on="feedback_id", how="full", coalesce=True)
    table = (
        judged.select(_NEEDED)
        .hstack(_of_each(judged, told))
        .with_columns(superseded=pl.col("feedback_id") != counts)
        .with_columns(reason=_first_that_holds([holds for holds, *_ in reasons]))  # a number takes a byte, its text 16
        .with_columns(
            fate=_looked_up("reason", [fate for _, fate, _ in reasons], default="kept"),
            reason=pl.coalesce(
                _looked_up("reason", [reason for *_, reason in reasons]),
                pl.when(pl.col("reason").is_not_null()).then("evidence"),
            ),
        )
    )

    kept = table.filter(pl.col("fate") == "kept").with_columns(split=pl.coalesce("held_out", "split"))
    predicted, fused = _predicted(kept.filter(pl.col("verdict").is_null()), records.detections, min_confidence)
    rows = pl.concat([predicted, _reviewed(kept, standing, reviews.findings)])
    outside = pl.any_horizontal((pl.col(_EDGES) < 0) | (pl.col(_EDGES) > 1)).fill_null(False)
    used = table.filter(pl.col("fate").is_in(["kept", "unused"]) & (pl.col("reason") != "superseded").fill_null(True))
    return Decided(
        rows=rows.with_columns(pl.col(_EDGES).clip(0, 1)).unique().sort("image_id", "rad_id", "class_id", *_EDGES),
        fates=_fates(table, records.refused),
        reviews=standing.join(used, left_on="file", right_on="review", how="semi"),
        refused_reviews=refused_reviews,
        fused=fused,
        cut=rows.filter(outside).height,
    )


def _of_each(judged: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The columns of `told` for each row of `judged`; joining all of its columns would copy them."""
    ids = judged.select("feedback_id")
    return ids.join(told, on="feedback_id", how="left", maintain_order="left").drop("feedback_id")


def _known(reviews: Reviews, judged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the reviewers say, without the reviews of what is not there; those are refused."""
    named = pl.col("feedback_id").is_in(reviews.reviews["feedback_id"].implode())
    about = judged.filter(named).select("feedback_id", about="image_id")
    checked = reviews.reviews.join(about, on="feedback_id", how="left", maintain_order="left").with_columns(
        reason=pl.when(pl.col("about").is_null())
        .then(pl.lit("there is no feedback of this id"))
        .when(pl.col("about") != pl.col("image_id"))
        .then(pl.format("its feedback is on image {}", "about"))
    )
    sound = checked.filter(pl.col("reason").is_null()).drop("about", "reason")
    refused = checked.filter(pl.col("reason").is_not_null()).select("file", "reason")
    return reviewing.standing(Reviews(sound, reviews.findings, reviews.refused)), pl.concat(
        [reviews.refused, refused]
    ).sort("file")


def _seen(detections: pl.DataFrame, min_confidence: float) -> pl.DataFrame:
    """Of each feedback with a box: the highest confidence, and whether a box is doubtful or all but outside."""
    confidence = pl.col("confidence")
    inside = [pl.col(edge).clip(0, 1) for edge in _EDGES]
    flat = (inside[2] - inside[0] < reviewing.SMALLEST_SIDE) | (inside[3] - inside[1] < reviewing.SMALLEST_SIDE)
    return detections.group_by("feedback_id").agg(
        surest=confidence.max(),
        doubtful=((confidence >= DOUBTFUL) & (confidence <= min_confidence)).any(),
        flat=(flat & (confidence > min_confidence)).any(),
    )


def _reasons(
    *, min_confidence: float, require_review: bool, include_held_out: bool
) -> list[tuple[pl.Expr, str, str | None]]:
    """When which fate, and why (None: what the guard found); where none holds the feedback is kept."""
    unreviewed = pl.col("verdict").is_null()
    held_out = pl.col("held_out").is_not_null()
    trains = pl.col("split").is_in(["production", *HELD_OUT])  # those that are held out do not get so far
    unknown = pl.col("split").is_null()
    if include_held_out:
        held_out &= pl.lit(value=False)
    else:
        unknown &= ~held_out
    return [  # the first two come before it is asked which feedback of an image counts
        (unknown, "refused", None),
        (held_out, "withheld", None),
        (pl.col("superseded"), "unused", "superseded"),
        (pl.col("disputed").fill_null(False), "disputed", "its reviewers disagree"),
        (pl.col("verdict") == "reject", "unused", "rejected by its reviewer"),
        (unreviewed & require_review, "unused", "no review"),
        (unreviewed & ~trains, "unused", "a training image without a review"),
        (unreviewed & pl.col("surest").is_null(), "unused", "nothing found (class 14)"),
        (unreviewed & (pl.col("surest") <= min_confidence), "unused", f"no box above {min_confidence:g}"),
        (unreviewed & pl.col("doubtful"), "unused", "a doubtful box"),
        (unreviewed & pl.col("flat"), "refused", "a box has no area inside the picture"),
    ]


def _first_that_holds(conditions: list[pl.Expr]) -> pl.Expr:
    """Its place in the list; null where none holds."""
    return pl.coalesce(pl.when(holds).then(pl.lit(place, pl.Int8)) for place, holds in enumerate(conditions))


def _looked_up(column: str, values: list[str] | list[str | None], default: str | None = None) -> pl.Expr:
    table = dict(enumerate(values))
    return pl.col(column).replace_strict(table, default=default, return_dtype=pl.String)


def _predicted(kept: pl.DataFrame, detections: pl.DataFrame, min_confidence: float) -> tuple[pl.DataFrame, int]:
    """The rows of feedback without a review, and how many boxes fewer they are by fusion."""
    sure = detections.filter(pl.col("confidence") > min_confidence).drop("image_id")
    found = sure.join(kept, on="feedback_id", how="inner", suffix="_top").sort("feedback_id", "class_id", *_EDGES)
    alone = pl.struct("feedback_id", "class_id").is_unique()
    single, several = found.filter(alone), found.filter(~alone)
    merged = [
        pile[:1].select(pl.exclude(*_EDGES, "confidence")).join(_fuse(pile), how="cross")
        for pile in several.partition_by("feedback_id", "class_id", maintain_order=True)
    ]
    drawn = pl.concat([single, *(one.select(found.columns) for one in merged)])
    name = pl.col("model").fill_null("").str.replace_all(r"[^A-Za-z0-9-]", "").str.head(_LONGEST_MODEL)
    rows = drawn.with_columns(
        rad_id=pl.format("M-{}", pl.when(name == "").then(pl.lit("unknown")).otherwise(name)),
        source=pl.lit("prediction"),
    )
    return rows.select(RETRAINING.names()), found.height - drawn.height


def _fuse(pile: pl.DataFrame) -> pl.DataFrame:
    confidences = pile["confidence"].to_list()
    fused = boxes.fuse(pile.select(_EDGES).to_numpy(), [""] * pile.height, weights=confidences)
    corners = np.array([one.xyxy for one in fused])
    return pl.DataFrame(
        dict(zip(_EDGES, corners.T, strict=True)) | {"confidence": [one.weight for one in fused]},
    )


def _reviewed(kept: pl.DataFrame, standing: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The rows of reviewed feedback: the radiologist's boxes, or one row that says there is nothing."""
    simulated = pl.when("simulated").then(pl.lit("simulated-review")).otherwise(pl.lit("review"))
    said = standing.join(kept.select("split", "model", file="review"), on="file").with_columns(
        rad_id="reviewer", source=simulated, confidence=pl.lit(None, pl.Float64)
    )
    drawn = said.join(findings, on="file", how="left").with_columns(pl.col("class_id").fill_null(NO_FINDING))
    return drawn.select(RETRAINING.names()).cast({"class_id": RETRAINING["class_id"]})


def _fates(table: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    read = table.with_columns(split=pl.coalesce("held_out", "split")).select(FATES.names())
    unread = refused.with_columns(fate=pl.lit("refused"))
    return pl.concat([read, unread], how="diagonal").select(FATES.names())


def csv(rows: pl.DataFrame) -> bytes:
    """RETRAINING as retrain.csv: train.csv's columns with boxes in 1024×1024 pixels, and where each row comes from."""
    return (
        rows.with_columns(
            class_name(pl.col("class_id")).alias("class_name"),
            *(pl.col(edge).alias(edge.removesuffix("_norm")) * SCALED_SIDE_PX for edge in _EDGES),
            width=pl.lit(SCALED_SIDE_PX),
            height=pl.lit(SCALED_SIDE_PX),
            timestamp=pl.col("timestamp").dt.strftime(_TIME),
        )
        .select(COLUMNS)
        .write_csv()
        .encode()
    )


def from_csv(data: bytes) -> pl.DataFrame:
    """RETRAINING from the bytes of a retrain.csv that `csv` wrote."""
    kinds = RETRAINING | {edge.removesuffix("_norm"): pl.Float64() for edge in _EDGES}
    return pl.read_csv(data, schema_overrides=kinds).select(
        (pl.col(name.removesuffix("_norm")) / SCALED_SIDE_PX).alias(name) if name in _EDGES else pl.col(name)
        for name in RETRAINING
    )


def count(fates: pl.DataFrame) -> dict[str, int]:
    """How many feedbacks met each fate; their sum is what came in."""
    counted = dict(fates.group_by("fate").agg(pl.len()).iter_rows())
    return {fate: counted.get(fate, 0) for fate in get_args(Fate)}
