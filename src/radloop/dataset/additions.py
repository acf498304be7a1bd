"""Re-training data as annotations: what `--add retrain.csv` changes in the next version, and what later ones keep.

A review joins the readers of its image as one more reading, and stays for good. What a model said never takes the
place of what a person said: on an image that people have read it only says that the image may train (its rows stay
with `used` false), on another one it is the label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from radloop.dataset.findings import Validated
from radloop.tables import ANNOTATION_COLUMNS, EDGES, PREDICTION, READER, REVIEW, SCALED_SIDE_PX, SIMULATED_REVIEW
from radloop.words import WITHHELD

SOURCE: Final = "retrain.csv"
CARRIED: Final = "annotations.parquet"  # of the version before
COLUMNS: Final = ("source", "final", "split", "trains")  # of retrain.csv, beside those of any annotations

_TRUE: Final = ("true", "1")
_READING: Final = ("image_id", "rad_id")


@dataclass(frozen=True)
class Added:
    """Rows beside those of the source, and whose each is."""

    valid: Validated
    marks: pl.DataFrame  # source, final, split: of each finding, in the findings' order


def training(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a retrain.csv that become labels; all of one that does not tell."""
    return rows.filter(_is_true("trains")) if "trains" in rows.columns else rows


def added(valid: Validated, rows: pl.DataFrame) -> Added:
    """`valid` is what became of the `rows` (text, with their `line`) of a retrain.csv."""
    absent = [pl.lit(None, pl.String).alias(name) for name in COLUMNS if name not in rows.columns]
    told = rows.with_columns(absent).select("line", *COLUMNS).with_columns(final=_is_true("final"))
    marks = valid.origins.select("line").join(told, on="line", how="left", maintain_order="left")
    own = marks["source"].is_in([REVIEW, SIMULATED_REVIEW, PREDICTION])
    by_name = pl.when(valid.findings["rad_id"].str.starts_with("M-")).then(pl.lit(PREDICTION)).otherwise(pl.lit(REVIEW))
    source = pl.when(own.fill_null(value=False)).then("source").otherwise(by_name)
    return Added(valid, marks.select(source=source, final=pl.col("final").fill_null(value=False), split="split"))


def of_version(annotations: pl.DataFrame) -> pl.DataFrame:
    """What a version (ANNOTATIONS) holds beside its readers' rows, as the text of a retrain.csv with `line`s."""
    rows = annotations.filter(pl.col("source") != READER)
    side = pl.lit(str(SCALED_SIDE_PX))
    return rows.select(
        "image_id",
        "class_name",
        pl.lit(None, pl.String).alias("class_id"),
        "rad_id",
        *((pl.col(edge) * SCALED_SIDE_PX).cast(pl.String).alias(edge.removesuffix("_norm")) for edge in EDGES),
        "source",
        pl.col("final").cast(pl.String),
        width=side,
        height=side,
        line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64),
    ).select("line", *ANNOTATION_COLUMNS, "width", "height", "source", "final")


def merge(
    base: Validated,
    carried: Added | None,
    new: Added | None,
    *,
    previous: pl.DataFrame | None,
    pictures: pl.Series,
    blind: frozenset[str] | None = None,
) -> tuple[Validated, frozenset[str]]:
    """The annotations with all rows (columns `source`, `final` and `used` more), and the images that move to training.

    carried: what the version before held beside its readers' rows; new: of a retrain.csv, which goes before it, reading
    by reading. previous: ASSIGNMENT of the version before, of all that is remembered and of incoming images; pictures:
    the images that have one. Rows of an image without a picture, and of a held-out or audit one or of one grouped with
    such a one, are refused: none of these ever trains.

    blind: images whose readers are set aside (`--blind-production`), beside those that move now; None: nobody's are.
    """
    split = dict(previous.select("image_id", "split").iter_rows()) if previous is not None else {}
    parts = [_sorted_out(part, base, withheld(previous), pictures) for part in (carried, new) if part is not None]
    accepted = [part.findings for part in parts]
    if carried is not None and new is not None:
        accepted[0] = accepted[0].join(accepted[1], on=_READING, how="anti")
    moved = frozenset[str]()
    if new is not None:
        moved = frozenset(one for one in accepted[-1]["image_id"] if split.get(one) != "training")
    own = base.findings.with_columns(source=pl.lit(READER), final=pl.lit(value=False))
    aside = None if blind is None else blind | moved
    kept = [one.origins for one in parts]
    if carried is not None and new is not None:
        kept[0] = kept[0].join(accepted[1], on=_READING, how="anti")
    merged = replace(
        base,
        findings=_used(pl.concat([own, *accepted]), base.lost, aside),
        origins=pl.concat([base.origins, *kept]),
        rejected=pl.concat([base.rejected, *(part.rejected for part in parts)]),
        lost=pl.concat([base.lost, *(part.lost for part in parts)]),
    )
    return merged, moved


