"""What the next model learns from: which feedback is kept and why the rest is not, and the rows that follow.

Without a review only images from production (that split's and incoming ones) train, and only where the model was sure
of every box that it saw; with one, the radiologist's findings. Every feedback ends in exactly one fate. A row that is
kept says whether it `trains`: not where it is one box of perhaps many, and not where it was simulated and the dataset
is not.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import polars as pl

from radloop import boxes, manifest, tree
from radloop.catalog.rule import Rule
from radloop.errors import DatasetError
from radloop.feedback import guard, looks, matching, reviews, weighing
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.tables import ANNOTATION_COLUMNS, DETECTOR, EDGES, FATES, HELD_OUT, RETRAINING, SCALED_SIDE_PX, Fate
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT, INCOMING

COLUMNS: Final = (
    *ANNOTATION_COLUMNS,
    *("width", "height", "split", "source", "confidence", "model", "feedback_id", "timestamp", "final", "trains"),
)
OF_POLICIES: Final = ("weight", "ignore")  # columns more, by the policies that fill them

_NEEDED: Final = ("feedback_id", "image_id", "timestamp", *DETECTOR, "simulated", "complete", "file", *guard.JUDGED)
_MAY_TRAIN: Final = ("production", INCOMING)  # without a review
_MADE_UP_MODELS: Final = ("random", "oracle")
_BARE: Final = ("bare-feedback", "it tells one box of perhaps many, and nobody has reviewed it")
_SIMULATED: Final = ("simulated", "it was simulated, and the dataset is not synthetic")
_REGIONS: Final = ("doubtful-regions", "its doubtful boxes are regions to ignore, which a label file has no place for")
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
    unproven: pl.DataFrame  # DETECTOR of feedback that might train, had its model been shown held-out images


class _Idle(NamedTuple):
    """When what is kept does not train."""

    bare: pl.Expr
    simulated: pl.Expr


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

    Of several predictions on one image the newest counts, and one that was reviewed before all that were not: a later
    prediction does not take back what a radiologist said. Boxes of one class that coincide are fused (`boxes.fuse`,
    weighted by confidence); what reaches over the picture's edge is cut there and counted.

    With the policy `calibrated` the rule has to have thresholds (`catalog.proven.by`): a class without one has no label
    without a review. All looks at an image that nobody has reviewed are fused (`feedback.looks`), doubtful boxes are
    rows with `ignore`, and rows have a `weight`.
    """
    standing, refused_reviews, waiting = matching.match(reviewed, judged, records.detections, rule)
    idle = _idle(rule, synthetic=synthetic)
    reasons = _reasons(rule, idle)
    table = _counted(judged, standing, waiting, reasons)
    if rule.policy == "threshold":
        seen = looks.marked(records.detections, rule)
        table = table.with_columns(fused=pl.lit(value=False), unproven=pl.lit(value=False))
    else:
        table = _together(table, rule, reasons, idle)
        seen = looks.fused(table.select("feedback_id", "together", *DETECTOR), records.detections, rule)
        table = table.with_columns(model="models", fused=pl.col("together") != pl.col("feedback_id"))
    table = _decided(table.hstack(_of_each(table, _flags(seen, rule))), reasons, idle)

    kept = table.filter(pl.col("fate") == "kept").with_columns(split=pl.coalesce("held_out", "split"))
    predicted, fused = _predicted(kept.filter(pl.col("verdict").is_null()), seen, rule)
    rows = pl.concat([predicted, _reviewed(kept, standing, reviewed, refused_reviews, rule)])
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
        unproven=table.filter("unproven").select(DETECTOR).unique().sort(DETECTOR),
    )


