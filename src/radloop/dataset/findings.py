"""Annotation rows -> findings and refused rows: every row ends in one of the two, in any order they come."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from radloop import domain, values
from radloop.catalog.classes import Resolved
from radloop.dataset import frames, ids, patients, row_rules, shapes, voiding
from radloop.dataset.frame_candidates import Frame
from radloop.dataset.portions import Portions, by_image, of_images
from radloop.dataset.refusal import Limit
from radloop.dataset.row_rules import BOX_PX, FINDING, READING, SIDES, SOUND
from radloop.tables import (
    ANNOTATION_COLUMNS,
    CLASS_ID,
    FINDINGS,
    LARGEST_SIDE_PX,
    REJECTED,
    SMALLEST_SIDE_PX,
    Boxes,
)
from radloop.values import Decimal

_FEW_WORDS: Final = ("source", "place", "class_name", "class_id")  # of origins, which are kept for every row
_PLACEHOLDER: Final = pl.all_horizontal(pl.col(side) == value for side, value in zip(BOX_PX, (0, 0, 1, 1), strict=True))


@dataclass(frozen=True)
class Validated:
    """What became of the rows: rows in = findings + rejected."""

    findings: pl.DataFrame  # FINDINGS, sorted by image_id, rad_id, class_id and box
    rejected: pl.DataFrame  # REJECTED
    patients: pl.DataFrame  # image_id, patient: hashed; empty where the source names none
    lost: pl.DataFrame  # image_id, rad_id of readings that had rows and kept none: they get no label
    frame: Frame  # what the boxes proved to be in
    notes: tuple[str, ...]  # sentences for the summary
    # the row that each finding was, in the findings' order: REJECTED, but code and reason are null
    origins: pl.DataFrame  # and source, place and class are categories

    @property
    def without_origins(self) -> "Validated":
        """The same, once no row can be refused any more: they are the largest part of it."""
        return replace(self, origins=self.origins.clear())


def validate(
    rows: pl.DataFrame,
    resolved: Resolved,
    *,
    sizes: pl.DataFrame | None,
    pictures: pl.DataFrame | None = None,
    boxes: Boxes,
    boxes_why: str = "",
    decimal: Decimal | None = None,
    source: str = "annotations",
    name: str = "train.csv",
    own: bool = False,
    broken: pl.DataFrame | None = None,
    limit: Limit | None = None,
) -> Validated:
    """Sort rows into findings and refused ones; boxes become fractions of the frame that they are proved to be in.

    rows: as `sources.formats.Labels` has them, all text. resolved: what their classes mean. sizes: image_id,
    width, height of the originals; the rows' own columns go before it. pictures: the same of the pictures. boxes: what
    the user says of the frame, or the format, of which `boxes_why` is a sentence; name: the file's, which decides last.
    decimal: how numbers are written, where the table need not tell. own: radloop wrote the table, whose boxes may be a
    model's and lie anywhere.
    broken: the rows (REJECTED) that are none. limit: how many rows may be refused before the frame is looked at.
    A reading that lost a row loses all (`voiding.void`): what was refused may have been a finding. "No finding" is
    refused beside any other row. Only a reading of which nothing is left but findings of classes that the user leaves
    out is one that found nothing.
    Raises AnnotationError where the frame cannot be told, or is another than was said (see `frames.prove`), and where a
    picture has not the shape that its size says (see `shapes.require`); RefusedError where more rows are refused than
    may be.
    """
    own_sizes = [side for side in ("width", "height") if side in rows.columns]
    decimal = decimal or values.decimal_of(rows, SIDES, own_sizes, name=name)
    tables = _Tables(rows, resolved, sizes, pictures, decimal)
    middles = None if own else domain.of(resolved.taxonomy).middles
    drawn = _looked_over(tables, source, broken, limit, name)
    proof = frames.prove(drawn, said=boxes, why=boxes_why, name=name, middles=middles)
    del drawn

    judged = [_sorted_out(table, proof.frame, broken, source) for table in tables]
    findings = pl.concat(one.findings for one in judged)
    return Validated(
        findings=findings,
        rejected=_in_order(pl.concat(one.rejected for one in judged)),
        patients=patients.hashed(rows, findings),
        lost=pl.concat(one.lost for one in judged),
        frame=proof.frame,
        notes=(proof.note, *_note_of_stand_ins(sum(one.stand_ins for one in judged)), *patients.notes(rows)),
        origins=pl.concat(one.origins for one in judged),
    )


class _Tables:
    """The rows beside what their text says (`_understood`, `_with_sizes`, `_with_pictures`), some images at a time."""

    def __init__(
        self,
        rows: pl.DataFrame,
        resolved: Resolved,
        sizes: pl.DataFrame | None,
        pictures: pl.DataFrame | None,
        decimal: Decimal,
    ):
        place = [] if "place" in rows.columns else [pl.lit(None, pl.String).alias("place")]
        numbers = [values.number(side, decimal).alias(f"{side}_said") for side in SIDES]
        # by their text, so that the order they came in says nothing
        by = (*ANNOTATION_COLUMNS[1:], "line", "place")
        self._portions = Portions(rows.with_columns(*place, *numbers), by=by)
        self._resolved, self._decimal = resolved, decimal
        self._sizes = None if sizes is None else by_image(sizes)
        self._pictures = None if pictures is None else by_image(pictures)
        self._only: pl.DataFrame | None = None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """From the first image again, each time; all is read again, unless it is one table."""
        if self._only is not None:
            yield self._only
            return
        for rows in self._portions:
            ids = rows["image_id"]
            sizes, pictures = (
                None if known is None else of_images(known, ids) for known in (self._sizes, self._pictures)
            )
            table = _understood(rows, self._resolved)
            table = _with_pictures(_with_sizes(table, sizes, self._decimal), pictures)
            if len(self._portions) == 1:
                self._only = table
            yield table


def _looked_over(
    tables: Iterable[pl.DataFrame], source: str, broken: pl.DataFrame | None, limit: Limit | None, name: str
) -> pl.DataFrame:
    """The boxes that can tell of the frame. Raises what can be raised before it is known."""
    rows, refused, shaped, boxes = 0, [], [], []
    for table in tables:
        rows += table.height
        refused += [_refused_in_any_frame(table, source)] if limit else []
        shaped.append(shapes.of(table))
        boxes.append(_boxes(table))
    if limit:
        limit.require(pl.concat(refused), broken, rows=rows, name=name)
    shapes.require(pl.concat(shaped), name)
    return pl.concat(boxes)


@dataclass(frozen=True)
class _SortedOut:
    """What became of the rows of some images: as in `Validated`."""

    findings: pl.DataFrame
    rejected: pl.DataFrame
    lost: pl.DataFrame
    origins: pl.DataFrame
    stand_ins: int


def _sorted_out(table: pl.DataFrame, frame: Frame, broken: pl.DataFrame | None, source: str) -> _SortedOut:
    table = frames.in_pixels(table, frame)
    table = table.with_columns(row_rules.ROW_REASON).unnest("refusal")
    for refusal in (row_rules.FRAME_REASON, row_rules.REPEATED, row_rules.CONTRADICTION):
        table = row_rules.refuse(table, refusal)
    table = row_rules.refuse(table.with_columns(stands_in=row_rules.stands_in()), row_rules.LEFT_OUT)
    table = voiding.void(table, broken)

    kept = table.filter(SOUND).sort(*READING, "class", *BOX_PX, nulls_last=True)
    refused = table.filter(~SOUND)
    return _SortedOut(
        findings=_findings(kept),
        rejected=_as_came(refused, source),
        lost=_lost(refused.filter("identified"), kept),
        origins=_as_came(kept, source).with_columns(pl.col(_FEW_WORDS).cast(pl.Categorical)),
        stand_ins=int(kept["stands_in"].sum()),
    )


def require_pictures(validated: Validated, pictures: pl.DataFrame) -> Validated:
    """The same, but rows of an image whose picture is missing or has a `problem` are refused.

    pictures: image_id and problem, null for a sound picture.
    """
    problems = pictures.select("image_id", pl.col("problem").fill_null("")).unique("image_id", keep="any")
    problem = validated.findings.join(problems, on="image_id", how="left", maintain_order="left")["problem"]
    usable = (problem == "").fill_null(False)
    absent = pl.lit(problem).is_null()
    refused = validated.origins.with_columns(
        code=pl.when(absent).then(pl.lit("picture-missing")).otherwise(pl.lit("picture-unusable")),
        reason=pl.when(absent)
        .then(pl.lit("no picture of the image was found"))
        .otherwise(pl.format("the picture cannot be used: {}", pl.lit(problem))),
    ).filter(~usable)
    refused = refused.select(pl.col(name).cast(kind) for name, kind in REJECTED.items())
    findings = validated.findings.filter(usable)
    return replace(
        validated,
        findings=findings,
        rejected=_in_order(pl.concat([validated.rejected, refused])),
        patients=validated.patients.join(findings, on="image_id", how="semi", maintain_order="left"),
        lost=pl.concat([validated.lost, validated.findings.filter(~usable).select("image_id", "rad_id")])
        .unique()
        .sort("image_id", "rad_id"),
        origins=validated.origins.filter(usable),
    )


def _understood(rows: pl.DataFrame, resolved: Resolved) -> pl.DataFrame:
    """The rows, with the numbers that they say, beside what their classes mean, and whose they are."""
    meanings = resolved.meanings.rename({"code": "class_code", "reason": "class_reason"})
    return (
        rows.join(meanings, on=["class_id", "class_name"], how="left", nulls_equal=True, maintain_order="left")
        .with_columns(values.text("rad_id").alias("reader"), pl.col("class").cast(CLASS_ID))
        .with_columns(pl.when(FINDING).then(f"{side}_said").alias(f"{side}_px") for side in SIDES)
        .with_columns(identified=row_rules.identified())
    )


def _with_sizes(table: pl.DataFrame, sizes: pl.DataFrame | None, decimal: Decimal) -> pl.DataFrame:
    """Add width_px, height_px, null where unknown, and what is wrong with the rows' own columns."""
    for name in ("width", "height"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.String).alias(name))
    side = values.number("width", decimal), values.number("height", decimal)
    sane = pl.all_horizontal(one.is_between(SMALLEST_SIDE_PX, LARGEST_SIDE_PX) & (one == one.floor()) for one in side)
    table = table.with_columns(
        sane.fill_null(False).alias("sized"),
        ((values.text("width") != "") | (values.text("height") != "")).alias("says_size"),
    ).with_columns(
        pl.when("sized").then(one).cast(pl.Int32).alias(f"own_{name}")
        for one, name in zip(side, ("width", "height"), strict=True)
    )
    own = (
        table.filter("sized")
        .group_by("image_id")
        .agg(
            pl.col("own_width", "own_height").max(),
            ((pl.col("own_width").n_unique() > 1) | (pl.col("own_height").n_unique() > 1)).alias("sizes_differ"),
        )
    )
    table = table.drop("own_width", "own_height").join(own, on="image_id", how="left", maintain_order="left")
    if sizes is None:
        return table.rename({"own_width": "width_px", "own_height": "height_px"})
    known = sizes.select("image_id", pl.col("width").alias("w"), pl.col("height").alias("h")).unique("image_id")
    return table.join(known, on="image_id", how="left", maintain_order="left").with_columns(
        pl.coalesce("own_width", "w").cast(pl.Int32).alias("width_px"),
        pl.coalesce("own_height", "h").cast(pl.Int32).alias("height_px"),
    )


