"""How good each detector is on this hospital's own images, month by month: on the audit images that people have read.

An audit image never trains, so what was read there measures every model alike. The truth is what its readers drew
before they were shown the model's boxes, where a review tells that; a final read, which knows the others', counts as it
is.
"""

from typing import Final

import polars as pl

from radloop.catalog import judging
from radloop.catalog.rule import Rule
from radloop.feedback import matching
from radloop.feedback.reviews import Reviews
from radloop.feedback.rows import Records
from radloop.measures import evaluation
from radloop.tables import CLASS_ID, DETECTOR, EDGES
from radloop.taxonomy import Taxonomy
from radloop.words import AUDIT

# One detector on the audit images that arrived in one month (null: in all). images: with feedback of it; read: of them
# those that somebody has read, which the figures are of. ap: mAP at IoU 0.4 with its 95 % interval, null where there
# are too few groups. simulated: of the read ones, by no person.
MONTHS: Final = pl.Schema(
    {
        **dict.fromkeys(DETECTOR, pl.String()),
        "month": pl.String(),
        **dict.fromkeys(("images", "read", "groups", "truth", "simulated"), pl.Int64()),
        **dict.fromkeys(("ap", "ap_low", "ap_high"), pl.Float64()),
    }
)

_READINGS: Final = pl.Schema(
    {
        "image_id": pl.String(),
        "rad_id": pl.String(),
        "class_id": CLASS_ID,
        **dict.fromkeys(EDGES, pl.Float64()),
        "final": pl.Boolean(),
        "simulated": pl.Boolean(),
        "group": pl.String(),
    }
)
_DEFAULT: Final = Rule()


def readings(
    records: Records, judged: pl.DataFrame, reviewed: Reviews, images: pl.DataFrame, *, simulated: bool = False
) -> pl.DataFrame:
    """What people drew on audit images, as the readings that a truth is made of; a row without class: nothing.

    images: image_id, split, group (`Version.images`). Each reader's newest review of an image counts, a person's before
    the simulated, and these only where `simulated` ones may be believed (on a synthetic dataset). An image that a
    reader rejected is left out, unless a final read says otherwise; so is one that turned out to belong together with
    an image of training.
    """
    _, refused, _ = matching.match(reviewed, judged, records.detections, _DEFAULT)
    sound = reviewed.reviews.join(refused, on="file", how="anti", maintain_order="left")
    about = judged.filter(pl.col("split") == AUDIT, ~pl.col("other_picture")).select("feedback_id", about="image_id")
    told = sound.drop("image_id").join(about, on="feedback_id").rename({"about": "image_id"})
    told = told.filter(pl.lit(simulated) | ~pl.col("simulated"))
    by_image = told.sort("timestamp", "review_id", "file").unique(["image_id", "reviewer"], keep="last")
    heard = by_image.filter(~pl.col("simulated") | pl.col("simulated").all().over("image_id"))
    rejected, final = pl.col("verdict") == "reject", pl.col("adjudicates")
    decided = pl.when(final.any().over("image_id")).then((rejected & final).any().over("image_id"))
    heard = heard.filter(~decided.otherwise(rejected.any().over("image_id")), ~rejected)
    blind = heard.filter(pl.col("blind_boxes").is_not_null(), ~final)
    drawn = pl.concat(
        [
            reviewed.blind.join(blind, on="file", how="semi"),
            reviewed.findings.join(heard.join(blind, on="file", how="anti"), on="file", how="semi"),
        ]
    )
    trains = images.filter(split="training").select("group")
    groups = images.join(trains, on="group", how="anti").select("image_id", "group").unique("image_id")
    return (
        heard.join(drawn.select("file", "class_id", *EDGES), on="file", how="left")
        .join(groups, on="image_id")
        .rename({"reviewer": "rad_id", "adjudicates": "final"})
        .select(_READINGS.names())
        .sort("image_id", "rad_id", "class_id", *EDGES)
    )


def of(
    records: Records,
    judged: pl.DataFrame,
    read: pl.DataFrame,
    arrived: pl.DataFrame,
    classes: Taxonomy,
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """MONTHS of every detector, the first month first, all months together last.

    read: `readings`; arrived: image_id, arrived_at (INCOMING), whose UTC month it is.
    """
    newest = judging.newest(judged).filter(split=AUDIT)
    dated = newest.join(arrived.select("image_id", month=pl.col("arrived_at").dt.strftime("%Y-%m")), on="image_id")
    whole = dated.with_columns(month=pl.lit(None, pl.String))
    by_month = pl.concat([dated, whole]).sort(*DETECTOR, "month", "image_id", nulls_last=True)
    rows = [
        (*key, *_judged(looked, records, read, classes, seed))
        for key, looked in by_month.group_by(*DETECTOR, "month", maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=MONTHS, orient="row")


def _judged(
    looked: pl.DataFrame, records: Records, read: pl.DataFrame, classes: Taxonomy, seed: int
) -> tuple[int | float | None, ...]:
    """The figures of MONTHS."""
    here = judging.matched(looked, records.every_box, read)
    made_up = read.join(here.images, on="image_id", how="semi").filter("simulated")["image_id"].n_unique()
    counted = (looked.height, here.images.height, here.images["group"].n_unique(), here.truth.height, made_up)
    if here.images.is_empty():
        return (*counted, None, None, None)
    mean = evaluation.average_precision(here.predictions, here.truth, here.images, classes, seed=seed)
    return (*counted, *mean.select("ap", "ap_low", "ap_high").row(-1))