def _counted(
    judged: pl.DataFrame, standing: pl.DataFrame, waiting: pl.DataFrame, reasons: list[_Reason]
) -> pl.DataFrame:
    """What is needed of each feedback, with what its reviewers said, and whether another of its image counts."""
    unknown, withheld, other = (reason.holds for reason in reasons[:3])
    looked_at = pl.col("verdict").is_not_null() | pl.col("waits_for").is_not_null()
    order = (~(unknown | withheld | other), looked_at, pl.col("timestamp"), pl.col("feedback_id"))
    counts = pl.col("feedback_id").sort_by(*order).last().over("image_id")  # sorting the table would copy all of it
    said = standing.select("feedback_id", "verdict", "disputed", review="file", review_simulated="simulated")
    held = waiting.group_by("feedback_id").agg(waits_for=pl.col("file").min())
    told = said.join(held, on="feedback_id", how="full", coalesce=True)
    table = judged.select(_NEEDED).hstack(_of_each(judged, told))
    return table.with_columns(superseded=pl.col("feedback_id") != counts)


def _together(table: pl.DataFrame, rule: Rule, reasons: list[_Reason], idle: _Idle) -> pl.DataFrame:
    """The table with `together`: the feedback that counts for its image, where both may train unseen, else itself.

    `models`: whose looks these are. `unproven`: it counts and might train, and nothing is known of its model.
    """
    barred = pl.any_horizontal(reason.holds for reason in reasons[:3])
    read = pl.col("verdict").is_not_null() | pl.col("waits_for").is_not_null()
    unseen = ~(barred | read | idle.bare | idle.simulated | pl.lit(rule.require_review)).fill_null(value=False)
    known = looks.models(rule).with_columns(known=pl.lit(value=True))
    table = (
        table.with_columns(pl.col(DETECTOR).fill_null(""))
        .join(known, on=DETECTOR, how="left", maintain_order="left")
        .with_columns(pl.col("known").fill_null(value=False))
        .with_columns(
            free=unseen & pl.col("known"),
            unproven=unseen & ~pl.col("known") & ~pl.col("superseded") & pl.col("split").is_in(_MAY_TRAIN),
        )
    )
    counts = pl.col("feedback_id").filter(pl.col("free"), ~pl.col("superseded")).first().over("image_id")
    together = pl.when("free").then(pl.coalesce(counts, "feedback_id")).otherwise("feedback_id")
    names = pl.col("model").unique().sort().str.join("+").replace("", None)
    return table.with_columns(together=together).with_columns(models=names.over("together"))


def _decided(table: pl.DataFrame, reasons: list[_Reason], idle: _Idle) -> pl.DataFrame:
    """The table with fate, code and reason of each feedback, and whether its rows train."""
    return (
        table.rename({"code": "evidence_code"})
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
        .with_columns(_why_idle(idle))
        .with_columns(trains=(pl.col("fate") == "kept") & pl.col("code").is_null())
    )


