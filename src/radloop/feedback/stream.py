"""Feedback and reviews in order of time, as the figures that are watched: a value of each image, a column of time.

What is watched is the stream that a detector sees at work: images of production and those that came in, not what was
held out or trained on. A look at one picture counts once, the first; so does a review of one image.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import polars as pl

from radloop.catalog.models import model_id
from radloop.catalog.rule import Rule
from radloop.feedback import matching, weighing
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.measures import sequential
from radloop.measures.sequential import Day, Followed
from radloop.tables import DETECTOR, HELD_OUT, TIME
from radloop.taxonomy import Taxonomy

# One value of one image for one figure. share: the values are yes (1) and no (0). group: a person's images of a day
# count as one.
VALUES: Final = pl.Schema(
    {
        "kind": pl.String(),
        "figure": pl.String(),
        "share": pl.Boolean(),
        "at": TIME,
        "group": pl.String(),
        "value": pl.Float64(),
    }
)
PICTURE: Final = {"mean": "mean gray value", "std": "contrast", "sharpness": "sharpness"}

_FIRST: Final = sequential.LEARNING * sequential.LEAST_UNITS  # images that tell which sites and readers there are
_RULE: Final = Rule()
_YEAR_SECONDS: Final = 365.25 * 86_400


def looks(judged: pl.DataFrame, told: pl.Series, images: pl.DataFrame) -> pl.DataFrame:
    """The feedback of the stream: `judged` (`guard.judge`) by time, with `group` and `name` (`model_id`).

    told: the split that each feedback itself says, which is what the image was of then. images: image_id, group.
    """
    groups = images.select("image_id", of="group").unique("image_id")
    own = pl.coalesce(told, "split").fill_null("")
    names = judged.select(DETECTOR).unique()
    named = names.with_columns(
        name=pl.Series([model_id(*(part or "" for part in row)) for row in names.rows()], dtype=pl.String)
    )
    return (
        judged.filter(~own.is_in(["training", *HELD_OUT]))
        .join(groups, on="image_id", how="left")
        .join(named, on=DETECTOR, how="left", nulls_equal=True)
        .with_columns(group=pl.coalesce("of", "image_id"))
        .sort("timestamp", "feedback_id")
    )


def of_feedback(seen: pl.DataFrame, detections: pl.DataFrame, classes: Taxonomy) -> pl.DataFrame:
    """VALUES of the pictures and of what was predicted on them. seen: rows of `looks`."""
    first = seen.with_columns(picture=pl.coalesce("image_md5", "image_id")).unique(
        "picture", keep="first", maintain_order=True
    )
    boxes = detections.join(first, on="feedback_id", how="semi")
    each = boxes.group_by("feedback_id").agg(
        boxes=pl.len().cast(pl.Float64), confidence=pl.col("confidence").max(), classes=pl.col("class_id").unique()
    )
    told = first.drop("confidence").join(each, on="feedback_id", how="left", maintain_order="left")
    found = pl.col("boxes").is_not_null().cast(pl.Float64)
    seen_as = [
        _values(told, "prediction", "images with a finding", found, share=True),
        _values(told, "prediction", "boxes an image", pl.col("boxes").fill_null(0.0)),
        _values(told, "prediction", "confidence", pl.col("confidence")),
    ]
    for class_id, name in enumerate(classes.names):
        has = pl.col("classes").list.contains(class_id).fill_null(value=False).cast(pl.Float64)
        seen_as.append(_values(told, "prediction", f"images with {name}", has, share=True))
    return pl.concat([*_of_pictures(first), *seen_as])


def _of_pictures(first: pl.DataFrame) -> list[pl.DataFrame]:
    """Of each site of the first images where there are several, else of all together."""
    sites = first.head(_FIRST)["site"].unique().sort().to_list()
    parts = {"": first} if len(sites) < 2 else {f", site {site or 'unknown'}": _of_site(first, site) for site in sites}
    return [
        _values(part, "picture", f"{words}{where}", pl.col(column))
        for where, part in parts.items()
        for column, words in PICTURE.items()
    ]


def _of_site(first: pl.DataFrame, site: str | None) -> pl.DataFrame:
    return first.filter(pl.col("site").eq_missing(pl.lit(site, pl.String)))


def usable(
    reviewed: Reviews, judged: pl.DataFrame, detections: pl.DataFrame, *, simulated: bool = False
) -> pl.DataFrame:
    """The REVIEWS that say something of their image, by time; those of simulated readers only with `simulated`."""
    _, refused, _ = matching.match(reviewed, judged, detections, _RULE)
    sound = reviewed.reviews.join(refused, on="file", how="anti")
    kept = sound.filter(pl.col("verdict") != "reject", pl.lit(simulated) | ~pl.col("simulated"))
    return kept.sort("timestamp", "review_id", "file")


def of_reviews(
    said: pl.DataFrame, reviewed: Reviews, seen: pl.DataFrame, records: Records, classes: Taxonomy
) -> pl.DataFrame:
    """VALUES of the reviews. said: `usable` ones; seen: the `looks` that they may speak of."""
    about = seen.select("feedback_id", "group", look="image_id")
    first = (
        said.filter(~pl.col("adjudicates"))
        .join(about, on="feedback_id", maintain_order="left")
        .unique("look", keep="first", maintain_order=True)
    )
    shown = records.detections.filter(pl.col("confidence") >= _RULE.doubtful)
    found = reviewed.findings.join(first, on="file").select("feedback_id", "class_id").unique()
    missed = found.join(shown, on=["feedback_id", "class_id"], how="anti").with_columns(value=pl.lit(1.0))
    each = (
        found.join(missed, on=["feedback_id", "class_id"], how="left")
        .with_columns(pl.col("value").fill_null(0.0))
        .join(first.select("feedback_id", "timestamp", "group"), on="feedback_id")
        .sort("timestamp", "feedback_id", "class_id")
    )
    any_class = each.group_by("feedback_id", maintain_order=True).agg(pl.first("timestamp", "group"), pl.max("value"))
    corrected = first.with_columns(value=(~_as_shown(first, shown, reviewed.findings)).cast(pl.Float64))
    values = [
        _values(corrected, "review", "corrected", pl.col("value"), share=True),
        _values(any_class, "review", "missed", pl.col("value"), share=True),
    ]
    for class_id, name in enumerate(classes.names):
        values.append(_values(each.filter(class_id=class_id), "review", f"missed {name}", pl.col("value"), share=True))
    for reader in first.head(_FIRST)["reviewer"].unique().sort():
        read = (pl.col("reviewer") == reader).cast(pl.Float64)
        values.append(_values(first, "review", f"read by {reader}", read, share=True))
    return pl.concat(values)


def _as_shown(said: pl.DataFrame, shown: pl.DataFrame, findings: pl.DataFrame) -> pl.Series:
    """Whether each review means what the model showed."""
    other = pl.format("shown {}", "feedback_id")
    both = pl.concat([findings, shown.select(other.alias("file"), *findings.columns[1:])])
    pairs = said.select("file", verdict=pl.lit(""), file_other=other, verdict_other=pl.lit(""))
    return weighing.mean_the_same(pairs, both)


def _values(looked: pl.DataFrame, kind: str, figure: str, value: pl.Expr, *, share: bool = False) -> pl.DataFrame:
    """VALUES of one figure; one row without a value where there is nothing, so that the figure is named."""
    values = looked.select(at="timestamp", group="group", value=value).drop_nulls("value")
    if values.is_empty():
        values = pl.DataFrame({"at": [None], "group": [None], "value": [None]})
    named = values.with_columns(kind=pl.lit(kind), figure=pl.lit(figure), share=pl.lit(share))
    return named.select(VALUES.names()).cast(VALUES)


@dataclass(frozen=True)
class Watched:
    """One figure, day by day, and what came of it."""

    kind: str
    share: bool
    days: list[Day]
    limit: float  # of the e-detector
    came: Followed


def watch(values: pl.DataFrame, *, rate: int, day_seconds: float) -> dict[str, Watched]:
    """Every figure of VALUES, followed; each kind has an equal part of the accepted false alarms a year, `rate`.

    How many figures there are is known when the first of them is tested, and stays.
    """
    counted = days(values, day_seconds)
    kinds = Counter(kind for kind, *_ in counted.values())
    blocks_a_year = _YEAR_SECONDS / day_seconds
    watched = {}
    for figure, (kind, share, each) in counted.items():
        limit = sequential.threshold(rate, 1 / (len(kinds) * kinds[kind]), blocks_a_year)
        watched[figure] = Watched(kind, share, each, limit, sequential.follow(each, limit, share=share))
    return watched


def days(values: pl.DataFrame, seconds: float) -> dict[str, tuple[str, bool, list[Day]]]:
    """Kind, share and days of each figure, in the order of VALUES. A day lasts so many `seconds`, from 1970 on."""
    microseconds = round(seconds * 1_000_000)
    dated = values.with_columns(pl.col("group").rank("dense"), day=pl.col("at").dt.epoch("us") // microseconds)
    units = dated.group_by("kind", "figure", "share", "day", "group", maintain_order=True).agg(pl.mean("value"))
    each = units.group_by("kind", "figure", "share", "day", maintain_order=True).agg(
        units=pl.col("value").count().cast(pl.Int64), total=pl.col("value").sum()
    )
    counted: dict[str, tuple[str, bool, list[Day]]] = {}
    for kind, figure, share, day, count, total in each.sort("day", nulls_last=True, maintain_order=True).iter_rows():
        of_figure = counted.setdefault(figure, (kind, share, []))[2]
        if count:
            of_figure.append(Day(day, count, total))
    return {figure: counted[figure] for figure in values["figure"].unique(maintain_order=True)}
