"""Annotation rows -> findings and refused rows: every row ends in one of the two, in any order they come."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from radloop.dataset import frames
from radloop.dataset.frames import Frame
from radloop.tables import (
    ANNOTATION_COLUMNS,
    CLASS_NAMES,
    FINDINGS,
    LARGEST_SIDE_PX,
    NO_FINDING,
    REJECTED,
    SMALLEST_SIDE_PX,
    Boxes,
)

_SIDES: Final = ("x_min", "y_min", "x_max", "y_max")
_BOX_PX: Final = tuple(f"{side}_px" for side in _SIDES)
_READING: Final = ("image_id", "reader")
_SMALLEST_BOX_PX: Final = 0.1  # below, the six decimals of a label make it a line
_LONGEST_ID_BYTES: Final = 200  # with reader and ending it has to stay a file name (255 bytes)
_CONTROL: Final = r"[\p{Cc}\p{Zl}\p{Zp}]"
_LONGEST_VALUE_SHOWN: Final = 60

Rule = tuple[pl.Expr, pl.Expr]  # whether it refuses a row, and the sentence


@dataclass(frozen=True)
class Validated:
    """What became of the rows: rows in = findings + rejected."""

    findings: pl.DataFrame  # FINDINGS, sorted by image_id, rad_id, class_id and box
    rejected: pl.DataFrame  # REJECTED
    patients: pl.DataFrame  # image_id, patient: hashed; empty where the source names none
    lost: pl.DataFrame  # image_id, rad_id of readings that had rows and kept none: they get no label
    frame: Frame  # what the boxes proved to be in
    notes: tuple[str, ...]  # sentences for the summary
    origins: pl.DataFrame  # REJECTED without a reason: the row that each finding was, in the findings' order


def validate(
    rows: pl.DataFrame,
    *,
    sizes: pl.DataFrame | None,
    boxes: Boxes,
    source: str = "annotations",
    name: str = "train.csv",
) -> Validated:
    """Sort rows into findings and refused ones; boxes become fractions of the frame that they are proved to be in.

    rows: as `sources.raw.read_annotations` returns them, all text. sizes: image_id, width, height of the originals;
    the rows' own columns go before it. boxes: what the user says of the frame; name: the file's, which decides last.
    A refused row never leaves its reading normal: "No finding" is refused beside any other row, refused or not.
    Raises AnnotationError where the frame cannot be told, or is another than was said (see `frames.prove`).
    """
    table = _with_sizes(_parsed(rows), sizes)
    table = table.with_columns(_ROW_REASON)
    proof = frames.prove(_boxes(table), said=boxes, name=name)
    table = table.with_columns(
        frames.side(proof.frame, "width_px"), frames.side(proof.frame, "height_px")
    ).with_columns(pl.coalesce("reason", _FRAME_REASON))
    table = _without_repeats(table).with_columns(pl.coalesce("reason", _CONTRADICTION))

    kept = table.filter(pl.col("reason").is_null()).sort(*_READING, "class", *_BOX_PX)
    refused = table.filter(pl.col("reason").is_not_null())
    return Validated(
        findings=_findings(kept),
        rejected=_in_order(_as_came(refused, source)),
        patients=_patients(rows, kept),
        lost=_lost(refused.filter("identified"), kept),
        frame=proof.frame,
        notes=(proof.note,),
        origins=_as_came(kept, source),
    )


def require_pictures(validated: Validated, pictures: pl.DataFrame) -> Validated:
    """The same, but rows of an image whose picture is missing or has a `problem` are refused.

    pictures: image_id and problem, null for a sound picture.
    """
    problems = pictures.select("image_id", pl.col("problem").fill_null("")).unique("image_id", keep="any")
    problem = validated.findings.join(problems, on="image_id", how="left", maintain_order="left")["problem"]
    usable = (problem == "").fill_null(False)
    reason = pl.when(pl.lit(problem).is_null()).then(pl.lit("no picture of the image was found"))
    refused = validated.origins.with_columns(
        reason.otherwise(pl.format("the picture cannot be used: {}", pl.lit(problem))).alias("reason")
    ).filter(~usable)
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


def _parsed(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows beside what their text says, sorted by that text, so that the order they came in says nothing."""
    ids = {name.lower(): class_id for class_id, name in enumerate(CLASS_NAMES)}
    number = _number("class_id")
    return (
        rows.sort(*ANNOTATION_COLUMNS, "line")
        .with_columns(
            _text("rad_id").alias("reader"),
            pl.when(number.is_between(0, NO_FINDING) & (number == number.floor()))
            .then(number)
            .cast(pl.Int8)
            .alias("by_id"),
            _text("class_name")
            .str.to_lowercase()
            .replace_strict(ids, default=None, return_dtype=pl.Int8)
            .alias("by_name"),
            *(_number(side).alias(f"{side}_px") for side in _SIDES),
        )
        .with_columns(pl.coalesce("by_id", "by_name").alias("class"), _identified().alias("identified"))
    )