def withheld(previous: pl.DataFrame | None) -> dict[str, str]:
    """What never trains of ASSIGNMENT: image_id and the split that it, or one of its group, is held out in.

    An image of training is none of them, whatever turned out since to belong together with it.
    """
    if previous is None:
        return {}
    own, split = pl.col("split").is_in(WITHHELD), pl.col("split").fill_null("")
    by_group = previous.filter(own).sort("split").unique("group", keep="first").select("group", kept_from="split")
    grouped = previous.filter(split != "training").join(by_group, on="group")
    told = grouped.with_columns(kept_from=pl.when(own).then("split").otherwise("kept_from"))
    return dict(told.sort(own, "image_id", "kept_from").select("image_id", "kept_from").iter_rows())


def blinded(annotations: pl.DataFrame | None) -> frozenset[str]:
    """The images of a version (ANNOTATIONS) whose readers were all set aside; none where there is no version."""
    if annotations is None:
        return frozenset()
    own = annotations.filter(source=READER)
    return frozenset(own.group_by("image_id").agg(pl.col("used").any()).filter(~pl.col("used"))["image_id"])


def _sorted_out(part: Added, base: Validated, barred: Mapping[str, str], pictures: pl.Series) -> Validated:
    """The part with its marks in the findings, without what is refused."""
    image_id = part.valid.findings["image_id"]
    there = image_id.is_in(base.findings["image_id"].implode()) | (
        image_id.is_in(pictures.implode()) & ~image_id.is_in(base.lost["image_id"].implode())
    )
    held_out = [
        next((one for one in (barred.get(name), told) if one in WITHHELD), None)
        for name, told in zip(image_id, part.marks["split"], strict=True)
    ]
    table = part.valid.origins.with_columns(there=there, held_out=pl.Series(held_out, dtype=pl.String)).with_columns(
        code=pl.when(~pl.col("there"))
        .then(pl.lit("image-unknown"))
        .when(pl.col("held_out").is_not_null())
        .then(pl.lit("image-held-out")),
        reason=pl.when(~pl.col("there"))
        .then(pl.lit("the source has no image of this id"))
        .otherwise(pl.format("the image is held out ({}) and never trains", "held_out")),
    )
    stays = table["code"].is_null()
    refused = table.filter(~stays).select(pl.col(name).cast(kind) for name, kind in part.valid.rejected.schema.items())
    marks = part.marks.select("source", "final").get_columns()
    return replace(
        part.valid,
        findings=part.valid.findings.with_columns(marks).filter(stays),
        origins=part.valid.origins.filter(stays),
        rejected=pl.concat([part.valid.rejected, refused]),
    )


def _used(rows: pl.DataFrame, lost: pl.DataFrame, aside: frozenset[str] | None) -> pl.DataFrame:
    """The rows with `used`: whether one may be in a label."""
    own, said = pl.col("source") == READER, pl.col("source") == PREDICTION
    reviewed = rows.filter(~own & ~said).select(_READING).unique().with_columns(reread=pl.lit(value=True))
    unread = pl.col("image_id").is_in(sorted(aside or ()))
    rows = rows.join(reviewed, on=_READING, how="left", maintain_order="left").with_columns(
        person=~said & ~(own & (unread | pl.col("reread").fill_null(value=False)))
    )
    people = pl.col("person").any().over("image_id") | (pl.col("image_id").is_in(lost["image_id"].implode()) & ~unread)
    return rows.with_columns(used=pl.col("person") | (said & ~people)).drop("person", "reread")


def _is_true(column: str) -> pl.Expr:
    return pl.col(column).str.strip_chars().str.to_lowercase().is_in(_TRUE)