def _refused_in_any_frame(table: pl.DataFrame, source: str) -> pl.DataFrame:
    """The rows (REJECTED) that are refused in whichever frame: an error about the frame must not hide them.

    What has no area in pixels may have one as fractions.
    """
    judged = table.with_columns(row_rules.ROW_REASON).unnest("refusal")
    return _as_came(judged.filter(~SOUND, pl.col("code") != "box-without-area"), source)


def _with_pictures(table: pl.DataFrame, pictures: pl.DataFrame | None) -> pl.DataFrame:
    """Add picture_width, picture_height, null where unknown."""
    if pictures is None:
        return table.with_columns(pl.lit(None, pl.Int32).alias(f"picture_{side}") for side in ("width", "height"))
    known = pictures.select("image_id", picture_width="width", picture_height="height").unique("image_id")
    return table.join(known, on="image_id", how="left", maintain_order="left")


def _note_of_stand_ins(readings: int) -> Iterable[str]:
    if readings:
        yield f"{readings} readings drew only classes that are left out: they count as having found nothing."


def _boxes(table: pl.DataFrame) -> pl.DataFrame:
    """The boxes that can tell of the frame, in whichever it is."""
    low_x, low_y, high_x, high_y = (pl.col(side) for side in BOX_PX)
    sound = pl.all_horizontal(pl.col(side).abs() <= LARGEST_SIDE_PX for side in BOX_PX) & ~_PLACEHOLDER
    sound &= (low_x < high_x) & (low_y < high_y) & ~pl.col("sizes_differ").fill_null(False)
    return table.filter(FINDING & sound).select(
        "image_id",
        pl.col("class").alias("class_id"),
        *(pl.col(f"{side}_px").alias(side) for side in SIDES),
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
        "picture_width",
        "picture_height",
    )


def _findings(kept: pl.DataFrame) -> pl.DataFrame:
    limits = {"x": pl.col("width_px"), "y": pl.col("height_px")}
    norm = [(pl.col(f"{side}_px") / limits[side[0]]).alias(f"{side}_norm") for side in SIDES]
    return kept.select(
        "image_id",
        pl.col("reader").alias("rad_id"),
        pl.col("class").alias("class_id"),
        *norm,
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
    ).match_to_schema(FINDINGS)


def _as_came(table: pl.DataFrame, source: str) -> pl.DataFrame:
    return ids.as_came(table).with_columns(pl.lit(source).alias("source")).select(REJECTED.names())


def _in_order(rejected: pl.DataFrame) -> pl.DataFrame:
    """By what the rows say, the line last: the order they came in shows in the lines only."""
    return rejected.sort(*ANNOTATION_COLUMNS, "reason", "source", "line", "place")


def _lost(refused: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    gone = refused.select(READING).unique().join(kept.select(READING), on=READING, how="anti")
    return gone.rename({"reader": "rad_id"}).sort("image_id", "rad_id")