def _of_each(judged: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The columns of `told` for each row of `judged`; joining all of its columns would copy them."""
    ids = judged.select("feedback_id")
    return ids.join(told, on="feedback_id", how="left", maintain_order="left").drop("feedback_id")


def _idle(rule: Rule, *, synthetic: bool) -> _Idle:
    unreviewed, may = pl.col("verdict").is_null(), synthetic or rule.allow_simulated
    made_up = pl.col("simulated").fill_null(value=False) | pl.col("model").is_in(_MADE_UP_MODELS).fill_null(value=False)
    return _Idle(
        bare=unreviewed & ~pl.col("complete").fill_null(value=False),
        simulated=pl.when(unreviewed).then(made_up).otherwise(pl.col("review_simulated")) & (not may),
    )


def _why_idle(idle: _Idle) -> list[pl.Expr]:
    """Code and reason of what is kept and does not train."""
    kept, regions = pl.col("fate") == "kept", pl.col("verdict").is_null() & pl.col("doubtful")
    holds = ((kept & idle.bare, _BARE), (kept & idle.simulated, _SIMULATED), (kept & regions, _REGIONS))
    return [
        pl.coalesce(*(pl.when(one).then(pl.lit(said[place])) for one, said in holds), name).alias(name)
        for place, name in enumerate(("code", "reason"))
    ]


def _flags(seen: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """Of each feedback with a box: whether one is sure, one is doubtful, and one all but outside the picture."""
    inside = [pl.col(edge).clip(0, 1) for edge in EDGES]
    flat = (inside[2] - inside[0] < reviews.SMALLEST_SIDE) | (inside[3] - inside[1] < reviews.SMALLEST_SIDE)
    drawn = pl.col("sure") if rule.policy == "threshold" else pl.lit(value=True)
    flags = {
        "sure": pl.col("sure"),
        "doubtful": (pl.col("confidence") >= rule.doubtful) & ~pl.col("sure"),
        "flat": flat & drawn,
    }
    told = seen.select("feedback_id", **flags)  # of each box first: the edges are not needed while these are grouped
    return told.group_by("feedback_id").agg(pl.col(*flags).any())


def _reasons(rule: Rule, idle: _Idle) -> list[_Reason]:
    """In their order; where none holds the feedback is kept."""
    lost = pl.lit(value=True) if rule.policy == "threshold" else idle.bare | idle.simulated  # by a doubtful box
    unreviewed = pl.col("verdict").is_null()
    held_out = pl.col("held_out").is_not_null()
    trains = pl.col("split").is_in([*_MAY_TRAIN, *HELD_OUT])  # those that are held out do not get so far
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
        _Reason(pl.col("superseded") & pl.col("fused"), "unused", "fused", "fused with the newest one on its image"),
        _Reason(pl.col("superseded"), "unused", "superseded", "superseded"),
        _Reason(pl.col("waits_for").is_not_null(), "disputed", _UNREADABLE[0], _UNREADABLE[1]),
        _Reason(pl.col("disputed").fill_null(False), "disputed", "disputed", "its reviewers disagree"),
        _Reason(pl.col("verdict") == "reject", "unused", "rejected", "rejected by its reviewer"),
        _Reason(unreviewed & rule.require_review, "unused", "no-review", "no review"),
        _Reason(unreviewed & ~trains, "unused", "training-image", "a training image without a review"),
        _Reason(unreviewed & pl.col("sure").is_null(), "unused", "nothing-found", "nothing found"),
        _Reason(unreviewed & ~pl.col("sure"), "unused", "low-confidence", f"no box {rule.words}"),
        _Reason(unreviewed & pl.col("doubtful") & lost, "unused", "doubtful-box", "a doubtful box"),
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


def _predicted(kept: pl.DataFrame, seen: pl.DataFrame, rule: Rule) -> tuple[pl.DataFrame, int]:
    """The rows of feedback without a review, and how many boxes fewer they are by fusion."""
    found = seen.drop("image_id").join(kept, on="feedback_id", how="inner", suffix="_of")
    if rule.policy == "threshold":
        found = found.filter("sure").sort("feedback_id", "class_id", *EDGES)
        drawn = _fused(found).with_columns(weight=pl.lit(None, pl.Float64), ignore=pl.lit(value=False))
        fewer = found.height - drawn.height
    else:
        drawn = found.with_columns(weight=pl.when("sure").then("weight"), ignore=~pl.col("sure"))
        fewer = int((found["members"] - 1).sum())
    name = pl.col("model").fill_null("").str.replace_all(r"[^A-Za-z0-9-]", "").str.head(_LONGEST_MODEL)
    rows = drawn.with_columns(
        rad_id=pl.format("M-{}", pl.when(name == "").then(pl.lit("unknown")).otherwise(name)),
        source=pl.lit("prediction"),
        final=pl.lit(value=False),
    )
    return rows.select(RETRAINING.names()), fewer


def _fused(found: pl.DataFrame) -> pl.DataFrame:
    """The boxes of each feedback and class, those that coincide as one."""
    alone = pl.struct("feedback_id", "class_id").is_unique()
    merged = [
        pile[:1].select(pl.exclude(*EDGES, "confidence")).join(_fuse(pile), how="cross")
        for pile in found.filter(~alone).partition_by("feedback_id", "class_id", maintain_order=True)
    ]
    return pl.concat([found.filter(alone), *(one.select(found.columns) for one in merged)])


def _fuse(pile: pl.DataFrame) -> pl.DataFrame:
    confidences = pile["confidence"].to_list()
    fused = boxes.fuse(pile.select(EDGES).to_numpy(), [""] * pile.height, weights=confidences)
    corners = np.array([one.xyxy for one in fused])
    return pl.DataFrame(
        dict(zip(EDGES, corners.T, strict=True)) | {"confidence": [one.weight for one in fused]},
    )


def _reviewed(
    kept: pl.DataFrame, standing: pl.DataFrame, reviewed: Reviews, refused: pl.DataFrame, rule: Rule
) -> pl.DataFrame:
    """The rows of reviewed feedback: the radiologist's boxes, or one row that says there is nothing."""
    simulated = pl.when("simulated").then(pl.lit("simulated-review")).otherwise(pl.lit("review"))
    said = standing.join(kept.select("split", "model", "trains", file="review"), on="file").with_columns(
        rad_id="reviewer", source=simulated, confidence=pl.lit(None, pl.Float64), final="adjudicates"
    )
    rows = said.join(reviewed.findings, on="file", how="left").with_columns(
        weight=pl.lit(None, pl.Float64), ignore=pl.lit(value=False)
    )
    if rule.policy != "threshold":
        sound = reviewed.reviews.join(refused, on="file", how="anti")
        rows = rows.with_columns(weight=weighing.share(rows, sound, reviewed.findings))
    return rows.select(RETRAINING.names())


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
        .select(*COLUMNS, *_filled(rows))
        .write_csv()
        .encode()
    )