def _with_sizes(table: pl.DataFrame, sizes: pl.DataFrame | None) -> pl.DataFrame:
    """Add width_px, height_px, null where unknown, and what is wrong with the rows' own columns."""
    for name in ("width", "height"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, pl.String).alias(name))
    side = _number("width"), _number("height")
    sane = pl.all_horizontal(one.is_between(SMALLEST_SIDE_PX, LARGEST_SIDE_PX) & (one == one.floor()) for one in side)
    table = table.with_columns(
        sane.fill_null(False).alias("sized"),
        ((_text("width") != "") | (_text("height") != "")).alias("says_size"),
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


def _row_rules() -> Iterable[Rule]:
    """What can be said of a row without knowing the frame."""
    yield pl.col("image_id").fill_null("") == "", _sentence("the row names no image")
    yield ~_safe_image_id(), _sentence("image_id is no safe file name", "image_id")
    yield ~_safe_reader(), _sentence("rad_id is not made of letters, digits and hyphens", "rad_id")

    yield (_text("class_id") == "") & (_text("class_name") == ""), _sentence("the row names no class")
    yield (_text("class_id") != "") & pl.col("by_id").is_null(), _sentence("the class is unknown", "class_id")
    yield (_text("class_name") != "") & pl.col("by_name").is_null(), _sentence("the class is unknown", "class_name")
    yield (
        pl.col("by_id") != pl.col("by_name"),
        _sentence("class_id and class_name disagree", "class_id", "class_name"),
    )

    finding = pl.col("class") != NO_FINDING
    for side in _SIDES:
        given = (_text(side) != "") & ~pl.col(f"{side}_px").is_nan().fill_null(False)
        yield ~finding & given, _sentence("'No finding' has a box", side)
    yield finding & pl.all_horizontal(_text(side) == "" for side in _SIDES), _sentence("the finding has no box")
    for side in _SIDES:
        value = pl.col(f"{side}_px")
        yield finding & ~value.is_finite().fill_null(False), _sentence("a coordinate is not a number", side)
        yield finding & (value.abs() > LARGEST_SIDE_PX), _sentence("a coordinate is larger than any film", side)
    for axis in "xy":
        ends = f"{axis}_min", f"{axis}_max"
        low, high = (pl.col(f"{end}_px") for end in ends)
        yield finding & (low > high), _sentence("the box is inverted", *ends)
        yield finding & (high - low < _SMALLEST_BOX_PX), _sentence("the box has no area", *ends)

    bad_size = pl.col("says_size") & ~pl.col("sized")
    yield bad_size, _sentence("width and height are no size of a picture", "width", "height")
    yield pl.col("sizes_differ"), _sentence("the rows of the image give it several sizes")


def _frame_rules() -> Iterable[Rule]:
    """What can be said of a row once width_px and height_px are those of the frame."""
    yield pl.col("width_px").is_null(), _sentence("no size of the image is known")
    for axis, limit in (("x", "width_px"), ("y", "height_px")):
        below = pl.col(f"{axis}_min_px") < -frames.SLACK_PX
        beyond = pl.col(f"{axis}_max_px") > pl.col(limit) + frames.SLACK_PX
        yield below, _sentence("the box lies outside the picture", f"{axis}_min")
        yield beyond, _sentence("the box lies outside the picture", f"{axis}_max", limit)
        seen = pl.min_horizontal(f"{axis}_max_px", limit) - pl.max_horizontal(f"{axis}_min_px", 0)
        yield seen < _SMALLEST_BOX_PX, _sentence("nothing of the box is in the picture", f"{axis}_min", f"{axis}_max")


def _without_repeats(table: pl.DataFrame) -> pl.DataFrame:
    """Refuse all but one of the rows that say the same."""
    said = pl.struct(*_READING, "class", *_BOX_PX)
    sound = pl.col("reason").is_null()
    first = table.with_row_index("row").filter(sound).filter(said.is_first_distinct())["row"]
    return (
        table.with_row_index("row")
        .with_columns(
            (sound & ~pl.col("row").is_in(first.implode())).alias("repeated"),
        )
        .with_columns(pl.when("repeated").then(pl.lit("the row repeats another")).otherwise("reason").alias("reason"))
    )


def _contradiction() -> Iterable[Rule]:
    """Another row of the reading, even a refused one, says that its reader saw something."""
    normal = ((pl.col("class") == NO_FINDING) & (pl.col("reason").is_null() | pl.col("repeated"))).fill_null(False)
    yield normal & ~normal.all().over(_READING), _sentence("'No finding' contradicts another row of the same reading")


def _reason(rules: Iterable[Rule]) -> pl.Expr:
    """The sentence of the first rule that refuses a row, else null."""
    return pl.coalesce([pl.when(refuses).then(sentence) for refuses, sentence in rules]).alias("reason")


def _sentence(what: str, *columns: str) -> pl.Expr:
    """`what`, a colon, and the values of `columns`: so the part before the colon says how many rows have it."""
    if not columns:
        return pl.lit(what)
    values = ", ".join(f"{column} {{}}" for column in columns)
    return pl.format(f"{what}: {values}", *map(_shown, columns))


def _shown(column: str) -> pl.Expr:
    """The value as it may be printed: short, in quotes, without control characters."""
    text = pl.col(column).cast(pl.String).fill_null("").str.head(_LONGEST_VALUE_SHOWN)
    return pl.format("'{}'", text.str.replace_all(_CONTROL, "\ufffd"))


def _text(column: str) -> pl.Expr:
    return pl.col(column).fill_null("").str.strip_chars()


def _number(column: str) -> pl.Expr:
    return _text(column).cast(pl.Float64, strict=False)


def _safe_image_id() -> pl.Expr:
    image_id = pl.col("image_id").fill_null("")
    unsafe = image_id.str.contains(_CONTROL) | image_id.str.contains(r"[/\\]") | image_id.str.starts_with(".")
    return ~unsafe & image_id.str.len_bytes().is_between(1, _LONGEST_ID_BYTES)


def _safe_reader() -> pl.Expr:
    """Without an underscore in it, <image_id>_<rad_id> can be taken apart again."""
    return _text("rad_id").str.contains(r"\A[A-Za-z0-9-]{1,50}\z")


def _identified() -> pl.Expr:
    """Whether the row tells which reading it belongs to."""
    return _safe_image_id() & _safe_reader()


def _boxes(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("reason").is_null() & (pl.col("class") != NO_FINDING)).select(
        "image_id",
        pl.col("class").alias("class_id"),
        *(pl.col(f"{side}_px").alias(side) for side in _SIDES),
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
    )


def _findings(kept: pl.DataFrame) -> pl.DataFrame:
    limits = {"x": pl.col("width_px"), "y": pl.col("height_px")}
    norm = [
        pl.when(pl.col("class") != NO_FINDING).then(pl.col(f"{side}_px") / limits[side[0]]).alias(f"{side}_norm")
        for side in _SIDES
    ]
    return kept.select(
        "image_id",
        pl.col("reader").alias("rad_id"),
        pl.col("class").alias("class_id"),
        *norm,
        pl.col("width_px").alias("width"),
        pl.col("height_px").alias("height"),
    ).match_to_schema(FINDINGS)


def _as_came(table: pl.DataFrame, source: str) -> pl.DataFrame:
    return table.with_columns(pl.lit(source).alias("source")).select(REJECTED.names())


def _in_order(rejected: pl.DataFrame) -> pl.DataFrame:
    """By what the rows say, the line last: the order they came in shows in the lines only."""
    return rejected.sort(*ANNOTATION_COLUMNS, "reason", "source", "line")


def _lost(refused: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    gone = refused.select(_READING).unique().join(kept.select(_READING), on=_READING, how="anti")
    return gone.rename({"reader": "rad_id"}).sort("image_id", "rad_id")


def _patients(rows: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """The patients of every kept image; two, where its rows name two."""
    if "patient_id" not in rows.columns:
        return pl.DataFrame(schema={"image_id": pl.String, "patient": pl.String})
    named = rows.select("image_id", _text("patient_id").alias("patient")).filter(pl.col("patient") != "").unique()
    named = named.join(kept, on="image_id", how="semi")
    hashed = {patient: _hashed(patient) for patient in named["patient"].unique()}
    patient = pl.col("patient").replace_strict(hashed, return_dtype=pl.String)
    return named.with_columns(patient).sort("image_id", "patient")


def _hashed(patient_id: str) -> str:
    """Never published in clear; the same patient has the same hash in every source."""
    return hashlib.sha256(b"radloop patient\0" + patient_id.encode()).hexdigest()[:16]


_ROW_REASON: Final = _reason(_row_rules())
_FRAME_REASON: Final = _reason(_frame_rules())
_CONTRADICTION: Final = _reason(_contradiction())