def _filled(rows: pl.DataFrame) -> tuple[str, ...]:
    """OF_POLICIES where a row says anything there: a table of the threshold alone is as the description has it."""
    return OF_POLICIES if rows["weight"].count() or rows["ignore"].any() else ()


def from_csv(data: bytes, classes: Taxonomy) -> pl.DataFrame:
    """RETRAINING from the bytes of a retrain.csv that `csv` wrote."""
    kinds = RETRAINING | {edge.removesuffix("_norm"): pl.Float64() for edge in EDGES}
    table = pl.read_csv(data, schema_overrides=kinds)
    if "final" not in table.columns:  # as it was before a table told
        table = table.with_columns(final=pl.lit(value=False))
    if "trains" not in table.columns:  # as it was while every row trained
        table = table.with_columns(trains=pl.lit(value=True))
    if "ignore" not in table.columns:  # of the threshold alone
        table = table.with_columns(weight=pl.lit(None, pl.Float64), ignore=pl.lit(value=False))
    rows = table.with_columns(
        classes.from_file(pl.col("class_id")).alias("class_id"),
        *((pl.col(edge.removesuffix("_norm")) / SCALED_SIDE_PX).alias(edge) for edge in EDGES),
    )
    return rows.select(RETRAINING.names())


def read(unit: Path, classes: Taxonomy) -> pl.DataFrame:
    """RETRAINING of the round that stands in `unit`. Raises DatasetError where there is none, or it was changed."""
    path, listed = unit / tree.RETRAIN_TABLE, manifest.read(unit)
    data = path.read_bytes() if path.is_file() else None
    if data is None or listed is None:
        raise DatasetError(f"{unit} has no {tree.RETRAIN_TABLE}. Run `radloop retrain` first.")
    if hashlib.md5(data).hexdigest() not in listed.filter(key=tree.RETRAIN_TABLE)["md5"]:
        raise DatasetError(f"{path} is not the file that its manifest lists. Run `radloop retrain` again.")
    return from_csv(data, classes)


def count(fates: pl.DataFrame) -> dict[str, int]:
    """How many feedback files met each fate; their sum is what came in."""
    counted = dict(fates.group_by("fate").agg(pl.len()).iter_rows())
    return {fate: counted.get(fate, 0) for fate in get_args(Fate)}
